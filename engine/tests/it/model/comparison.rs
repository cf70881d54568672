//! The real devices and their models. Each step makes a call, predicts its result, and compares the
//! two.

use std::collections::{BTreeMap, BTreeSet};

use regrow_engine::{
    Client, HandshakeMode, MemoryStore, PendingCommit, Policy, Record, SignaturePublicKey, default_crypto,
};
use tempfile::TempDir;

use crate::common::{NOW, device, group, policy};

use super::{
    action::{Action, CommitHandling},
    prediction::{Device, Failure, MemberState, Outcome, Rules, Standing, WantedChange},
    service::{DeviceNo, KeyNo, ModelService, PackageNo, ProposedChange},
    store_location::StoreLocation,
    translation::{event, failure, number},
};

pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// The real devices, their models, and the service of the model.
pub struct ModelComparison {
    pub(super) policy: Policy,
    pub(super) clients: Vec<Option<Client>>,
    pub(super) locations: Vec<StoreLocation>,
    pub(super) devices: Vec<Device>,
    pub(super) service: ModelService,
    /// For each device, a commit that was confirmed, discarded or lost.
    pub(super) ended: Vec<Option<PendingCommit>>,
    /// The entries that each device has read.
    pub(super) read: BTreeSet<(DeviceNo, usize)>,
    /// The events that each device has received and not acknowledged.
    pub(super) news: Vec<Vec<Outcome>>,
    pub(super) keys: BTreeMap<KeyNo, SignaturePublicKey>,
    pub(super) package_keys: BTreeMap<PackageNo, KeyNo>,
    pub(super) numbers: usize,
    _folder: TempDir,
}

