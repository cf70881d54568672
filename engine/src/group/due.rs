//! Periodic work that the policy requires in a group. The engine has no clock and does nothing by
//! itself. It only reports the due work, and the application does it.

use openmls::prelude::{LeafNodeIndex, Proposal, QueuedProposal};

use super::{Group, GroupState};
use crate::{DeviceId, Policy, error::Error, identity::device_of_leaf, names::Timestamp};

/// The work that is due in a group by the [`Policy`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The keys of this device that must be replaced.
    pub rotation: Option<Rotation>,
    /// The members whose leaves have had the same keys for too long, in the order of the leaves.
    /// [Propose](Group::propose_remove) to remove them, or [remove](Group::remove) them. A member
    /// whose removal is already proposed is not listed.
    pub inactive: Vec<DeviceId>,
}

/// The kind of keys that must be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The keys of the leaf: call [`Group::update`].
    Keys,
    /// The keys of the leaf and the signature key: call [`Group::rotate_signature_key`].
    SignatureKey,
}

impl Group<'_> {
    /// Returns the work that is due in the group. Call it periodically, and after sending. While a
    /// commit of this device is pending, nothing is due, because each commit replaces its
    /// committer's keys (RFC 9420, 12.4).
    ///
    /// Ages are measured by the times that the caller passes. The age of a leaf starts with the
    /// commit that gave it its keys, or with this device's membership if the leaf is older.
    ///
    /// If the device's clock is ahead, members look inactive. If the application knows the
    /// delivery service's time, pass the earlier of both times as `now`. If the clock was ahead
    /// once, the affected ages start again at the current time.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    ///
    /// ```
    /// use std::{num::NonZeroU32, sync::Arc};
    /// use regrow_engine::{
    ///     Client, DeviceId, Due, Error, GroupId, MemoryStore, Policy, Rotation, Timestamp,
    ///     default_crypto,
    /// };
    ///
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// let policy = Policy { rotate_after_messages: NonZeroU32::new(2), ..Policy::default() };
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// let store = Arc::new(MemoryStore::new());
    /// let mut alice = Client::create(store, default_crypto(), id, policy)?;
    /// let mut chat = alice.create_group(GroupId::new("chat")?, now)?;
    /// chat.send(b"one")?;
    /// chat.send(b"two")?;
    ///
    /// let Due { rotation, inactive } = chat.due(now)?;
    ///
    /// assert_eq!(rotation, Some(Rotation::Keys));
    /// assert!(inactive.is_empty());
    /// let pending = chat.update()?;
    /// // After the delivery service has accepted the commit:
    /// alice.confirm(pending, now)?;
    /// assert_eq!(alice.group(&GroupId::new("chat")?)?.due(now)?, Due::default());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn due(&mut self, now: Timestamp) -> Result<Due, Error> {
        self.client.lock_if_idle(now)?;
        let policy = self.client.policy.clone();
        self.client.with_group(&self.id, |_, group| {
            let mut freshness = group.member_state().freshness.clone();
            if freshness.take_future_for(now) {
                group.member_state_mut().freshness = freshness;
            }
            group.due(&policy, now)
        })
    }
}

impl GroupState {
    fn due(&self, policy: &Policy, now: Timestamp) -> Result<Due, Error> {
        if self.member_state().pending.is_some() {
            return Ok(Due::default());
        }
        Ok(Due { rotation: self.rotation_due(policy, now), inactive: self.inactive(policy, now)? })
    }

    fn rotation_due(&self, policy: &Policy, now: Timestamp) -> Option<Rotation> {
        let age = self.member_state().freshness.age(self.mls.own_leaf_index(), now);
        let keys = policy.rotate_after.is_some_and(|limit| age >= limit.get())
            || policy.rotate_after_messages.is_some_and(|limit| self.activity().sent >= limit.get());
        // The due rotation counts too. A device that commits so often that no rotation is ever due
        // also gets its turn.
        let rotations = self.member_state().rotations.saturating_add(keys.into());
        match policy.rotate_signature_key_every.is_some_and(|limit| rotations >= limit.get()) {
            true => Some(Rotation::SignatureKey),
            false => keys.then_some(Rotation::Keys),
        }
    }

    fn inactive(&self, policy: &Policy, now: Timestamp) -> Result<Vec<DeviceId>, Error> {
        let Some(limit) = policy.remove_inactive_after else { return Ok(Vec::new()) };
        let proposed: Vec<_> = self.mls.pending_proposals().filter_map(removed).collect();
        let own = self.mls.own_leaf_index();
        let leaves = self.mls.treesync().full_leaves().filter(|(leaf, _)| {
            *leaf != own && !proposed.contains(leaf) && self.member_state().freshness.age(*leaf, now) >= limit.get()
        });
        leaves.map(|(_, node)| Ok(device_of_leaf(node)?)).collect()
    }
}

fn removed(queued: &QueuedProposal) -> Option<LeafNodeIndex> {
    if let Proposal::Remove(remove) = queued.proposal() { Some(remove.removed()) } else { None }
}
