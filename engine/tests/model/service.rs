//! A delivery service that orders one commit per epoch, and knows what each of them means.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::EpochAuthenticator;

/// A device, by its number.
pub type Who = usize;
/// A signature key, by the number that the model gives it.
pub type KeyNo = usize;
/// A key package, likewise.
pub type PackageNo = usize;

/// What is proposed. Equal proposals have the same reference (RFC 9420, 5.2): the number tells apart those that have
/// keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Add { who: Who, package: PackageNo },
    Remove(Who),
    Update(usize),
}

/// A proposal in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proposal {
    pub by: Who,
    pub what: What,
}

/// What a commit changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Who is added, with which signature key, by which key package.
    pub added: BTreeMap<Who, (KeyNo, Option<PackageNo>)>,
    pub removed: BTreeSet<Who>,
    pub updated: BTreeSet<Who>,
    /// The committer's new signature key.
    pub new_key: Option<KeyNo>,
}

/// A commit as the model has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub by: Who,
    pub epoch: u64,
    /// Its number among its maker's handshakes of the epoch, if they are encrypted.
    pub generation: Option<u32>,
    pub effect: Effect,
    /// The proposals that it refers to: one of each set.
    pub uses: Vec<BTreeSet<Proposal>>,
    pub external: bool,
}

pub enum Body {
    Message { text: Vec<u8>, generation: u32 },
    Proposal { proposal: Proposal, generation: Option<u32> },
    Commit { commit: Commit, welcome: Option<Vec<u8>> },
}

/// What the service has ordered.
pub struct Entry {
    pub by: Who,
    pub epoch: u64,
    pub bytes: Vec<u8>,
    pub body: Body,
}

impl Entry {
    /// The welcome that the device finds here.
    pub fn welcome_of(&self, who: Who) -> Option<(&Commit, &[u8])> {
        match &self.body {
            Body::Commit { commit, welcome } if !commit.external && commit.effect.added.contains_key(&who) => {
                Some((commit, welcome.as_deref().unwrap()))
            }
            _ => None,
        }
    }
}

#[derive(Default)]
pub struct Service {
    pub log: Vec<Entry>,
    /// The members of each epoch and their signature keys.
    pub rosters: Vec<BTreeMap<Who, KeyNo>>,
    pub group_info: Vec<u8>,
    /// What the first member of an epoch said is its authenticator.
    pub authenticators: BTreeMap<u64, EpochAuthenticator>,
}

impl Service {
    pub fn epoch(&self) -> u64 {
        self.rosters.len() as u64 - 1
    }

    /// The members of that epoch.
    pub fn roster(&self, epoch: u64) -> &BTreeMap<Who, KeyNo> {
        &self.rosters[epoch as usize]
    }

    /// Orders it, if it is of the present epoch. The same bytes are ordered once.
    pub fn submit(&mut self, entry: Entry) -> bool {
        if self.log.iter().any(|known| known.bytes == entry.bytes) {
            return true;
        }
        if entry.epoch != self.epoch() {
            return false;
        }
        if let Body::Commit { commit, .. } = &entry.body {
            let mut roster = self.roster(entry.epoch).clone();
            for removed in &commit.effect.removed {
                assert!(roster.remove(removed).is_some(), "device {removed} is removed and no member");
            }
            for (added, (key, _)) in &commit.effect.added {
                assert!(roster.insert(*added, *key).is_none(), "device {added} is added and a member");
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
