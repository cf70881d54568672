//! What RFC 9420 says that a thief can read: a symbolic model that knows what happened, and no bytes.
//!
//! The [`Oracle`] is told every [`Fact`] as it happens. It names each secret and follows it: on which device it is, when it
//! is erased, what follows from it together with the traffic. It shares no code with the engine and uses no cryptography, so
//! that the two can be compared, message by message. Where OpenMLS keeps what it should have erased, the oracle does not.
//!
//! | module | what it holds | RFC 9420 |
//! | --- | --- | --- |
//! | `history` | what the oracle is told | |
//! | `see` | what each fact changes | 12 |
//! | `tree_math`, `tree` | the ratchet tree | 4, 7, appendix C |
//! | `path` | what a commit makes of the tree, and whom it seals path secrets to | 7.4 to 7.6, 12.3 |
//! | `secret_tree` | ratchets and the keys that are kept | 9 |
//! | `secret` | the names of secrets | |
//! | `made` | commits, proposals and messages | |
//! | `device`, `holdings` | what a device has, and a thief starts from | 9.2, 14 |
//! | `reach` | what follows from it with the traffic | 7.4, 8, 8.3, 12.4.3 |

mod device;
mod history;
mod holdings;
mod made;
mod path;
mod reach;
mod secret;
mod secret_tree;
mod see;
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
    made::{Made, Message, Proposed},
};
pub use self::{
    history::{Commit, CommitId, Device, Epoch, Fact, KeyPackageId, MessageNumber, Policy, Proposal, ProposalId},
    holdings::Holdings,
    path::{PathNode, UpdatePath},
    reach::Reach,
    secret::{KeyPair, Secret},
    secret_tree::{Content, Ratchet, SecretTree},
    tree::{Leaf, Parent, Tree},
    tree_math::{LeafIndex, NodeIndex},
};

/// The model of one group and of all devices that have to do with it.
///
/// ```
/// use regrow_simulator::oracle::{Commit, CommitId, Device, Fact, KeyPackageId, MessageNumber, Oracle, Policy};
///
/// let mut oracle = Oracle::new(Policy { past_epochs: 0, out_of_order: 5, opaque: false });
/// let (alice, bob, key_package) = (Device(0), Device(1), KeyPackageId(0));
/// let add = Commit { adds: vec![(bob, key_package)], ..Commit::default() };
/// oracle.see(Fact::KeyPackageMade { of: bob, key_package, last_resort: false })?;
/// let early_thief = oracle.holdings(bob);
/// oracle.see(Fact::Created { by: alice })?;
/// oracle.see(Fact::Prepared { by: alice, commit: CommitId(0), what: add })?;
/// oracle.see(Fact::Ordered { commit: CommitId(0) })?;
/// oracle.see(Fact::Entered { who: alice, commit: CommitId(0) })?;
/// oracle.see(Fact::Joined { who: bob, commit: CommitId(0) })?;
/// oracle.see(Fact::Encrypted { by: alice, message: MessageNumber(0) })?;
/// oracle.see(Fact::Sent { message: MessageNumber(0) })?;
/// oracle.see(Fact::Read { who: bob, message: MessageNumber(0) })?;
/// let late_thief = oracle.holdings(bob);
///
/// assert_eq!(oracle.exposed(&early_thief), [MessageNumber(0)].into(), "the key package opens the welcome");
/// assert!(oracle.exposed(&late_thief).is_empty(), "the key package is used up, and so is the message's key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Oracle {
    policy: Policy,
    devices: BTreeMap<Device, DeviceState>,
    /// Copies that thieves run, and of which device each is one.
    copies: BTreeMap<Device, Device>,
    key_packages: BTreeMap<KeyPackageId, Device>,
    proposals: BTreeMap<ProposalId, Proposed>,
    commits: BTreeMap<CommitId, Made>,
    messages: BTreeMap<MessageNumber, Message>,
    /// The tree of epoch 0, once there is a group.
    first_tree: Option<Arc<Tree>>,
    /// The commits that the delivery service has accepted: the `n`-th is made in epoch `n`.
    ordered: Vec<CommitId>,
}

/// A fact that cannot have happened after those that came before: whoever tells it, or the model, is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fact:?} cannot have happened: {why}")]
pub struct Impossible {
    /// The fact.
    pub fact: Box<Fact>,
    /// What contradicts it.
    pub why: String,
}

impl Oracle {
    /// Before anything has happened.
    pub fn new(policy: Policy) -> Self {
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

    /// Takes note of what has happened. A fact that is refused has changed nothing.
    ///
    /// # Errors
    /// [`Impossible`] if it cannot have happened after what came before.
    pub fn see(&mut self, fact: Fact) -> Result<(), Impossible> {
        self.take_note(&fact).map_err(|why| Impossible { fact: fact.into(), why })
    }

    /// What the device holds now.
    pub fn holdings(&self, who: Device) -> Holdings {
        self.devices.get(&who).map(|device| device.holdings(&self.commits)).unwrap_or_default()
    }

    /// What follows from the holdings with all traffic until now.
    pub fn reach<'a>(&'a self, holdings: &'a Holdings) -> Reach<'a> {
        Reach::new(self, holdings)
    }

    /// Which messages a thief can read who has the holdings and sees all traffic until now.
    pub fn exposed(&self, holdings: &Holdings) -> BTreeSet<MessageNumber> {
        self.reach(holdings).exposed()
    }

    /// The ratchet tree of the epoch that the device is in.
    pub fn tree_of(&self, who: Device) -> Option<&Tree> {
        Some(&self.devices.get(&who)?.group.as_ref()?.tree)
    }

    /// The path of a commit that was made.
    pub fn path_of(&self, commit: CommitId) -> Option<&UpdatePath> {
        Some(&self.commits.get(&commit)?.path)
    }

    /// Whose leaf it acts with: its own, or that of the device that it is a copy of.
    fn member_of(&self, who: Device) -> Device {
        self.copies.get(&who).copied().unwrap_or(who)
    }

    /// The group's epoch, as the delivery service has ordered it.
    fn current_epoch(&self) -> Epoch {
        self.ordered.last().map_or(Epoch::First, |commit| Epoch::After(*commit))
    }

    fn is_ordered(&self, commit: CommitId) -> bool {
        let made = self.commits.get(&commit);
        made.is_some_and(|made| self.ordered.get(made.what.epoch as usize) == Some(&commit))
    }
}
