//! The real devices and their models. Each step makes a call, predicts its result, and compares the
//! two.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use regrow_engine::{
    Change, Client, DeviceId, Error, HandshakeMode, Ignored, Lost, MemoryStore, Outgoing, PendingCommit, Policy,
    ProposalMessage, Received, ReceivedEvent, SignaturePublicKey, SqliteStore, Store, StoreKey, default_crypto,
};
use tempfile::TempDir;

use super::{
    common::{NOW, device, group, policy},
    prediction::{Device, Failure, Intent, Outcome, Rules, Standing, View, Waiting},
    service::{Body, Commit, Effect, Entry, KeyNo, PackageNo, Proposal, Service, What, Who},
};

pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The next steps of a commit after it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The commit waits.
    Hold,
    /// The commit is submitted, and the answer is lost.
    Submit,
    /// The commit is submitted and answered.
    Settle,
}

/// One action of a device or on a device.
#[derive(Clone, Debug)]
pub enum Step {
    Create(Who),
    Add(Who, Who, Then),
    Remove(Who, Who, Then),
    Update(Who, bool, Then),
    Commit(Who, Then),
    /// The last value is true if the proposal reaches the service.
    ProposeAdd(Who, Who, bool),
    ProposeRemove(Who, Who, bool),
    ProposeUpdate(Who, bool),
    Leave(Who, bool),
    Resume(Who, Then),
    Abandon(Who),
    Discard(Who),
    Submit(Who),
    Answer(Who),
    /// Confirms or discards a commit that is no longer pending.
    Outdated(Who, bool),
    Send(Who),
    /// Delivers this number of log entries, one by one or in one call.
    Receive(Who, usize, bool),
    /// Delivers an entry this far ahead of the cursor.
    Early(Who, usize),
    /// Delivers an entry this far behind the cursor.
    Again(Who, usize),
    /// Delivers the next entry with one changed byte.
    Garbled(Who, usize, u8),
    Join(Who, Then),
    Forget(Who),
    Reopen(Who),
}

enum Place {
    Memory(MemoryStore),
    File(PathBuf),
}

pub struct World {
    policy: Policy,
    clients: Vec<Option<Client>>,
    places: Vec<Place>,
    devices: Vec<Device>,
    service: Service,
    /// For each device, a commit that was confirmed, discarded or lost.
    ended: Vec<Option<PendingCommit>>,
    /// The entries that each device has read.
    read: BTreeSet<(Who, usize)>,
    /// The events that each device has received and not acknowledged.
    news: Vec<Vec<Outcome>>,
    keys: BTreeMap<KeyNo, SignaturePublicKey>,
    package_keys: BTreeMap<PackageNo, KeyNo>,
    numbers: usize,
    _folder: TempDir,
}

