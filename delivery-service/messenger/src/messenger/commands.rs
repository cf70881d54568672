//! The commands of an application. Each stores its intent, and begins to carry it out.

use regrow_engine::{DeviceId, Error as EngineError, GroupId, MAX_GROUP_DATA_BYTES, Refusal, UserId};
use serde_bytes::ByteBuf;

use super::{
    Messenger,
    intent::Intent,
    list_lane::ListReading,
    records::{InvitationAnswer, ListIntent},
    request::Response,
};
use crate::{device_list::DeviceCard, error::Error};

impl Messenger {
    /// Makes a group with this device as its only member.
    ///
    /// # Errors
    /// [`Error::GroupTaken`] or [`Error::GroupEnded`] if the service has or had a group of that
    /// name; [`Error::Engine`] if this device is in it.
    pub async fn create_group(&mut self, group: &GroupId) -> Result<(), Error> {
        self.machine.make_group(group)?;
        self.begin(group).await
    }

    /// Sends a text to a group.
    ///
    /// The text waits in the device's store until the service has ordered it. It stays there for
    /// the rest of the epoch, in case the service takes the epoch back.
    ///
    /// # Errors
    /// [`Error::Suspended`]; [`Error::Randomness`]; [`Error::Engine`] if this device is not in the
    /// group.
    pub async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<(), Error> {
        self.machine.put_text(group, text)?;
        self.begin(group).await
    }

