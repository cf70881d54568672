//! One member's device: an engine client over a store that survives a crash of the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use regrow_delivery_service as ds;
use regrow_engine::{
    Backup, Client, CryptoProvider, DeviceId, EpochAuthenticator, Error, GroupId, HandshakeMode, Layered, Policy,
    StorageError, Store, Timestamp,
};

#[cfg(test)]
use super::shared_values::StoredValue;
use super::{
    application_answers::ApplicationAnswers,
    clock::DeviceClock,
    crashable_store::{CrashableStore, StoredRecords},
    device_group::{DeviceGroup, PresentEpoch},
    event::TranscriptEvent,
    fault_injection::FaultInjection,
    member_checks::MemberChecks,
    network::Inbox,
    randomness::{SeededCrypto, SharedResults},
    recorder::Recorder,
    shared_values::SharedValues,
    step_failure::StepFailure,
    storage_file::StorageFile,
    submission::Submission,
};
use crate::{
    adversary::{CallLog, Mark, StolenState, Taped},
    cost::Operation,
    report::Unreadable,
    scenario::{CrashPoint, GroupName, MemberName, MessageId},
};

/// The name of the only device of a user, whose member has the name of the user.
const DEVICE: &str = "device";

/// A device: its client, its store, and the world's knowledge of its state.
pub(super) struct Device {
    pub(super) index: usize,
    pub(super) name: MemberName,
    /// The device's identity at the delivery service.
    pub(super) address: DeviceId,
    pub(super) client: Client,
    store: CrashableStore,
    crypto: Arc<Layered<SeededCrypto>>,
    /// The store and the cryptography with injected faults, as the client gets them.
    injected: (Arc<dyn Store>, Arc<dyn CryptoProvider>),
    /// The log of the device's crypto calls.
    pub(super) log: Arc<CallLog>,
    pub(super) policy: Arc<Policy>,
    /// The answers of the device's application about keys.
    pub(super) answers: Arc<ApplicationAnswers>,
    /// The label of the step whose randomness the device draws.
    pub(super) step: Arc<str>,
    /// The label of the part of the step whose randomness the device draws now.
    part: Arc<str>,
    restarts: u32,
    checkpoints: u32,
    pub(super) online: bool,
    /// True if the device was reported as lost. It never comes back.
    pub(super) is_lost: bool,
    /// True if the device was restored from a backup. Then it cannot open a welcome for a key package
    /// that it had published before.
    pub(super) is_restored: bool,
    /// The position after the last processed delivery. It survives the process, like the store.
    pub(super) cursor: ds::Cursor,
    /// The point at which the process crashes next.
    pub(super) crash: Option<CrashPoint>,
    /// True if a partition of the network separates the device from the service.
    pub(super) partitioned: bool,
    /// The deliveries that have not reached the engine.
    pub(super) inbox: Inbox,
    pub(super) clock: DeviceClock,
    /// The name of the handshake that the device makes.
    pub(super) naming: Option<MessageId>,
    /// The entries that the service keeps back from the device, oldest first.
    pub(super) kept_back: Vec<ds::Delivery>,
    /// The device's checks of the service, if it makes any.
    pub(super) checks: Option<MemberChecks>,
    /// The position that the device could not acknowledge, because the service's disk was full.
    pub(super) unacknowledged: Option<ds::Cursor>,
    /// The ratchet trees for welcomes that the device has not processed yet.
    pub(super) welcome_trees: BTreeMap<(GroupId, ds::Epoch), Vec<u8>>,
    /// The groups that the device has joined, and could not accept yet.
    pub(super) unaccepted: BTreeSet<GroupId>,
    /// The proposals that the service could not store. The engine counts on them.
    pub(super) unsent: Vec<Submission>,
    /// The elapsed seconds at which the device went offline or was locked, and the length of its last
    /// absence.
    away: (Option<u64>, u64),
    /// The state in each group that the device has had to do with.
    pub(super) groups: BTreeMap<GroupId, DeviceGroup>,
    /// The read status of each application message that reached the device, by the message's index.
    pub(super) read_status: BTreeMap<usize, ReadStatus>,
}

/// The values that all devices of a run share.
pub(super) struct DeviceSetup<'b> {
    pub(super) seed: u64,
    /// The suffix of the devices' names.
    pub(super) suffix: &'b str,
    pub(super) shared_results: Arc<SharedResults>,
    pub(super) shared_values: Arc<SharedValues>,
    pub(super) faults: &'b dyn FaultInjection,
    /// The key of the service, if the devices check the service.
    pub(super) auditor: Option<ds::ServicePublicKey>,
    /// True if the applications note the keys that they see.
    pub(super) notes_keys: bool,
}