impl World {
    /// Creates this number of devices. The first may be in a file. It creates a group and adds
    /// others until the group has `members` members.
    pub fn new(devices: usize, members: usize, in_file: bool, handshake: HandshakeMode, past_epochs: usize) -> Self {
        let policy = Policy { handshake, past_epochs, out_of_order: 3, ..policy() };
        let rules = Rules {
            past_epochs: past_epochs as u64,
            tolerance: policy.out_of_order,
            opaque: handshake == HandshakeMode::Opaque,
        };
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            clients: Vec::new(),
            places: Vec::new(),
            devices: Vec::new(),
            service: Service::default(),
            ended: vec![None; devices],
            read: BTreeSet::new(),
            news: vec![Vec::new(); devices],
            keys: BTreeMap::new(),
            package_keys: BTreeMap::new(),
            numbers: devices,
            policy,
            _folder: folder,
        };
        for (who, name) in NAMES.iter().enumerate().take(devices) {
            let place = match who {
                0 if in_file => Place::File(world._folder.path().join(name)),
                _ => Place::Memory(MemoryStore::new()),
            };
            let store = place.store(true);
            let client = Client::create(store, default_crypto(), device(name), world.policy.clone()).unwrap();
            let (standing, packages) = (Standing::Outside, BTreeMap::new());
            world.places.push(place);
            world.clients.push(Some(client));
            world.devices.push(Device { who, rules, key: who, packages, standing, joining: None, cursor: 0 });
        }
        world.service.group_info = world.client(0).create_group(group(), NOW).unwrap().group_info().unwrap();
        world.service.rosters.push(BTreeMap::from([(0, 0)]));
        world.devices[0].standing = Standing::Member(Box::new(View::new(0, 0)));
        world.check(0);
        for who in 1..members.min(devices) {
            world.add(0, who, Then::Settle);
        }
        for who in 0..devices {
            world.receive(who, usize::MAX / 2, false);
        }
        world
    }

    /// Selects the device of a step. One number in eight selects any device, the others select a
    /// member.
    fn choose(&self, number: usize) -> Who {
        let members: Vec<Who> = self.devices.iter().filter(|device| device.view().is_some()).map(|d| d.who).collect();
        match number % 8 {
            7 => number / 8 % self.devices.len(),
            _ => members.get(number % members.len().max(1)).copied().unwrap_or(0),
        }
    }

    fn client(&mut self, who: Who) -> &mut Client {
        self.clients[who].as_mut().unwrap()
    }

    fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    pub fn take(&mut self, step: &Step) {
        let count = self.devices.len();
        let who = self.choose(step.who());
        match *step {
            Step::Create(_) if self.devices[who].view().is_some() => {
                let created = self.client(who).create_group(group(), NOW).map(|_| ());
                assert_eq!(created.map_err(|e| failure(&e)), Err(Failure::GroupExists));
            }
            Step::Add(_, other, then) => self.add(who, self.choose_outside(other), then),
            Step::Remove(_, other, then) => self.remove(who, other % count, then),
            Step::Update(_, signature_key, then) => {
                self.intend(who, Intent::Update { signature_key }, Ok(()), then, |client| {
                    let mut chat = client.group(&group())?;
                    if signature_key { chat.rotate_signature_key() } else { chat.update() }
                });
            }
            Step::Commit(_, then) => {
                self.intend(who, Intent::CommitProposals, Ok(()), then, |client| client.group(&group())?.commit());
            }
            Step::ProposeAdd(_, other, sent) => self.propose_add(who, self.choose_outside(other), sent),
            Step::ProposeRemove(_, other, sent) => {
                let (other, id) = (other % count, device(NAMES[other % count]));
                let member = self.is_member(who, other);
                let expected = if member { Ok(()) } else { Err(Failure::UnknownMember) };
                self.propose(who, What::Remove(other), expected, sent, None, |client| {
                    client.group(&group())?.propose_remove(&id)
                });
            }
            Step::ProposeUpdate(_, sent) => {
                let what = What::Update(self.number());
                self.propose(who, what, Ok(()), sent, None, |client| client.group(&group())?.propose_update());
            }
            Step::Leave(_, sent) => {
                let intent = Some(Intent::Leave);
                self.propose(who, What::Remove(who), Ok(()), sent, intent, |client| client.group(&group())?.leave());
            }
            Step::Resume(_, then) => self.resume(who, then),
            Step::Abandon(_) => self.abandon(who),
            Step::Discard(_) => self.discard(who),
            Step::Submit(_) => self.submit(who),
            Step::Answer(_) => self.answer(who),
            Step::Outdated(_, confirm) => {
                if let Some(handle) = self.ended[who].clone() {
                    let result = match confirm {
                        true => self.client(who).confirm(handle, NOW).map(|_| ()),
                        false => self.client(who).discard(handle),
                    };
                    let expected = match self.devices[who].standing {
                        _ if self.ended[who].as_ref().is_some_and(PendingCommit::is_external) => Failure::NotPending,
                        Standing::Outside => Failure::UnknownGroup,
                        Standing::Removed => Failure::Removed,
                        Standing::Member(_) => Failure::NotPending,
                    };
                    assert_eq!(result.map_err(|e| failure(&e)), Err(expected));
                }
            }
            Step::Send(_) => self.send(who),
            Step::Receive(_, entries, together) => self.receive(who, entries, together),
            Step::Early(_, ahead) => self.give(who, self.devices[who].cursor + 1 + ahead),
            Step::Again(_, back) => {
                if let Some(at) = self.devices[who].cursor.checked_sub(1 + back) {
                    self.give(who, at);
                }
            }
            Step::Garbled(_, place, with) => self.garble(who, place, with),
            Step::Join(_, then) => self.join(who, then),
            Step::Forget(_) => {
                self.client(who).forget(&group()).unwrap();
                self.devices[who].standing = Standing::Outside;
                self.devices[who].joining = None;
            }
            Step::Reopen(_) => self.reopen(who),
            Step::Create(_) => {}
        }
        self.check(who);
    }

    /// Selects a device. One number in four selects any device, the others select a device that is
    /// in no group.
    fn choose_outside(&self, number: usize) -> Who {
        let outside: Vec<Who> = self.devices.iter().filter(|device| device.view().is_none()).map(|d| d.who).collect();
        match number % 4 {
            3 => number % self.devices.len(),
            _ => outside.get(number % outside.len().max(1)).copied().unwrap_or(number % self.devices.len()),
        }
    }

    /// Returns true if `other` is a member in the epoch of `who`.
    fn is_member(&self, who: Who, other: Who) -> bool {
        self.devices[who].view().is_some_and(|view| self.service.roster(view.epoch).contains_key(&other))
    }

    /// Returns the error of every call on the group, if the device is not a member.
    fn absent(&self, who: Who) -> Option<Failure> {
        match self.devices[who].standing {
            Standing::Outside => Some(Failure::UnknownGroup),
            Standing::Removed => Some(Failure::Removed),
            Standing::Member(_) => None,
        }
    }

    fn add(&mut self, who: Who, other: Who, then: Then) {
        let bytes = self.client(other).key_packages(1, NOW).unwrap();
        let package = self.mint(other);
        let member = self.is_member(who, other);
        let expected = if member { Err(Failure::AlreadyMember) } else { Ok(()) };
        self.intend(who, Intent::Add { who: other, package }, expected, then, |client| {
            client.group(&group())?.add(&bytes, NOW)
        });
    }

    fn propose_add(&mut self, who: Who, other: Who, sent: bool) {
        let bytes = self.client(other).key_packages(1, NOW).unwrap().remove(0);
        let package = self.mint(other);
        let member = self.is_member(who, other);
        let expected = if member { Err(Failure::AlreadyMember) } else { Ok(()) };
        self.propose(who, What::Add { who: other, package }, expected, sent, None, |client| {
            client.group(&group())?.propose_add(&bytes, NOW)
        });
    }

    fn mint(&mut self, who: Who) -> PackageNo {
        let package = self.number();
        let key = self.devices[who].key;
        self.devices[who].packages.insert(package, key);
        self.package_keys.insert(package, key);
        package
    }

    fn remove(&mut self, who: Who, other: Who, then: Then) {
        let expected = match other {
            _ if other == who => Err(Failure::OwnRemoval),
            _ if !self.is_member(who, other) => Err(Failure::UnknownMember),
            _ => Ok(()),
        };
        self.intend(who, Intent::Remove(other), expected, then, |client| {
            client.group(&group())?.remove(&[device(NAMES[other])])
        });
    }

    /// Makes a call that stores an intent and creates a commit for it.
    fn intend(
        &mut self,
        who: Who,
        intent: Intent,
        expected: Result<(), Failure>,
        then: Then,
        call: impl FnOnce(&mut Client) -> Result<PendingCommit, Error>,
    ) {
        let result = call(self.client(who));
        let expected = match self.absent(who) {
            Some(absent) => Err(absent),
            None if self.devices[who].view().unwrap().pending.is_some() => Err(Failure::CommitPending),
            None => expected,
        };
        let before = self.devices[who].view().cloned();
        if expected.is_ok() {
            self.devices[who].view_mut().unwrap().intents.push(intent);
        }
        let expected = expected.and_then(|()| self.predict_commit(who).ok_or(Failure::NothingToCommit));
        match (result, expected) {
            (Ok(handle), Ok(commit)) => self.hold(who, handle, commit, then),
            (Err(error), Err(expected)) => {
                assert_eq!(failure(&error), expected);
                if let Some(before) = before {
                    self.devices[who].standing = Standing::Member(Box::new(before));
                }
            }
            (result, expected) => panic!("{result:?}, but expected {expected:?}"),
        }
    }

    fn predict_commit(&mut self, who: Who) -> Option<Commit> {
        let new_key = self.number();
        let package_keys = &self.package_keys;
        self.devices[who].commit(&self.service, new_key, |package| package_keys[&package])
    }

    fn hold(&mut self, who: Who, handle: PendingCommit, commit: Commit, then: Then) {
        let (added, removed, updated) = sorted(handle.changes());
        assert_eq!(added, commit.effect.added.keys().copied().collect());
        assert_eq!(removed, commit.effect.removed);
        assert_eq!(updated, commit.effect.updated);
        assert_eq!(handle.epoch().0, commit.epoch);
        assert_eq!(handle.welcome().is_some(), !commit.effect.added.is_empty() && !commit.external);
        let external = commit.external;
        let waiting = Some(Waiting { handle, commit, ordered: false });
        match external {
            true => self.devices[who].joining = waiting,
            false => self.devices[who].view_mut().unwrap().pending = waiting,
        }
        if then != Then::Hold {
            self.submit_one(who, external);
        }
        if then == Then::Settle {
            self.answer_one(who, external);
        }
    }

    fn waiting(&mut self, who: Who, external: bool) -> Option<&mut Waiting> {
        let device = &mut self.devices[who];
        if external { device.joining.as_mut() } else { device.view_mut().and_then(|view| view.pending.as_mut()) }
    }

    fn submit(&mut self, who: Who) {
        self.submit_one(who, true);
        self.submit_one(who, false);
    }

    fn submit_one(&mut self, who: Who, external: bool) {
        let Some(Waiting { handle, commit, .. }) = self.waiting(who, external).cloned() else { return };
        let body = Body::Commit { commit, welcome: handle.welcome().map(<[u8]>::to_vec) };
        let before = self.service.epoch();
        let (by, bytes) = (who, handle.commit().to_vec());
        let ordered = self.service.submit(Entry { by, epoch: handle.epoch().0, bytes, body });
        if self.service.epoch() > before {
            self.service.group_info = handle.group_info().unwrap().to_vec();
        }
        self.waiting(who, external).unwrap().ordered = ordered;
    }

    fn answer(&mut self, who: Who) {
        self.answer_one(who, true);
        self.answer_one(who, false);
    }

    /// Tells the device the outcome of its submission.
    fn answer_one(&mut self, who: Who, external: bool) {
        let Some(Waiting { handle, ordered, .. }) = self.waiting(who, external).cloned() else { return };
        if ordered {
            self.ended[who] = Some(handle.clone());
            let service = &self.service;
            let device = &mut self.devices[who];
            let expected = if external { device.confirm_external(service) } else { device.confirm(service) };
            let change = self.client(who).confirm(handle, NOW).unwrap();
            assert_eq!(event(ReceivedEvent::Commit(change)), expected);
        } else if handle.epoch().0 < self.service.epoch() {
            self.client(who).discard(handle.clone()).unwrap();
            self.ended[who] = Some(handle);
            self.forget_waiting(who, external);
        }
    }

    fn forget_waiting(&mut self, who: Who, external: bool) {
        match external {
            true => self.devices[who].joining = None,
            false => self.devices[who].view_mut().unwrap().pending = None,
        }
    }

    /// Discards a commit that was not submitted or was refused. (A device that discarded an ordered
    /// commit would lose the group.)
    fn discard(&mut self, who: Who) {
        for external in [true, false] {
            let Some(Waiting { handle, ordered: false, .. }) = self.waiting(who, external).cloned() else { continue };
            self.client(who).discard(handle.clone()).unwrap();
            self.ended[who] = Some(handle);
            self.forget_waiting(who, external);
        }
    }

    fn abandon(&mut self, who: Who) {
        if self.waiting(who, false).is_some_and(|waiting| waiting.ordered) {
            return;
        }
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.abandon());
        assert_eq!(result.map_err(|e| failure(&e)).err(), self.absent(who));
        if let Some(view) = self.devices[who].view_mut() {
            view.intents.clear();
            view.pending = None;
        }
    }

    fn resume(&mut self, who: Who, then: Then) {
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.resume());
        if let Some(absent) = self.absent(who) {
            assert_eq!(failure(&result.unwrap_err()), absent);
            return;
        }
        if let Some(waiting) = self.waiting(who, false) {
            assert_eq!(result.unwrap(), Some(Outgoing::Commit(waiting.handle.clone())));
            return;
        }
        let what = What::Remove(who);
        let commit = self.predict_commit(who);
        let view = self.devices[who].view().unwrap();
        let proposed = view.proposals.iter().any(|(proposal, _)| *proposal == Proposal { by: who, what });
        let leaves = view.intents.contains(&Intent::Leave) && !proposed;
        match (result.unwrap(), commit) {
            (Some(Outgoing::Commit(handle)), Some(commit)) => self.hold(who, handle, commit, then),
            (Some(Outgoing::Proposal(message)), None) if leaves => {
                self.proposed(who, what, &message, then != Then::Hold);
            }
            (None, None) if !leaves => {}
            (result, commit) => panic!("{result:?}, but expected {commit:?}; it leaves: {leaves}"),
        }
    }

    fn propose(
        &mut self,
        who: Who,
        what: What,
        expected: Result<(), Failure>,
        sent: bool,
        intent: Option<Intent>,
        call: impl FnOnce(&mut Client) -> Result<ProposalMessage, Error>,
    ) {
        let result = call(self.client(who));
        let pending = self.devices[who].view().is_some_and(|view| view.pending.is_some());
        let expected = match self.absent(who) {
            Some(absent) => Err(absent),
            None if expected.is_ok() && pending => Err(Failure::CommitPending),
            None => expected,
        };
        match (result, expected) {
            (Ok(message), Ok(())) => {
                self.devices[who].view_mut().unwrap().intents.extend(intent);
                self.proposed(who, what, &message, sent);
            }
            (Err(error), Err(expected)) => assert_eq!(failure(&error), expected),
            (result, expected) => panic!("{result:?}, but expected {expected:?}"),
        }
    }

    fn proposed(&mut self, who: Who, what: What, message: &ProposalMessage, sent: bool) {
        let opaque = self.devices[who].rules.opaque;
        let view = self.devices[who].view_mut().unwrap();
        assert_eq!(message.epoch().0, view.epoch);
        let proposal = Proposal { by: who, what };
        let generation = opaque.then_some(view.handshakes);
        view.handshakes += 1;
        if !view.proposals.iter().any(|(known, _)| *known == proposal) {
            view.proposals.push((proposal, false));
        }
        if sent {
            let (by, epoch, bytes) = (who, view.epoch, message.as_bytes().to_vec());
            self.service.submit(Entry { by, epoch, bytes, body: Body::Proposal { proposal, generation } });
        }
    }

    fn send(&mut self, who: Who) {
        let text = format!("{who} {}", self.number()).into_bytes();
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.send(&text));
        let expected = self
            .absent(who)
            .or_else(|| (!self.devices[who].view().unwrap().proposals.is_empty()).then_some(Failure::ProposalsWait));
        match result {
            Ok(bytes) => {
                assert_eq!(expected, None);
                let view = self.devices[who].view_mut().unwrap();
                let generation = view.messages;
                view.messages += 1;
                let (by, epoch) = (who, view.epoch);
                self.service.submit(Entry { by, epoch, bytes, body: Body::Message { text, generation } });
            }
            Err(error) => assert_eq!(Some(failure(&error)), expected),
        }
    }

    fn receive(&mut self, who: Who, entries: usize, together: bool) {
        let to = (self.devices[who].cursor + entries).min(self.service.log.len());
        while self.devices[who].cursor < to {
            let from = self.devices[who].cursor;
            let welcome = |at: &usize| self.service.log[*at].welcome_of(who).is_some();
            let upto = if together { (from..to).find(welcome).unwrap_or(to) } else { from };
            if upto <= from + 1 {
                self.give(who, from);
                self.devices[who].cursor += 1;
                continue;
            }
            let page: Vec<Vec<u8>> = self.service.log[from..upto].iter().map(|entry| entry.bytes.clone()).collect();
            let expected: Vec<Outcome> =
                (from..upto).map(|at| self.devices[who].deliver(&self.service, &self.service.log[at])).collect();
            let results = self.client(who).receive_all(&page, NOW).unwrap();
            self.news[who] = expected.iter().filter(|outcome| outcome.is_news()).cloned().collect();
            for ((result, expected), at) in results.into_iter().zip(expected).zip(from..upto) {
                self.compare(who, at, result, &expected);
            }
            self.devices[who].cursor = upto;
        }
    }

    /// Delivers one entry at any position of the log to the device.
    fn give(&mut self, who: Who, at: usize) {
        let Some(entry) = self.service.log.get(at) else { return };
        if self.devices[who].unclear(&self.service, entry) {
            return;
        }
        let expected = self.devices[who].deliver(&self.service, entry);
        let client = self.clients[who].as_mut().unwrap();
        let result = match entry.welcome_of(who) {
            Some((_, welcome)) => {
                let joined = client.join(welcome, NOW).map(|_| Outcome::Joined);
                assert_eq!(joined.unwrap_or_else(|error| Outcome::Fails(failure(&error))), expected);
                return;
            }
            None => client.receive(&entry.bytes, NOW),
        };
        self.news[who] = Some(expected.clone()).into_iter().filter(Outcome::is_news).collect();
        self.compare(who, at, result, &expected);
    }

    fn compare(&mut self, who: Who, at: usize, result: Result<Received, Error>, expected: &Outcome) {
        let observed = match result {
            Ok(received) => event(received.event),
            Err(error) => Outcome::Fails(failure(&error)),
        };
        assert_eq!(observed, *expected, "{} is given entry {at}", NAMES[who]);
        if let Outcome::Message { by, epoch, .. } = observed {
            // The same claim without the model's ratchets.
            assert!(self.read.insert((who, at)), "{} has read entry {at} twice", NAMES[who]);
            assert!(
                by != who && self.service.roster(epoch).contains_key(&who),
                "{} was not a member, or is the sender",
                NAMES[who]
            );
        }
    }

    /// Delivers a damaged entry, which must have no effect.
    fn garble(&mut self, who: Who, place: usize, with: u8) {
        let Some(entry) = self.service.log.get(self.devices[who].cursor) else { return };
        let mut bytes = entry.bytes.clone();
        let welcome = match entry.welcome_of(who) {
            // The parts of a welcome for other devices are not bound to the part for this device.
            Some((commit, _)) if commit.effect.added.len() > 1 => return,
            Some((_, welcome)) => Some(bytes.splice(.., welcome.iter().copied())).is_some(),
            None => false,
        };
        let at = place % bytes.len();
        bytes[at] ^= with.max(1);
        if welcome {
            assert!(self.client(who).join(&bytes, NOW).is_err(), "byte {at} of a welcome");
        } else {
            let result = self.client(who).receive(&bytes, NOW);
            self.news[who].clear();
            match result {
                Err(_) | Ok(Received { event: ReceivedEvent::Own | ReceivedEvent::Ignored(_), .. }) => {}
                // The commit's confirmation tag is not signed. A commit of an epoch whose keys are
                // erased cannot be verified at all.
                Ok(Received { event: ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Fork { .. }), .. }) => {
                    self.news[who].push(Outcome::Lost);
                }
                Ok(other) => panic!("byte {at} of a message: {other:?}"),
            }
        }
    }

    fn join(&mut self, who: Who, then: Then) {
        let epoch = self.service.epoch();
        let leaf = self.service.roster(epoch).get(&who).copied();
        let group_info = self.service.group_info.clone();
        let handle = match self.client(who).join_external(&group_info) {
            Ok(handle) => handle,
            Err(Error::Refused(_)) => {
                assert!(leaf.is_some_and(|key| !self.devices[who].holds(key)), "the device has its leaf's key");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        if let Some(before) = self.devices[who].joining.take() {
            self.ended[who] = Some(before.handle);
        }
        let key = leaf.unwrap_or(self.devices[who].key);
        let effect = Effect {
            added: BTreeMap::from([(who, (key, None))]),
            removed: leaf.map(|_| who).into_iter().collect(),
            ..Effect::default()
        };
        let commit = Commit { by: who, epoch, generation: None, effect, uses: Vec::new(), external: true };
        self.hold(who, handle, commit, then);
    }

    fn reopen(&mut self, who: Who) {
        self.clients[who] = None;
        let store = self.places[who].store(false);
        let mut client = Client::open(store, default_crypto(), self.policy.clone()).unwrap();
        let waiting: Vec<_> =
            client.unacknowledged().unwrap().into_iter().map(|received| event(received.event)).collect();
        assert_eq!(waiting, std::mem::take(&mut self.news[who]), "the unacknowledged events of {}", NAMES[who]);
        client.acknowledge().unwrap();
        self.clients[who] = Some(client);
    }

    /// Checks that the device is in the state of its model, and agrees with every other member of
    /// its epoch.
    fn check(&mut self, who: Who) {
        let client = self.clients[who].as_mut().unwrap();
        let device = &self.devices[who];
        let waiting = [device.view().and_then(|view| view.pending.as_ref()), device.joining.as_ref()];
        let handles: Vec<_> = waiting.into_iter().flatten().map(|waiting| waiting.handle.clone()).collect();
        assert_eq!(client.pending().unwrap(), handles);
        assert_eq!(client.key_package_count().unwrap(), device.packages.len());
        let snapshot = client.snapshot().unwrap();
        let records: Vec<String> = snapshot.records().iter().map(regrow_engine::Record::name).collect();
        let of_group = records.iter().filter(|name| name.starts_with("group chat: ")).count();
        let Some(view) = device.view() else {
            let expected = if matches!(device.standing, Standing::Outside) { 0 } else { 1 };
            assert_eq!(
                of_group, expected,
                "{} was removed or has forgotten the group, but has the wrong records: {records:?}",
                NAMES[who]
            );
            return;
        };
        let own_updates = view
            .proposals
            .iter()
            .filter(|(proposal, _)| proposal.by == who && matches!(proposal.what, What::Update(_)));
        let keys = records.iter().filter(|name| *name == "group chat: encryption key").count();
        assert_eq!(keys, own_updates.count(), "{} has the wrong keys of own proposals: {records:?}", NAMES[who]);

        let mut chat = client.group(&group()).unwrap();
        assert_eq!(chat.epoch().unwrap().0, view.epoch);
        let mut roster = BTreeMap::new();
        for member in chat.roster().unwrap() {
            roster.insert(number(&member.device), member.signature_key);
        }
        let expected = self.service.roster(view.epoch);
        assert!(roster.keys().eq(expected.keys()), "{roster:?}, but expected {expected:?}");
        for (member, key) in roster {
            let known = self.keys.entry(expected[&member]).or_insert_with(|| key.clone());
            assert_eq!(*known, key, "the signature key of {}", NAMES[member]);
        }
        let authenticator = chat.epoch_authenticator().unwrap();
        let known = self.service.authenticators.entry(view.epoch).or_insert_with(|| authenticator.clone());
        assert_eq!(*known, authenticator, "{} is in a different group state", NAMES[who]);
    }

    /// Reopens all devices and delivers all ordered entries to them. Then every device sends a
    /// message.
    pub fn finish(&mut self) {
        for (who, name) in NAMES.iter().enumerate().take(self.devices.len()) {
            self.reopen(who);
            self.check(who);
            self.receive(who, usize::MAX / 2, who % 2 == 0);
            self.check(who);
            if let Some(view) = self.devices[who].view() {
                assert_eq!(view.epoch, self.service.epoch(), "{name} is not in the epoch of the service");
            }
        }
        for who in 0..self.devices.len() {
            self.send(who);
            for other in 0..self.devices.len() {
                self.receive(other, 1, false);
                self.check(other);
            }
        }
        let distinct: BTreeSet<_> = self.keys.values().collect();
        assert_eq!(distinct.len(), self.keys.len(), "a new signature key equals an earlier one");
    }
}

impl Place {
    fn store(&self, new: bool) -> Arc<dyn Store> {
        let key = StoreKey::from_bytes([7; 32]);
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::File(path) if new => Arc::new(SqliteStore::create(path, &key, default_crypto()).unwrap()),
            Self::File(path) => Arc::new(SqliteStore::open(path, &key, default_crypto()).unwrap()),
        }
    }
}

