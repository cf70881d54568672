//! A group of real engine clients with the oracle beside them. The oracle is told everything that
//! happens to the clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regrow_engine::{
    Client, DeviceId, Error, GroupId, HandshakeMode, KeyPackageBytes, Layered, MemoryStore, PendingCommit, Policy,
    ReceivedEvent, Timestamp,
};
use regrow_simulator::{
    adversary::{CallLog, Evidence, Taped},
    oracle::{CommitId, DeviceNumber, Fact, KeyPackageId, MessageNumber, Oracle, ProposalId, Tree},
    world::randomness::{SeededCrypto, SharedResults},
};

use super::{
    compare::Names,
    recorder::SealRecorder,
    step::{CommitEnding, Settings},
    thief::SnapshotHolder,
};

/// The year 2100, as in scenarios: it is later than any clock.
pub const NOW: Timestamp = Timestamp(4_102_444_800);
/// A time at which every key package has expired.
pub const MUCH_LATER: Timestamp = Timestamp(2 * NOW.0);

/// One real device.
pub struct Player {
    pub client: Client,
    pub crypto: Arc<Layered<SealRecorder>>,
    /// The position in the log up to which the device has processed it.
    pub cursor: usize,
    pub asleep: bool,
    /// The log entries of messages that the device gets late.
    pub held: Vec<usize>,
    pub pending: Option<Made>,
    pub joining: Option<Made>,
    pub last_resort: Option<(KeyPackageId, KeyPackageBytes)>,
}

/// A commit that was made.
pub type Made = (CommitId, PendingCommit);

impl Player {
    /// The commit that the device has under way as a member.
    pub fn pending(&self) -> Option<CommitId> {
        self.pending.as_ref().map(|(id, _)| *id)
    }

    /// The external commit that the device has under way.
    pub fn joining(&self) -> Option<CommitId> {
        self.joining.as_ref().map(|(id, _)| *id)
    }
}

/// An entry of the log.
pub enum LogEntry {
    Commit { id: CommitId, by: usize, epoch: u64, bytes: Vec<u8>, adds: Vec<usize>, welcome: Option<Vec<u8>> },
    Proposal { id: ProposalId, by: usize, epoch: u64, bytes: Vec<u8>, what: Ordered },
    Message { by: usize, number: MessageNumber, bytes: Vec<u8> },
}

/// A proposal that was ordered.
#[derive(Clone, Copy)]
pub enum Ordered {
    Add(usize, KeyPackageId),
    Update(ProposalId),
    Other,
}

/// The number of devices in addition to the first members.
const OUTSIDERS: usize = 2;

pub struct Walk {
    pub oracle: Oracle,
    /// All facts that the oracle was told.
    pub facts: Vec<Fact>,
    pub players: Vec<Player>,
    pub names: Names,
    /// The devices that have changed since they were compared.
    pub touched: BTreeSet<usize>,
    /// The last tree that was compared: its record, and the oracle's tree.
    pub compared: Option<(Vec<u8>, Tree)>,
    /// The number of the epoch that each commit would make.
    pub epochs: BTreeMap<CommitId, u64>,
    pub thieves: Vec<SnapshotHolder>,
    pub policy: Policy,
    pub group: GroupId,
    /// All traffic, in its order.
    pub log: Vec<LogEntry>,
    /// The secrets that follow from all computed values and all traffic.
    pub evidence: Evidence,
    pub logs: Vec<Arc<CallLog>>,
    pub epoch: u64,
    pub roster: BTreeSet<usize>,
    pub group_info: Vec<u8>,
    pub numbers: u64,
}

