//! Whatever several devices do, in whatever order, with crashes and lost races: they agree, and every message is read
//! by exactly those who were members when it was ordered, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use common::*;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::{Client, Error, Event, Handshake, MemoryStore, Outgoing, PendingCommit, Policy, default_crypto};

/// How many histories are tried in each handshake mode.
const CASES: u32 = 60;
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What one device does.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Remove(usize, usize),
    Update(usize),
    Rotate(usize),
    ProposeUpdate(usize),
    ProposeRemove(usize, usize),
    ProposeAdd(usize, usize),
    /// Its proposal never reaches the service.
    ProposeInVain(usize, usize),
    Leave(usize),
    Commit(usize),
    Join(usize),
    Send(usize),
    /// Both make an update on the same epoch; the first is ordered.
    Race(usize, usize),
    /// Makes a commit, and dies before or after it is ordered.
    DieCommitting(usize, bool),
    Crash(usize),
    Forget(usize),
    /// The device is told again what it was told last.
    Repeat(usize, usize),
    /// It will hear of what follows later.
    GoOffline(usize),
    ComeOnline(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..NAMES.len();
    prop_oneof![
        4 => (who(), who()).prop_map(|(by, who)| Step::Add(by, who)),
        2 => (who(), who()).prop_map(|(by, who)| Step::Remove(by, who)),
        3 => who().prop_map(Step::Update),
        1 => who().prop_map(Step::Rotate),
        2 => who().prop_map(Step::ProposeUpdate),
        1 => (who(), who()).prop_map(|(by, who)| Step::ProposeRemove(by, who)),
        1 => (who(), who()).prop_map(|(by, who)| Step::ProposeAdd(by, who)),
        3 => (who(), who()).prop_map(|(by, who)| Step::ProposeInVain(by, who)),
        1 => who().prop_map(Step::Leave),
        3 => who().prop_map(Step::Commit),
        2 => who().prop_map(Step::Join),
        6 => who().prop_map(Step::Send),
        2 => (who(), who()).prop_map(|(one, other)| Step::Race(one, other)),
        2 => (who(), any::<bool>()).prop_map(|(who, ordered)| Step::DieCommitting(who, ordered)),
        2 => who().prop_map(Step::Crash),
        1 => who().prop_map(Step::Forget),
        2 => (who(), 1..6_usize).prop_map(|(who, back)| Step::Repeat(who, back)),
        2 => who().prop_map(Step::GoOffline),
        2 => who().prop_map(Step::ComeOnline),
    ]
}

/// The log of a delivery service.
enum Entry {
    Message {
        sender: usize,
        text: Vec<u8>,
        bytes: Vec<u8>,
        readers: BTreeSet<usize>,
    },
    Handshake {
        bytes: Vec<u8>,
    },
    /// After this, who was added by it has the welcome.
    Commit {
        bytes: Vec<u8>,
        welcome: Option<Vec<u8>>,
        added: Vec<usize>,
    },
}

struct World {
    policy: Policy,
    stores: Vec<MemoryStore>,
    clients: Vec<Client>,
    log: Vec<Entry>,
    /// The number of entries that each device has been given.
    seen: Vec<usize>,
    offline: BTreeSet<usize>,
    epoch: u64,
    roster: BTreeSet<usize>,
    group_info: Vec<u8>,
    /// Who has read which entry.
    read: BTreeMap<(usize, usize), Vec<u8>>,
}

fn index_of(device: &regrow_engine::DeviceId) -> usize {
    NAMES.iter().position(|name| *name == device.user()).unwrap()
}

impl World {
    fn new(handshake: Handshake) -> Self {
        let policy = Policy { handshake, ..policy() };
        let stores: Vec<_> = NAMES.iter().map(|_| MemoryStore::new()).collect();
        let mut clients: Vec<_> =
            NAMES.iter().zip(&stores).map(|(name, store)| client_in(store, name, policy.clone())).collect();
        let group_info = clients[0].create_group(group(), NOW).unwrap().group_info().unwrap();
        Self {
            policy,
            stores,
            clients,
            log: Vec::new(),
            seen: vec![0; NAMES.len()],
            offline: BTreeSet::new(),
            epoch: 0,
            roster: BTreeSet::from([0]),
            group_info,
            read: BTreeMap::new(),
        }
    }

    fn reopen(&mut self, who: usize) {
        let store = Arc::new(self.stores[who].clone());
        self.clients[who] = Client::open(store, default_crypto(), self.policy.clone()).unwrap();
    }

    /// Whether the device can act: it is a member, as far as it knows, and has heard everything.
    fn acts(&mut self, who: usize) -> bool {
        !self.offline.contains(&who) && self.roster.contains(&who) && self.clients[who].group(&group()).is_ok()
    }