impl Step {
    fn who(&self) -> Who {
        match *self {
            Self::Create(who)
            | Self::Add(who, ..)
            | Self::Remove(who, ..)
            | Self::Update(who, ..)
            | Self::Commit(who, _)
            | Self::ProposeAdd(who, ..)
            | Self::ProposeRemove(who, ..)
            | Self::ProposeUpdate(who, _)
            | Self::Leave(who, _)
            | Self::Resume(who, _)
            | Self::Abandon(who)
            | Self::Discard(who)
            | Self::Submit(who)
            | Self::Answer(who)
            | Self::Outdated(who, _)
            | Self::Send(who)
            | Self::Receive(who, ..)
            | Self::Early(who, _)
            | Self::Again(who, _)
            | Self::Garbled(who, ..)
            | Self::Join(who, _)
            | Self::Forget(who)
            | Self::Reopen(who) => who,
        }
    }
}

fn number(device: &DeviceId) -> Who {
    NAMES.iter().position(|name| *name == device.user()).unwrap()
}

fn sorted(changes: &[Change]) -> (BTreeSet<Who>, BTreeSet<Who>, BTreeSet<Who>) {
    let mut sets = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let first = match change {
            Change::Added(device) => sets.0.insert(number(device)),
            Change::Removed(device) => sets.1.insert(number(device)),
            Change::Updated(device) => sets.2.insert(number(device)),
            Change::Data(_) => panic!("nobody sets the group's data"),
        };
        assert!(first, "a change is listed twice: {change}");
    }
    sets
}

