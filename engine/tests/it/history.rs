//! Tests random histories of several devices, with crashes and lost races. The members agree, and
//! exactly the members at the time of a message read it, once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::common::*;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::{
    Client, Error, HandshakeMode, MemoryStore, Outgoing, PendingCommit, Policy, ProposalMessage, ReceivedEvent,
    default_crypto,
};

/// The number of histories that are tested in each handshake mode.
const CASES: u32 = 60;
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// An action of one device.
#[derive(Clone, Debug)]
enum DeviceAction {
    Add(usize, usize),
    Remove(usize, usize),
    Update(usize),
    Rotate(usize),
    ProposeUpdate(usize),
    ProposeRemove(usize, usize),
    ProposeAdd(usize, usize),
    /// Makes a proposal that never reaches the service.
    ProposeInVain(usize, usize),
    Leave(usize),
    Commit(usize),
    Join(usize),
    Send(usize),
    /// Both devices make an update in the same epoch. The first one is ordered.
    Race(usize, usize),
    /// Makes a commit. Its process dies before or after the commit is ordered.
    DieCommitting(usize, bool),
    Crash(usize),
    Forget(usize),
    /// Delivers the last entries to the device again.
    Repeat(usize, usize),
    /// Disconnects the device. It receives later entries when it is online again.
    GoOffline(usize),
    ComeOnline(usize),
}

fn action() -> impl Strategy<Value = DeviceAction> {
    let who = || 0..NAMES.len();
    prop_oneof![
        4 => (who(), who()).prop_map(|(by, who)| DeviceAction::Add(by, who)),
        2 => (who(), who()).prop_map(|(by, who)| DeviceAction::Remove(by, who)),
        3 => who().prop_map(DeviceAction::Update),
        1 => who().prop_map(DeviceAction::Rotate),
        2 => who().prop_map(DeviceAction::ProposeUpdate),
        1 => (who(), who()).prop_map(|(by, who)| DeviceAction::ProposeRemove(by, who)),
        1 => (who(), who()).prop_map(|(by, who)| DeviceAction::ProposeAdd(by, who)),
        3 => (who(), who()).prop_map(|(by, who)| DeviceAction::ProposeInVain(by, who)),
        1 => who().prop_map(DeviceAction::Leave),
        3 => who().prop_map(DeviceAction::Commit),
        2 => who().prop_map(DeviceAction::Join),
        6 => who().prop_map(DeviceAction::Send),
        2 => (who(), who()).prop_map(|(one, other)| DeviceAction::Race(one, other)),
        2 => (who(), any::<bool>()).prop_map(|(who, ordered)| DeviceAction::DieCommitting(who, ordered)),
        2 => who().prop_map(DeviceAction::Crash),
        1 => who().prop_map(DeviceAction::Forget),
        2 => (who(), 1..6_usize).prop_map(|(who, back)| DeviceAction::Repeat(who, back)),
        2 => who().prop_map(DeviceAction::GoOffline),
        2 => who().prop_map(DeviceAction::ComeOnline),
    ]
}

/// The log of a delivery service.
enum LogEntry {
    Message {
        sender: usize,
        text: Vec<u8>,
        bytes: Vec<u8>,
        readers: BTreeSet<usize>,
    },
    Handshake {
        bytes: Vec<u8>,
    },
    /// A commit. Devices that it added get the welcome instead.
    Commit {
        bytes: Vec<u8>,
        welcome: Option<Vec<u8>>,
        added: Vec<usize>,
    },
}

/// The devices, and the delivery service between them.
struct Network {
    policy: Policy,
    stores: Vec<MemoryStore>,
    clients: Vec<Client>,
    log: Vec<LogEntry>,
    /// The number of entries that were delivered to each device.
    seen: Vec<usize>,
    offline: BTreeSet<usize>,
    epoch: u64,
    roster: BTreeSet<usize>,
    group_info: Vec<u8>,
    /// The text of each message that a device has read, by device and entry.
    read: BTreeMap<(usize, usize), Vec<u8>>,
}

fn index_of(device: &regrow_engine::DeviceId) -> usize {
    NAMES.iter().position(|name| *name == device.user()).unwrap()
}

