//! What each step does.

use std::{sync::Arc, time::Duration};

use regrow_delivery_service::ClaimOutcome;
use regrow_engine::{
    Client, DeviceId, Error, GroupId, KeyPackageBytes, Layered, Outgoing, PendingCommit, ProposalMessage, Refusal,
    Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::{
    Failed, World,
    device::Device,
    event::{Event, fingerprint},
    impersonate::Hands,
    service::Answer,
    window::Position,
};
use crate::{
    adversary::{StolenState, Taped, Thief, replay},
    cost::Operation,
    oracle::Holdings,
    report::Failure,
    scenario::{
        Action, Body, CompromiseId, CrashPoint, FailCode, MemberName, MessageId, Placed, Proposal, TheftScope, Step,
    },
};

use super::randomness::SeededCrypto;

/// How many single-use key packages of each member the service has.
const KEY_PACKAGES: usize = 2;

/// How often something is tried before it is given up: more often than members could get in each other's way.
const ATTEMPTS: u32 = 1000;

/// What a member is about to submit.
pub(super) enum Parcel {
    /// A commit; what it does is remembered by the engine.
    Commit(PendingCommit),
    /// A proposal; if its epoch is over it is made anew.
    Proposal(ProposalMessage, Remake),
    /// An application message; likewise.
    Message { id: MessageId, at: Position, text: Vec<u8>, bytes: Vec<u8> },
}

/// How a proposal is made again.
#[derive(Clone)]
pub(super) enum Remake {
    Add(KeyPackageBytes),
    Remove(DeviceId),
    Update,
    Leave,
}

impl World<'_> {
    pub(super) fn step(&mut self, step: &Placed<Step>) -> Result<(), Failed> {
        match &step.item {
            Step::Do(action) => self.act(action),
            Step::Race(contenders) => self.race(contenders),
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), Failed> {
        match action {
            Action::Create { by, with } => self.create(by, with),
            Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } if who.len() > 1 => {
                // One after the other, each on what the one before has made of the group.
                for name in who {
                    let who = vec![name.clone()];
                    self.act(&match action {
                        Action::Leave { .. } => Action::Leave { who },
                        Action::Join { .. } => Action::Join { who },
                        _ => Action::Rejoin { who },
                    })?;
                    self.deliver_everything()?;
                }
                Ok(())
            }
            Action::Propose { by, what: Proposal::Add(who) } if who.len() > 1 => {
                self.each(who, |who| Action::Propose { by: by.clone(), what: Proposal::Add(who) })
            }
            Action::Propose { by, what: Proposal::Remove(who) } if who.len() > 1 => {
                self.each(who, |who| Action::Propose { by: by.clone(), what: Proposal::Remove(who) })
            }
            Action::Offline { who } => self.connect(who, false),
            Action::Online { who } => self.connect(who, true),
            Action::RenewKeyPackages { who } => who.iter().try_for_each(|name| {
                let device = self.device(name)?;
                self.refuse_if_offline(device)?;
                self.publish(device, KEY_PACKAGES, true)
            }),
            Action::Hold(what) => {
                self.courier.hold(what);
                Ok(())
            }
            Action::Release(what) => {
                let everyone: Vec<_> = self.by_name.keys().cloned().collect();
                self.courier.release(what, &everyone);
                Ok(())
            }
            Action::Drop(what) => {
                self.courier.drop(what);
                Ok(())
            }
            Action::Duplicate(what) => {
                self.courier.double(what);
                Ok(())
            }
            Action::Crash { who, at } => {
                let device = self.device(who)?;
                self.devices[device].arm(*at);
                Ok(())
            }
            Action::Compromise { who, id, scope } => self.compromise(who, id, *scope),
            Action::Impersonate { compromise, act, id } => self.impersonate(compromise, *act, id.as_ref()),
            Action::Wait(time) => self.wait(*time),
            Action::Expect(_) => Ok(()),
            submitted => {
                let (device, parcel) = self.prepare(submitted)?;
                self.carry_through(device, parcel)
            }
        }
    }

    fn each(&mut self, who: &[MemberName], action: impl Fn(Vec<MemberName>) -> Action) -> Result<(), Failed> {
        who.iter().try_for_each(|name| self.act(&action(vec![name.clone()])))
    }

    fn create(&mut self, by: &MemberName, with: &[MemberName]) -> Result<(), Failed> {
        let creator = self.device(by)?;
        self.refuse_if_offline(creator)?;
        let (id, now) = (self.group.clone(), self.clock);
        let info = self.persist(creator, Operation::Create, |client, _| {
            if client.groups()?.is_empty() {
                client.create_group(id.clone(), now)?;
            }
            client.group(&id)?.group_info()
        })?;
        self.chronicle.created(creator);
        if self.devices[creator].dies_at(CrashPoint::BeforeSubmit) {
            self.restart(creator, CrashPoint::BeforeSubmit)?;
        }
        self.submit_group(creator, &info)?;
        for point in [CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm] {
            if self.devices[creator].dies_at(point) {
                // The application has kept what it was submitting. The service gives the same answer again.
                self.restart(creator, point)?;
                self.submit_group(creator, &info)?;
            }
        }
        self.devices[creator].window.joined(0);
        if with.is_empty() {
            return Ok(());
        }
        let add = Action::Add { by: by.clone(), who: with.to_vec() };
        let (device, parcel) = self.prepare(&add)?;
        self.carry_through(device, parcel)
    }

    /// All contenders prepare on the same epoch; then they submit, in an order from the seed.
    fn race(&mut self, contenders: &[Placed<Action>]) -> Result<(), Failed> {
        let mut parcels = Vec::with_capacity(contenders.len());
        for contender in contenders {
            parcels.push(self.prepare(&contender.item)?);
        }
        parcels.sort_by_cached_key(|(device, _)| self.lot(*device));
        let mut losers = Vec::new();
        for (device, parcel) in parcels {
            let lost = self.attempt(device, parcel);
            losers.extend(unless_void(lost)?.map(|parcel| (device, parcel)));
        }
        // Nothing is sent while proposals wait (RFC 9420, 12.4): messages go before what might be proposed again.
        losers.sort_by_key(|(_, parcel)| !matches!(parcel, Parcel::Message { .. }));
        for (device, parcel) in losers {
            let again = self.again(device, parcel);
            if let Some(parcel) = unless_void(again)? {
                unless_void(self.carry_through(device, parcel).map(|()| None::<Parcel>))?;
            }
        }
        Ok(())
    }

    /// A number that says when this device's turn is, from the seed and the race; not from where the race stands.
    fn lot(&self, device: usize) -> [u8; 32] {
        let Device { name, step, .. } = &self.devices[device];
        Sha256::digest(format!("regrow race {} {step} {name}", self.seed)).into()
    }

    /// Makes what the step submits, and submits nothing yet.
    fn prepare(&mut self, action: &Action) -> Result<(usize, Parcel), Failed> {
        let name = action.submitters().first();
        let name = name.ok_or_else(|| Failed::new(FailCode::Rejected, "the step submits nothing"))?;
        let device = self.device(name)?;
        self.refuse_if_offline(device)?;
        if self.devices[device].ousted && !matches!(action, Action::Rejoin { .. }) {
            return Err(Failed::new(FailCode::Lost, format!("{name} is locked out, and has to rejoin")));
        }
        let parcel = match action {
            Action::Add { who, .. } => {
                let key_packages = self.claim(device, who)?;
                let now = self.clock;
                Parcel::Commit(self.commit(device, |client, id| client.group(id)?.add(&key_packages, now))?)
            }
            Action::Remove { who, .. } => {
                let ids = self.ids(who)?;
                Parcel::Commit(self.commit(device, |client, id| client.group(id)?.remove(&ids))?)
            }
            Action::Update { signature_key, .. } => {
                Parcel::Commit(self.commit(device, |client, id| match signature_key {
                    true => client.group(id)?.rotate_signature_key(),
                    false => client.group(id)?.update(),
                })?)
            }
            Action::Commit { .. } => Parcel::Commit(self.commit(device, |client, id| client.group(id)?.commit())?),
            Action::Join { .. } => {
                if self.devices[device].epoch(&self.group).is_some() {
                    return Err(Failed::new(FailCode::AlreadyAMember, format!("{name} is in the group")));
                }
                Parcel::Commit(self.join_external(device)?)
            }
            Action::Rejoin { .. } => {
                if !self.roster().contains(&device) {
                    return Err(Failed::new(FailCode::NotAMember, format!("{name} has no leaf to replace")));
                }
                // What is lost is the group's state. The device still is who it is.
                self.persist(device, Operation::Housekeeping, |client, id| client.forget(id))?;
                self.chronicle.forgot(device);
                Parcel::Commit(self.join_external(device)?)
            }
            Action::Propose { what: Proposal::Add(who), .. } => {
                let key_package = self.claim(device, who)?.remove(0);
                self.propose(device, Remake::Add(key_package))?
            }
            Action::Propose { what: Proposal::Remove(who), .. } => {
                let id = self.ids(who)?.remove(0);
                self.propose(device, Remake::Remove(id))?
            }
            Action::Propose { what: Proposal::Update, .. } => self.propose(device, Remake::Update)?,
            Action::Leave { .. } => self.propose(device, Remake::Leave)?,
            Action::Send { id, body, .. } => {
                let text = self.text(id, body);
                self.encrypt(device, id.clone(), text)?
            }
            _ => return Err(Failed::new(FailCode::Rejected, "the step submits nothing")),
        };
        Ok((device, parcel))
    }

    fn refuse_if_offline(&self, device: usize) -> Result<(), Failed> {
        let Device { name, online, .. } = &self.devices[device];
        if *online { Ok(()) } else { Err(Failed::new(FailCode::Offline, format!("{name} is offline"))) }
    }

    pub(super) fn propose(&mut self, device: usize, what: Remake) -> Result<Parcel, Failed> {
        let now = self.clock;
        let proposal = self.persist(device, Operation::Proposal, |client, id| {
            let mut group = client.group(id)?;
            match &what {
                Remake::Add(key_package) => group.propose_add(key_package, now),
                Remake::Remove(member) => group.propose_remove(member),
                Remake::Update => group.propose_update(),
                Remake::Leave => match group.resume()? {
                    // The wish is known already, if its last proposal came too late.
                    Some(Outgoing::Proposal(proposal)) => Ok(proposal),
                    _ => group.leave(),
                },
            }
        })?;
        self.chronicle.proposed(device, proposal.as_bytes(), matches!(what, Remake::Update));
        Ok(Parcel::Proposal(proposal, what))
    }

    pub(super) fn encrypt(&mut self, device: usize, id: MessageId, text: Vec<u8>) -> Result<Parcel, Failed> {
        let (epoch, bytes) = self.persist(device, Operation::Send, |client, group| {
            let mut group = client.group(group)?;
            Ok((group.epoch()?.0, group.send(&text)?))
        })?;
        self.chronicle.encrypted(device, &bytes);
        let encrypted = &mut self.devices[device].encrypted;
        if encrypted.0 != epoch {
            *encrypted = (epoch, 0);
        }
        let at = Position { sender: device, epoch, generation: encrypted.1 };
        encrypted.1 += 1;
        Ok(Parcel::Message { id, at, text, bytes })
    }

    /// Submits until it is accepted, or until nothing is left to be done.
    pub(super) fn carry_through(&mut self, device: usize, parcel: Parcel) -> Result<(), Failed> {
        let mut parcel = parcel;
        for _ in 0..ATTEMPTS {
            let Some(loser) = self.attempt(device, parcel)? else { return Ok(()) };
            let Some(next) = self.again(device, loser)? else { return Ok(()) };
            parcel = next;
        }
        Err(Failed::new(FailCode::Stale, format!("given up after {ATTEMPTS} attempts")))
    }

    /// Submits once, through whatever crash is armed. [`None`] if it is done; the parcel if its epoch is over.
    fn attempt(&mut self, device: usize, parcel: Parcel) -> Result<Option<Parcel>, Failed> {
        if self.devices[device].dies_at(CrashPoint::BeforeSubmit) {
            self.restart(device, CrashPoint::BeforeSubmit)?;
            return self.recover(device, parcel);
        }
        let answer = match &parcel {
            Parcel::Commit(pending) => self.submit_commit(device, pending),
            Parcel::Proposal(proposal, _) => self.submit_proposal(device, proposal),
            Parcel::Message { id, at, text, bytes } => self.submit_message(id, *at, text, bytes),
        };
        let answer = answer.or_else(|failed| self.give_up(device, &parcel, failed))?;
        for point in [CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm] {
            if self.devices[device].dies_at(point) {
                self.restart(device, point)?;
                return self.recover(device, parcel);
            }
        }
        match (answer, parcel) {
            (Answer::Stale, parcel) => Ok(Some(parcel)),
            (Answer::Accepted, Parcel::Commit(pending)) => self.confirm(device, pending),
            (Answer::Accepted, _) => Ok(None),
        }
    }

    /// After a crash: catches up, and takes up what was under way. The service gives the answer that was missed again.
    pub(super) fn recover(&mut self, device: usize, parcel: Parcel) -> Result<Option<Parcel>, Failed> {
        self.deliver_to(device)?;
        match parcel {
            Parcel::Commit(_) => match self.next(device)? {
                Some(next) => self.attempt(device, next),
                None => Ok(None),
            },
            // What the application was sending it has kept, and sends again as it is.
            parcel => self.attempt(device, parcel),
        }
    }

    /// Catches up, and makes again what was made in an epoch that is over. [`None`] if nothing is left to be done.
    fn again(&mut self, device: usize, parcel: Parcel) -> Result<Option<Parcel>, Failed> {
        self.deliver_to(device)?;
        self.tell(Event::Again { who: self.devices[device].name.clone() });
        match parcel {
            Parcel::Commit(pending) if pending.is_external() => {
                self.persist(device, Operation::Housekeeping, |client, _| match client.discard(pending.clone()) {
                    Err(Error::NotPending) => Ok(()),
                    other => other,
                })?;
                self.chronicle.discarded(device, &pending);
                if self.devices[device].epoch(&self.group).is_some() {
                    // Somebody has added it in the meantime.
                    return Ok(None);
                }
                self.join_external(device).map(|pending| Some(Parcel::Commit(pending)))
            }
            Parcel::Commit(_) => self.next(device),
            Parcel::Proposal(_, what) => self.propose(device, what).map(Some),
            Parcel::Message { id, text, .. } => self.encrypt(device, id, text).map(Some),
        }
    }

    /// The service will not have it: the wish is dropped, so that it does not stand in the way of the next.
    fn give_up(&mut self, device: usize, parcel: &Parcel, failed: Failed) -> Result<Answer, Failed> {
        if let Parcel::Commit(pending) = parcel {
            self.persist(device, Operation::Housekeeping, |client, id| match pending.is_external() {
                true => client.discard(pending.clone()),
                false => client.group(id)?.abandon(),
            })?;
            self.chronicle.discarded(device, pending);
        }
        Err(failed)
    }

    fn connect(&mut self, who: &[MemberName], online: bool) -> Result<(), Failed> {
        for name in who {
            let device = self.device(name)?;
            self.devices[device].online = online;
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), Failed> {
        self.clock = Timestamp(self.clock.0.saturating_add(time.as_secs()));
        self.service.expire(self.now()).map_err(|e| Failed::new(FailCode::Rejected, e))?;
        self.claimed = (0..self.devices.len()).collect();
        Ok(())
    }

    fn compromise(&mut self, who: &MemberName, id: &CompromiseId, scope: TheftScope) -> Result<(), Failed> {
        let device = self.device(who)?;
        let stolen = self.devices[device].steal(scope)?;
        let records = match &stolen {
            StolenState::Device(snapshot) => Some(snapshot.records().len()),
            StolenState::Disk(_) => None,
        };
        // The thief has a randomness of its own, and what it computes is recorded like what members compute.
        let crypto = Arc::new(Layered(SeededCrypto::new(self.seed, &format!("thief {id}"))));
        let log = self.chronicle.log_of_thief(id);
        let taped = Arc::new(Layered(Taped::new(crypto.clone(), log.clone())));
        let replay = replay::thief(&stolen, taped, self.policy.clone(), self.group.clone());
        let replay = replay.map_err(|e| Failed::new(FailCode::InvalidMessage, e))?;
        self.hands.insert(id.clone(), Hands::new(crypto, log, self.devices[device].encrypted));
        let number = self.devices.len() + self.thieves.len();
        self.tell(Event::Compromised { who: who.clone(), id: id.clone(), scope, records });
        let (device_epoch, holdings) = match scope {
            TheftScope::Device => {
                self.chronicle.stolen(device, number);
                (self.devices[device].epoch(&self.group), self.chronicle.holdings(device))
            }
            // Who has no key of the storage has nothing.
            TheftScope::Disk => (None, Holdings::default()),
        };
        self.thieves.push(Thief {
            id: id.clone(),
            who: who.clone(),
            device,
            scope,
            epoch: self.service_epoch(),
            device_epoch,
            messages: self.sent.messages.len(),
            number,
            stolen: stolen.places(),
            holdings,
            replay,
            seen: 0,
            answers: None,
        });
        Ok(())
    }

    /// Publishes key packages for those who have too few: theirs was claimed, or has expired.
    pub(super) fn replenish(&mut self) -> Result<(), Failed> {
        let now = self.clock;
        for device in std::mem::take(&mut self.claimed) {
            if !self.devices[device].online {
                self.claimed.insert(device);
                continue;
            }
            let left = self.service.key_packages_left(&self.devices[device].address, self.now());
            let left = left.map_err(|e| Failed::new(FailCode::Rejected, e))?.left;
            let missing = KEY_PACKAGES.saturating_sub(left);
            self.persist(device, Operation::Housekeeping, |client, _| client.expire(now).map(drop))?;
            self.chronicle.key_packages_expired(device, now);
            if missing > 0 {
                self.publish(device, missing, false)?;
            }
        }
        Ok(())
    }

    /// Publishes new key packages of a device, in the place of all others or beside them.
    fn publish(&mut self, device: usize, count: usize, replaces: bool) -> Result<(), Failed> {
        let now = self.clock;
        let made = self.persist(device, Operation::KeyPackages, |client, _| client.key_packages(count, now))?;
        let expires = Timestamp(now.0.saturating_add(self.policy.key_package_lifetime));
        for key_package in &made {
            self.chronicle.key_package_made(device, key_package.as_bytes(), expires);
        }
        let bytes: Vec<_> = made.into_iter().map(KeyPackageBytes::into_bytes).collect();
        let address = &self.devices[device].address;
        let uploaded = match replaces {
            true => self.service.replace_key_packages(address, &bytes, None, self.now()),
            false => self.service.upload_key_packages(address, &bytes, None, self.now()),
        };
        let uploaded = uploaded.map_err(|e| Failed::new(FailCode::Rejected, e))?;
        if let Some(refused) = uploaded.refused.first() {
            return Err(Failed::new(FailCode::Rejected, &refused.reason));
        }
        let of = self.devices[device].name.clone();
        self.tell(Event::KeyPackages { of, count: bytes.len(), sha256: fingerprint(&bytes.concat()) });
        Ok(())
    }

    /// Takes a key package of each from the service, in the name of the device `by`.
    fn claim(&mut self, by: usize, who: &[MemberName]) -> Result<Vec<KeyPackageBytes>, Failed> {
        let mut key_packages = Vec::with_capacity(who.len());
        for name in who {
            let device = self.device(name)?;
            if self.roster().contains(&device) {
                return Err(Failed::new(FailCode::AlreadyAMember, format!("{name} is in the group")));
            }
            let (target, claimer) = (&self.devices[device].address, &self.devices[by].address);
            let outcome = self.service.claim_key_package(target, claimer, self.now());
            let claimed = match outcome.map_err(|e| Failed::new(FailCode::Rejected, e))? {
                ClaimOutcome::Claimed(claimed) => claimed,
                ClaimOutcome::NoneLeft => {
                    let detail = format!("the delivery service has no key package of {name}");
                    return Err(Failed::new(FailCode::NoKeyPackage, detail));
                }
                ClaimOutcome::Rejected(reason) => {
                    return Err(Failed::new(FailCode::Rejected, format!("the delivery service refuses it: {reason}")));
                }
            };
            self.claimed.insert(device);
            key_packages.push(KeyPackageBytes::new(claimed.bytes));
        }
        Ok(key_packages)
    }

    fn ids(&self, who: &[MemberName]) -> Result<Vec<DeviceId>, Failed> {
        who.iter().map(|name| Ok(self.devices[self.device(name)?].client.device().clone())).collect()
    }

    /// Who is in the group, as the service sees it.
    pub(super) fn roster(&self) -> std::collections::BTreeSet<usize> {
        self.rosters.last().cloned().unwrap_or_default()
    }

    pub(super) fn text(&self, id: &MessageId, body: &Body) -> Vec<u8> {
        match body {
            Body::Text(text) => text.clone().into_bytes(),
            Body::Size(size) => {
                let blocks = (0u64..).flat_map(|block| {
                    Sha256::digest(format!("regrow text {} {id} {block}", self.seed)).into_iter().collect::<Vec<u8>>()
                });
                blocks.take(*size as usize).collect()
            }
        }
    }

    /// Does something on a device until its process does not die of it.
    pub(super) fn persist<T>(
        &mut self,
        device: usize,
        operation: Operation,
        act: impl Fn(&mut Client, &GroupId) -> Result<T, Error>,
    ) -> Result<T, Failed> {
        let mark = self.devices[device].mark_if_mortal();
        loop {
            self.devices[device].log.begin(operation);
            match act(&mut self.devices[device].client, &self.group) {
                Err(Error::Storage(_)) if self.devices[device].died_writing() => {
                    self.restart(device, CrashPoint::DuringWrite)?;
                    mark.iter().for_each(|mark| self.devices[device].log.go_back(mark));
                }
                other => return other.map_err(failed),
            }
        }
    }

    /// The process of a device has died at that point, and starts again.
    pub(super) fn restart(&mut self, device: usize, at: CrashPoint) -> Result<(), Failed> {
        self.tell(Event::Crashed { who: self.devices[device].name.clone(), at });
        self.devices[device].restart().map_err(failed)
    }

    /// Crashes that were armed and have not happened.
    pub(super) fn crashes_left(&self) -> Vec<Failure> {
        let armed = self.devices.iter().filter_map(|device| Some((device, device.armed()?)));
        armed
            .map(|(device, at)| {
                self.failure(
                    format!("{}'s process dies at `{at}`", device.name),
                    "nothing that it did reached that point",
                )
            })
            .collect()
    }
}

/// What a contender of a race has left to do. Each could do what it wanted when the race began: if it no longer can, then
/// somebody else has done it, or has removed who wanted it, and the wish is void.
fn unless_void(left: Result<Option<Parcel>, Failed>) -> Result<Option<Parcel>, Failed> {
    use FailCode::{AlreadyAMember, NotAMember, NothingToCommit, Removed, UnknownMember};
    match left {
        Err(Failed { code: AlreadyAMember | NotAMember | NothingToCommit | Removed | UnknownMember, .. }) => Ok(None),
        left => left,
    }
}

/// What a step's failure is called, by the engine's error.
pub(super) fn failed(error: Error) -> Failed {
    let code = match &error {
        Error::UnknownGroup { .. } => FailCode::NotAMember,
        Error::Removed { .. } => FailCode::Removed,
        Error::RolledBack { .. } => FailCode::Lost,
        Error::AlreadyMember { .. } | Error::GroupExists { .. } | Error::Refused(Refusal::Duplicate(_)) => {
            FailCode::AlreadyAMember
        }
        Error::UnknownMember { .. } => FailCode::UnknownMember,
        Error::ProposalsWait => FailCode::ProposalsWait,
        Error::NothingToCommit => FailCode::NothingToCommit,
        Error::CommitPending { .. } | Error::NotPending => FailCode::CommitPending,
        Error::OwnRemoval => FailCode::Rejected,
        _ => FailCode::InvalidMessage,
    };
    Failed::new(code, error)
}