fn event(event: ReceivedEvent) -> Outcome {
    match event {
        ReceivedEvent::Message(message) => {
            Outcome::Message { by: number(&message.sender), epoch: message.epoch.0, text: message.text.to_vec() }
        }
        ReceivedEvent::Proposal { by, .. } => Outcome::Proposal { by: number(&by) },
        ReceivedEvent::Commit(change) => {
            let (added, removed, updated) = sorted(&change.changes);
            let (by, epoch, resume) = (number(&change.by), change.epoch.0, change.resume);
            Outcome::Commit { by, epoch, added, removed, updated, resume }
        }
        ReceivedEvent::Removed { by, epoch } => Outcome::Removed { by: number(&by), epoch: epoch.0 },
        ReceivedEvent::Own => Outcome::Own,
        ReceivedEvent::Ignored(Ignored::PastEpoch) => Outcome::PastEpoch,
        ReceivedEvent::Ignored(Ignored::AlreadyRead) => Outcome::AlreadyRead,
        ReceivedEvent::Ignored(Ignored::TooOld) => Outcome::TooOld,
        ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Fork { .. }) => Outcome::Lost,
        other @ (ReceivedEvent::Lost(_) | ReceivedEvent::Ignored(Ignored::Clock)) => panic!("{other:?}"),
    }
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::AlreadyMember { .. } => Failure::AlreadyMember,
        Error::CommitPending { .. } => Failure::CommitPending,
        Error::FutureEpoch { .. } => Failure::FutureEpoch,
        Error::GroupExists { .. } => Failure::GroupExists,
        Error::Invalid { .. } => Failure::Invalid,
        Error::NotInvited => Failure::NotInvited,
        Error::NothingToCommit => Failure::NothingToCommit,
        Error::NotPending => Failure::NotPending,
        Error::OwnRemoval => Failure::OwnRemoval,
        Error::ProposalsWait => Failure::ProposalsWait,
        Error::Removed { .. } => Failure::Removed,
        Error::UnknownGroup { .. } => Failure::UnknownGroup,
        Error::UnknownMember { .. } => Failure::UnknownMember,
        other => panic!("unexpected error of a call: {other}"),
    }
}
