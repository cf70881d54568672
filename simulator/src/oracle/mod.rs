//! A symbolic model of RFC 9420 that predicts which messages a thief can read. The model knows the
//! facts that happened, and no bytes.
//!
//! The [`Oracle`] is told every [`Fact`] as it happens. It names each secret and follows it: the
//! devices that have it, its erasure, and the secrets that follow from it and the traffic. It
//! shares no code with the engine and uses no cryptography. Therefore the two can be compared,
//! message by message. If OpenMLS keeps a secret that it should have erased, the oracle does not
//! keep it.
//!
//! | module | content | RFC 9420 |
//! | --- | --- | --- |
//! | `history` | the facts | |
//! | `apply_fact` | applies each fact to the model | 12 |
//! | `tree_math`, `tree` | the ratchet tree | 4, 7, appendix C |
//! | `path` | the path of a commit, and the receivers of its path secrets | 7.4 to 7.6, 12.3 |
//! | `secret_tree` | ratchets and the keys that are kept | 9 |
//! | `secret` | the names of secrets | |
//! | `made` | commits, proposals and messages | |
//! | `device`, `holdings` | the secrets of a device and of a snapshot | 9.2, 14 |
//! | `reach` | the secrets that follow from a snapshot | 7.4, 8, 8.3, 12.4.3 |

mod apply_fact;
mod device;
mod history;
mod holdings;
mod made;
mod path;
mod reach;
mod secret;
mod secret_tree;
mod tree;
mod tree_math;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    device::DeviceState,
    made::{MadeCommit, MadeProposal, SentMessage},
};
pub use self::{
    history::{
        Commit, CommitId, DeviceNumber, EpochId, Fact, KeyPackageId, MessageNumber, ProposalId, ProposalKind,
        RetentionPolicy,
    },
    holdings::Holdings,
    path::{PathNode, UpdatePath},
    reach::Reach,
    secret::{KeyPair, Secret},
    secret_tree::{Ratchet, RatchetKind, SecretTree},
    tree::{Leaf, Parent, Tree},
    tree_math::{LeafIndex, NodeIndex},
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
    policy: RetentionPolicy,
    devices: BTreeMap<DeviceNumber, DeviceState>,
    /// The copies that thieves run, each with the device that it is a copy of.
    copies: BTreeMap<DeviceNumber, DeviceNumber>,
    key_packages: BTreeMap<KeyPackageId, DeviceNumber>,
    proposals: BTreeMap<ProposalId, MadeProposal>,
    commits: BTreeMap<CommitId, MadeCommit>,
    messages: BTreeMap<MessageNumber, SentMessage>,
    /// The tree of epoch 0, once there is a group.
    first_tree: Option<Arc<Tree>>,
    /// The commits that the delivery service has accepted. The commit at index `n` was made in
    /// epoch `n`.
    ordered: Vec<CommitId>,
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

    /// Records a fact. A refused fact changes nothing.
    ///
    /// # Errors
    /// [`Impossible`] if the fact cannot have happened after the facts before it.
    pub fn apply(&mut self, fact: Fact) -> Result<(), Impossible> {
        self.apply_fact(&fact).map_err(|why| Impossible { fact: fact.into(), why })
    }

    /// The secrets that the device holds now.
    pub fn holdings(&self, who: DeviceNumber) -> Holdings {
        self.devices.get(&who).map(|device| device.holdings(&self.commits)).unwrap_or_default()
    }

    /// The secrets that follow from the holdings and all traffic until now.
    pub fn reach<'a>(&'a self, holdings: &'a Holdings) -> Reach<'a> {
        Reach::new(self, holdings)
    }

    /// The messages that a thief with these holdings and all traffic until now can read.
    pub fn exposed(&self, holdings: &Holdings) -> BTreeSet<MessageNumber> {
        self.reach(holdings).exposed()
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
    fn member_of(&self, who: DeviceNumber) -> DeviceNumber {
        self.copies.get(&who).copied().unwrap_or(who)
    }

    /// The group's present epoch, by the order of the delivery service.
    fn current_epoch(&self) -> EpochId {
        self.ordered.last().map_or(EpochId::First, |commit| EpochId::After(*commit))
    }

    fn is_ordered(&self, commit: CommitId) -> bool {
        let made = self.commits.get(&commit);
        made.is_some_and(|made| self.ordered.get(made.what.epoch as usize) == Some(&commit))
    }
}