    /// Orders a commit if it is of the present epoch.
    fn order(&mut self, pending: &PendingCommit) -> bool {
        if pending.epoch().0 != self.epoch {
            return false;
        }
        let added: Vec<usize> = pending.added().map(index_of).collect();
        for removed in pending.removed().map(index_of) {
            assert!(self.roster.remove(&removed), "{} was removed and is no member", NAMES[removed]);
        }
        for joiner in &added {
            assert!(self.roster.insert(*joiner), "{} was added and is a member", NAMES[*joiner]);
        }
        let welcomed = if pending.is_external() { Vec::new() } else { added };
        let (bytes, welcome) = (pending.commit().to_vec(), pending.welcome().map(<[u8]>::to_vec));
        self.log.push(Entry::Commit { bytes, welcome, added: welcomed });
        self.group_info = pending.group_info().unwrap().to_vec();
        self.epoch += 1;
        true
    }

    /// Submits a commit, and tells its maker the answer.
    fn submit(&mut self, who: usize, pending: PendingCommit) {
        if self.order(&pending) {
            self.clients[who].confirm(pending, NOW).unwrap();
        } else {
            self.clients[who].discard(pending).unwrap();
        }
    }

    /// Tells everybody who is online what they have not heard.
    fn deliver(&mut self) {
        for who in 0..NAMES.len() {
            while !self.offline.contains(&who) && self.seen[who] < self.log.len() {
                let at = self.seen[who];
                self.tell(who, at);
                self.seen[who] += 1;
            }
        }
    }

    fn tell(&mut self, who: usize, at: usize) {
        let client = &mut self.clients[who];
        let (bytes, invitation) = match &self.log[at] {
            Entry::Message { bytes, .. } | Entry::Handshake { bytes } => (bytes, None),
            Entry::Commit { bytes, welcome, added } => (bytes, welcome.as_ref().filter(|_| added.contains(&who))),
        };
        if let Some(welcome) = invitation {
            match client.join(welcome, NOW) {
                Ok(_) | Err(Error::NotInvited | Error::GroupExists { .. }) => {}
                Err(other) => panic!("{} cannot join: {other}", NAMES[who]),
            }
            return;
        }
        match client.receive(bytes, NOW) {
            Ok(received) => {
                client.acknowledge().unwrap();
                if let Event::Message(message) = received.event {
                    let again = self.read.insert((who, at), message.text.to_vec());
                    assert!(again.is_none(), "{} has read entry {at} twice", NAMES[who]);
                }
            }
            // Not a member, or not one any more, or what was before it joined, or it has forgotten.
            Err(Error::UnknownGroup { .. } | Error::Removed { .. } | Error::FutureEpoch { .. }) => {}
            Err(other) => panic!("{} cannot follow entry {at}: {other}", NAMES[who]),
        }
    }

    fn propose(&mut self, result: Result<regrow_engine::ProposalMessage, Error>) {
        match result {
            Ok(proposal) => {
                assert_eq!(proposal.epoch().0, self.epoch);
                self.log.push(Entry::Handshake { bytes: proposal.as_bytes().to_vec() });
            }
            Err(error) => Self::acceptable(&error),
        }
    }

    fn commit(&mut self, who: usize, result: Result<PendingCommit, Error>) {
        match result {
            Ok(pending) => self.submit(who, pending),
            Err(error) => Self::acceptable(&error),
        }
    }