/// A state that a device can go back to.
pub(super) struct SavedState {
    stored: StoredRecords,
    log: Mark,
}

/// The status of an application message at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadStatus {
    Read,
    /// The device could not read it, for this reason.
    Unreadable(Unreadable),
    Held,
    Dropped,
    /// The service has cut the device off, and the device could not read the message.
    CutOff,
}

/// The size of the identity in the credential of a member's device. [`None`] if no device can have
/// the name.
pub(crate) fn identity_size(name: &MemberName) -> Option<u16> {
    let device = DeviceId::new(name.user(), name.device().unwrap_or(DEVICE)).ok()?;
    device.to_identity().len().try_into().ok()
}

/// The name of the member with an engine identity. `suffix` is the suffix of the names of devices.
pub(super) fn member_name(id: &DeviceId, suffix: &str) -> String {
    match id.device().strip_suffix(suffix).unwrap_or(id.device()) {
        DEVICE => id.user().to_string(),
        device => format!("{}/{device}", id.user()),
    }
}

impl Device {
    pub(super) fn new(
        setup: &DeviceSetup<'_>,
        index: usize,
        name: MemberName,
        policy: Arc<Policy>,
        log: Arc<CallLog>,
        with_file: bool,
    ) -> Result<Self, StepFailure> {
        let DeviceSetup { seed, suffix, shared_results, shared_values, faults, auditor, notes_keys } = setup;
        let id = DeviceId::new(name.user(), format!("{}{suffix}", name.device().unwrap_or(DEVICE)));
        let id = id.map_err(StepFailure::broken)?;
        let seeded = SeededCrypto::new(*seed, name.as_str())
            .with_ciphersuite(policy.ciphersuite)
            .sharing(shared_results.clone());
        let crypto = Arc::new(Layered(seeded));
        let provider: Arc<dyn CryptoProvider> = Arc::new(Layered(Taped::new(crypto.clone(), log.clone())));
        let mut store = CrashableStore::new(shared_values);
        if with_file {
            store = store.with_file(StorageFile::create(*seed, name.as_str(), &crypto.0)?);
        }
        let address = id.clone();
        let injected = (faults.store(name.as_str(), Arc::new(store.clone())), faults.crypto(name.as_str(), provider));
        let made = faults.checks(name.as_str());
        let answers = Arc::new(ApplicationAnswers::new(*notes_keys));
        let client = Client::create(injected.0.clone(), injected.1.clone(), id, (*policy).clone());
        let client = client.map(|client| client.with_authentication(answers.clone()));
        Ok(Self {
            index,
            name,
            address,
            client: client.map_err(StepFailure::broken)?,
            store,
            crypto,
            injected,
            log,
            policy,
            answers,
            step: "".into(),
            part: "".into(),
            restarts: 0,
            checkpoints: 0,
            online: true,
            is_lost: false,
            is_restored: false,
            cursor: ds::Cursor::START,
            crash: None,
            partitioned: false,
            inbox: Inbox::default(),
            clock: DeviceClock::right(),
            naming: None,
            kept_back: Vec::new(),
            checks: auditor.map(|service| MemberChecks::new(service, made)),
            unacknowledged: None,
            welcome_trees: BTreeMap::new(),
            unaccepted: BTreeSet::new(),
            unsent: Vec::new(),
            away: (None, 0),
            groups: BTreeMap::new(),
            read_status: BTreeMap::new(),
        })
    }

    /// Starts the randomness of this step.
    pub(super) fn begin_step(&mut self, step: &Arc<str>) {
        self.step = step.clone();
        self.checkpoints = 0;
        self.begin_part(step.clone());
    }

    fn begin_part(&mut self, part: Arc<str>) {
        self.crypto.0.begin_step(part.clone());
        self.part = part;
    }

    /// The state in a group.
    pub(super) fn in_group(&mut self, group: &GroupId) -> &mut DeviceGroup {
        self.groups.entry(group.clone()).or_default()
    }