impl ModelComparison {
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
        let mut comparison = Self {
            clients: Vec::new(),
            locations: Vec::new(),
            devices: Vec::new(),
            service: ModelService::default(),
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
            let location = match who {
                0 if in_file => StoreLocation::File(comparison._folder.path().join(name)),
                _ => StoreLocation::Memory(MemoryStore::new()),
            };
            let store = location.store(true);
            let client = Client::create(store, default_crypto(), device(name), comparison.policy.clone()).unwrap();
            let (standing, packages) = (Standing::Outside, BTreeMap::new());
            comparison.locations.push(location);
            comparison.clients.push(Some(client));
            comparison.devices.push(Device { who, rules, key: who, packages, standing, joining: None, cursor: 0 });
        }
        comparison.service.group_info = comparison.client(0).create_group(group(), NOW).unwrap().group_info().unwrap();
        comparison.service.rosters.push(BTreeMap::from([(0, 0)]));
        comparison.devices[0].standing = Standing::Member(Box::new(MemberState::new(0, 0)));
        comparison.check(0);
        for who in 1..members.min(devices) {
            comparison.add(0, who, CommitHandling::Settle);
        }
        for who in 0..devices {
            comparison.receive(who, usize::MAX / 2, false);
        }
        comparison
    }

    /// Selects the device of a step. One number in eight selects any device, the others select a
    /// member.
    fn choose(&self, number: usize) -> DeviceNo {
        let members: Vec<DeviceNo> =
            self.devices.iter().filter(|device| device.view().is_some()).map(|d| d.who).collect();
        match number % 8 {
            7 => number / 8 % self.devices.len(),
            _ => members.get(number % members.len().max(1)).copied().unwrap_or(0),
        }
    }

    pub(super) fn client(&mut self, who: DeviceNo) -> &mut Client {
        self.clients[who].as_mut().unwrap()
    }

    pub(super) fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    pub fn take(&mut self, action: &Action) {
        let count = self.devices.len();
        let who = self.choose(action.who());
        match *action {
            Action::Create(_) => self.create_again(who),
            Action::Add(_, other, then) => self.add(who, self.choose_outside(other), then),
            Action::Remove(_, other, then) => self.remove(who, other % count, then),
            Action::Update(_, signature_key, then) => self.update(who, signature_key, then),
            Action::Commit(_, then) => {
                self.intend(who, WantedChange::CommitProposals, Ok(()), then, |client| {
                    client.group(&group())?.commit()
                });
            }
            Action::ProposeAdd(_, other, sent) => self.propose_add(who, self.choose_outside(other), sent),
            Action::ProposeRemove(_, other, sent) => self.propose_remove(who, other % count, sent),
            Action::ProposeUpdate(_, sent) => {
                let what = ProposedChange::Update(self.number());
                self.propose(who, what, Ok(()), sent, None, |client| client.group(&group())?.propose_update());
            }
            Action::Leave(_, sent) => {
                let intent = Some(WantedChange::Leave);
                self.propose(who, ProposedChange::Remove(who), Ok(()), sent, intent, |client| {
                    client.group(&group())?.leave()
                });
            }
            Action::Resume(_, then) => self.resume(who, then),
            Action::Abandon(_) => self.abandon(who),
            Action::Discard(_) => self.discard(who),
            Action::Submit(_) => self.submit(who),
            Action::Answer(_) => self.answer(who),
            Action::Outdated(_, confirm) => self.settle_again(who, confirm),
            Action::Send(_) => self.send(who),
            Action::Receive(_, entries, together) => self.receive(who, entries, together),
            Action::Early(_, ahead) => self.give(who, self.devices[who].cursor + 1 + ahead),
            Action::Again(_, back) => {
                if let Some(at) = self.devices[who].cursor.checked_sub(1 + back) {
                    self.give(who, at);
                }
            }
            Action::Garbled(_, location, with) => self.garble(who, location, with),
            Action::Join(_, then) => self.join(who, then),
            Action::Forget(_) => {
                self.client(who).forget(&group()).unwrap();
                self.devices[who].standing = Standing::Outside;
                self.devices[who].joining = None;
            }
            Action::Reopen(_) => self.reopen(who),
        }
        self.check(who);
    }

    /// Creates the group again, if the device is a member.
    fn create_again(&mut self, who: DeviceNo) {
        if self.devices[who].view().is_some() {
            let created = self.client(who).create_group(group(), NOW).map(|_| ());
            assert_eq!(created.map_err(|e| failure(&e)), Err(Failure::GroupExists));
        }
    }

    fn update(&mut self, who: DeviceNo, signature_key: bool, then: CommitHandling) {
        self.intend(who, WantedChange::Update { signature_key }, Ok(()), then, |client| {
            let mut chat = client.group(&group())?;
            if signature_key { chat.rotate_signature_key() } else { chat.update() }
        });
    }

    fn propose_remove(&mut self, who: DeviceNo, other: DeviceNo, sent: bool) {
        let id = device(NAMES[other]);
        let member = self.is_member(who, other);
        let expected = if member { Ok(()) } else { Err(Failure::UnknownMember) };
        self.propose(who, ProposedChange::Remove(other), expected, sent, None, |client| {
            client.group(&group())?.propose_remove(&id)
        });
    }

    /// Confirms or discards a commit that is no longer pending.
    fn settle_again(&mut self, who: DeviceNo, confirm: bool) {
        let Some(handle) = self.ended[who].clone() else { return };
        let result = match confirm {
            true => self.client(who).confirm(handle.clone(), NOW).map(|_| ()),
            false => self.client(who).discard(handle.clone()),
        };
        let expected = match self.devices[who].standing {
            _ if handle.is_external() => Failure::NotPending,
            Standing::Outside => Failure::UnknownGroup,
            Standing::Removed => Failure::Removed,
            Standing::Member(_) => Failure::NotPending,
        };
        assert_eq!(result.map_err(|e| failure(&e)), Err(expected));
    }

    /// Selects a device. One number in four selects any device, the others select a device that is
    /// in no group.
    pub(super) fn choose_outside(&self, number: usize) -> DeviceNo {
        let outside: Vec<DeviceNo> =
            self.devices.iter().filter(|device| device.view().is_none()).map(|d| d.who).collect();
        match number % 4 {
            3 => number % self.devices.len(),
            _ => outside.get(number % outside.len().max(1)).copied().unwrap_or(number % self.devices.len()),
        }
    }

    /// Returns true if `other` is a member in the epoch of `who`.
    pub(super) fn is_member(&self, who: DeviceNo, other: DeviceNo) -> bool {
        self.devices[who].view().is_some_and(|view| self.service.roster(view.epoch).contains_key(&other))
    }

    /// Returns the error of every call on the group, if the device is not a member.
    pub(super) fn absent(&self, who: DeviceNo) -> Option<Failure> {
        match self.devices[who].standing {
            Standing::Outside => Some(Failure::UnknownGroup),
            Standing::Removed => Some(Failure::Removed),
            Standing::Member(_) => None,
        }
    }

    pub(super) fn mint(&mut self, who: DeviceNo) -> PackageNo {
        let package = self.number();
        let key = self.devices[who].key;
        self.devices[who].packages.insert(package, key);
        self.package_keys.insert(package, key);
        package
    }

    fn reopen(&mut self, who: DeviceNo) {
        self.clients[who] = None;
        let store = self.locations[who].store(false);
        let mut client = Client::open(store, default_crypto(), self.policy.clone()).unwrap();
        let waiting: Vec<_> =
            client.unacknowledged().unwrap().into_iter().map(|received| event(received.event)).collect();
        assert_eq!(waiting, std::mem::take(&mut self.news[who]), "the unacknowledged events of {}", NAMES[who]);
        client.acknowledge().unwrap();
        self.clients[who] = Some(client);
    }

    /// Checks that the device is in the state of its model, and agrees with every other member of
    /// its epoch.
    fn check(&mut self, who: DeviceNo) {
        let client = self.clients[who].as_mut().unwrap();
        let device = &self.devices[who];
        let waiting = [device.view().and_then(|view| view.pending.as_ref()), device.joining.as_ref()];
        let handles: Vec<_> = waiting.into_iter().flatten().map(|waiting| waiting.handle.clone()).collect();
        assert_eq!(client.pending().unwrap(), handles);
        assert_eq!(client.key_package_count().unwrap(), device.packages.len());
        let snapshot = client.snapshot().unwrap();
        let records: Vec<String> = snapshot.records().iter().map(Record::name).collect();
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
            .filter(|(proposal, _)| proposal.by == who && matches!(proposal.what, ProposedChange::Update(_)));
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
