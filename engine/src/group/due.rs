//! What the policy says it is time for. The engine has no clock and does nothing by itself: it says what is due, and the
//! application does it.

use openmls::prelude::{LeafNodeIndex, Proposal, QueuedProposal};

use super::{Group, GroupState};
use crate::{DeviceId, Policy, error::Error, identity::device_of_leaf, names::Timestamp};

/// What it is time for in a group, as the [`Policy`] has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// This device's keys are to be replaced.
    pub rotation: Option<Rotation>,
    /// The members whose leaves have had the same keys for too long, in the order of the leaves:
    /// [propose](Group::propose_remove) to remove them, or [remove](Group::remove) them. Whose removal waits as a
    /// proposal is not named.
    pub inactive: Vec<DeviceId>,
}

/// Which keys are to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The leaf's: call [`Group::update`].
    Keys,
    /// The leaf's and the signature key: call [`Group::rotate_signature_key`].
    SignatureKey,
}

impl Group<'_> {
    /// What it is time for: ask now and then, and after sending. Nothing is while a commit of this device waits, for
    /// each commit replaces the keys of who makes it (RFC 9420, 12.4).
    ///
    /// Ages are by the times that this device was told: a leaf is as old as the commit that gave it its keys, or as
    /// this device's membership if it was there before.
    ///
    /// A clock that is ahead makes members look inactive. Where the application knows the delivery service's time, `now` is
    /// the earlier of both. After the clock was ahead once, ages begin at the present time.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    ///
    /// ```
    /// use std::{num::NonZeroU32, sync::Arc};
    /// use regrow_engine::{Client, DeviceId, Due, Error, GroupId, MemoryStore, Policy, Rotation, Timestamp, default_crypto};
    ///
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// let policy = Policy { rotate_after_messages: NonZeroU32::new(2), ..Policy::default() };
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// let mut alice = Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy)?;
    /// let mut chat = alice.create_group(GroupId::new("chat")?, now)?;
    /// chat.send(b"one")?;
    /// chat.send(b"two")?;
    ///
    /// let Due { rotation, inactive } = chat.due(now)?;
    ///
    /// assert_eq!(rotation, Some(Rotation::Keys));
    /// assert!(inactive.is_empty());
    /// let pending = chat.update()?;
    /// // … and once the delivery service has accepted it:
    /// alice.confirm(pending, now)?;
    /// assert_eq!(alice.group(&GroupId::new("chat")?)?.due(now)?, Due::default());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn due(&mut self, now: Timestamp) -> Result<Due, Error> {
        self.client.lock_if_idle(now)?;
        let policy = self.client.policy.clone();
        self.client.with_group(&self.id, |_, group| {
            let mut freshness = group.membership().freshness.clone();
            if freshness.take_future_for(now) {
                group.membership_mut().freshness = freshness;
            }
            group.due(&policy, now)
        })
    }
}

impl GroupState {
    fn due(&self, policy: &Policy, now: Timestamp) -> Result<Due, Error> {
        if self.membership().pending.is_some() {
            return Ok(Due::default());
        }
        Ok(Due { rotation: self.rotation_due(policy, now), inactive: self.inactive(policy, now)? })
    }

    fn rotation_due(&self, policy: &Policy, now: Timestamp) -> Option<Rotation> {
        let age = self.membership().freshness.age(self.mls.own_leaf_index(), now);
        let keys = policy.rotate_after.is_some_and(|limit| age >= limit.get())
            || policy.rotate_after_messages.is_some_and(|limit| self.activity.sent >= limit.get());
        // The rotation that is due counts. Who commits so often that none ever is has its turn as well.
        let rotations = self.membership().rotations.saturating_add(keys.into());
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
            *leaf != own && !proposed.contains(leaf) && self.membership().freshness.age(*leaf, now) >= limit.get()
        });
        leaves.map(|(_, node)| Ok(device_of_leaf(node)?)).collect()
    }
}

fn removed(queued: &QueuedProposal) -> Option<LeafNodeIndex> {
    if let Proposal::Remove(remove) = queued.proposal() { Some(remove.removed()) } else { None }
}