impl Walk {
    /// A group of these members. The first member has added the others.
    pub fn new(settings: Settings) -> Self {
        let Settings { seed, members, past_epochs, out_of_order, opaque } = settings;
        let handshake = if opaque { HandshakeMode::Opaque } else { HandshakeMode::Assisted };
        let policy = Policy {
            past_epochs,
            past_epoch_age: None,
            out_of_order,
            handshake,
            padding: 0,
            clock_skew: u64::MAX / 2,
            ..Policy::default()
        };
        let verified: Arc<SharedResults> = Arc::default();
        let logs: Vec<_> = (0..members + OUTSIDERS).map(|index| CallLog::new(&format!("d{index}"), true)).collect();
        let player = |index: usize| {
            let name = format!("d{index}");
            let seeded = Arc::new(Layered(SeededCrypto::new(seed, &name).sharing(Arc::clone(&verified))));
            let taped = Arc::new(Layered(Taped::new(seeded, logs[index].clone())));
            let crypto = Arc::new(Layered(SealRecorder::new(taped)));
            let id = DeviceId::new(&name, "device").unwrap();
            let client = Client::create(Arc::new(MemoryStore::new()), crypto.clone(), id, policy.clone()).unwrap();
            Player {
                client,
                crypto,
                cursor: 0,
                asleep: false,
                held: Vec::new(),
                pending: None,
                joining: None,
                last_resort: None,
            }
        };
        let group = GroupId::new("group").unwrap();
        let mut walk = Self {
            oracle: Oracle::new(regrow_simulator::oracle::RetentionPolicy { past_epochs, out_of_order, opaque }),
            facts: Vec::new(),
            players: (0..members + OUTSIDERS).map(player).collect(),
            names: Names::default(),
            touched: BTreeSet::new(),
            compared: None,
            epochs: BTreeMap::new(),
            thieves: Vec::new(),
            policy: policy.clone(),
            group: group.clone(),
            log: Vec::new(),
            evidence: Evidence::default(),
            logs: logs.clone(),
            epoch: 0,
            roster: [0].into(),
            group_info: Vec::new(),
            numbers: 0,
        };
        walk.group_info = walk.players[0].client.create_group(group, NOW).unwrap().group_info().unwrap();
        walk.tell(Fact::Created { by: DeviceNumber(0) });
        if members > 1 {
            let added: Vec<usize> = (1..members).collect();
            let made = walk.add(0, &added, false);
            walk.meet(0, made, CommitEnding::Ordered);
            walk.deliver();
        }
        walk
    }

    /// Tells the oracle a fact.
    pub fn tell(&mut self, fact: Fact) {
        match &fact {
            Fact::KeyPackageMade { of: who, .. }
            | Fact::KeyPackageErased { of: who, .. }
            | Fact::Created { by: who }
            | Fact::Proposed { by: who, .. }
            | Fact::Received { who, .. }
            | Fact::Prepared { by: who, .. }
            | Fact::Discarded { by: who, .. }
            | Fact::Entered { who, .. }
            | Fact::Joined { who, .. }
            | Fact::PastErased { who, .. }
            | Fact::Forgot { who }
            | Fact::Encrypted { by: who, .. }
            | Fact::Read { who, .. }
            | Fact::Stolen { thief: who, .. } => {
                self.touched.insert(who.0);
            }
            Fact::Ordered { .. } | Fact::Sent { .. } => {}
        }
        self.oracle.apply(fact.clone()).unwrap_or_else(|impossible| panic!("{impossible}"));
        self.facts.push(fact);
    }

    /// Adds an entry to the log.
    pub fn order(&mut self, entry: LogEntry) {
        self.see_tapes();
        match &entry {
            LogEntry::Commit { bytes, welcome, .. } => {
                self.evidence.sent(bytes);
                welcome.iter().for_each(|welcome| self.evidence.sent(welcome));
            }
            LogEntry::Proposal { bytes, .. } => self.evidence.sent(bytes),
            LogEntry::Message { number, bytes, .. } => self.evidence.message_sent(number.0 as usize, bytes, b"text"),
        }
        self.log.push(entry);
    }

    pub fn see_tapes(&mut self) {
        self.logs.iter().for_each(|log| self.evidence.record(log));
    }

    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn id(&self, who: usize) -> DeviceId {
        self.players[who].client.device().clone()
    }

    pub fn outsiders(&self) -> Vec<usize> {
        (0..self.players.len()).filter(|who| !self.roster.contains(who)).collect()
    }

    pub fn other(&self, than: usize, who: u8) -> Option<usize> {
        let others: Vec<usize> = self.roster.iter().copied().filter(|other| *other != than).collect();
        pick(&others, who)
    }

    /// The device's epoch, if the device has a state of the group.
    pub fn epoch_of(&mut self, who: usize) -> Option<u64> {
        let mut group = self.players[who].client.group(&self.group).ok()?;
        Some(group.epoch().unwrap().0)
    }

    /// A member that is up to date and has no commit under way.
    pub fn ready(&mut self, by: u8) -> Option<usize> {
        let members: Vec<usize> = self.roster.iter().copied().collect();
        let by = pick(&members, by)?;
        self.catch_up(by);
        let is_ready = self.players[by].pending.is_none() && self.epoch_of(by) == Some(self.epoch);
        is_ready.then_some(by)
    }

    pub fn key_package(&mut self, of: usize, last_resort: bool) -> (KeyPackageId, KeyPackageBytes) {
        if let Some(known) = self.players[of].last_resort.clone().filter(|_| last_resort) {
            return known;
        }
        let id = KeyPackageId(self.number());
        let player = &mut self.players[of];
        let bytes = match last_resort {
            true => player.client.last_resort_key_package(NOW).unwrap(),
            false => player.client.key_packages(1, NOW).unwrap().remove(0),
        };
        if last_resort {
            player.last_resort = Some((id, bytes.clone()));
        }
        self.tell(Fact::KeyPackageMade { of: DeviceNumber(of), key_package: id, last_resort });
        self.compare(of);
        (id, bytes)
    }

