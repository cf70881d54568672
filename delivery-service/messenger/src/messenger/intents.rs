//! The intents of an application: written down, and begun with.

use regrow_engine::{DeviceId, Error as Engine, GroupId, UserId};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::{
    Intent, Messenger,
    devices::Reading,
    kept::{self, Answer, Changes, ListIntent, Out, OutText},
    lane::Scope,
    machine::Machine,
    request::Response,
};
use crate::{device_list::DeviceCard, envelope::Nonce, error::Error};

impl Messenger {
    /// Makes a group, with this device as its only member.
    ///
    /// # Errors
    /// [`Error::GroupTaken`] or [`Error::GroupEnded`] if there is or was one of that name at the service;
    /// [`Error::Engine`] if this device is in it.
    pub async fn create_group(&mut self, group: &GroupId) -> Result<(), Error> {
        let machine = &mut self.machine;
        let now = machine.now();
        let info = machine.client.create_group(group.clone(), now)?.group_info()?;
        let state = machine.group(group);
        state.record = kept::GroupRecord { creating: Some(info.into()), ..kept::GroupRecord::default() };
        state.changed = true;
        machine.save(&[group], Changes::default())?;
        self.begin(group).await
    }

    /// Sends a text to a group. Until the service has ordered it, it waits in the device's store; and after that, for as long as
    /// the epoch lasts, in case that the epoch is taken back.
    ///
    /// # Errors
    /// [`Error::Suspended`]; [`Error::Randomness`]; [`Error::Engine`] if this device is not in the group.
    pub async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<(), Error> {
        let machine = &mut self.machine;
        machine.client.group(group)?;
        if machine.is_suspended(group) {
            return Err(Error::Suspended { group: group.clone() });
        }
        machine.accepts_by_acting(group);
        let text = OutText { nonce: Nonce::generate()?, bytes: Zeroizing::new(text.to_vec()) };
        let out = Out { text: Some(text), sealed: None, ordered: None };
        let name = kept::next_out(&machine.client, group)?;
        let changes = Changes::default().out(&name, Some(&out))?;
        machine.save(&[group], changes)?;
        self.begin(group).await
    }