    /// What the model need not know.
    fn acceptable(error: &Error) {
        assert!(
            matches!(
                error,
                Error::AlreadyMember { .. } | Error::UnknownMember { .. } | Error::OwnRemoval | Error::NothingToCommit
            ),
            "{error}"
        );
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Add(by, who) if self.acts(by) => {
                let added = key_package(&mut self.clients[who]);
                let result = self.clients[by].group(&group()).unwrap().add(&[added], NOW);
                self.commit(by, result);
            }
            Step::Remove(by, who) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().remove(&[device(NAMES[who])]);
                self.commit(by, result);
            }
            Step::Update(by) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().update();
                self.commit(by, result);
            }
            Step::Rotate(by) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().rotate_signature_key();
                self.commit(by, result);
            }
            Step::Commit(by) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().commit();
                self.commit(by, result);
            }
            Step::ProposeUpdate(by) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().propose_update();
                self.propose(result);
            }
            Step::ProposeRemove(by, who) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().propose_remove(&device(NAMES[who]));
                self.propose(result);
            }
            Step::ProposeAdd(by, who) if self.acts(by) => {
                let added = key_package(&mut self.clients[who]);
                let result = self.clients[by].group(&group()).unwrap().propose_add(&added, NOW);
                self.propose(result);
            }
            Step::ProposeInVain(by, who) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().propose_remove(&device(NAMES[who]));
                result.map_or_else(|error| Self::acceptable(&error), drop);
            }
            Step::Leave(by) if self.acts(by) => {
                let result = self.clients[by].group(&group()).unwrap().leave();
                self.propose(result);
            }
            Step::Join(who) if !self.offline.contains(&who) && !self.roster.is_empty() => {
                match self.clients[who].join_external(&self.group_info) {
                    Ok(pending) => self.submit(who, pending),
                    // It has forgotten the group, and with it the key of the leaf that is still there.
                    Err(Error::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Send(by) if self.acts(by) => {
                let text = format!("{} {}", NAMES[by], self.log.len()).into_bytes();
                match self.clients[by].group(&group()).unwrap().send(&text) {
                    Ok(bytes) => {
                        let readers = self.roster.iter().copied().filter(|who| *who != by).collect();
                        self.log.push(Entry::Message { sender: by, text, bytes, readers });
                    }
                    Err(error) => assert!(matches!(error, Error::ProposalsWait), "{error}"),
                }
            }
            Step::Race(one, other) if one != other && self.acts(one) && self.acts(other) => {
                let first = self.clients[one].group(&group()).unwrap().update().unwrap();
                let second = self.clients[other].group(&group()).unwrap().rotate_signature_key().unwrap();
                self.submit(one, first);
                // The service says stale; the loser catches up, which ends its commit, and tries again.
                assert!(!self.order(&second));
                self.deliver();
                if self.acts(other) {
                    assert!(matches!(self.clients[other].confirm(second, NOW), Err(Error::NotPending)));
                    let again = self.clients[other].group(&group()).unwrap().resume().unwrap();
                    if let Some(Outgoing::Commit(again)) = again {
                        self.submit(other, again);
                    }
                }
            }
            Step::DieCommitting(who, ordered) if self.acts(who) => {
                let pending = self.clients[who].group(&group()).unwrap().update().unwrap();
                if ordered {
                    assert!(self.order(&pending));
                }
                self.reopen(who);
                let pending = self.clients[who].pending().unwrap().remove(0);
                if !ordered {
                    self.submit(who, pending);
                }
                // Otherwise it hears from the log that its commit was ordered.
            }
            Step::Crash(who) => self.reopen(who),
            Step::Forget(who) if !self.offline.contains(&who) && self.roster.len() > 1 => {
                self.clients[who].forget(&group()).unwrap();
            }
            Step::Repeat(who, back) if !self.offline.contains(&who) => {
                let invited =
                    |at: &usize| matches!(&self.log[*at], Entry::Commit { added, .. } if added.contains(&who));
                if let Some(at) = self.seen[who].checked_sub(back).filter(|at| !invited(at)) {
                    self.tell(who, at);
                }
            }
            Step::GoOffline(who) => {
                self.offline.insert(who);
            }
            Step::ComeOnline(who) => {
                self.offline.remove(&who);
            }
            _ => {}
        }
        self.deliver();
        self.check();
    }

    fn check(&mut self) {
        let mut authenticators = Vec::new();
        for (who, name) in NAMES.iter().enumerate() {
            if self.offline.contains(&who) {
                continue;
            }
            let Ok(mut chat) = self.clients[who].group(&group()) else { continue };
            assert!(self.roster.contains(&who), "{name} believes to be a member");
            assert_eq!(chat.epoch().unwrap().0, self.epoch);
            let roster: BTreeSet<_> = chat.roster().unwrap().iter().map(|member| index_of(&member.device)).collect();
            assert_eq!(roster, self.roster);
            assert_eq!(chat.pending().unwrap(), None);
            authenticators.push(chat.epoch_authenticator().unwrap());
        }
        assert!(authenticators.windows(2).all(|pair| pair[0] == pair[1]), "the members are in different states");
        for ((who, at), text) in &self.read {
            let Entry::Message { sender, text: sent, readers, .. } = &self.log[*at] else { panic!("not a message") };
            assert!(readers.contains(who), "{} has read what {} sent to others", NAMES[*who], NAMES[*sender]);
            assert_eq!(text, sent);
        }
    }
}

fn histories(handshake: Handshake) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&prop::collection::vec(step(), 10..60), |steps| {
        let mut world = World::new(handshake);
        let forgetful = steps.iter().any(|step| matches!(step, Step::Forget(_) | Step::Join(_)));
        for step in &steps {
            world.take(step);
        }
        world.offline.clear();
        world.deliver();
        world.check();
        // Who forgets or rejoins gives up what it has not read.
        if !forgetful {
            for (at, entry) in world.log.iter().enumerate() {
                let Entry::Message { readers, .. } = entry else { continue };
                for reader in readers {
                    assert!(world.read.contains_key(&(*reader, at)), "{} has not read entry {at}", NAMES[*reader]);
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn assisted_groups_hold_together() {
    histories(Handshake::Assisted);
}

#[test]
fn opaque_groups_hold_together() {
    histories(Handshake::Opaque);
}
