//! The state of the model: one group, and all devices that act in it or around it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    device::DeviceState,
    history::{CommitId, DeviceNumber, EpochId, Fact, KeyPackageId, MessageNumber, ProposalId, RetentionPolicy},
    holdings::Holdings,
    made::{MadeCommit, MadeProposal, SentMessage},
    path::UpdatePath,
    tree::Tree,
};

/// The model of one group, and of all devices that act in it or around it.
///
/// ```
/// use regrow_simulator::oracle::{
///     Commit, CommitId, DeviceNumber, Fact, KeyPackageId, MessageNumber, Oracle, RetentionPolicy,
/// };
///
/// let policy = RetentionPolicy { past_epochs: 0, out_of_order: 5, opaque: false };
/// let mut oracle = Oracle::new(policy);
/// let (alice, bob, key_package) = (DeviceNumber(0), DeviceNumber(1), KeyPackageId(0));
/// let add = Commit { adds: vec![(bob, key_package)], ..Commit::default() };
/// oracle.apply(Fact::KeyPackageMade { of: bob, key_package, last_resort: false })?;
/// let early_thief = oracle.holdings(bob);
/// oracle.apply(Fact::Created { by: alice })?;
/// oracle.apply(Fact::Prepared { by: alice, commit: CommitId(0), what: add })?;
/// oracle.apply(Fact::Ordered { commit: CommitId(0) })?;
/// oracle.apply(Fact::Entered { who: alice, commit: CommitId(0) })?;
/// oracle.apply(Fact::Joined { who: bob, commit: CommitId(0) })?;
/// oracle.apply(Fact::Encrypted { by: alice, message: MessageNumber(0) })?;
/// oracle.apply(Fact::Sent { message: MessageNumber(0) })?;
/// oracle.apply(Fact::Read { who: bob, message: MessageNumber(0) })?;
/// let late_thief = oracle.holdings(bob);
///
/// assert_eq!(
///     oracle.exposed(&early_thief),
///     [MessageNumber(0)].into(),
///     "the key package opens the welcome",
/// );
/// assert!(
///     oracle.exposed(&late_thief).is_empty(),
///     "the key package and the message key have been used and erased",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Oracle {
    pub(super) policy: RetentionPolicy,
    /// The policies of the devices that have one of their own.
    policies: BTreeMap<DeviceNumber, RetentionPolicy>,
    pub(super) devices: BTreeMap<DeviceNumber, DeviceState>,
    /// The copies that thieves run, each with the device that it is a copy of.
    pub(super) copies: BTreeMap<DeviceNumber, DeviceNumber>,
    pub(super) key_packages: BTreeMap<KeyPackageId, DeviceNumber>,
    pub(super) proposals: BTreeMap<ProposalId, MadeProposal>,
    pub(super) commits: BTreeMap<CommitId, MadeCommit>,
    pub(super) messages: BTreeMap<MessageNumber, SentMessage>,
    /// The tree of epoch 0, once there is a group.
    pub(super) first_tree: Option<Arc<Tree>>,
    /// The commits that the delivery service has accepted. The commit at index `n` was made in
    /// epoch `n`.
    pub(super) ordered: Vec<CommitId>,
}

/// A fact that cannot have happened after the facts before it. The caller or the model is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fact:?} cannot have happened: {why}")]
pub struct Impossible {
    /// The fact.
    pub fact: Box<Fact>,
    /// The contradiction, in words.
    pub why: String,
}

impl Oracle {
    /// An oracle without any facts.
    pub fn new(policy: RetentionPolicy) -> Self {
        Self {
            policy,
            policies: BTreeMap::new(),
            devices: BTreeMap::new(),
            copies: BTreeMap::new(),
            key_packages: BTreeMap::new(),
            proposals: BTreeMap::new(),
            commits: BTreeMap::new(),
            messages: BTreeMap::new(),
            first_tree: None,
            ordered: Vec::new(),
        }
    }

    /// Gives a device a policy of its own, for the facts from now on. Its part
    /// [`opaque`](RetentionPolicy::opaque) has no effect, because all members of a group agree on it.
    pub fn set_policy(&mut self, of: DeviceNumber, policy: RetentionPolicy) {
        self.policies.insert(of, policy);
    }

    /// The policy of a device, or of the device that it is a copy of.
    pub(super) fn policy_of(&self, who: DeviceNumber) -> RetentionPolicy {
        *self.policies.get(&self.member_of(who)).unwrap_or(&self.policy)
    }

    /// The secrets that the device holds now.
    pub fn holdings(&self, who: DeviceNumber) -> Holdings {
        self.devices.get(&who).map(|device| device.holdings(&self.commits)).unwrap_or_default()
    }

    /// The ratchet tree of the device's present epoch.
    pub fn tree_of(&self, who: DeviceNumber) -> Option<&Tree> {
        Some(&self.devices.get(&who)?.group.as_ref()?.tree)
    }

    /// The path of a commit that was made.
    pub fn path_of(&self, commit: CommitId) -> Option<&UpdatePath> {
        Some(&self.commits.get(&commit)?.path)
    }

    /// The device whose leaf this device uses: itself, or the device that it is a copy of.
    pub(super) fn member_of(&self, who: DeviceNumber) -> DeviceNumber {
        self.copies.get(&who).copied().unwrap_or(who)
    }

    /// The group's present epoch, by the order of the delivery service.
    pub(super) fn current_epoch(&self) -> EpochId {
        self.ordered.last().map_or(EpochId::First, |commit| EpochId::After(*commit))
    }

    pub(super) fn is_ordered(&self, commit: CommitId) -> bool {
        let made = self.commits.get(&commit);
        made.is_some_and(|made| self.ordered.get(made.what.epoch as usize) == Some(&commit))
    }
}
