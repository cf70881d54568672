//! Wishes that concern all groups of a device, in one of them. They are remembered while a commit waits as well: 'from
//! everywhere' must not leave out the group that happens to be busy.

use openmls::prelude::{KeyPackage, LeafNode};

use super::{
    GroupState, PendingCommit,
    intent::{self, Intent, device_of},
    leaf_of,
    selection::LeftOut,
};
use crate::{DeviceId, Policy, error::Error, provider::Call};

/// How far a wish that concerns all groups has come in one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a commit changes nothing until the delivery service has ordered it and it is confirmed"]
pub enum Wish {
    /// This commit does it: submit it, and confirm or discard it like any other.
    Commit(PendingCommit),
    /// Another commit of this device waits in the group. The wish is kept, also over restarts: when that commit has been
    /// confirmed or discarded, or another's has won, [`Group::resume`](crate::Group::resume) carries it out.
    Kept,
}

impl GroupState {
    /// Remembers what is wanted; no commit is pending.
    pub(crate) fn remember(&mut self, wish: Intent) -> Result<(), Error> {
        intent::remember(&mut self.membership_mut().intents, wish)
    }

    /// Remembers what is wanted, and makes the commit that does it; no commit is pending.
    ///
    /// # Errors
    /// [`Error::Refused`] if no commit can have an addition that is wanted.
    pub(crate) fn commit_wish(
        &mut self,
        call: &Call<'_>,
        own: &DeviceId,
        policy: &Policy,
        wish: Intent,
    ) -> Result<PendingCommit, Error> {
        let added: Vec<DeviceId> = match &wish {
            Intent::Add(key_packages) => key_packages.iter().map(device_of).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        self.remember(wish)?;
        let pending = self.commit_intents(call, own, policy)?.ok_or(Error::NothingToCommit)?;
        let fails = |part: &&LeftOut| part.by == *own && added.iter().any(|device| part.change.adds(device));
        match pending.left_out().iter().find(fails) {
            Some(part) => Err(part.reason.clone().into()),
            None => Ok(pending),
        }
    }

    /// Removes the device; [`None`] if it is not a member.
    pub(crate) fn wish_removal(
        &mut self,
        call: &Call<'_>,
        own: &DeviceId,
        policy: &Policy,
        device: &DeviceId,
    ) -> Result<Option<Wish>, Error> {
        if leaf_of(&self.mls, device).is_none() {
            return Ok(None);
        }
        let removes = |intent: &Intent| match intent {
            Intent::Remove(devices) => devices.contains(device),
            Intent::RemoveUser(user) => device.user() == user,
            _ => false,
        };
        if let Some(pending) = self.membership().pending.as_ref().filter(|it| it.removed().any(|it| it == device)) {
            return Ok(Some(Wish::Commit(pending.clone())));
        }
        if self.membership().all_wishes().any(removes) {
            return self.progress(call, own, policy).map(Some);
        }
        self.wish(call, own, policy, Intent::Remove(vec![device.clone()])).map(Some)
    }

    /// Adds the device, by the key package that is given for this group's ciphersuite; [`None`] if it is a member.
    ///
    /// # Errors
    /// [`Error::NoKeyPackage`] if none is given.
    pub(crate) fn wish_addition(
        &mut self,
        call: &Call<'_>,
        own: &DeviceId,
        policy: &Policy,
        device: &DeviceId,
        key_package: impl FnOnce(&Self) -> Option<KeyPackage>,
    ) -> Result<Option<Wish>, Error> {
        if leaf_of(&self.mls, device).is_some() {
            return Ok(None);
        }
        if let Some(pending) = self.membership().pending.as_ref().filter(|it| it.added().any(|it| it == device)) {
            return Ok(Some(Wish::Commit(pending.clone())));
        }
        let mut wanted = false;
        for known in self.membership().wanted_key_packages() {
            wanted |= device_of(known)? == *device;
        }
        if !wanted {
            let key_package = key_package(self).ok_or(Error::NoKeyPackage)?;
            return self.wish(call, own, policy, Intent::Add(vec![key_package])).map(Some);
        }
        self.progress(call, own, policy).map(Some)
    }

    /// Whether a leaf of this key package is in the group, or wanted.
    pub(crate) fn knows_key_package(&self, key_package: &KeyPackage) -> bool {
        let is_it = |leaf: &LeafNode| leaf.encryption_key() == key_package.leaf_node().encryption_key();
        self.mls.treesync().full_leaves().any(|(_, leaf)| is_it(leaf))
            || self.membership().wanted_key_packages().any(|known| is_it(known.leaf_node()))
    }

    /// Remembers what is wanted: the commit that does it, if none waits.
    fn wish(&mut self, call: &Call<'_>, own: &DeviceId, policy: &Policy, wish: Intent) -> Result<Wish, Error> {
        if self.membership().pending.is_none() {
            return self.commit_wish(call, own, policy, wish).map(Wish::Commit);
        }
        intent::remember(&mut self.membership_mut().later, wish)?;
        Ok(Wish::Kept)
    }

    /// What is wanted is remembered: the commit that does it, if none waits.
    fn progress(&mut self, call: &Call<'_>, own: &DeviceId, policy: &Policy) -> Result<Wish, Error> {
        if self.membership().pending.is_some() {
            return Ok(Wish::Kept);
        }
        self.commit_intents(call, own, policy)?.map(Wish::Commit).ok_or(Error::NothingToCommit)
    }
}
