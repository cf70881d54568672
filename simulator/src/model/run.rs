//! Plays the steps of a scenario on the model.
//!
//! The rules are those of the [world](crate::world): after each step everything is delivered to
//! every online member, and a device whose commit came too late tries again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use regrow_engine::HandshakeMode;
use rustc_hash::FxHashMap;

use super::{
    baseline,
    commit_plan::{Intent, forget_fulfilled, plan},
    group_model::{
        Change, CommitParts, CommitPrice, Creation, DeviceNumber, GroupModel, GroupSettings, Ledger, MlsVariant,
        WaitingProposal,
    },
    messages::MessageSizes,
    suite::SuiteSizes,
};
use crate::{
    cost::Contention,
    report::{Failure, Figures, RunOutcome},
    scenario::{Action, Expect, FailCode, MemberName, MessageBody, Place, Placed, Proposal, Protocol, Scenario, Step},
    world::{
        FailedStep, KEY_PACKAGES, StepFailure, StepLabels, identity_size, policy_without_suite, turn_in_race,
        unexpected, unless_void,
    },
};

/// Plays a scenario, and returns the costs of each entry of the log.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64) -> RunOutcome {
    let mut player = match Player::new(scenario, seed) {
        Ok(player) => player,
        Err(failure) => return RunOutcome { failures: vec![failure.into_failure(None)], ..RunOutcome::default() },
    };
    let failures = player.play(scenario);
    player.into_outcome(failures)
}

/// A submission of a device, made for one epoch.
#[derive(Clone, Debug)]
enum Submission {
    Commit { epoch: u64, parts: CommitParts, price: Option<CommitPrice> },
    External { epoch: u64, price: Option<CommitPrice> },
    Proposal { epoch: u64, proposal: WaitingProposal },
    Message { epoch: u64, text: u64 },
}

/// The state of a run.
struct Player<'s> {
    settings: GroupSettings,
    seed: u64,
    names: &'s [MemberName],
    numbers: FxHashMap<&'s str, DeviceNumber>,
    identities: Vec<u16>,
    group: Option<Box<dyn GroupModel + 's>>,
    protocol: Protocol,
    /// The open intents of each device that has any.
    intents: BTreeMap<DeviceNumber, Vec<Intent>>,
    /// The devices with fewer key packages at the service than at the beginning.
    key_packages: FxHashMap<DeviceNumber, usize>,
    offline_before_creation: Vec<DeviceNumber>,
    labels: StepLabels,
    label: Arc<str>,
    elapsed: Duration,
    contention: Contention,
}