impl Network {
    fn new(handshake: HandshakeMode) -> Self {
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

    /// Returns true if the device can act: it is online, and it and the service regard it as a
    /// member.
    fn acts(&mut self, who: usize) -> bool {
        !self.offline.contains(&who) && self.roster.contains(&who) && self.clients[who].group(&group()).is_ok()
    }

    /// Orders a commit if it belongs to the current epoch.
    fn order(&mut self, pending: &PendingCommit) -> bool {
        if pending.epoch().0 != self.epoch {
            return false;
        }
        let added: Vec<usize> = pending.added().map(index_of).collect();
        for removed in pending.removed().map(index_of) {
            assert!(self.roster.remove(&removed), "{} was removed but is not a member", NAMES[removed]);
        }
        for joiner in &added {
            assert!(self.roster.insert(*joiner), "{} was added but is already a member", NAMES[*joiner]);
        }
        let welcomed = if pending.is_external() { Vec::new() } else { added };
        let (bytes, welcome) = (pending.commit().to_vec(), pending.welcome().map(<[u8]>::to_vec));
        self.log.push(LogEntry::Commit { bytes, welcome, added: welcomed });
        self.group_info = pending.group_info().unwrap().to_vec();
        self.epoch += 1;
        true
    }

    /// Submits a commit and gives the answer to the committer.
    fn submit(&mut self, who: usize, pending: PendingCommit) {
        if self.order(&pending) {
            self.clients[who].confirm(pending, NOW).unwrap();
        } else {
            self.clients[who].discard(pending).unwrap();
        }
    }

    /// Delivers all new entries to the devices that are online.
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
            LogEntry::Message { bytes, .. } | LogEntry::Handshake { bytes } => (bytes, None),
            LogEntry::Commit { bytes, welcome, added } => (bytes, welcome.as_ref().filter(|_| added.contains(&who))),
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
                if let ReceivedEvent::Message(message) = received.event {
                    let again = self.read.insert((who, at), message.text.to_vec());
                    assert!(again.is_none(), "{} has read entry {at} twice", NAMES[who]);
                }
            }
            // The device is not a member, is no longer a member, has joined later, or has forgotten
            // the group.
            Err(Error::UnknownGroup { .. } | Error::Removed { .. } | Error::FutureEpoch { .. }) => {}
            Err(other) => panic!("{} cannot process entry {at}: {other}", NAMES[who]),
        }
    }

    fn propose(&mut self, result: Result<ProposalMessage, Error>) {
        match result {
            Ok(proposal) => {
                assert_eq!(proposal.epoch().0, self.epoch);
                self.log.push(LogEntry::Handshake { bytes: proposal.as_bytes().to_vec() });
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

    /// Checks that the error is one that the model does not predict.
    fn acceptable(error: &Error) {
        assert!(
            matches!(
                error,
                Error::AlreadyMember { .. } | Error::UnknownMember { .. } | Error::OwnRemoval | Error::NothingToCommit
            ),
            "{error}"
        );
    }

    fn take(&mut self, action: &DeviceAction) {
        match *action {
            DeviceAction::Add(by, _)
            | DeviceAction::Remove(by, _)
            | DeviceAction::Update(by)
            | DeviceAction::Rotate(by)
            | DeviceAction::Commit(by)
                if self.acts(by) =>
            {
                let result = self.make_commit(by, action);
                self.commit(by, result);
            }
            DeviceAction::ProposeUpdate(by)
            | DeviceAction::ProposeRemove(by, _)
            | DeviceAction::ProposeAdd(by, _)
            | DeviceAction::Leave(by)
                if self.acts(by) =>
            {
                let result = self.make_proposal(by, action);
                self.propose(result);
            }
            DeviceAction::ProposeInVain(by, _) if self.acts(by) => {
                let result = self.make_proposal(by, action);
                result.map_or_else(|error| Self::acceptable(&error), drop);
            }
            DeviceAction::Join(who) if !self.offline.contains(&who) && !self.roster.is_empty() => self.join(who),
            DeviceAction::Send(by) if self.acts(by) => self.send(by),
            DeviceAction::Race(one, other) if one != other && self.acts(one) && self.acts(other) => {
                self.race(one, other);
            }
            DeviceAction::DieCommitting(who, ordered) if self.acts(who) => self.die_committing(who, ordered),
            DeviceAction::Crash(who) => self.reopen(who),
            DeviceAction::Forget(who) if !self.offline.contains(&who) && self.roster.len() > 1 => {
                self.clients[who].forget(&group()).unwrap();
            }
            DeviceAction::Repeat(who, back) if !self.offline.contains(&who) => self.repeat(who, back),
            DeviceAction::GoOffline(who) => {
                self.offline.insert(who);
            }
            DeviceAction::ComeOnline(who) => {
                self.offline.remove(&who);
            }
            _ => {}
        }
        self.deliver();
        self.check();
    }

    fn make_commit(&mut self, by: usize, action: &DeviceAction) -> Result<PendingCommit, Error> {
        let added = match *action {
            DeviceAction::Add(_, who) => vec![key_package(&mut self.clients[who])],
            _ => Vec::new(),
        };
        let mut chat = self.clients[by].group(&group()).unwrap();
        match *action {
            DeviceAction::Add(..) => chat.add(&added, NOW),
            DeviceAction::Remove(_, who) => chat.remove(&[device(NAMES[who])]),
            DeviceAction::Update(_) => chat.update(),
            DeviceAction::Rotate(_) => chat.rotate_signature_key(),
            DeviceAction::Commit(_) => chat.commit(),
            ref other => panic!("{other:?} makes no commit"),
        }
    }

    fn make_proposal(&mut self, by: usize, action: &DeviceAction) -> Result<ProposalMessage, Error> {
        if let DeviceAction::ProposeAdd(_, who) = *action {
            let added = key_package(&mut self.clients[who]);
            return self.clients[by].group(&group()).unwrap().propose_add(&added, NOW);
        }
        let mut chat = self.clients[by].group(&group()).unwrap();
        match *action {
            DeviceAction::ProposeUpdate(_) => chat.propose_update(),
            DeviceAction::ProposeRemove(_, who) | DeviceAction::ProposeInVain(_, who) => {
                chat.propose_remove(&device(NAMES[who]))
            }
            DeviceAction::Leave(_) => chat.leave(),
            ref other => panic!("{other:?} makes no proposal"),
        }
    }

    fn join(&mut self, who: usize) {
        match self.clients[who].join_external(&self.group_info) {
            Ok(pending) => self.submit(who, pending),
            // It has forgotten the group and the key of its leaf, which is still in the tree.
            Err(Error::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn send(&mut self, by: usize) {
        let text = format!("{} {}", NAMES[by], self.log.len()).into_bytes();
        match self.clients[by].group(&group()).unwrap().send(&text) {
            Ok(bytes) => {
                let readers = self.roster.iter().copied().filter(|who| *who != by).collect();
                self.log.push(LogEntry::Message { sender: by, text, bytes, readers });
            }
            Err(error) => assert!(matches!(error, Error::ProposalsWait), "{error}"),
        }
    }

    /// Lets both devices make an update in the same epoch. The first one is ordered.
    fn race(&mut self, one: usize, other: usize) {
        let first = self.clients[one].group(&group()).unwrap().update().unwrap();
        let second = self.clients[other].group(&group()).unwrap().rotate_signature_key().unwrap();
        self.submit(one, first);
        // The service answers that the commit is stale. The other device processes the new entries,
        // which ends its own commit, and tries again.
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

    /// Lets the device make a commit. Its process dies before or after the commit is ordered.
    fn die_committing(&mut self, who: usize, ordered: bool) {
        let pending = self.clients[who].group(&group()).unwrap().update().unwrap();
        if ordered {
            assert!(self.order(&pending));
        }
        self.reopen(who);
        let pending = self.clients[who].pending().unwrap().remove(0);
        if !ordered {
            self.submit(who, pending);
        }
        // Otherwise the device learns from the log that its commit was ordered.
    }

    /// Delivers an earlier entry to the device again.
    fn repeat(&mut self, who: usize, back: usize) {
        let invited = |at: &usize| matches!(&self.log[*at], LogEntry::Commit { added, .. } if added.contains(&who));
        if let Some(at) = self.seen[who].checked_sub(back).filter(|at| !invited(at)) {
            self.tell(who, at);
        }
    }

    fn check(&mut self) {
        let mut authenticators = Vec::new();
        for (who, name) in NAMES.iter().enumerate() {
            if self.offline.contains(&who) {
                continue;
            }
            let Ok(mut chat) = self.clients[who].group(&group()) else { continue };
            assert!(self.roster.contains(&who), "{name} believes that it is a member, but it is not");
            assert_eq!(chat.epoch().unwrap().0, self.epoch);
            let roster: BTreeSet<_> = chat.roster().unwrap().iter().map(|member| index_of(&member.device)).collect();
            assert_eq!(roster, self.roster);
            assert_eq!(chat.pending().unwrap(), None);
            authenticators.push(chat.epoch_authenticator().unwrap());
        }
        assert!(authenticators.windows(2).all(|pair| pair[0] == pair[1]), "the members are in different states");
        for ((who, at), text) in &self.read {
            let LogEntry::Message { sender, text: sent, readers, .. } = &self.log[*at] else { panic!("not a message") };
            assert!(readers.contains(who), "{} has read what {} sent to others", NAMES[*who], NAMES[*sender]);
            assert_eq!(text, sent);
        }
    }
}

fn histories(handshake: HandshakeMode) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&prop::collection::vec(action(), 10..60), |actions| {
        let mut network = Network::new(handshake);
        let forgetful = actions.iter().any(|action| matches!(action, DeviceAction::Forget(_) | DeviceAction::Join(_)));
        for action in &actions {
            network.take(action);
        }
        network.offline.clear();
        network.deliver();
        network.check();
        // A device that forgets or rejoins loses its unread messages.
        if !forgetful {
            for (at, entry) in network.log.iter().enumerate() {
                let LogEntry::Message { readers, .. } = entry else { continue };
                for reader in readers {
                    assert!(network.read.contains_key(&(*reader, at)), "{} has not read entry {at}", NAMES[*reader]);
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn members_of_assisted_groups_agree() {
    histories(HandshakeMode::Assisted);
}

#[test]
fn members_of_opaque_groups_agree() {
    histories(HandshakeMode::Opaque);
}
