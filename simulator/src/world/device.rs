//! One member's phone: a client of the engine over a store that survives, in a process that may not.

use std::{collections::BTreeMap, sync::Arc};

use regrow_delivery_service as ds;
use regrow_engine::{
    Client, CryptoProvider, DeviceId, EpochAuthenticator, Error, GroupId, Layered, Policy, StorageError, Store,
};

use super::{
    Failed,
    courier::Fate,
    file::StorageFile,
    randomness::{SeededCrypto, VerificationCache},
    store::{Common, MortalStore, Records},
    fault_injection::FaultInjection,
    window::Window,
};
use crate::{
    adversary::{CallLog, StolenState, Mark, Taped},
    cost::Operation,
    scenario::{CrashPoint, FailCode, MemberName, TheftScope},
};

/// The device's name: a scenario's members are users with one device each.
const DEVICE: &str = "device";

/// What a device has of the outside world, and what it has come to know.
pub(super) struct Device {
    pub(super) index: usize,
    pub(super) name: MemberName,
    /// Its name as the delivery service knows it.
    pub(super) address: DeviceId,
    pub(super) client: Client,
    store: MortalStore,
    crypto: Arc<Layered<SeededCrypto>>,
    /// The same two, as its process is given them.
    given: (Arc<dyn Store>, Arc<dyn CryptoProvider>),
    /// What its cryptography does.
    pub(super) log: Arc<CallLog>,
    policy: Policy,
    /// The name of the step whose randomness it draws.
    pub(super) step: String,
    /// The name of the part of the step whose randomness it draws now.
    part: String,
    restarts: u32,
    checkpoints: u32,
    pub(super) online: bool,
    /// Up to where it has processed its stream. It survives the process, like the store.
    pub(super) cursor: ds::Cursor,
    /// The number and the time of the log entry that came last to it.
    last: Option<(u64, u64)>,
    /// Whether an entry was gone before it came: the device was away for longer than the service keeps them.
    pub(super) missed: bool,
    /// Where its process dies next.
    pub(super) crash: Option<CrashPoint>,
    /// Deliveries that are held back, oldest first.
    pub(super) held: Vec<ds::Delivery>,
    /// Whether it has something left to do in the group that it is to take up again.
    pub(super) resume: bool,
    pub(super) window: Window,
    /// Whether it knows that another acts in its name: it makes nothing until it has rejoined.
    pub(super) lost: bool,
    /// Whether a thief's commit has locked it out: it cannot follow until it has rejoined.
    pub(super) ousted: bool,
    /// What became of each application message that came to it, by the message's number.
    pub(super) fates: BTreeMap<usize, Reading>,
    /// How many messages it has encrypted in its present epoch.
    pub(super) encrypted: (u64, u32),
}

/// What all devices of a simulation are built on.
pub(super) struct Basis<'b> {
    pub(super) seed: u64,
    pub(super) policy: &'b Policy,
    /// What the devices' names end with.
    pub(super) suffix: String,
    pub(super) verification_cache: Arc<VerificationCache>,
    pub(super) common: Arc<Common>,
    pub(super) fault_injection: &'b dyn FaultInjection,
}

/// Where a device can go back to.
pub(super) struct Checkpoint {
    stored: Records,
    log: Mark,
}

/// What became of an application message at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Read,
    /// Its keys were no longer kept, as the policy says.
    Unreadable,
    Held,
    Dropped,
}

impl From<Fate> for Option<Reading> {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Held => Some(Reading::Held),
            Fate::Dropped => Some(Reading::Dropped),
            Fate::Delivered | Fate::Twice => None,
        }
    }
}

impl Device {
    pub(super) fn new(
        basis: &Basis<'_>,
        index: usize,
        name: MemberName,
        log: Arc<CallLog>,
        on_disk: bool,
    ) -> Result<Self, Failed> {
        let Basis { seed, policy, suffix, verification_cache, common, fault_injection } = basis;
        let broken = |e: &dyn std::error::Error| Failed::new(FailCode::InvalidMessage, e);
        let id = DeviceId::new(name.as_str(), format!("{DEVICE}{suffix}")).map_err(|e| broken(&e))?;
        let crypto = Arc::new(Layered(SeededCrypto::new(*seed, name.as_str()).sharing(verification_cache.clone())));
        let provider: Arc<dyn CryptoProvider> = Arc::new(Layered(Taped::new(crypto.clone(), log.clone())));
        let mut store = MortalStore::new(common);
        if on_disk {
            store = store.with_file(StorageFile::create(*seed, name.as_str(), &crypto.0)?);
        }
        let address = id.clone();
        let given =
            (fault_injection.store(name.as_str(), Arc::new(store.clone())), fault_injection.crypto(name.as_str(), provider));
        let client = Client::create(given.0.clone(), given.1.clone(), id, (*policy).clone()).map_err(|e| broken(&e))?;
        Ok(Self {
            index,
            name,
            address,
            client,
            store,
            crypto,
            given,
            log,
            policy: (*policy).clone(),
            step: String::new(),
            part: String::new(),
            restarts: 0,
            checkpoints: 0,
            online: true,
            cursor: ds::Cursor::START,
            last: None,
            missed: false,
            crash: None,
            held: Vec::new(),
            resume: false,
            window: Window::default(),
            lost: false,
            ousted: false,
            fates: BTreeMap::new(),
            encrypted: (0, 0),
        })
    }

