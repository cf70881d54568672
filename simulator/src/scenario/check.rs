//! Checks the rules of a scenario that JSON cannot express: names exist, ids are unique, and
//! expectations can be met.
//!
//! The check refuses only certain errors. It does not decide if a member is in the group when it
//! acts, because a scenario may expect such a step to fail.

mod backups;
mod expect;
mod policy;
mod service;
mod users;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    expand::StepSource,
    fields::{At, FileReader, nearest, shown},
    format::{Action, Ciphersuite, Delivery, Fidelity, Place, Placed, Proposal, Protocol, Scenario, Step, TheftScope},
    name::{BackupId, CompromiseId, EVERYBODY, GroupName, MemberName, MessageId, OTHERS},
    problem::MAX_PROBLEMS,
    users::Users,
};
use crate::churn::{Churn, CommitterPolicy};

/// The largest number of steps after the expansion of every `repeat`. A run of this size takes
/// about an hour, not a day. The steps that a `churn` generates do not count: each churn has its
/// own limit of events.
pub const MAX_STEPS: u64 = 1_000_000;

/// Tells which parts of a file could be read completely. Only then are all names of the part known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Complete {
    pub(super) members: bool,
    pub(super) steps: bool,
    /// True if the file has a trace, which creates the group.
    pub(super) trace: bool,
}

/// Notes every rule that the scenario breaks. Parts that could not be read completely cause no
/// notes.
pub(super) fn check<'a>(reader: &mut FileReader<'a>, root: &At<'a>, scenario: &Scenario, complete: Complete) {
    let steps = scenario.expanded_len();
    if steps > MAX_STEPS {
        let at = At { json: root.json.locate("steps"), path: "steps".to_owned() };
        reader.note(&at, format!("a run has at most {MAX_STEPS} steps, found {steps} with every repeat expanded"));
        return;
    }
    let mut check = Check {
        reader,
        root,
        complete,
        told: BTreeSet::new(),
        members: scenario.members.iter().map(MemberName::as_str).collect(),
        users: Users::of(&scenario.members),
        messages: BTreeMap::new(),
        handshakes: BTreeSet::new(),
        compromises: BTreeMap::new(),
        backups: BTreeMap::new(),
        backed_up: BTreeMap::new(),
        impersonated: BTreeSet::new(),
        held: BTreeSet::new(),
        lied_to: BTreeSet::new(),
        second_history: BTreeSet::new(),
        steals: false,
        created: complete.trace.then(GroupName::default).into_iter().collect(),
        proposed: false,
        before: Before::Nothing,
    };
    check.fidelity(scenario);
    check.service_settings(scenario);
    check.policies(scenario);
    check.definitions(scenario);
    for (index, source) in scenario.sources().enumerate() {
        if check.reader.problems.len() >= MAX_PROBLEMS {
            break;
        }
        match source {
            StepSource::Written(step) => check.step(index, &step),
            StepSource::Churn(place, churn) => check.churn(&place, churn),
        }
    }
}

/// The step that defines an id: its index, its place, and its group.
struct Defined {
    index: usize,
    place: Place,
    group: GroupName,
}

/// The kind of the step before, for `fails`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    CannotFail,
    CanFail,
    Race,
}

struct Check<'r, 'a, 's> {
    reader: &'r mut FileReader<'a>,
    root: &'r At<'a>,
    complete: Complete,
    /// The fields for which a problem was noted. The other turns of a `repeat` would repeat the
    /// problem.
    told: BTreeSet<String>,
    members: BTreeSet<&'s str>,
    /// The users that have devices with names.
    users: Users<'s>,
    messages: BTreeMap<MessageId, Defined>,
    /// The ids among them that name handshakes.
    handshakes: BTreeSet<MessageId>,
    compromises: BTreeMap<CompromiseId, Defined>,
    backups: BTreeMap<BackupId, Defined>,
    /// The member whose device makes each of them.
    backed_up: BTreeMap<BackupId, MemberName>,
    /// The compromises with which a thief has acted so far.
    impersonated: BTreeSet<CompromiseId>,
    held: BTreeSet<MessageId>,
    /// The members to which the service lies.
    lied_to: BTreeSet<MemberName>,
    /// The members that see the second history of the service.
    second_history: BTreeSet<MemberName>,
    /// True if a step of the scenario steals a device.
    steals: bool,
    /// The groups that exist.
    created: BTreeSet<GroupName>,
    /// True if a proposal may wait for a commit in the default group.
    proposed: bool,
    before: Before,
}

