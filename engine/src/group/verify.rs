//! What the members of a group compare out of band, and what this device remembers of it.

use std::collections::BTreeMap;

use super::{Group, GroupState, trust};
use crate::{
    DeviceId, GroupCode, SafetyNumber, SignaturePublicKey, UserId,
    error::Error,
    identity::device_of_leaf,
    verification::{Keys, VerifiedUser},
};

impl Group<'_> {
    /// The safety number of this device's user and that one, from the keys that this group has of both. Compare it with
    /// what the other's device shows, and then [verify](Self::verify_user).
    ///
    /// # Errors
    /// [`Error::UnknownUser`] if no device of that user is in the group.
    pub fn safety_number(&mut self, user: &UserId) -> Result<SafetyNumber, Error> {
        let own = self.client.device.clone();
        self.client.with_group(&self.id, |_, group| group.safety_number(&own, user))
    }

    /// Marks the user as verified: the people have compared this number, and it was the same. It counts in every group,
    /// for the keys that were compared, and survives restarts. It ends when a key of the user appears that was not
    /// compared: the commit that brings it says so, in
    /// [`no_longer_verified`](crate::EpochChange::no_longer_verified).
    ///
    /// # Errors
    /// [`Error::SafetyNumberChanged`] if the number is another by now: somebody's devices or keys have changed since it
    /// was asked for. Show the new one and compare again. [`Error::UnknownUser`].
    pub fn verify_user(&mut self, user: &UserId, compared: &SafetyNumber) -> Result<(), Error> {
        let own = self.client.device.clone();
        self.client.with_group(&self.id, |call, group| {
            if group.safety_number(&own, user)? != *compared {
                return Err(Error::SafetyNumberChanged { user: user.clone() });
            }
            Ok(VerifiedUser::remember(&call.records, user, group.keys_of(user)?)?)
        })
    }

    /// The users in the group of whom every key that the group has was [compared](Self::verify_user), in order. This
    /// device itself counts as known.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn verified_users(&mut self) -> Result<Vec<UserId>, Error> {
        let own = self.client.device.clone();
        self.client.with_group(&self.id, |call, group| {
            let mut users: BTreeMap<UserId, Keys> = BTreeMap::new();
            for claim in trust::members_claims(group.mls.members(), &own)? {
                users.entry(claim.device.user().clone()).or_default().insert((claim.device, claim.signature_key));
            }
            let mut verified = Vec::new();
            for (user, keys) in users {
                if VerifiedUser::covers(&call.records, &user, &keys)? {
                    verified.push(user);
                }
            }
            Ok(verified)
        })
    }

    /// A code that all members of this epoch share and nobody else knows: who reads the same digits is in the same
    /// state of the same group. The next commit makes another.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn code(&mut self) -> Result<GroupCode, Error> {
        Ok(GroupCode::new(&self.epoch_authenticator()?))
    }
}

impl GroupState {
    fn safety_number(&self, own: &DeviceId, user: &UserId) -> Result<SafetyNumber, Error> {
        let keys = self.keys_of(user)?;
        if keys.is_empty() {
            return Err(Error::UnknownUser { user: user.clone() });
        }
        SafetyNumber::new((own.user(), &self.keys_of(own.user())?), (user, &keys))
    }

    /// The devices of that user in the group, and their keys.
    fn keys_of(&self, user: &UserId) -> Result<Keys, Error> {
        let mut keys = Keys::new();
        for (_, leaf) in self.mls.treesync().full_leaves() {
            let device = device_of_leaf(leaf)?;
            if device.user() == user {
                keys.insert((device, SignaturePublicKey::of(leaf)));
            }
        }
        Ok(keys)
    }
}
