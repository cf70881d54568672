//! A delivery service that orders one commit per epoch. The model stores the meaning of each commit
//! with it.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::EpochAuthenticator;

/// The number of a device.
pub type DeviceNo = usize;
/// The number that the model gives a signature key.
pub type KeyNo = usize;
/// The number that the model gives a key package.
pub type PackageNo = usize;

/// The change that a proposal makes. Equal proposals have the same reference (RFC 9420, 5.2). The
/// number of an update distinguishes proposals with different keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProposedChange {
    Add { who: DeviceNo, package: PackageNo },
    Remove(DeviceNo),
    Update(usize),
}

/// A proposal and its sender, within one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proposal {
    pub by: DeviceNo,
    pub what: ProposedChange,
}

/// The changes of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The added devices, each with its signature key and key package.
    pub added: BTreeMap<DeviceNo, (KeyNo, Option<PackageNo>)>,
    pub removed: BTreeSet<DeviceNo>,
    pub updated: BTreeSet<DeviceNo>,
    /// The committer's new signature key.
    pub new_key: Option<KeyNo>,
}

/// A commit in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub by: DeviceNo,
    pub epoch: u64,
    /// The commit's number among the committer's handshakes of the epoch, if handshakes are
    /// encrypted.
    pub generation: Option<u32>,
    pub effect: Effect,
    /// The proposals that the commit refers to: one proposal of each set.
    pub uses: Vec<BTreeSet<Proposal>>,
    pub external: bool,
}

pub enum Body {
    Message { text: Vec<u8>, generation: u32 },
    Proposal { proposal: Proposal, generation: Option<u32> },
    Commit { commit: Commit, welcome: Option<Vec<u8>> },
}

/// An entry that the service has ordered.
pub struct OrderedEntry {
    pub by: DeviceNo,
    pub epoch: u64,
    pub bytes: Vec<u8>,
    pub body: Body,
}

impl OrderedEntry {
    /// Returns the commit and the welcome for the device, if the entry has one.
    pub fn welcome_of(&self, who: DeviceNo) -> Option<(&Commit, &[u8])> {
        match &self.body {
            Body::Commit { commit, welcome } if !commit.external && commit.effect.added.contains_key(&who) => {
                Some((commit, welcome.as_deref().unwrap()))
            }
            _ => None,
        }
    }
}

#[derive(Default)]
pub struct ModelService {
    pub log: Vec<OrderedEntry>,
    /// The members of each epoch and their signature keys.
    pub rosters: Vec<BTreeMap<DeviceNo, KeyNo>>,
    pub group_info: Vec<u8>,
    /// The authenticator of each epoch, as its first member reported it.
    pub authenticators: BTreeMap<u64, EpochAuthenticator>,
}

impl ModelService {
    pub fn epoch(&self) -> u64 {
        self.rosters.len() as u64 - 1
    }

    /// Returns the members of this epoch.
    pub fn roster(&self, epoch: u64) -> &BTreeMap<DeviceNo, KeyNo> {
        &self.rosters[epoch as usize]
    }

    /// Orders the entry if it belongs to the current epoch. The same bytes are ordered only once.
    pub fn submit(&mut self, entry: OrderedEntry) -> bool {
        if self.log.iter().any(|known| known.bytes == entry.bytes) {
            return true;
        }
        if entry.epoch != self.epoch() {
            return false;
        }
        if let Body::Commit { commit, .. } = &entry.body {
            let mut roster = self.roster(entry.epoch).clone();
            for removed in &commit.effect.removed {
                assert!(roster.remove(removed).is_some(), "device {removed} is removed but is not a member");
            }
            for (added, (key, _)) in &commit.effect.added {
                assert!(roster.insert(*added, *key).is_none(), "device {added} is added but is already a member");
            }
            if let Some(key) = commit.effect.new_key {
                roster.insert(commit.by, key);
            }
            self.rosters.push(roster);
        }
        self.log.push(entry);
        true
    }
}