impl Check<'_, '_, '_> {
    /// Notes a problem with a field of a step, such as `send.by`. Each field gets at most one note.
    fn note(&mut self, place: &Place, field: &str, problem: impl FnOnce(&Self) -> String) {
        let path = if field.is_empty() { place.path.to_string() } else { format!("{}.{field}", place.path) };
        if self.told.contains(&path) {
            return;
        }
        let turn = place.turn.map(|turn| format!(" (in turn {turn})")).unwrap_or_default();
        let problem = problem(self) + &turn;
        let at = At { json: self.root.json.locate(&path), path: path.clone() };
        self.reader.note(&at, problem);
        self.told.insert(path);
    }

    /// Notes the settings and steps that the fidelity of the scenario does not have.
    fn fidelity(&mut self, scenario: &Scenario) {
        if scenario.fidelity == Fidelity::Real {
            #[cfg(not(feature = "post-quantum"))]
            if scenario.group.ciphersuite == Some(Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519) {
                let path = "group.ciphersuite";
                let at = At { json: self.root.json.locate(path), path: path.to_owned() };
                let problem = "this build has no devices with this ciphersuite; build `regrow` with the feature \
                               `post-quantum`, or set `fidelity` to `model`";
                self.reader.note(&at, problem);
            }
            if scenario.protocol != Protocol::Mls {
                let path = "protocol";
                let at = At { json: self.root.json.locate(path), path: path.to_owned() };
                self.reader.note(&at, "real devices have only the protocol `mls`; set `fidelity` to `model`");
            }
            return;
        }
        let combines = scenario.protocol == Protocol::AmortizedPqCombiner;
        if combines && scenario.group.ciphersuite == Some(Ciphersuite::XWingChaCha20Poly1305Sha256Ed25519) {
            let path = "group.ciphersuite";
            let at = At { json: self.root.json.locate(path), path: path.to_owned() };
            let problem = "this ciphersuite is post-quantum; name the ciphersuite of the traditional session";
            self.reader.note(&at, problem);
        }
        for step in scenario.written_steps() {
            let Step::Do(action) = &step.item else { continue };
            if !action.has_model() {
                let problem = match action.group() != GroupName::default() {
                    true => "the cost model has only one group; leave `group` out, or set `fidelity` to `real`",
                    false => "the cost model has no such step or condition; set `fidelity` to `real`",
                };
                self.note(&step.place, action.name(), |_| problem.to_owned());
            }
        }
    }

    /// Collects the ids that all steps define. Some steps may name an id before its definition.
    fn definitions(&mut self, scenario: &Scenario) {
        for (index, source) in scenario.sources().enumerate() {
            let StepSource::Written(step) = source else { continue };
            match &step.item {
                Step::Do(action) => self.definition(index, &step.place, action),
                Step::Race(contenders) => {
                    for contender in contenders {
                        self.definition(index, &contender.place, &contender.item);
                    }
                }
            }
        }
    }

    fn definition(&mut self, index: usize, place: &Place, action: &Action) {
        let defined = || Defined { index, place: place.clone(), group: action.group() };
        self.handshakes.extend(action.handshake_id().cloned());
        let first = match (action.message_ids().next(), action) {
            (Some(id), _) => insert_new(&mut self.messages, id, defined),
            (None, Action::Compromise { id, .. }) => insert_new(&mut self.compromises, id, defined),
            (None, Action::Backup { who, id }) => {
                self.backed_up.entry(id.clone()).or_insert_with(|| who.clone());
                insert_new(&mut self.backups, id, defined)
            }
            _ => return,
        };
        if let Some((id, first)) = first {
            self.note(place, &format!("{}.id", action.name()), |_| {
                let hint = if first.number == place.number { "; put `{i}` into it" } else { "" };
                format!("`{}` is the id of {first} already{hint}", shown(&id))
            });
        }
    }

    fn step(&mut self, index: usize, step: &Placed<Step>) {
        match &step.item {
            Step::Do(action) => {
                self.action(index, &step.place, action);
                self.before = if action.can_fail() { Before::CanFail } else { Before::CannotFail };
            }
            Step::Race(contenders) => {
                self.race(&step.place, contenders);
                for contender in contenders {
                    self.action(index, &contender.place, &contender.item);
                }
                // A proposal that loses the race is made again in the next epoch.
                let proposes = |action: &Action| {
                    let is_proposal = matches!(action.unnamed(), Action::Leave { .. } | Action::Propose { .. });
                    is_proposal && action.group() == GroupName::default()
                };
                self.proposed |= contenders.iter().any(|contender| proposes(&contender.item));
                self.before = Before::Race;
            }
        }
    }

    fn churn(&mut self, place: &Place, churn: &Churn) {
        match (self.created.contains(&GroupName::default()), churn.initial) {
            (true, Some(_)) => self.note(place, "churn.initial", |_| {
                "there is a group already: leave `initial` out, and the churn goes on with its members".to_owned()
            }),
            (false, None) if self.complete.steps => self.note(place, "churn", |_| {
                "there is no group yet: add `initial`, or put a `create` before the churn".to_owned()
            }),
            (false, Some(initial)) if self.complete.members && initial as usize > self.members.len() => {
                self.note(place, "churn.initial", |check| {
                    format!("the scenario has only {} members, found {initial}", check.members.len())
                });
            }
            _ => {}
        }
        if self.proposed && self.complete.steps {
            self.note(place, "churn", |_| "proposals wait before the churn: put a `commit` before it".to_owned());
        }
        if let CommitterPolicy::Fixed(name) = &churn.committer {
            self.member(place, "churn.committer.fixed", name);
        }
        self.created.insert(GroupName::default());
        self.proposed = false;
        self.before = Before::CannotFail;
    }

    fn race(&mut self, place: &Place, contenders: &[Placed<Action>]) {
        if self.complete.steps && contenders.len() < 2 {
            self.note(place, "race", |_| "a race has at least two steps, found one".to_owned());
        }
        let mut racing = BTreeSet::new();
        for Placed { place, item: action } in contenders {
            if !action.can_race() {
                self.note(place, action.name(), |_| {
                    let name = action.name();
                    format!("`{name}` cannot race: each step of a race submits something to the group, for one member")
                });
                continue;
            }
            for member in action.submitters() {
                if !racing.insert(member) {
                    self.note(place, action.name(), |_| {
                        format!("`{}` is in this race already; a member has one step in a race", shown(member.as_str()))
                    });
                }
            }
        }
    }

    fn action(&mut self, index: usize, place: &Place, action: &Action) {
        let group = action.group();
        let (named_group, _, action) = action.parts();
        let needs_group = !action.submitters().is_empty();
        match action {
            Action::Create { by, with } => {
                if !self.created.insert(group.clone()) {
                    let problem = match named_group {
                        Some(group) => format!("there is a group `{}` already", shown(group.as_str())),
                        None => "there is a group already; a second one needs a name: add the field `group`".to_owned(),
                    };
                    self.note(place, "create", |_| problem);
                }
                self.member(place, "create.by", by);
                self.members(place, "create.with", with);
                if with.contains(by) {
                    self.note(place, "create.with", |_| {
                        format!("`{}` creates the group and is in it already; do not add it", shown(by.as_str()))
                    });
                }
            }
            Action::Add { by, who } | Action::Remove { by, who } => {
                self.member(place, &format!("{}.by", action.name()), by);
                self.members(place, &format!("{}.who", action.name()), who);
            }
            Action::AddUser { by, who } | Action::RemoveUser { by, who } => self.of_user(place, action, by, who),
            Action::LinkDevice { by, who } | Action::LostDevice { by, who } => self.of_device(place, action, by, who),
            Action::Update { by, .. } => self.member(place, "update.by", by),
            Action::Propose { by, what } => {
                self.member(place, "propose.by", by);
                match what {
                    Proposal::Add(who) => self.members(place, "propose.add", who),
                    Proposal::Remove(who) => self.members(place, "propose.remove", who),
                    Proposal::Update => {}
                }
            }
            Action::SetData { by, .. } => self.member(place, "set_data.by", by),
            Action::Commit { by } => self.member(place, "commit.by", by),
            Action::Send { by, .. } => self.member(place, "send.by", by),
            Action::Leave { who }
            | Action::Join { who }
            | Action::Rejoin { who }
            | Action::Offline { who }
            | Action::Online { who }
            | Action::KeyPackages { who, .. }
            | Action::Lock { who }
            | Action::Unlock { who, .. }
            | Action::Upkeep { who } => self.members(place, &format!("{}.who", action.name()), who),
            Action::Hold(what) | Action::Release(what) | Action::Drop(what) | Action::Duplicate(what) => {
                self.delivery(place, action, what);
            }
            Action::Crash { who, .. } => self.member(place, "crash.who", who),
            Action::Backup { who, .. } => self.member(place, "backup.who", who),
            Action::Restore { who, from, .. } => self.restore(index, place, who, from),
            Action::Compromise { who, scope, .. } => {
                self.member(place, "compromise.who", who);
                if *scope == TheftScope::Backup {
                    self.stolen_backup(index, place, who);
                }
            }
            Action::Impersonate { compromise, .. } => {
                self.taken(index, place, "impersonate.compromise", compromise);
                self.group(place, "impersonate", named_group);
                self.impersonated.insert(compromise.clone());
            }
            Action::Clock { who, .. } => self.members(place, "clock.who", who),
            Action::Network(change) => {
                self.members(place, "network.who", change.who.as_deref().unwrap_or_default());
                for (side, members) in change.partition.iter().flatten().enumerate() {
                    self.members(place, &format!("network.partition[{side}]"), members);
                }
            }
            Action::Service(fault) => self.service_fault(place, fault),
            Action::Compare { who } => {
                self.members(place, "compare.who", who);
                self.any_group(place, "compare");
            }
            Action::Verify { by, who } => {
                self.member(place, "verify.by", by);
                self.members(place, "verify.who", who);
            }
            Action::Authenticate { who, of, .. } => {
                self.members(place, "authenticate.who", who);
                self.members(place, "authenticate.of", of);
            }
            Action::InGroup { .. } | Action::Named { .. } | Action::Wait(_) => {}
            Action::Expect(expect) => self.expect(index, place, named_group, expect),
        }
        if needs_group || matches!(action, Action::Upkeep { .. } | Action::Verify { .. }) {
            self.group(place, action.name(), named_group);
        }
        if group != GroupName::default() {
            return;
        }
        match action {
            Action::Leave { .. } | Action::Propose { .. } => self.proposed = true,
            Action::Add { .. }
            | Action::Remove { .. }
            | Action::AddUser { .. }
            | Action::RemoveUser { .. }
            | Action::Update { .. }
            | Action::SetData { .. }
            | Action::Commit { .. } => self.proposed = false,
            _ => {}
        }
    }

    /// Checks that the group of a step exists. A step that names no group acts in the default one.
    fn group(&mut self, place: &Place, field: &str, named: Option<&GroupName>) {
        let name = named.cloned().unwrap_or_default();
        if self.created.contains(&name) || !self.complete.steps {
            return;
        }
        match named {
            _ if self.created.is_empty() => self.any_group(place, field),
            None => self.note(place, field, |check| {
                let known: Vec<_> = check.created.iter().map(|name| format!("`{}`", shown(name.as_str()))).collect();
                format!("the step names no group; add the field `group` with {}", known.join(" or "))
            }),
            Some(name) => self.note(place, &format!("{field}.group"), |check| {
                let near = nearest(name.as_str(), check.created.iter().map(GroupName::as_str));
                let problem = told("until here no group is called", name.as_str(), near);
                if near.is_none() { problem + ": `create` comes first" } else { problem }
            }),
        }
    }

    /// Checks that there is a group.
    fn any_group(&mut self, place: &Place, field: &str) {
        if self.created.is_empty() && self.complete.steps {
            self.note(place, field, |_| "there is no group yet: `create` comes first".to_owned());
        }
    }

    fn member(&mut self, place: &Place, field: &str, name: &MemberName) {
        if self.complete.members && !self.members.contains(name.as_str()) {
            self.note(place, field, |check| {
                if name.as_str() == OTHERS {
                    return format!(
                        "`{OTHERS}` are all but the acting member, and no member acts here; use `{EVERYBODY}`"
                    );
                }
                check.unknown_member(name)
            });
        }
    }

    /// The problem with a name that is no member.
    fn unknown_member(&self, name: &MemberName) -> String {
        if let Some(devices) = self.users.devices(name.as_str()) {
            let devices: Vec<_> = devices.iter().map(|device| format!("`{device}`")).collect();
            return format!("`{name}` is a user; name one of its devices: {}", devices.join(", "));
        }
        let near = nearest(name.as_str(), self.members.iter().copied());
        told("no member is called", name.as_str(), near)
    }

    fn members(&mut self, place: &Place, field: &str, names: &[MemberName]) {
        for (index, name) in names.iter().enumerate() {
            if !self.members.contains(name.as_str()) {
                let field = self.element(place, field, index, names.len());
                self.member(place, &field, name);
            }
        }
    }

    /// The field of one of these names. A list with a row has fewer elements than names, and then it
    /// is the field of the list.
    fn element(&self, place: &Place, field: &str, index: usize, names: usize) -> String {
        let list = self.root.json.locate(&format!("{}.{field}", place.path));
        match list.elements() {
            Some(elements) if elements.len() != names => field.to_owned(),
            _ => format!("{field}[{index}]"),
        }
    }

    fn delivery(&mut self, place: &Place, action: &Action, what: &Delivery) {
        let id = format!("{}.id", action.name());
        if self.is_sent(place, &id, &what.id) {
            match action {
                Action::Hold(_) => {
                    self.held.insert(what.id.clone());
                }
                Action::Release(_) if self.complete.steps && !self.held.contains(&what.id) => {
                    self.note(place, &id, |_| format!("`{}` has not been held", shown(what.id.as_str())));
                }
                _ => {}
            }
        }
        self.members(place, &format!("{}.for", action.name()), what.to.as_deref().unwrap_or_default());
    }

    /// True if a step sends the message. Notes a problem if none does.
    fn is_sent(&mut self, place: &Place, field: &str, id: &MessageId) -> bool {
        let is_sent = self.messages.contains_key(id);
        if !is_sent && self.complete.steps {
            self.note(place, field, |check| {
                let near = nearest(id.as_str(), check.messages.keys().map(MessageId::as_str));
                told("no message has the id", id.as_str(), near)
            });
        }
        is_sent
    }

    /// Checks that the theft happens before the step.
    fn taken(&mut self, index: usize, place: &Place, field: &str, id: &CompromiseId) {
        let problem = not_before(index, &self.compromises, id, "compromise", "taken");
        if let Some(problem) = problem.filter(|_| self.complete.steps) {
            self.note(place, field, |_| problem);
        }
    }
}

