//! What an application wants of a group: written down, and begun with.

use regrow_engine::{DeviceId, GroupId, UserId};
use zeroize::Zeroizing;

use super::{
    Messenger, Wish,
    kept::{self, Changes, Out},
};
use crate::error::Error;

impl Messenger {
    /// Makes a group, with this device as its only member.
    ///
    /// # Errors
    /// [`Error::GroupTaken`] if there is one of that name at the service; [`Error::Engine`] if this device is in it.
    pub async fn create_group(&mut self, group: &GroupId) -> Result<(), Error> {
        let now = self.now();
        let info = self.client.create_group(group.clone(), now)?.group_info()?;
        let state = self.group(group);
        state.record = kept::GroupRecord { creating: Some(info.into()), ..kept::GroupRecord::default() };
        state.changed = true;
        self.save(&[group], Changes::default())?;
        self.begin(group).await
    }

    /// Sends a text to a group. Until the service has ordered it, it waits in the device's store; and after that, for as long as
    /// the epoch lasts, in case that the epoch is taken back.
    ///
    /// # Errors
    /// [`Error::Suspended`]; [`Error::Engine`] if this device is not in the group.
    pub async fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<(), Error> {
        self.client.group(group)?;
        if self.is_suspended(group) {
            return Err(Error::Suspended { group: group.clone() });
        }
        let out = Out { text: Some(Zeroizing::new(text.to_vec())), sealed: None, ordered: None };
        let name = kept::next_out(&self.client, group)?;
        Changes::default().out(&name, Some(&out))?.keep(&mut self.client)?;
        self.begin(group).await
    }

    /// Adds a user, with all devices that the service knows and that have key packages there.
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
            return Err(regrow_engine::Error::OwnRemoval.into());
        }
        self.wish(group, Wish::RemoveUser(user.clone())).await
    }

    /// Removes one device: one of this user's that was lost, or another's.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group, or is the one: it can [leave](Self::leave).
    pub async fn remove_device(&mut self, group: &GroupId, device: &DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(regrow_engine::Error::OwnRemoval.into());
        }
        self.wish(group, Wish::RemoveDevice(device.clone())).await
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

    /// Leaves a group: proposes it, and another member commits it. Who is alone in it forgets it.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in the group.
    pub async fn leave(&mut self, group: &GroupId) -> Result<(), Error> {
        self.wish(group, Wish::Leave).await
    }

    async fn wish(&mut self, group: &GroupId, wish: Wish) -> Result<(), Error> {
        self.client.group(group)?;
        let state = self.group(group);
        if !state.record.wishes.contains(&wish) {
            state.record.wishes.push_back(wish);
            state.changed = true;
            self.save(&[group], Changes::default())?;
        }
        self.begin(group).await
    }

    /// Begins with what is to be done in the group. If there is no network, that is for later.
    async fn begin(&mut self, group: &GroupId) -> Result<(), Error> {
        self.busy.insert(group.clone());
        match self.advance(group).await {
            Err(error) if error.is_temporary() => Ok(()),
            other => other,
        }
    }
}
