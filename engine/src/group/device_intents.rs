//! Intents that affect all groups of a device, applied to one group. The engine also stores them
//! while a commit is pending, so a removal from all groups does not miss a busy group.

use openmls::prelude::{KeyPackage, LeafNode};

use super::{
    GroupState, LeftOut, PendingCommit,
    intent::{self, Intent},
    leaves::leaf_of,
};
use crate::{DeviceId, Policy, call::EngineCall, error::Error, identity::device_of_key_package};

/// The status of an intent in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a commit changes nothing until the delivery service has ordered it and it is confirmed"]
pub enum IntentStatus {
    /// This commit fulfills the intent. Submit it, and confirm or discard it like any other
    /// commit.
    Commit(PendingCommit),
    /// Another commit of this device is pending in the group. The intent is stored, also across
    /// restarts. After that commit is confirmed or discarded, or another member's commit has won,
    /// [`Group::resume`](crate::Group::resume) carries out the intent.
    Kept,
}

impl GroupState {
    /// Stores the intent. No commit may be pending.
    pub(crate) fn remember(&mut self, intent: Intent) -> Result<(), Error> {
        intent::remember(&mut self.member_state_mut().intents, intent)
    }

    /// Stores the intent, and creates the commit that fulfills it. No commit may be pending.
    ///
    /// # Errors
    /// [`Error::Refused`] if no commit can contain an addition of the intent.
    pub(crate) fn commit_intent(
        &mut self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        policy: &Policy,
        intent: Intent,
    ) -> Result<PendingCommit, Error> {
        let added: Vec<DeviceId> = match &intent {
            Intent::Add(key_packages) => key_packages.iter().map(device_of_key_package).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        self.remember(intent)?;
        let pending = self.commit_intents(call, own, policy)?.ok_or(Error::NothingToCommit)?;
        let fails = |part: &&LeftOut| part.by == *own && added.iter().any(|device| part.change.adds(device));
        match pending.left_out().iter().find(fails) {
            Some(part) => Err(part.reason.clone().into()),
            None => Ok(pending),
        }
    }

    /// Removes the device. Returns [`None`] if it is not a member.
    pub(crate) fn intend_removal(
        &mut self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        policy: &Policy,
        device: &DeviceId,
    ) -> Result<Option<IntentStatus>, Error> {
        if leaf_of(&self.mls, device).is_none() {
            return Ok(None);
        }
        let removes = |intent: &Intent| match intent {
            Intent::Remove(devices) => devices.contains(device),
            Intent::RemoveUser(user) => device.user() == user,
            _ => false,
        };
        if let Some(pending) = self.member_state().pending.as_ref().filter(|it| it.removed().any(|it| it == device)) {
            return Ok(Some(IntentStatus::Commit(pending.clone())));
        }
        if self.member_state().all_intents().any(removes) {
            return self.progress(call, own, policy).map(Some);
        }
        self.intend(call, own, policy, Intent::Remove(vec![device.clone()])).map(Some)
    }

    /// Adds the device with the key package that the closure returns for this group. Returns
    /// [`None`] if the device is already a member.
    ///
    /// # Errors
    /// [`Error::NoKeyPackage`] if the closure returns none.
    pub(crate) fn intend_addition(
        &mut self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        policy: &Policy,
        device: &DeviceId,
        key_package: impl FnOnce(&Self) -> Option<KeyPackage>,
    ) -> Result<Option<IntentStatus>, Error> {
        if leaf_of(&self.mls, device).is_some() {
            return Ok(None);
        }
        if let Some(pending) = self.member_state().pending.as_ref().filter(|it| it.added().any(|it| it == device)) {
            return Ok(Some(IntentStatus::Commit(pending.clone())));
        }
        let mut wanted = false;
        for known in self.member_state().wanted_key_packages() {
            wanted |= device_of_key_package(known)? == *device;
        }
        if !wanted {
            let key_package = key_package(self).ok_or(Error::NoKeyPackage)?;
            return self.intend(call, own, policy, Intent::Add(vec![key_package])).map(Some);
        }
        self.progress(call, own, policy).map(Some)
    }

    /// True if the group has a leaf of this key package, or an intent to add it.
    pub(crate) fn knows_key_package(&self, key_package: &KeyPackage) -> bool {
        let is_it = |leaf: &LeafNode| leaf.encryption_key() == key_package.leaf_node().encryption_key();
        self.mls.treesync().full_leaves().any(|(_, leaf)| is_it(leaf))
            || self.member_state().wanted_key_packages().any(|known| is_it(known.leaf_node()))
    }

    /// Stores the intent, and creates the commit that fulfills it if no commit is pending.
    fn intend(
        &mut self,
        call: &EngineCall<'_>,
        own: &DeviceId,
        policy: &Policy,
        intent: Intent,
    ) -> Result<IntentStatus, Error> {
        if self.member_state().pending.is_none() {
            return self.commit_intent(call, own, policy, intent).map(IntentStatus::Commit);
        }
        intent::remember(&mut self.member_state_mut().later, intent)?;
        Ok(IntentStatus::Kept)
    }

    /// Creates the commit for a stored intent if no commit is pending.
    fn progress(&mut self, call: &EngineCall<'_>, own: &DeviceId, policy: &Policy) -> Result<IntentStatus, Error> {
        if self.member_state().pending.is_some() {
            return Ok(IntentStatus::Kept);
        }
        self.commit_intents(call, own, policy)?.map(IntentStatus::Commit).ok_or(Error::NothingToCommit)
    }
}