    /// Adds a user, with all devices on the user's signed list. A device that the group has removed while its user stayed is
    /// left out: a person [adds it](Self::add_device) by its name. For devices that are members already, no key package
    /// is claimed. A device that cannot be added is told as [`Event::NotAdded`](super::Event).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn add_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        self.intent(group, Intent::AddUser(user.clone())).await
    }

    /// Adds one device, which the list of its user's devices has: above all, a device that the group had removed.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn add_device(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        self.intent(group, Intent::AddDevice(device.clone())).await
    }

    /// Removes a user, with all devices.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is one of the user's: it can [leave](Self::leave).
    pub async fn remove_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        if user == self.device().user() {
            return Err(Engine::OwnRemoval.into());
        }
        self.intent(group, Intent::RemoveUser(user.clone())).await
    }

    /// Removes one device from one group. A device that was lost is removed [everywhere](Self::remove_device).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is the one: it can [leave](Self::leave).
    pub async fn remove_member(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(Engine::OwnRemoval.into());
        }
        self.intent(group, Intent::RemoveDevice(device.clone())).await
    }

    /// Removes a device everywhere: from all groups that it shares with this device; and if it is of the same user, from the
    /// signed list of the user's devices and from the service. Then it does not come back, under its name or with its keys.
    /// It is one intent: all of it is written down before anything is asked.
    ///
    /// # Errors
    /// [`Error::Engine`] if it is this device.
    pub async fn remove_device(&mut self, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(Engine::OwnRemoval.into());
        }
        let machine = &mut self.machine;
        let groups = machine.client.groups_of_device(device)?;
        for group in &groups {
            machine.push_intent(group, Intent::RemoveDevice(device.clone()));
        }
        let groups: Vec<&GroupId> = groups.iter().collect();
        match device.user() == machine.device().user() {
            true => machine.intend_for_list(ListIntent::Remove(device.clone()), &groups)?,
            false => machine.save(&groups, Changes::default())?,
        }
        self.pass().await
    }

    /// This device's name and public keys, for a device that is on the list of this user's devices: to be shown as a QR
    /// code or as a text, so that a person carries them over. The service has no part in that.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn card(&self) -> Result<DeviceCard, Error> {
        self.machine.own_card()
    }

    /// Links a new device of this user, whose [card](Self::card) a person has carried here: signs that it is the user's, and
    /// adds it to all groups of this device. If the device cannot be linked, [`Event::NotLinked`](super::Event) says so.
    ///
    /// # Errors
    /// [`OtherUser`](regrow_engine::Error::OtherUser) if it is a device of another user.
    pub async fn link_device(&mut self, card: &DeviceCard) -> Result<(), Error> {
        let user = self.device().user().clone();
        if *card.device.user() != user {
            return Err(Engine::OtherUser { device: card.device.clone(), user }.into());
        }
        self.machine.intend_for_list(ListIntent::Link(card.to_string()), &[])?;
        self.pass().await
    }

    /// The devices on the signed list of a user's devices, which is read now.
    ///
    /// # Errors
    /// [`Error::Connection`]; [`Error::Devices`] if the list is forged, is missing, or has to be
    /// [accepted](Self::accept_devices) first.
    pub async fn devices(&mut self, user: &UserId) -> Result<Vec<DeviceId>, Error> {
        loop {
            let request = self.machine.read_device_list(user)?;
            let page = self.perform(&request).await?.and_then(Response::device_list);
            match self.machine.take_in_list(user, page)? {
                Reading::Partly => {}
                Reading::Whole(known) => match Machine::is_unaccepted(&known) {
                    Some(detail) => return Err(Error::Devices { user: user.clone(), detail }),
                    None => return Ok(known.list.devices().map(|(device, _)| device).collect()),
                },
                Reading::Unusable(detail) => return Err(Error::Devices { user: user.clone(), detail }),
            }
        }
    }

    /// Accepts the list of a user's devices as the service shows it now, whatever it has shown before: a person has asked the
    /// user. Returns the devices on it.
    ///
    /// # Errors
    /// As [`devices`](Self::devices).
    pub async fn accept_devices(&mut self, user: &UserId) -> Result<Vec<DeviceId>, Error> {
        Changes::default().device_list(user, None)?.keep(&mut self.machine.client)?;
        self.machine.lists.look_again();
        self.devices(user).await
    }

    /// Begins the list of this user's devices anew, with this device alone: for a user who has lost all other devices. The
    /// service permits it when no device on the list is registered any more: the operator removes them. Other users'
    /// devices ask their people to [accept](Self::accept_devices) the new list.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub async fn begin_devices_anew(&mut self) -> Result<(), Error> {
        self.machine.intend_for_list(ListIntent::BeginAnew, &[])?;
        self.pass().await
    }

    /// Gives this device new keys in the group, and a new signature key if so wanted: see
    /// [`Group::update`](regrow_engine::Group::update) and
    /// [`Group::rotate_signature_key`](regrow_engine::Group::rotate_signature_key).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn rotate(&mut self, group: &GroupId, signature_key: bool) -> Result<(), Error> {
        self.intent(group, Intent::Rotate { signature_key }).await
    }

    /// Withdraws all key packages of this device at the service, and uploads new ones in the same step: for a user who fears
    /// that a copy of the device's storage was taken. After the signature key has been rotated, this happens by itself.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub async fn renew_key_packages(&mut self) -> Result<(), Error> {
        self.machine.renew_key_packages()?;
        self.pass().await
    }

    /// Sets the application's data in a group, on which all members agree: see
    /// [`Group::set_data`](regrow_engine::Group::set_data). Of several intents the last counts.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or the data is longer than
    /// [`MAX_GROUP_DATA_BYTES`](regrow_engine::MAX_GROUP_DATA_BYTES).
    pub async fn set_data(&mut self, group: &GroupId, data: &[u8]) -> Result<(), Error> {
        if data.len() > regrow_engine::MAX_GROUP_DATA_BYTES {
            return Err(Engine::Refused(regrow_engine::Refusal::DataLength { bytes: data.len() }).into());
        }
        self.intent(group, Intent::SetData(ByteBuf::from(data))).await
    }

    /// The groups that wait for an answer, each with the device that has added this one: see
    /// [`Event::Invited`](super::Event).
    pub fn invitations(&self) -> Vec<(GroupId, DeviceId)> {
        let groups = self.machine.groups.iter();
        groups.filter_map(|(group, state)| Some((group.clone(), state.record.invited_by.clone()?))).collect()
    }

    /// Accepts a group that this device was [invited](Self::invitations) to. To send to it, or to want something in it,
    /// accepts it as well.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn accept_group(&mut self, group: &GroupId) -> Result<(), Error> {
        self.answer(group, Answer::Accept).await
    }

    /// Declines a group that this device was [invited](Self::invitations) to: forgets it, and reads nothing of it any more.
    /// This device stays in the group's tree until a member removes it.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn decline_group(&mut self, group: &GroupId) -> Result<(), Error> {
        self.answer(group, Answer::Decline).await
    }

    async fn answer(&mut self, group: &GroupId, answer: Answer) -> Result<(), Error> {
        let machine = &mut self.machine;
        machine.client.group(group)?;
        let state = machine.group(group);
        if state.record.invited_by.take().is_none() {
            return Ok(());
        }
        (state.record.answer, state.changed) = (Some(answer), true);
        machine.save(&[group], Changes::default())?;
        self.begin(group).await
    }

    /// Blocks a user at the service: devices of the user add no device of this user to groups any more.
    ///
    /// # Errors
    /// [`Error::Connection`]. It can be called again.
    pub async fn block_user(&mut self, user: &UserId) -> Result<(), Error> {
        Ok(self.connected()?.block_user(user).await?)
    }

    /// Unblocks a user at the service.
    ///
    /// # Errors
    /// [`Error::Connection`]. It can be called again.
    pub async fn unblock_user(&mut self, user: &UserId) -> Result<(), Error> {
        Ok(self.connected()?.unblock_user(user).await?)
    }

    /// Registers an address that the service calls when something waits for this device while it sleeps: an empty `POST`, of
    /// a push service. The operator names the hosts that may be called.
    ///
    /// # Errors
    /// [`Error::Connection`]. It can be called again.
    pub async fn register_wake_up(&mut self, url: &str) -> Result<(), Error> {
        Ok(self.connected()?.register_wake_up(url).await?)
    }

    /// Erases the address at the service.
    ///
    /// # Errors
    /// [`Error::Connection`]. It can be called again.
    pub async fn remove_wake_up(&mut self) -> Result<(), Error> {
        Ok(self.connected()?.remove_wake_up().await?)
    }

    /// Leaves a group: proposes it, and another member commits it. A device that is alone in the group ends it at the
    /// service, and forgets it. The name of a group that has ended is not given again.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn leave(&mut self, group: &GroupId) -> Result<(), Error> {
        self.intent(group, Intent::Leave).await
    }

    /// The intents of a group that wait: for the service, for a commit before them, or for a delay to pass.
    pub fn intents(&self, group: &GroupId) -> Vec<Intent> {
        let state = self.machine.groups.get(group);
        state.map(|state| state.record.intents.iter().cloned().collect()).unwrap_or_default()
    }

    /// Gives up an intent that waits. Returns whether it did; if not, it has begun, or was never wanted.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn withdraw(&mut self, group: &GroupId, intent: &Intent) -> Result<bool, Error> {
        let Some(state) = self.machine.groups.get_mut(group) else { return Ok(false) };
        let before = state.record.intents.len();
        state.record.intents.retain(|known| known != intent);
        let withdrawn = state.record.intents.len() < before;
        state.changed |= withdrawn;
        state.claims.retain(|added, _| added.intent() != *intent);
        self.machine.lanes.works(&Scope::Intent { group: group.clone(), intent: intent.clone() });
        self.machine.save(&[group], Changes::default())?;
        Ok(withdrawn)
    }

    async fn intent(&mut self, group: &GroupId, intent: Intent) -> Result<(), Error> {
        self.machine.client.group(group)?;
        self.machine.accepts_by_acting(group);
        self.machine.push_intent(group, intent);
        self.machine.save(&[group], Changes::default())?;
        self.begin(group).await
    }
}

impl Machine {
    /// A submission accepts the group, as the service has it.
    pub(super) fn accepts_by_acting(&mut self, group: &GroupId) {
        let state = self.group(group);
        if state.record.invited_by.take().is_some() {
            (state.record.answer, state.changed) = (Some(Answer::Accept), true);
        }
    }

    /// Remembers an intent, and forgets the earlier intents that it takes back.
    pub(super) fn push_intent(&mut self, group: &GroupId, intent: Intent) {
        self.busy.insert(group.clone());
        let state = self.groups.entry(group.clone()).or_default();
        if state.record.intents.contains(&intent) {
            return;
        }
        for void in state.record.intents.iter().filter(|known| known.is_void_after(&intent)) {
            self.lanes.works(&Scope::Intent { group: group.clone(), intent: void.clone() });
        }
        state.record.intents.retain(|known| !known.is_void_after(&intent));
        match &intent {
            Intent::AddDevice(device) => _ = state.record.banned.remove(device),
            Intent::RemoveDevice(device) => _ = state.record.banned.insert(device.clone()),
            _ => {}
        }
        state.record.intents.push_back(intent);
        state.changed = true;
    }
}