    /// Adds a user, with all devices on the user's signed list.
    ///
    /// A device that the group has removed while its user stayed is left out: a person [adds
    /// it](Self::add_device) by its name. The messenger claims no key packages for devices that are
    /// members already. [`Event::NotAdded`](super::Event) reports a device that cannot be added.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn add_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        self.intend(group, Intent::AddUser(user.clone())).await
    }

    /// Adds one device on the list of its user's devices. The main use is a device that the group
    /// had removed.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn add_device(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        self.intend(group, Intent::AddDevice(device.clone())).await
    }

    /// Removes a user, with all devices.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is one of the user's: it can
    /// [leave](Self::leave).
    pub async fn remove_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        if user == self.device().user() {
            return Err(EngineError::OwnRemoval.into());
        }
        self.intend(group, Intent::RemoveUser(user.clone())).await
    }

    /// Removes one device from one group. For a lost device, see
    /// [`remove_device`](Self::remove_device).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is the one: it can
    /// [leave](Self::leave).
    pub async fn remove_member(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(EngineError::OwnRemoval.into());
        }
        self.intend(group, Intent::RemoveDevice(device.clone())).await
    }

    /// Removes a device everywhere.
    ///
    /// The device leaves all groups that it shares with this device. If it is of the same user, it
    /// also leaves the signed list of the user's devices and the service. It does not come back,
    /// under its name or with its keys. The removal is one intent: the store has all of it before
    /// the first request.
    ///
    /// # Errors
    /// [`Error::Engine`] if it is this device.
    pub async fn remove_device(&mut self, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(EngineError::OwnRemoval.into());
        }
        self.machine.intend_removal(device)?;
        self.pass().await
    }

    /// This device's name and public keys, for another device of the same user that is on the list.
    ///
    /// The application shows the card as a QR code or as a text, and a person carries it over. The
    /// service has no part in that.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn card(&self) -> Result<DeviceCard, Error> {
        self.machine.own_card()
    }

    /// Links a new device of this user, from the [card](Self::card) that a person has carried here.
    ///
    /// This device signs that the new one is the user's, and adds it to all groups of this device.
    /// [`Event::NotLinked`](super::Event) reports a device that cannot be linked.
    ///
    /// # Errors
    /// [`OtherUser`](regrow_engine::Error::OtherUser) if it is a device of another user.
    pub async fn link_device(&mut self, card: &DeviceCard) -> Result<(), Error> {
        let user = self.device().user().clone();
        if *card.device.user() != user {
            return Err(EngineError::OtherUser { device: card.device.clone(), user }.into());
        }
        self.machine.intend_for_list(ListIntent::Link(card.to_string()), &[])?;
        self.pass().await
    }

    /// Reads the signed list of a user's devices, and returns its devices.
    ///
    /// # Errors
    /// [`Error::Connection`]; [`Error::Devices`] if the list is forged, is missing, or has to be
    /// [accepted](Self::accept_devices) first.
    pub async fn devices(&mut self, user: &UserId) -> Result<Vec<DeviceId>, Error> {
        loop {
            let request = self.machine.read_device_list(user)?;
            let page = self.perform(&request).await?.and_then(Response::device_list);
            match self.machine.take_in_list(user, page)? {
                ListReading::Partly => {}
                ListReading::Whole(known) => match known.unaccepted() {
                    Some(detail) => return Err(Error::Devices { user: user.clone(), detail }),
                    None => return Ok(known.list.devices().map(|(device, _)| device).collect()),
                },
                ListReading::Unusable(detail) => return Err(Error::Devices { user: user.clone(), detail }),
            }
        }
    }

    /// Accepts the list of a user's devices as the service shows it now, after a person has asked
    /// the user. Returns the devices on it.
    ///
    /// # Errors
    /// As [`devices`](Self::devices).
    pub async fn accept_devices(&mut self, user: &UserId) -> Result<Vec<DeviceId>, Error> {
        self.machine.forget_device_list(user)?;
        self.devices(user).await
    }

    /// Begins the list of this user's devices anew, with this device alone.
    ///
    /// The call is for a user who has lost all other devices. The service permits it when no device
    /// on the list is registered any more: the operator removes them. Other users' devices ask
    /// their people to [accept](Self::accept_devices) the new list.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub async fn begin_devices_anew(&mut self) -> Result<(), Error> {
        self.machine.intend_for_list(ListIntent::BeginAnew, &[])?;
        self.pass().await
    }

    /// Gives this device new keys in the group, with or without a new signature key: see
    /// [`Group::update`](regrow_engine::Group::update) and
    /// [`Group::rotate_signature_key`](regrow_engine::Group::rotate_signature_key).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn rotate(&mut self, group: &GroupId, signature_key: bool) -> Result<(), Error> {
        self.intend(group, Intent::Rotate { signature_key }).await
    }

    /// Withdraws all key packages of this device at the service, and uploads new ones in the same
    /// step.
    ///
    /// The call is for a user who fears that somebody has copied the device's storage. After a
    /// rotation of the signature key the messenger does it without a call.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub async fn renew_key_packages(&mut self) -> Result<(), Error> {
        self.machine.renew_key_packages()?;
        self.pass().await
    }

    /// Sets the application's data in a group, which all members agree on: see
    /// [`Group::set_data`](regrow_engine::Group::set_data). Of several intents the last counts.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or the data is longer than
    /// [`MAX_GROUP_DATA_BYTES`].
    pub async fn set_data(&mut self, group: &GroupId, data: &[u8]) -> Result<(), Error> {
        if data.len() > MAX_GROUP_DATA_BYTES {
            return Err(EngineError::Refused(Refusal::DataLength { bytes: data.len() }).into());
        }
        self.intend(group, Intent::SetData(ByteBuf::from(data))).await
    }

    /// The groups that wait for an answer, each with the device that has added this one: see
    /// [`Event::Invited`](super::Event).
    pub fn invitations(&self) -> Vec<(GroupId, DeviceId)> {
        self.machine.invitations()
    }

    /// Accepts a group that this device was [invited](Self::invitations) to. Any submission to the
    /// group accepts it as well.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn accept_group(&mut self, group: &GroupId) -> Result<(), Error> {
        self.answer_invitation(group, InvitationAnswer::Accept).await
    }

    /// Declines a group that this device was [invited](Self::invitations) to.
    ///
    /// The device forgets the group and reads nothing of it any more. It stays in the group's tree
    /// until a member removes it.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn decline_group(&mut self, group: &GroupId) -> Result<(), Error> {
        self.answer_invitation(group, InvitationAnswer::Decline).await
    }

    async fn answer_invitation(&mut self, group: &GroupId, answer: InvitationAnswer) -> Result<(), Error> {
        if self.machine.answer_invitation(group, answer)? { self.begin(group).await } else { Ok(()) }
    }

    /// Blocks a user at the service: the user's devices add no device of this user to groups any
    /// more.
    ///
    /// # Errors
    /// [`Error::Connection`]. The call can be repeated.
    pub async fn block_user(&mut self, user: &UserId) -> Result<(), Error> {
        Ok(self.connected()?.block_user(user).await?)
    }

    /// Unblocks a user at the service.
    ///
    /// # Errors
    /// [`Error::Connection`]. The call can be repeated.
    pub async fn unblock_user(&mut self, user: &UserId) -> Result<(), Error> {
        Ok(self.connected()?.unblock_user(user).await?)
    }

    /// Registers an address that the service calls when an entry waits for this device while it
    /// sleeps.
    ///
    /// The call is an empty `POST`, to a push service. The operator names the permitted hosts.
    ///
    /// # Errors
    /// [`Error::Connection`]. The call can be repeated.
    pub async fn register_wake_up(&mut self, url: &str) -> Result<(), Error> {
        Ok(self.connected()?.register_wake_up(url).await?)
    }

    /// Deletes the wake-up address at the service.
    ///
    /// # Errors
    /// [`Error::Connection`]. The call can be repeated.
    pub async fn remove_wake_up(&mut self) -> Result<(), Error> {
        Ok(self.connected()?.remove_wake_up().await?)
    }

    /// Leaves a group: this device proposes its removal, and another member commits it.
    ///
    /// A device that is alone in the group ends it at the service and forgets it. The service does
    /// not reuse the name of an ended group.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn leave(&mut self, group: &GroupId) -> Result<(), Error> {
        self.intend(group, Intent::Leave).await
    }

    /// The intents of a group that wait: for the service, for an earlier commit, or for a delay to
    /// pass.
    pub fn intents(&self, group: &GroupId) -> Vec<Intent> {
        self.machine.intents(group)
    }

    /// Gives up an intent that waits. Returns false if there is none: the intent has begun, or the
    /// application has never made it.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn withdraw(&mut self, group: &GroupId, intent: &Intent) -> Result<bool, Error> {
        self.machine.withdraw(group, intent)
    }

    async fn intend(&mut self, group: &GroupId, intent: Intent) -> Result<(), Error> {
        self.machine.intend(group, intent)?;
        self.begin(group).await
    }
}