    /// True if a thief has locked the device out of a group.
    pub(super) fn is_locked_out(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|group| group.locked_out)
    }

    /// The first group in which the engine has intents left, and can take them up.
    pub(super) fn group_to_resume(&self) -> Option<&GroupId> {
        self.groups.iter().find(|(id, group)| group.resume && !self.is_behind(id)).map(|(id, _)| id)
    }

    /// Arms a crash.
    pub(super) fn arm(&mut self, at: CrashPoint) {
        match at {
            CrashPoint::DuringWrite => self.store.arm(),
            _ => self.crash = Some(at),
        }
    }

    /// The device has erased the past epochs that are too old, in all groups.
    pub(super) fn past_epochs_expired(&mut self, now: Timestamp, recorder: &mut Recorder<'_>) {
        for (id, group) in &mut self.groups {
            if let Some(kept) = group.window.expire(now, &self.policy) {
                recorder.facts.past_erased(self.index, id, kept);
            }
        }
    }

    /// The armed crash that has not happened yet.
    pub(super) fn armed(&self) -> Option<CrashPoint> {
        if self.store.is_armed() { Some(CrashPoint::DuringWrite) } else { self.crash }
    }

    /// Disconnects the device for ever.
    pub(super) fn lose(&mut self, elapsed: u64) {
        self.set_online(false, elapsed);
        self.is_lost = true;
    }

    /// Connects or disconnects the device. A lost device stays disconnected.
    pub(super) fn set_online(&mut self, online: bool, elapsed: u64) {
        if self.is_lost {
            return;
        }
        self.online = online;
        self.note_absence(elapsed);
    }

    /// Notes the begin or the end of an absence: the device is offline or locked.
    pub(super) fn note_absence(&mut self, elapsed: u64) {
        self.away = match (self.online && !self.client.is_locked(), self.away) {
            (false, (None, before)) => (Some(elapsed), before),
            (true, (Some(since), _)) => (None, elapsed - since),
            (_, away) => away,
        };
    }

    /// The length of the device's last absence.
    pub(super) fn last_absence(&self) -> Duration {
        Duration::from_secs(self.away.1)
    }

    /// True if the process crashes at this point. The caller has to start it again.
    pub(super) fn crashes_at(&mut self, here: CrashPoint) -> bool {
        self.crash.take_if(|at| *at == here).is_some()
    }

    /// The position in the call log, if a crash is armed. The calls before the crash are lost, and
    /// do not count as cost.
    pub(super) fn mark_if_crash_armed(&self) -> Option<Mark> {
        self.store.is_armed().then(|| self.log.mark())
    }

    /// True if the process crashed during a write.
    pub(super) fn crashed_writing(&self) -> bool {
        self.store.take_crash()
    }

    /// Does an operation until no crash interrupts it.
    pub(super) fn persist<T>(
        &mut self,
        recorder: &mut Recorder<'_>,
        operation: Operation,
        act: impl Fn(&mut Client) -> Result<T, Error>,
    ) -> Result<T, StepFailure> {
        let mark = self.mark_if_crash_armed();
        loop {
            self.log.begin(operation);
            match act(&mut self.client) {
                Err(Error::Storage(_)) if self.crashed_writing() => {
                    self.crash_and_restart(recorder, CrashPoint::DuringWrite)?;
                    mark.iter().for_each(|mark| self.log.go_back(mark));
                }
                other => return Ok(other?),
            }
        }
    }

    /// Records a crash of the process, and starts it again.
    pub(super) fn crash_and_restart(&mut self, recorder: &mut Recorder<'_>, at: CrashPoint) -> Result<(), StepFailure> {
        recorder.tell(TranscriptEvent::Crashed { who: self.name.clone(), at });
        Ok(self.restart()?)
    }

    /// Starts the process again, over the stored records.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.begin_process();
        self.reopen()
    }

    /// Starts the randomness of a new process. It must not draw the same as before the crash.
    fn begin_process(&mut self) {
        self.restarts += 1;
        self.begin_part(format!("{} restart {}", self.step, self.restarts).into());
    }

    /// Erases all records, and makes the device anew from a backup of another device. It keeps its
    /// name and its file. If the backup cannot be restored as this device, nothing changes.
    pub(super) fn restore(&mut self, backup: &Backup, recorder: &mut Recorder<'_>) -> Result<(), StepFailure> {
        let (before, mark) = (self.store.records(), self.mark_if_crash_armed());
        self.replace_records(StoredRecords::new())?;
        loop {
            self.log.begin(Operation::Housekeeping);
            let (store, crypto) = (self.injected.0.clone(), self.injected.1.clone());
            match Client::restore(store, crypto, self.address.clone(), (*self.policy).clone(), backup) {
                Err(Error::Storage(_)) if self.crashed_writing() => {
                    let (who, at) = (self.name.clone(), CrashPoint::DuringWrite);
                    recorder.tell(TranscriptEvent::Crashed { who, at });
                    self.begin_process();
                    mark.iter().for_each(|mark| self.log.go_back(mark));
                }
                Ok(client) => {
                    self.client = client.with_authentication(self.answers.clone());
                    self.is_restored = true;
                    return Ok(());
                }
                Err(error) => {
                    self.replace_records(before)?;
                    return Err(error.into());
                }
            }
        }
    }

    /// True if the device removes the device of its backup when it comes into this group.
    pub(super) fn replaces_another(&self, group: &GroupId) -> Result<bool, Error> {
        Ok(self.is_restored && self.client.groups_to_rejoin()?.contains(group))
    }

    /// Does something under another policy, and goes back to the device's own.
    pub(super) fn under_policy<T>(
        &mut self,
        policy: Policy,
        act: impl FnOnce(&mut Self) -> Result<T, StepFailure>,
    ) -> Result<T, StepFailure> {
        let own = std::mem::replace(&mut self.policy, Arc::new(policy));
        self.reopen()?;
        let done = act(self);
        self.policy = own;
        self.reopen()?;
        done
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.log.begin(Operation::Housekeeping);
        let client = Client::open(self.injected.0.clone(), self.injected.1.clone(), (*self.policy).clone())?;
        self.client = client.with_authentication(self.answers.clone());
        Ok(())
    }

    /// Starts a part of the step that the device may have to repeat from here. The part has
    /// randomness of its own.
    pub(super) fn checkpoint(&mut self) -> SavedState {
        self.checkpoints += 1;
        self.begin_part(format!("{} part {}", self.step, self.checkpoints).into());
        SavedState { stored: self.store.records(), log: self.log.mark() }
    }

    /// Goes back to a checkpoint: the stored records and the randomness are as they were then.
    ///
    /// If the process has restarted since, the randomness is that of the restart.
    pub(super) fn go_back(&mut self, to: &SavedState) -> Result<(), Error> {
        self.replace_records(to.stored.clone())?;
        self.crypto.0.begin_step(self.part.clone());
        self.reopen()?;
        self.log.go_back(&to.log);
        Ok(())
    }

    fn replace_records(&self, records: StoredRecords) -> Result<(), Error> {
        Ok(self.store.replace(records).map_err(StorageError::from)?)
    }

    /// The state of a thief that steals the whole device now.
    pub(super) fn steal(&self) -> Result<StolenState, StepFailure> {
        self.client.snapshot().map(StolenState::Device).map_err(StepFailure::broken)
    }

    /// The state of a thief that steals the files of the storage now, without their key.
    pub(super) fn steal_files(&self) -> Result<StolenState, StepFailure> {
        let file = self.store.file();
        let file = file.ok_or_else(|| StepFailure::rejected("the device has no storage file"))?;
        file.steal().map(StolenState::Disk).map_err(StepFailure::broken)
    }

    /// Drops the groups from memory, unless this device is one of the first `keep` devices.
    pub(super) fn unload_groups(&mut self, keep: usize) {
        if self.index >= keep {
            self.client.unload_groups();
        }
    }

    /// The stored values.
    #[cfg(test)]
    pub(super) fn stored_values(&self) -> Vec<StoredValue> {
        self.store.records().into_values().collect()
    }

    /// The device's epoch in a group, if it is in the group.
    pub(super) fn epoch(&mut self, group: &GroupId) -> Option<u64> {
        Some(self.client.group(group).ok()?.epoch().ok()?.0)
    }

    pub(super) fn authenticator(&mut self, group: &GroupId) -> Option<EpochAuthenticator> {
        self.client.group(group).ok()?.epoch_authenticator().ok()
    }

    /// The device's epoch in a group with its authenticator, if the device is in the group.
    pub(super) fn present_epoch(&mut self, group: &GroupId) -> Option<PresentEpoch> {
        Some(PresentEpoch { epoch: self.epoch(group)?, authenticator: self.authenticator(group)? })
    }

    /// Records the device's epoch in a group. The group has this name, unless steps need not name
    /// it.
    pub(super) fn tell_epoch(
        &mut self,
        group: &GroupId,
        name: Option<GroupName>,
        present: &PresentEpoch,
        recorder: &mut Recorder<'_>,
    ) {
        let PresentEpoch { epoch, authenticator } = present;
        let epoch = *epoch;
        self.note_tree(group, epoch, recorder);
        recorder.facts.epoch(group, epoch, authenticator.as_bytes());
        let authenticator = hex::encode(authenticator.as_bytes());
        recorder.tell(TranscriptEvent::Epoch { who: self.name.clone(), group: name, epoch, authenticator });
    }

    /// Gives the public tree of a group to the recorder of costs, if the recorder needs it.
    pub(super) fn note_tree(&mut self, group: &GroupId, epoch: u64, recorder: &mut Recorder<'_>) {
        if !recorder.costs.wants_tree(group, epoch) {
            return;
        }
        let tree = self.client.group(group).and_then(|mut group| Ok((group.ratchet_tree()?, group.roster()?)));
        let known = tree.is_ok_and(|(tree, members)| recorder.costs.tree(group, &tree, &members));
        if !known {
            recorder.breach(format!("{} has a readable ratchet tree", self.name), "it has none");
        }
    }

    pub(super) fn handshake_mode(&self) -> HandshakeMode {
        self.policy.handshake
    }
}
