//! The generator's model of the group: its members, the devices that are online, and the proposals
//! that wait for a commit. With it the generator chooses steps that make sense.
//!
//! The model follows the intended effects of the steps, and knows nothing of the protocol. The
//! generator leaves out every step that can fail in a correct system, so that each failure is worth
//! an investigation.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    key_packages::Stock,
    lags::{Disturbance, REST},
    service_model::ServiceModel,
};
use crate::scenario::{
    Action, Answer, CompromiseId, FailCode, GroupName, MemberName, MessageId, Proposal, Scenario, ServiceFault, Step,
    TheftScope, ThiefAction,
};

const DAY: u64 = 24 * 60 * 60;

/// The longest time that a device may be offline. It is a few days less than the time for which the
/// delivery service keeps undelivered entries.
pub(super) const MOST_AWAY: u64 = 25 * DAY;

/// The time for which key packages are usable if nobody replaces them: less than their lifetime of
/// 90 days.
const KEY_PACKAGES_GOOD: u64 = 80 * DAY;

/// The time for which a proposed addition can be committed: less than the seven days of a claim.
const CLAIM_GOOD: u64 = 6 * DAY;

/// A time that is longer than all retention times.
pub(super) const AGES: u64 = 100 * DAY;

/// The code of a submission that a service with a full disk refuses.
pub(super) const REFUSED: FailCode = FailCode::Unavailable;

/// The number of a member, in the order of the scenario.
pub(super) type MemberNumber = usize;

/// A proposal that waits for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    by: MemberNumber,
    what: ProposedChange,
}

/// A change that a proposal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProposedChange {
    Add(MemberNumber),
    Remove(MemberNumber),
    Update,
}

/// The state of the group after the steps so far.
pub(super) struct Model {
    pub(super) names: Vec<MemberName>,
    /// The members of the group.
    pub(super) group: BTreeSet<MemberNumber>,
    pub(super) online: BTreeSet<MemberNumber>,
    /// The members that want to leave. While they are online, they propose it in each epoch until a
    /// commit removes them.
    pub(super) leaving: BTreeSet<MemberNumber>,
    /// The thefts with which a thief can act, and their victims.
    pub(super) thefts: Vec<(CompromiseId, MemberNumber)>,
    /// The members in whose name a thief may have acted, and those whose applications have refused a
    /// commit. Until they rejoin, they do nothing else.
    pub(super) robbed: BTreeSet<MemberNumber>,
    /// The members whose devices are locked.
    pub(super) locked: BTreeSet<MemberNumber>,
    /// The members whose applications refuse the keys of others, and those others.
    refusals: Vec<(MemberNumber, MemberNumber)>,
    /// The former members. They come back when a member adds them.
    pub(super) out: BTreeSet<MemberNumber>,
    waiting: Vec<Waiting>,
    key_packages: Vec<Stock>,
    /// For how many seconds each member has been offline.
    pub(super) away: Vec<u64>,
    /// For how many seconds the oldest key package may have been waiting.
    waited: u64,
    /// For how many seconds the oldest proposal may have been waiting.
    proposed: u64,
    /// The messages that are held back from at least one member.
    pub(super) held: Vec<MessageId>,
    pub(super) disturbance: Disturbance,
    service: ServiceModel,
    /// The members of each group beside the default one.
    pub(super) others: BTreeMap<GroupName, BTreeSet<MemberNumber>>,
    /// The devices that are lost for ever.
    pub(super) lost: BTreeSet<MemberNumber>,
}

/// True if each step of a scenario can be done when it comes, as far as the model can tell.
pub(super) fn makes_sense(scenario: &Scenario) -> bool {
    let mut model = Model::new(scenario.members.clone());
    scenario.expand().all(|step| match step.item {
        Step::Do(action) => {
            let permitted = model.permits(&action);
            model.apply(&action);
            permitted
        }
        Step::Race(contenders) => {
            let actions: Vec<_> = contenders.into_iter().map(|contender| contender.item).collect();
            let permitted = actions.iter().all(|action| model.permits(action));
            model.apply_race(&actions);
            permitted
        }
    })
}