impl<'s> Player<'s> {
    fn new(scenario: &'s Scenario, seed: u64) -> Result<Self, StepFailure> {
        let settings = GroupSettings::of(scenario);
        let names = &scenario.members[..];
        let broken = |name: &MemberName| StepFailure::rejected(format!("{name} is no name of a user"));
        let identities =
            names.iter().map(|name| identity_size(name).ok_or_else(|| broken(name))).collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            seed,
            names,
            numbers: names.iter().zip(0..).map(|(name, number)| (name.as_str(), number)).collect(),
            identities,
            group: None,
            protocol: scenario.protocol,
            intents: BTreeMap::new(),
            key_packages: FxHashMap::default(),
            offline_before_creation: Vec::new(),
            labels: StepLabels::default(),
            label: Arc::default(),
            elapsed: Duration::ZERO,
            contention: Contention::default(),
        })
    }

    fn play(&mut self, scenario: &Scenario) -> Vec<Failure> {
        let mut failed: FailedStep = None;
        for step in scenario.expand_with_seed(self.seed) {
            if let Some(failure) = unexpected(failed.take(), &step) {
                return vec![failure];
            }
            if let Step::Do(Action::Expect(expect)) = &step.item {
                if let Some(failure) = self.expect(expect, &step.place) {
                    return vec![failure];
                }
                continue;
            }
            let played = self.step(&step.item).and_then(|()| self.settle());
            if let Err(failure) = played {
                failed = Some((step.place.clone(), failure));
                if let Err(failure) = self.settle() {
                    return vec![failure.into_failure(Some(step.place))];
                }
            }
        }
        failed.map(|(place, failure)| failure.into_failure(Some(place))).into_iter().collect()
    }

    fn into_outcome(self, failures: Vec<Failure>) -> RunOutcome {
        let Some(group) = self.group else { return RunOutcome { failures, ..RunOutcome::default() } };
        let (members, epochs) = (group.members(), group.epoch());
        let Ledger { entries, costs, messages, traffic, devices } = group.into_ledger();
        let figures = Figures {
            members,
            devices,
            epochs,
            messages,
            message_traffic: traffic,
            costs,
            contention: Box::new(self.contention.figures()),
            ..Figures::default()
        };
        RunOutcome { failures, figures, costs: entries, record: None }
    }

    fn step(&mut self, step: &Step) -> Result<(), StepFailure> {
        match step {
            Step::Do(action) => self.act(action),
            Step::Race(contenders) => {
                self.label = self.labels.next(step);
                self.race(contenders)
            }
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), StepFailure> {
        match action {
            Action::Create { by, with } => self.create(by, with),
            Action::Leave { who } | Action::Join { who } | Action::Rejoin { who } => who.iter().try_for_each(|name| {
                let device = self.device(name)?;
                let submission = match action {
                    Action::Leave { .. } => self.prepare_leaving(device)?,
                    Action::Join { .. } => self.prepare_external(device, false)?,
                    _ => self.prepare_external(device, true)?,
                };
                self.carry_through(device, submission)?;
                self.settle()
            }),
            Action::Propose { by, what: Proposal::Add(who) | Proposal::Remove(who) } if who.len() > 1 => {
                let is_addition = matches!(action, Action::Propose { what: Proposal::Add(_), .. });
                who.iter().try_for_each(|name| {
                    let what = if is_addition { Proposal::Add } else { Proposal::Remove }(vec![name.clone()]);
                    self.submit_action(&Action::Propose { by: by.clone(), what })
                })
            }
            Action::Offline { who } => self.set_online(who, false),
            Action::Online { who } => self.set_online(who, true),
            Action::RenewKeyPackages { who } => who.iter().try_for_each(|name| {
                let device = self.device(name)?;
                self.refuse_if_offline(device)?;
                self.key_packages.remove(&device);
                Ok(())
            }),
            Action::Wait(time) => {
                self.elapsed += *time;
                if let Some(group) = &mut self.group {
                    group.set_time(self.elapsed.as_secs());
                }
                Ok(())
            }
            Action::Add { .. }
            | Action::Remove { .. }
            | Action::Update { .. }
            | Action::Propose { .. }
            | Action::Commit { .. }
            | Action::Send { .. } => self.submit_action(action),
            _ => Err(StepFailure::rejected(format!("the model has no step `{}`", action.name()))),
        }
    }

    fn submit_action(&mut self, action: &Action) -> Result<(), StepFailure> {
        let (device, submission) = self.prepare(action)?;
        self.carry_through(device, submission)
    }

    fn create(&mut self, by: &MemberName, with: &[MemberName]) -> Result<(), StepFailure> {
        let creator = self.device(by)?;
        self.refuse_if_offline(creator)?;
        let time = self.elapsed.as_secs();
        let identities = std::mem::take(&mut self.identities);
        let creation = Creation { settings: self.settings, names: self.names, identities, by: creator, time };
        let mut group = baseline::create(self.protocol, creation);
        for device in std::mem::take(&mut self.offline_before_creation) {
            group.set_online(device, false);
        }
        self.group = Some(group);
        if with.is_empty() {
            return Ok(());
        }
        let who = self.devices(with)?;
        let submission = self.prepare_commit(creator, Intent::Add(who))?;
        self.carry_through(creator, submission)
    }

    /// Makes the submission of a step.
    fn prepare(&mut self, action: &Action) -> Result<(DeviceNumber, Submission), StepFailure> {
        let name = action.submitters().first();
        let name = name.ok_or_else(|| StepFailure::rejected("the step submits nothing"))?;
        let device = self.device(name)?;
        self.refuse_if_offline(device)?;
        let submission = match action {
            Action::Add { who, .. } => {
                let who = self.devices(who)?;
                self.prepare_commit(device, Intent::Add(who))?
            }
            Action::Remove { who, .. } => {
                let who = self.devices(who)?;
                self.refuse_if_no_member(device)?;
                let unknown = who.iter().find(|member| **member == device || !self.is_member(**member));
                if let Some(unknown) = unknown {
                    let code = if *unknown == device { FailCode::Rejected } else { FailCode::UnknownMember };
                    return Err(StepFailure::new(code, format!("{} cannot be removed", self.name(*unknown))));
                }
                self.prepare_commit(device, Intent::Remove(who))?
            }
            Action::Update { signature_key, .. } => {
                self.prepare_commit(device, Intent::Update { signature_key: *signature_key })?
            }
            Action::Commit { .. } => self.prepare_commit(device, Intent::CommitProposals)?,
            Action::Join { .. } => self.prepare_external(device, false)?,
            Action::Rejoin { .. } => self.prepare_external(device, true)?,
            Action::Leave { .. } => self.prepare_leaving(device)?,
            Action::Propose { what, .. } => {
                self.refuse_if_no_member(device)?;
                let change = match what {
                    Proposal::Add(who) => {
                        let who = self.devices(who)?;
                        self.claim(&who)?;
                        Change::Add(who[0])
                    }
                    Proposal::Remove(who) => {
                        let who = self.device(&who[0])?;
                        if !self.is_member(who) {
                            return Err(StepFailure::new(FailCode::UnknownMember, "it is no member"));
                        }
                        Change::Remove(who)
                    }
                    Proposal::Update => Change::Update,
                };
                Submission::Proposal { epoch: self.epoch(), proposal: WaitingProposal { by: device, change } }
            }
            Action::Send { body, .. } => {
                self.refuse_if_no_member(device)?;
                self.prepare_message(match body {
                    MessageBody::Size(size) => u64::from(*size),
                    MessageBody::Text(text) => text.len() as u64,
                })?
            }
            _ => return Err(StepFailure::rejected("the step submits nothing")),
        };
        Ok((device, submission))
    }

    fn prepare_message(&self, text: u64) -> Result<Submission, StepFailure> {
        match self.group.as_ref().is_some_and(|group| !group.waiting().is_empty()) {
            true => Err(StepFailure::new(FailCode::ProposalsWait, "proposals wait for a commit")),
            false => Ok(Submission::Message { epoch: self.epoch(), text }),
        }
    }

    fn prepare_commit(&mut self, device: DeviceNumber, intent: Intent) -> Result<Submission, StepFailure> {
        self.refuse_if_no_member(device)?;
        if let Intent::Add(who) = &intent {
            self.claim(who)?;
        }
        self.intents.entry(device).or_default().push(intent);
        match self.planned(device) {
            Some(mut parts) => {
                parts.verifies_key_packages = true;
                Ok(Submission::Commit { epoch: self.epoch(), parts, price: None })
            }
            None => {
                self.intents.remove(&device);
                Err(StepFailure::new(FailCode::NothingToCommit, "there is nothing to commit"))
            }
        }
    }

    fn prepare_external(&mut self, device: DeviceNumber, rejoins: bool) -> Result<Submission, StepFailure> {
        self.refuse_if_offline(device)?;
        if !self.settings.publishes_group_info {
            let detail = "the delivery service has no group info; set `publish_group_info` of the `group` to true";
            return Err(StepFailure::new(FailCode::NoGroupInfo, detail));
        }
        match (self.is_member(device), rejoins) {
            (true, false) => {
                Err(StepFailure::new(FailCode::AlreadyAMember, format!("{} is in the group", self.name(device))))
            }
            (false, true) => Err(StepFailure::new(FailCode::NotAMember, format!("{} has no leaf", self.name(device)))),
            _ => Ok(Submission::External { epoch: self.epoch(), price: None }),
        }
    }

    fn prepare_leaving(&mut self, device: DeviceNumber) -> Result<Submission, StepFailure> {
        self.refuse_if_offline(device)?;
        self.refuse_if_no_member(device)?;
        let intents = self.intents.entry(device).or_default();
        if !intents.contains(&Intent::Leave) {
            intents.push(Intent::Leave);
        }
        Ok(self.leaving(device))
    }

    fn leaving(&self, device: DeviceNumber) -> Submission {
        let proposal = WaitingProposal { by: device, change: Change::Remove(device) };
        Submission::Proposal { epoch: self.epoch(), proposal }
    }

    /// Has all contenders prepare in the same epoch, and then submit in an order from the seed.
    fn race(&mut self, contenders: &[Placed<Action>]) -> Result<(), StepFailure> {
        let mut submissions = Vec::with_capacity(contenders.len());
        for contender in contenders {
            let (device, mut submission) = self.prepare(&contender.item)?;
            self.make_early(device, &mut submission);
            submissions.push((device, submission));
        }
        submissions.sort_by_cached_key(|(device, _)| self.turn(*device));
        let mut losers = Vec::new();
        for (device, submission) in submissions {
            if let Some(stale) = self.attempt(device, submission) {
                losers.push((device, stale));
            }
        }
        losers.sort_by_key(|(_, submission)| !matches!(submission, Submission::Message { .. }));
        for (device, submission) in losers {
            if let Some(again) = unless_void(self.make_again(device, submission), None)? {
                unless_void(self.carry_through(device, again), ())?;
            }
            // If the intent was carried out, it is no longer open, and this changes nothing.
            self.contention.void(device as usize);
        }
        Ok(())
    }

    /// The device makes its submission before it reads those of the others.
    fn make_early(&mut self, device: DeviceNumber, submission: &mut Submission) {
        let Some(group) = &mut self.group else { return };
        let is_private = match submission {
            Submission::Commit { .. } | Submission::Proposal { .. } => self.settings.sizes.opaque,
            Submission::External { .. } => false,
            Submission::Message { .. } => true,
        };
        if is_private {
            group.encrypt_early(device);
        }
        match submission {
            Submission::Commit { parts, price, .. } => *price = group.price_commit(device, parts),
            Submission::External { price, .. } => *price = group.price_join(device),
            Submission::Proposal { .. } | Submission::Message { .. } => {}
        }
    }

    fn turn(&self, device: DeviceNumber) -> [u8; 32] {
        turn_in_race(self.seed, &self.label, self.name(device))
    }

    fn carry_through(&mut self, device: DeviceNumber, submission: Submission) -> Result<(), StepFailure> {
        let mut next = Some(submission);
        while let Some(submission) = next.take() {
            if let Some(stale) = self.attempt(device, submission) {
                next = self.make_again(device, stale)?;
            }
        }
        Ok(())
    }

    /// Submits once. Returns the submission if its epoch is over.
    fn attempt(&mut self, device: DeviceNumber, submission: Submission) -> Option<Submission> {
        let group = self.group.as_mut()?;
        let now = group.epoch();
        match &submission {
            Submission::Commit { epoch, parts, .. } if *epoch == now => {
                group.commit(device, parts);
                self.begin_epoch(device);
            }
            Submission::External { epoch, .. } if *epoch == now => {
                group.join(device);
                self.begin_epoch(device);
            }
            Submission::Proposal { epoch, proposal } if *epoch == now => {
                group.propose(*proposal);
                self.contention.proposed(self.elapsed.as_secs());
            }
            Submission::Message { epoch, text } if *epoch == now => group.send(device, *text),
            Submission::Commit { price, .. } | Submission::External { price, .. } => {
                if let Some(CommitPrice { bytes, counts }) = *price {
                    self.contention.lost(device as usize, self.elapsed.as_secs(), bytes, counts);
                }
                return Some(submission);
            }
            Submission::Proposal { .. } | Submission::Message { .. } => return Some(submission),
        }
        None
    }

    /// Deletes the intents that the new epoch has fulfilled.
    fn begin_epoch(&mut self, committer: DeviceNumber) {
        self.contention.ordered(committer as usize, self.elapsed.as_secs());
        let Some(group) = &self.group else { return };
        for (device, intents) in &mut self.intents {
            if !group.is_member(*device) {
                intents.clear();
            } else if *device == committer {
                intents.retain(|intent| *intent == Intent::Leave);
            } else {
                intents.retain(|intent| *intent != Intent::CommitProposals);
                forget_fulfilled(intents, &**group);
            }
        }
        self.intents.retain(|_, intents| !intents.is_empty());
    }

    fn make_again(&mut self, device: DeviceNumber, stale: Submission) -> Result<Option<Submission>, StepFailure> {
        match stale {
            Submission::Commit { .. } => {
                let next = self.next_submission(device);
                if next.is_none() {
                    self.contention.void(device as usize);
                }
                Ok(next)
            }
            Submission::External { .. } if self.is_member(device) => {
                self.contention.void(device as usize);
                Ok(None)
            }
            Submission::External { .. } => Ok(Some(Submission::External { epoch: self.epoch(), price: None })),
            Submission::Proposal { proposal, .. } => {
                self.refuse_if_no_member(device)?;
                match proposal.change {
                    Change::Remove(who) if !self.is_member(who) => {
                        Err(StepFailure::new(FailCode::UnknownMember, "it is no member"))
                    }
                    Change::Add(who) if self.is_member(who) => {
                        Err(StepFailure::new(FailCode::AlreadyAMember, "it is in the group"))
                    }
                    _ => Ok(Some(Submission::Proposal { epoch: self.epoch(), proposal })),
                }
            }
            Submission::Message { text, .. } => {
                self.refuse_if_no_member(device)?;
                self.prepare_message(text).map(Some)
            }
        }
    }

    /// The next submission for the open intents of a device.
    fn next_submission(&self, device: DeviceNumber) -> Option<Submission> {
        let epoch = self.epoch();
        if !self.is_member(device) {
            return None;
        }
        if let Some(parts) = self.planned(device) {
            return Some(Submission::Commit { epoch, parts, price: None });
        }
        let group = self.group.as_ref()?;
        let leaves = self.intents.get(&device).is_some_and(|intents| intents.contains(&Intent::Leave));
        let proposed = group.waiting().iter().any(|known| known.by == device && known.change == Change::Remove(device));
        (leaves && !proposed).then(|| self.leaving(device))
    }

    fn planned(&self, device: DeviceNumber) -> Option<CommitParts> {
        plan(device, self.intents.get(&device).map_or(&[], Vec::as_slice), &**self.group.as_ref()?)
    }

    /// Has devices take up their remaining intents.
    fn settle(&mut self) -> Result<(), StepFailure> {
        let mut tried = None;
        loop {
            let epoch = self.epoch();
            let waiting: Vec<_> = self.intents.keys().copied().filter(|device| self.is_online(*device)).collect();
            let next = waiting.into_iter().find_map(|device| Some((device, self.next_submission(device)?)));
            let Some((device, submission)) = next.filter(|(device, _)| tried != Some((*device, epoch))) else { break };
            tried = Some((device, epoch));
            self.carry_through(device, submission)?;
        }
        let restocked: Vec<_> = self.key_packages.keys().copied().filter(|device| self.is_online(*device)).collect();
        for device in restocked {
            self.key_packages.remove(&device);
        }
        Ok(())
    }

    /// Takes a key package of each device from the service.
    fn claim(&mut self, who: &[DeviceNumber]) -> Result<(), StepFailure> {
        for device in who {
            if self.is_member(*device) {
                let detail = format!("{} is in the group", self.name(*device));
                return Err(StepFailure::new(FailCode::AlreadyAMember, detail));
            }
            let left = self.key_packages.entry(*device).or_insert(KEY_PACKAGES);
            if *left == 0 {
                let detail = format!("the delivery service has no key package of {}", self.name(*device));
                return Err(StepFailure::new(FailCode::NoKeyPackage, detail));
            }
            *left -= 1;
        }
        Ok(())
    }

    fn set_online(&mut self, who: &[MemberName], online: bool) -> Result<(), StepFailure> {
        for name in who {
            let device = self.device(name)?;
            match &mut self.group {
                Some(group) => group.set_online(device, online),
                None if online => self.offline_before_creation.retain(|known| *known != device),
                None => self.offline_before_creation.push(device),
            }
        }
        Ok(())
    }

    fn expect(&self, expect: &Expect, place: &Place) -> Option<Failure> {
        let failure = |expected: String, seen: String| Some(Failure::new(Some(place.clone()), expected, seen));
        let epoch = self.epoch();
        if let Some(expected) = expect.epoch
            && expected != epoch
        {
            return failure(format!("the group is in epoch {expected}"), format!("it is in epoch {epoch}"));
        }
        let members = expect.members.as_ref()?;
        let count = self.group.as_ref().map_or(0, |group| group.members());
        let lacking = members.iter().find(|name| self.device(name).is_ok_and(|device| !self.is_member(device)));
        match lacking {
            Some(name) => failure(format!("{name} is a member"), "it is not".to_owned()),
            None if count != members.len() as u64 => {
                failure(format!("the group has {} members", members.len()), format!("it has {count}"))
            }
            None => None,
        }
    }

    fn device(&self, name: &MemberName) -> Result<DeviceNumber, StepFailure> {
        let number = self.numbers.get(name.as_str()).copied();
        number.ok_or_else(|| StepFailure::rejected(format!("{name} is no device")))
    }

    fn devices(&self, names: &[MemberName]) -> Result<Vec<DeviceNumber>, StepFailure> {
        names.iter().map(|name| self.device(name)).collect()
    }

    fn name(&self, device: DeviceNumber) -> &MemberName {
        &self.names[device as usize]
    }

    fn is_member(&self, device: DeviceNumber) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_member(device))
    }

    fn epoch(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.epoch())
    }

    fn is_online(&self, device: DeviceNumber) -> bool {
        match &self.group {
            Some(group) => group.is_online(device),
            None => !self.offline_before_creation.contains(&device),
        }
    }

    fn refuse_if_offline(&self, device: DeviceNumber) -> Result<(), StepFailure> {
        match self.is_online(device) {
            true => Ok(()),
            false => Err(StepFailure::new(FailCode::Offline, format!("{} is offline", self.name(device)))),
        }
    }

    fn refuse_if_no_member(&self, device: DeviceNumber) -> Result<(), StepFailure> {
        match self.is_member(device) {
            true => Ok(()),
            false => Err(StepFailure::new(FailCode::NotAMember, format!("{} is not in the group", self.name(device)))),
        }
    }
}

impl GroupSettings {
    /// The settings of a scenario's group.
    fn of(scenario: &Scenario) -> Self {
        let policy = policy_without_suite(&scenario.group);
        let sizes = MessageSizes {
            suite: SuiteSizes::of(scenario.group.ciphersuite.unwrap_or_default()),
            opaque: policy.handshake == HandshakeMode::Opaque,
            padding: policy.padding as u64,
            context_extensions: 0,
            psk_identifiers: 0,
        };
        Self { sizes, publishes_group_info: policy.publish_group_info, variant: MlsVariant::of(scenario.protocol) }
    }
}
