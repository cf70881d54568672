//! The intents of an application: written down, and begun with.

use regrow_engine::{DeviceId, Error as Engine, GroupId, UserId};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::{
    Messenger, Wish,
    kept::{self, Changes, Out},
    lane::Scope,
    machine::Machine,
};
use crate::error::Error;

impl Messenger {
    /// Makes a group, with this device as its only member.
    ///
    /// # Errors
    /// [`Error::GroupTaken`] if there is one of that name at the service; [`Error::Engine`] if this device is in it.
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
    /// [`Error::Suspended`]; [`Error::Engine`] if this device is not in the group.
    pub async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<(), Error> {
        let machine = &mut self.machine;
        machine.client.group(group)?;
        if machine.is_suspended(group) {
            return Err(Error::Suspended { group: group.clone() });
        }
        let out = Out { text: Some(Zeroizing::new(text.to_vec())), sealed: None, ordered: None };
        let name = kept::next_out(&machine.client, group)?;
        Changes::default().out(&name, Some(&out))?.keep(&mut machine.client)?;
        self.begin(group).await
    }

    /// Adds a user, with all devices that the service knows and that have key packages there. For devices that are members
    /// already, no key package is claimed. A device that cannot be added is told as [`Event::NotAdded`](super::Event).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn add_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        self.wish(group, Wish::AddUser(user.clone())).await
    }

    /// Removes a user, with all devices.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is one of the user's: it can [leave](Self::leave).
    pub async fn remove_user(&mut self, group: &GroupId, user: &UserId) -> Result<(), Error> {
        if user == self.device().user() {
            return Err(Engine::OwnRemoval.into());
        }
        self.wish(group, Wish::RemoveUser(user.clone())).await
    }

    /// Removes one device from one group. A device that was lost is removed [everywhere](Self::remove_device).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is the one: it can [leave](Self::leave).
    pub async fn remove_member(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(Engine::OwnRemoval.into());
        }
        self.wish(group, Wish::RemoveDevice(device.clone())).await
    }

    /// Removes a device everywhere: from all groups that it shares with this device, and from the service if it is of the
    /// same user. It is one intent: all of it is written down before anything is asked.
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
            machine.push_wish(group, Wish::RemoveDevice(device.clone()));
        }
        let mut changes = Changes::default();
        if device.user() == machine.device().user() {
            machine.removals.insert(device.clone());
            changes = changes.removals(&machine.removals)?;
        }
        machine.save(&groups.iter().collect::<Vec<_>>(), changes)?;
        self.pass().await
    }

    /// Gives this device new keys in the group, and a new signature key if so wanted: see
    /// [`Group::update`](regrow_engine::Group::update) and
    /// [`Group::rotate_signature_key`](regrow_engine::Group::rotate_signature_key).
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn rotate(&mut self, group: &GroupId, signature_key: bool) -> Result<(), Error> {
        self.wish(group, Wish::Rotate { signature_key }).await
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
    /// [`Group::set_data`](regrow_engine::Group::set_data). Of several wishes the last counts.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or the data is longer than
    /// [`MAX_GROUP_DATA_BYTES`](regrow_engine::MAX_GROUP_DATA_BYTES).
    pub async fn set_data(&mut self, group: &GroupId, data: &[u8]) -> Result<(), Error> {
        if data.len() > regrow_engine::MAX_GROUP_DATA_BYTES {
            return Err(Engine::Refused(regrow_engine::Refusal::DataLength { bytes: data.len() }).into());
        }
        self.wish(group, Wish::SetData(ByteBuf::from(data))).await
    }

    /// Leaves a group: proposes it, and another member commits it. A device that is alone in the group ends it at the
    /// service, and forgets it. The name of a group that has ended is not given again.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn leave(&mut self, group: &GroupId) -> Result<(), Error> {
        self.wish(group, Wish::Leave).await
    }

    /// The wishes of a group that wait: for the service, for a commit before them, or for a delay to pass.
    pub fn wishes(&self, group: &GroupId) -> Vec<Wish> {
        let state = self.machine.groups.get(group);
        state.map(|state| state.record.wishes.iter().cloned().collect()).unwrap_or_default()
    }

    /// Gives up a wish that waits. Returns whether it did; if not, it has begun, or was never wanted.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn withdraw(&mut self, group: &GroupId, wish: &Wish) -> Result<bool, Error> {
        let Some(state) = self.machine.groups.get_mut(group) else { return Ok(false) };
        let before = state.record.wishes.len();
        state.record.wishes.retain(|known| known != wish);
        let withdrawn = state.record.wishes.len() < before;
        state.changed |= withdrawn;
        if let Wish::AddUser(user) = wish {
            state.claims.remove(user);
        }
        self.machine.lanes.works(&Scope::Wish { group: group.clone(), wish: wish.clone() });
        self.machine.save(&[group], Changes::default())?;
        Ok(withdrawn)
    }

    async fn wish(&mut self, group: &GroupId, wish: Wish) -> Result<(), Error> {
        self.machine.client.group(group)?;
        self.machine.push_wish(group, wish);
        self.machine.save(&[group], Changes::default())?;
        self.begin(group).await
    }
}

impl Machine {
    /// Remembers a wish, and forgets the earlier wishes that it takes back.
    pub(super) fn push_wish(&mut self, group: &GroupId, wish: Wish) {
        self.busy.insert(group.clone());
        let state = self.groups.entry(group.clone()).or_default();
        if state.record.wishes.contains(&wish) {
            return;
        }
        for void in state.record.wishes.iter().filter(|known| known.is_void_after(&wish)) {
            self.lanes.works(&Scope::Wish { group: group.clone(), wish: void.clone() });
        }
        state.record.wishes.retain(|known| !known.is_void_after(&wish));
        state.record.wishes.push_back(wish);
        state.changed = true;
    }
}