    /// Its randomness is that of this step from here on.
    pub(super) fn begin_step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.checkpoints = 0;
        self.begin_part(step.to_owned());
    }

    fn begin_part(&mut self, part: String) {
        self.crypto.0.begin_step(&part);
        self.part = part;
    }

    /// It is in the group from this epoch on, with a state of its own.
    pub(super) fn joined(&mut self, epoch: u64) {
        self.window.joined(epoch);
        self.lost = false;
        self.ousted = false;
    }

    /// Arms a crash.
    pub(super) fn arm(&mut self, at: CrashPoint) {
        match at {
            CrashPoint::DuringWrite => self.store.arm(),
            _ => self.crash = Some(at),
        }
    }

    /// The crash that was armed and has not happened.
    pub(super) fn armed(&self) -> Option<CrashPoint> {
        if self.store.is_armed() { Some(CrashPoint::DuringWrite) } else { self.crash }
    }

    /// Notes which entry comes, and whether the service had thrown away what was before it. A welcome begins anew.
    pub(super) fn note_entry(&mut self, delivery: &ds::Delivery, now: u64) {
        let retention = ds::Limits::default().retention_seconds;
        let gone = |(number, time): (u64, u64)| delivery.receipt.sequence.0 > number + 1 && time + retention <= now;
        let joins = delivery.kind == ds::DeliveryKind::Welcome;
        self.missed = !joins && (self.missed || self.last.is_some_and(gone));
        self.last = Some((delivery.receipt.sequence.0, delivery.time.0));
    }

    /// Whether the process dies here; if so it is to be started again.
    pub(super) fn dies_at(&mut self, here: CrashPoint) -> bool {
        self.crash.take_if(|at| *at == here).is_some()
    }

    /// Where its log is, if its process may die before it has done the next thing: what it computes until then is lost, and
    /// is not what that thing costs.
    pub(super) fn mark_if_mortal(&self) -> Option<Mark> {
        self.store.is_armed().then(|| self.log.mark())
    }

    /// Whether the process died while it was writing.
    pub(super) fn died_writing(&self) -> bool {
        self.store.take_death()
    }

    /// Starts the process again, over what is stored.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.restarts += 1;
        // What was drawn before the crash must not be drawn again.
        self.begin_part(format!("{} restart {}", self.step, self.restarts));
        self.reopen()
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.log.begin(Operation::Housekeeping);
        self.client = Client::open(self.given.0.clone(), self.given.1.clone(), self.policy.clone())?;
        Ok(())
    }

    /// Begins something that may have to be done again from here: with randomness of its own, that of the next such
    /// thing in this step.
    pub(super) fn checkpoint(&mut self) -> Checkpoint {
        self.checkpoints += 1;
        self.begin_part(format!("{} part {}", self.step, self.checkpoints));
        Checkpoint { stored: self.store.records(), log: self.log.mark() }
    }

    /// Goes back to a checkpoint: what is stored and what is drawn from here on are as they were then; or as they were
    /// when the process was last started again, if it has died since.
    pub(super) fn go_back(&mut self, to: &Checkpoint) -> Result<(), Error> {
        self.store.replace(to.stored.clone()).map_err(StorageError::from)?;
        self.crypto.0.begin_step(&self.part);
        self.reopen()?;
        self.log.go_back(&to.log);
        Ok(())
    }

    /// What somebody has who steals it now.
    pub(super) fn steal(&self, scope: TheftScope) -> Result<StolenState, Failed> {
        let broken = |e: &dyn std::error::Error| Failed::new(FailCode::InvalidMessage, e);
        match scope {
            TheftScope::Device => self.client.snapshot().map(StolenState::Device).map_err(|e| broken(&e)),
            TheftScope::Disk => {
                let file = self.store.file();
                let file = file.ok_or_else(|| Failed::new(FailCode::Rejected, "the device has no storage file"))?;
                file.steal().map(StolenState::Disk).map_err(|e| broken(&e))
            }
        }
    }

    /// The epoch that it is in, if it is in the group.
    pub(super) fn epoch(&mut self, group: &GroupId) -> Option<u64> {
        Some(self.client.group(group).ok()?.epoch().ok()?.0)
    }

    pub(super) fn authenticator(&mut self, group: &GroupId) -> Option<EpochAuthenticator> {
        self.client.group(group).ok()?.epoch_authenticator().ok()
    }
}
