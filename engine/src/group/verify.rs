//! Out-of-band comparison of keys and group states, and the stored results.

use std::collections::BTreeMap;

use super::{Group, GroupState, trust};
use crate::{
    DeviceId, GroupCode, SafetyNumber, SignaturePublicKey, UserId,
    error::Error,
    identity::device_of_leaf,
    verification::{Keys, VerifiedUser},
};

impl Group<'_> {
    /// Returns the safety number of this device's user and the other user, from the keys of both
    /// in this group. Compare it with the number on the other user's device, and then
    /// [verify](Self::verify_user) the user.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] if no device of that user is in the group.
    pub fn safety_number(&mut self, user: &UserId) -> Result<SafetyNumber, Error> {
        let own = self.client.device.clone();
        self.client.with_group(&self.id, |_, group| group.safety_number(&own, user))
    }

    /// Marks the user as verified, after the people have compared this number and found it equal.
    /// The mark is valid in every group for the compared keys, and survives restarts. It ends when
    /// a key of the user appears that was not compared. The commit with that key reports it in
    /// [`no_longer_verified`](crate::EpochChange::no_longer_verified).
    ///
    /// # Errors
    /// [`Error::SafetyNumberChanged`] if the number has changed, because the devices or keys of
    /// one of the users have changed since. Show the new number and compare again.
    /// [`Error::UnknownUser`].
    pub fn verify_user(&mut self, user: &UserId, compared: &SafetyNumber) -> Result<(), Error> {
        let own = self.client.device.clone();
        self.client.with_group(&self.id, |call, group| {
            if group.safety_number(&own, user)? != *compared {
                return Err(Error::SafetyNumberChanged { user: user.clone() });
            }
            Ok(VerifiedUser::remember(&call.records, user, group.keys_of(user)?)?)
        })
    }

    /// Returns the users in the group whose keys in the group are all
    /// [compared](Self::verify_user), in order. This device itself counts as compared.
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

    /// Returns a code that all members of this epoch share and nobody else knows. Members with
    /// equal digits are in the same state of the same group. Every commit changes the code.
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

    /// Returns the devices of that user in the group, and their keys.
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