impl Model {
    pub(super) fn new(names: Vec<MemberName>) -> Self {
        let count = names.len();
        Self {
            names,
            group: BTreeSet::new(),
            online: (0..count).collect(),
            leaving: BTreeSet::new(),
            thefts: Vec::new(),
            robbed: BTreeSet::new(),
            locked: BTreeSet::new(),
            refusals: Vec::new(),
            out: BTreeSet::new(),
            waiting: Vec::new(),
            key_packages: vec![Stock::default(); count],
            away: vec![0; count],
            waited: 0,
            proposed: 0,
            held: Vec::new(),
            disturbance: Disturbance::default(),
            service: ServiceModel::default(),
            others: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    /// All members, except the lost devices.
    pub(super) fn all(&self) -> impl Iterator<Item = MemberNumber> {
        (0..self.names.len()).filter(|member| !self.lost.contains(member))
    }

    /// The members of the group that can act: they are online, and no thief has acted in their
    /// name.
    pub(super) fn present(&self) -> Vec<MemberNumber> {
        let acts = |member: &&MemberNumber| !self.robbed.contains(member) && !self.lags(**member);
        self.group.intersection(&self.online).filter(acts).copied().collect()
    }

    /// The devices that can join by external commit.
    pub(super) fn joiners(&self) -> Vec<MemberNumber> {
        let outside = self.online.difference(&self.group);
        outside.filter(|member| !self.out.contains(member) && !self.lags(**member)).copied().collect()
    }

    pub(super) fn offline(&self) -> Vec<MemberNumber> {
        self.all().filter(|member| !self.online.contains(member)).collect()
    }

    /// The members that are offline, and not because of a lock.
    pub(super) fn disconnected(&self) -> Vec<MemberNumber> {
        self.offline().into_iter().filter(|member| !self.locked.contains(member)).collect()
    }

    pub(super) fn locked(&self) -> Vec<MemberNumber> {
        self.locked.iter().copied().collect()
    }

    /// The members that the service does not reach.
    fn unreachable(&self) -> Vec<MemberNumber> {
        self.all().filter(|member| !self.online.contains(member) || self.disturbance.cut.contains(member)).collect()
    }

    /// The devices that can be added: they are not members, and the service has a key package of
    /// each.
    pub(super) fn addable(&self) -> Vec<MemberNumber> {
        self.all().filter(|member| !self.group.contains(member) && self.key_packages(*member) > 0).collect()
    }

    /// The number of additions of this member for which the service has a key package.
    pub(super) fn key_packages(&self, of: MemberNumber) -> usize {
        self.key_packages[of].additions()
    }

    /// True if a proposal waits for a commit. No member can send a message then (RFC 9420, 12.4).
    pub(super) fn something_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn waits(&self, what: ProposedChange) -> bool {
        self.waiting.iter().any(|waiting| waiting.what == what)
    }

    pub(super) fn waits_from(&self, by: MemberNumber, what: ProposedChange) -> bool {
        self.waiting.contains(&Waiting { by, what })
    }

    /// True if a proposal waits that this member can commit. A committer cannot remove or update
    /// itself by a proposal (RFC 9420, 12.2).
    pub(super) fn can_commit(&self, by: MemberNumber) -> bool {
        self.waiting.iter().any(|waiting| {
            waiting.what != ProposedChange::Remove(by) && !(waiting.by == by && waiting.what == ProposedChange::Update)
        })
    }

    /// True if the action can be done in the present state of the group, so that its failure is an
    /// error.
    pub(super) fn permits(&self, action: &Action) -> bool {
        let acts = |name: &MemberName| {
            let member = self.member(name);
            let is_there = self.group.contains(&member) && self.online.contains(&member);
            is_there && !self.robbed.contains(&member) && !self.lags(member)
        };
        let outside = |name: &MemberName| {
            let member = self.member(name);
            !self.group.contains(&member) && self.key_packages(member) > 0
        };
        let other = |by: &MemberName, name: &MemberName| name != by && self.group.contains(&self.member(name));
        let alone = |name: &MemberName| self.isolated().any(|member| member == self.member(name));
        if !self.service.permits(action, |name| self.member(name)) {
            return false;
        }
        // An application that refuses a key refuses most changes that its owner has a part in.
        let is_answered = matches!(action, Action::Authenticate { .. } | Action::Update { .. });
        if !self.refusals.is_empty() && !is_answered {
            return false;
        }
        if let Some(permitted) = self.permits_in_all_groups(action) {
            return permitted;
        }
        match action.unnamed() {
            Action::Update { by, .. } if alone(by) => !self.has_queued(self.member(by)),
            Action::Send { by, .. } if alone(by) => true,
            Action::Add { .. } | Action::Remove { .. } if !self.is_at_rest() => false,
            Action::Leave { .. }
            | Action::Propose { .. }
            | Action::Commit { .. }
            | Action::SetData { .. }
            | Action::Verify { .. }
            | Action::Authenticate { .. }
            | Action::Upkeep { .. }
            | Action::Join { .. }
            | Action::Rejoin { .. }
            | Action::Impersonate { .. }
                if !self.is_calm() =>
            {
                false
            }
            Action::Network(change) => self.permits_network(change),
            // The submissions of a member that is cut off wait for its connection.
            Action::Offline { who } | Action::Lock { who } => who.iter().all(|name| {
                let member = self.member(name);
                self.online.contains(&member) && !self.disturbance.cut.contains(&member)
            }),
            Action::Online { who } => who.iter().all(|name| !self.locked.contains(&self.member(name))),
            Action::Unlock { who, .. } => who.iter().all(|name| self.locked.contains(&self.member(name))),
            Action::Verify { by, who } => acts(by) && who.iter().all(|name| name != by && acts(name)),
            Action::Authenticate { who, of, answer: Answer::Refuse } => {
                self.is_quiet() && self.is_at_rest() && who.iter().chain(of).all(acts)
            }
            Action::Upkeep { .. } => self.is_quiet(),
            // A withdrawn key package must not be in a proposal, or on its way in a commit.
            Action::KeyPackages { who, .. } => {
                let is_connected = |name: &MemberName| {
                    let member = self.member(name);
                    self.online.contains(&member) && !self.lags(member)
                };
                self.is_quiet() && self.is_calm() && self.is_at_rest() && who.iter().all(is_connected)
            }
            Action::Create { by, with } => self.online.contains(&self.member(by)) && with.iter().all(outside),
            Action::Add { by, who } => acts(by) && who.iter().all(outside),
            Action::Remove { by, who } => acts(by) && who.iter().all(|name| other(by, name)),
            Action::Update { by, .. } | Action::SetData { by, .. } => acts(by),
            Action::Leave { who } => {
                who.iter().all(|name| acts(name) && !self.waits(ProposedChange::Remove(self.member(name))))
            }
            Action::Propose { by, what } => {
                acts(by)
                    && match what {
                        Proposal::Add(who) => who.iter().all(outside),
                        Proposal::Remove(who) => who.iter().all(|name| other(by, name)),
                        Proposal::Update => !self.waits_from(self.member(by), ProposedChange::Update),
                    }
            }
            Action::Commit { by } => acts(by) && self.can_commit(self.member(by)),
            Action::Join { who } => who.iter().all(|name| self.joiners().contains(&self.member(name))),
            Action::Rejoin { who } => who.iter().all(|name| {
                let member = self.member(name);
                let is_there = self.group.contains(&member) && self.online.contains(&member);
                is_there && !self.leaving.contains(&member)
            }),
            Action::Impersonate { compromise, act, .. } => self.thefts.iter().any(|(id, who)| {
                // The model cannot tell if the service accepts the action, so no other step may
                // depend on it. The action therefore must not make a waiting proposal void, and its
                // victim must be able to rejoin.
                let voids = *act != ThiefAction::Send && self.something_waits();
                id == compromise && self.group.contains(who) && !self.leaving.contains(who) && !voids
            }),
            Action::Send { by, .. } => acts(by) && !self.something_waits(),
            Action::Wait(time) => self.can_wait(time.as_secs()),
            Action::Service(ServiceFault::Clock(jump)) => jump.back || self.can_wait(jump.by.as_secs()),
            Action::Service(ServiceFault::Retention(_)) => self.offline().is_empty(),
            Action::Compare { who } => who.iter().all(acts),
            _ => true,
        }
    }

    /// True if the service can refuse this submission, and nothing changes. A refusal drops the
    /// member's other intents.
    pub(super) fn permits_refusal(&self, action: &Action) -> bool {
        self.permits(action) && action.submitters().iter().all(|by| !self.leaving.contains(&self.member(by)))
    }

    /// True if a wait of this length breaks no guarantee: nothing that a device needs is deleted.
    fn can_wait(&self, seconds: u64) -> bool {
        let offline = self.unreachable();
        if seconds >= AGES {
            // All devices are online, and publish new key packages then. No welcome is on its way.
            return offline.is_empty() && !self.something_waits() && self.is_calm();
        }
        let longest_away = offline.into_iter().map(|member| self.away[member]).max().unwrap_or_default();
        let claims_last = !self.something_waits() || self.proposed + seconds < CLAIM_GOOD;
        longest_away + seconds < self.service.most_away && self.waited + seconds < KEY_PACKAGES_GOOD && claims_last
    }

    /// Applies a race to the group. Its removals come last, because a removed member is out in the
    /// end, in any order of the race.
    pub(super) fn apply_race(&mut self, actions: &[Action]) {
        let removes = |action: &&Action| matches!(action, Action::Remove { .. });
        let (removals, others): (Vec<_>, Vec<_>) = actions.iter().partition(removes);
        others.into_iter().chain(removals).for_each(|action| self.apply(action));
    }

    /// Applies the action to the group.
    pub(super) fn apply(&mut self, action: &Action) {
        let members: Vec<_> = self.names.clone();
        let member = |name: &MemberName| members.iter().position(|known| known == name).unwrap_or_default();
        let is_refused = self.service.refuses() && !action.submitters().is_empty();
        let passed = self.service.apply(action, member);
        self.waited += passed;
        for member in self.offline() {
            self.away[member] += passed;
        }
        if is_refused || self.queue(action) {
            return;
        }
        if self.apply_elsewhere(action) {
            self.come_to_rest();
            return;
        }
        let before = self.group.clone();
        match action.unnamed() {
            Action::Create { by, with } => {
                self.group.insert(self.member(by));
                for added in self.members(with) {
                    self.claim(added);
                    self.group.insert(added);
                }
            }
            Action::Add { by, who } => {
                let added = self.members(who);
                added.iter().for_each(|added| self.claim(*added));
                self.commit(self.member(by), &added, &[]);
            }
            Action::Remove { by, who } => self.commit(self.member(by), &[], &self.members(who)),
            Action::AddUser { by, who } => {
                let added = self.missing_devices(who);
                added.iter().for_each(|added| self.claim(*added));
                self.commit(self.member(by), &added, &[]);
            }
            Action::RemoveUser { by, who } => self.commit(self.member(by), &[], &self.devices(who)),
            Action::LinkDevice { by, who } => self.link(self.member(by), self.member(who)),
            Action::LostDevice { who, .. } => self.lose(self.member(who)),
            Action::Update { by, signature_key } => {
                let by = self.member(by);
                if *signature_key {
                    let refusers = self.refusals.iter().filter(|(who, of)| *of == by && self.group.contains(who));
                    self.robbed.extend(refusers.map(|(who, _)| *who));
                }
                self.commit(by, &[], &[]);
            }
            Action::SetData { by, .. } | Action::Commit { by } => self.commit(self.member(by), &[], &[]),
            Action::Authenticate { who, of, answer: Answer::Refuse } => {
                let of = self.members(of);
                let pairs = self.members(who).into_iter().flat_map(|who| of.iter().map(move |of| (who, *of)));
                self.refusals.extend(pairs.collect::<Vec<_>>());
            }
            Action::Authenticate { who, of, answer: Answer::Accept } => {
                let (who, of) = (self.members(who), self.members(of));
                self.refusals.retain(|(by, refused)| !who.contains(by) || !of.contains(refused));
            }
            Action::Leave { who } => {
                for leaver in self.members(who) {
                    self.leaving.insert(leaver);
                    self.waiting.push(Waiting { by: leaver, what: ProposedChange::Remove(leaver) });
                }
            }
            Action::Propose { by, what } => self.propose(self.member(by), what),
            Action::Join { who } | Action::Rejoin { who } => {
                for joiner in self.members(who) {
                    self.group.insert(joiner);
                    self.robbed.remove(&joiner);
                    self.begin_epoch();
                }
            }
            Action::Compromise { who, id, scope: TheftScope::Device } => {
                self.thefts.push((id.clone(), self.member(who)))
            }
            Action::Impersonate { compromise, .. } => {
                let robbed = self.thefts.iter().find(|(id, _)| id == compromise);
                self.robbed.extend(robbed.map(|(_, who)| *who));
            }
            Action::Offline { who } => {
                for member in self.members(who) {
                    self.online.remove(&member);
                    self.away[member] = 0;
                }
            }
            Action::Lock { who } => {
                for member in self.members(who) {
                    self.online.remove(&member);
                    self.locked.insert(member);
                    self.away[member] = 0;
                }
            }
            Action::Unlock { who, .. } => {
                let who = self.members(who);
                self.disturbance.lag_if_disturbed(&who);
                self.locked.retain(|member| !who.contains(member));
                self.online.extend(who);
            }
            Action::Online { who } => {
                let who = self.members(who);
                self.disturbance.lag_if_disturbed(&who);
                self.online.extend(who);
            }
            Action::Wait(time) => {
                let seconds = time.as_secs();
                self.waited = if seconds >= AGES { 0 } else { self.waited + seconds };
                self.proposed += seconds;
                for member in self.unreachable() {
                    self.away[member] += seconds;
                }
                if seconds >= REST {
                    self.disturbance.come_to_rest();
                }
            }
            Action::KeyPackages { who, change } => {
                self.members(who).into_iter().for_each(|member| self.key_packages[member].change(*change));
            }
            Action::Network(change) => self.change_network(change),
            Action::Hold(what) => self.disturbance.hold(what),
            Action::Release(what) => self.disturbance.release(what),
            _ => {}
        }
        self.note_lags(action, &before);
        self.out.extend(before.difference(&self.group));
        self.out.retain(|member| !self.group.contains(member));
        self.robbed.retain(|member| self.group.contains(member));
        self.come_to_rest();
    }

    fn propose(&mut self, by: MemberNumber, what: &Proposal) {
        let changes: Vec<_> = match what {
            Proposal::Add(who) => self.members(who).into_iter().map(ProposedChange::Add).collect(),
            Proposal::Remove(who) => self.members(who).into_iter().map(ProposedChange::Remove).collect(),
            Proposal::Update => vec![ProposedChange::Update],
        };
        for what in changes {
            if let ProposedChange::Add(added) = what {
                self.claim(added);
            }
            self.waiting.push(Waiting { by, what });
        }
    }

    pub(super) fn commit(&mut self, by: MemberNumber, added: &[MemberNumber], removed: &[MemberNumber]) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.what {
                ProposedChange::Add(member) => drop(self.group.insert(member)),
                ProposedChange::Remove(member) if member != by => drop(self.group.remove(&member)),
                ProposedChange::Remove(_) | ProposedChange::Update => {}
            }
        }
        self.group.extend(added);
        self.group.retain(|member| !removed.contains(member));
        self.begin_epoch();
    }

    /// Begins a new epoch: proposals that the commit did not contain become void.
    pub(super) fn begin_epoch(&mut self) {
        self.waiting.clear();
        self.leaving.retain(|leaver| self.group.contains(leaver));
    }

    /// Does the work of all online devices at the end of a step: they renew their proposals to
    /// leave, and publish key packages.
    pub(super) fn come_to_rest(&mut self) {
        if !self.something_waits() {
            self.proposed = 0;
        }
        for leaver in self.leaving.intersection(&self.online) {
            let waiting = Waiting { by: *leaver, what: ProposedChange::Remove(*leaver) };
            if !self.waiting.contains(&waiting) {
                self.waiting.push(waiting);
            }
        }
        for member in self.online.difference(&self.disturbance.cut) {
            self.key_packages[*member].replenish();
        }
    }

    pub(super) fn claim(&mut self, of: MemberNumber) {
        self.key_packages[of].claim();
    }

    pub(super) fn member(&self, name: &MemberName) -> MemberNumber {
        self.names.iter().position(|known| known == name).unwrap_or_default()
    }

    pub(super) fn members(&self, names: &[MemberName]) -> Vec<MemberNumber> {
        names.iter().map(|name| self.member(name)).collect()
    }
}