/// Defines a new id. If the id is defined already, returns it and the place of its definition.
fn insert_new<K: Clone + Ord + ToString>(
    map: &mut BTreeMap<K, Defined>,
    id: &K,
    defined: impl FnOnce() -> Defined,
) -> Option<(String, Place)> {
    if let Some(first) = map.get(id) {
        return Some((id.to_string(), first.place.clone()));
    }
    map.insert(id.clone(), defined());
    None
}

/// The problem with an id that an earlier step has to define: `what` is the thing with the id, and
/// `verb` the act of the defining step.
fn not_before<K: Borrow<str> + Ord>(
    index: usize,
    known: &BTreeMap<K, Defined>,
    id: &K,
    what: &str,
    verb: &str,
) -> Option<String> {
    let name: &str = id.borrow();
    match known.get(name) {
        None => {
            let near = nearest(name, known.keys().map(Borrow::<str>::borrow));
            Some(told(&format!("no {what} is called"), name, near))
        }
        Some(defined) if defined.index > index => {
            Some(format!("`{}` is {verb} later, in {}", shown(name), defined.place))
        }
        Some(_) => None,
    }
}

fn told(what: &str, name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("{what} `{}`; did you mean `{near}`?", shown(name)),
        None => format!("{what} `{}`", shown(name)),
    }
}