    pub fn send(&mut self, by: u8, lost: bool, held_by: u8, dropped_by: u8) {
        let members: Vec<usize> = self.roster.iter().copied().collect();
        let Some(by) = pick(&members, by) else { return };
        self.catch_up(by);
        if self.epoch_of(by) != Some(self.epoch) {
            return;
        }
        let bytes = match self.players[by].client.group(&self.group).unwrap().send(b"text") {
            Ok(bytes) => bytes,
            Err(Error::ProposalsWait) => return,
            Err(error) => panic!("{error}"),
        };
        let number = MessageNumber(self.number());
        self.tell(Fact::Encrypted { by: DeviceNumber(by), message: number });
        if lost {
            return;
        }
        self.tell(Fact::Sent { message: number });
        let entry = self.log.len();
        self.order(LogEntry::Message { by, number, bytes });
        for who in 0..self.players.len() {
            let (held, dropped) = (held_by >> (who % 8) & 1 == 1, dropped_by >> (who % 8) & 1 == 1);
            if who != by && (held || dropped) {
                // The device skips the message when it comes to it.
                self.catch_up_to(who, entry);
                self.players[who].cursor = entry + 1;
                if !dropped {
                    self.players[who].held.push(entry);
                }
            }
        }
    }

    pub fn deliver(&mut self) {
        for who in 0..self.players.len() {
            if !self.players[who].asleep {
                self.catch_up(who);
            }
        }
    }

    pub fn catch_up(&mut self, who: usize) {
        self.catch_up_to(who, self.log.len());
    }

    pub fn catch_up_to(&mut self, who: usize, end: usize) {
        while self.players[who].cursor < end {
            let entry = self.players[who].cursor;
            self.players[who].cursor += 1;
            self.process(who, entry);
        }
    }

    pub fn process(&mut self, who: usize, entry: usize) {
        let own_epoch = self.epoch_of(who);
        let player = &mut self.players[who];
        match &self.log[entry] {
            LogEntry::Commit { id, by, epoch, bytes, adds, welcome } => {
                let under_way = [&player.pending, &player.joining];
                let is_own = under_way.into_iter().flatten().any(|(pending, _)| pending == id);
                let id = *id;
                if is_own || own_epoch == Some(*epoch) {
                    let event = player.client.receive(bytes, NOW).unwrap().event;
                    assert!(matches!(event, ReceivedEvent::Commit(_) | ReceivedEvent::Removed { .. }), "{event:?}");
                    self.entered(who, id);
                } else if own_epoch.is_none()
                    && adds.contains(&who)
                    && *by != who
                    && let Some(welcome) = welcome
                {
                    match player.client.join(welcome, NOW) {
                        Ok(_) => self.tell(Fact::Joined { who: DeviceNumber(who), commit: id }),
                        // The device's key package has been erased.
                        Err(Error::NotInvited) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            LogEntry::Proposal { id, epoch, bytes, .. } => {
                if own_epoch == Some(*epoch) {
                    match player.client.receive(bytes, NOW).unwrap().event {
                        ReceivedEvent::Proposal { .. } => {
                            let proposal = *id;
                            self.tell(Fact::Received { who: DeviceNumber(who), proposal });
                        }
                        ReceivedEvent::Own | ReceivedEvent::Ignored(_) => {}
                        event => panic!("{event:?}"),
                    }
                }
            }
            LogEntry::Message { by, .. } => {
                if *by != who {
                    self.read(who, entry);
                }
            }
        }
    }

    /// Delivers a message to a device, which reads it if it can.
    pub fn read(&mut self, who: usize, entry: usize) {
        let LogEntry::Message { number, bytes, .. } = &self.log[entry] else { return };
        let message = *number;
        match self.players[who].client.receive(bytes, NOW) {
            Ok(received) if matches!(received.event, ReceivedEvent::Message(_)) => {
                self.tell(Fact::Read { who: DeviceNumber(who), message });
            }
            Ok(received) => assert!(matches!(received.event, ReceivedEvent::Ignored(_)), "{:?}", received.event),
            Err(Error::UnknownGroup { .. } | Error::Removed { .. } | Error::Invalid { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn pick(from: &[usize], which: u8) -> Option<usize> {
    (!from.is_empty()).then(|| from[which as usize % from.len()])
}
