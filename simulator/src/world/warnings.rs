//! Warns about scenarios that may not test what their author wants.
//!
//! A warning is no failure: the scenario plays as it is written. A strict run makes a failure of it.
//! The rules are:
//!
//! - The scenario has an `expect`.
//! - Each message of others that a thief can read at the end is in the `reads` or `exactly` of an
//!   `expect` about this thief.
//! - The group has healed from each theft at the end, or an `expect` with `healed` false says that it
//!   has not.
//! - No message and no handshake is held at the end.
//! - Every clause of every `expect` can fail. A clause inside a `repeat` cannot fail if it cannot fail
//!   in any turn. These clauses cannot fail:
//!   - an empty list of members or messages, if nothing else is asked of the reader;
//!   - `reads` for the senders of the messages, without a `cannot_read` beside it;
//!   - `exactly` before the first message;
//!   - `cannot_read` for devices that have never been in the group, or for messages that were not sent;
//!   - `converged` with fewer than two online members;
//!   - `events` that are not told, for devices that got no entry.
//! - The transcript does not depend on the machine.

use std::collections::{BTreeMap, BTreeSet};

use super::{device::ReadStatus, state::World};
use crate::{
    report::{Warning, WarningKind},
    scenario::{
        Action, CompromiseId, Expect, GroupName, MemberName, MessageId, Place, ReadingExpectation, Scenario, Step,
    },
};

/// The largest number of messages that one warning names.
const NAMED: usize = 5;

/// The reason for which an empty list of messages cannot fail.
const NO_MESSAGE: &str = "it names no message";

/// The questions of all `expect` steps so far.
#[derive(Default)]
pub(super) struct Questions {
    /// The messages that each thief is expected to read.
    readable: BTreeMap<CompromiseId, BTreeSet<MessageId>>,
    /// The thefts from which a group is expected not to have healed, and the groups.
    unhealed: BTreeSet<(CompromiseId, GroupName)>,
    /// For each clause, by the path and the name of its field: its place, and the reason for which it
    /// holds in any case. No reason if it could have failed in a turn.
    clauses: BTreeMap<(String, &'static str), (Place, Option<String>)>,
}

impl Questions {
    fn clause(&mut self, place: &Place, field: &'static str, reason: Option<String>) {
        let clause = self.clauses.entry((place.path.to_string(), field));
        let (_, known) = clause.or_insert_with(|| (place.clone(), reason.clone()));
        if reason.is_none() {
            *known = None;
        }
    }
}

impl World<'_> {
    /// Notes the questions of an `expect`.
    pub(super) fn note_questions(&mut self, place: &Place, group: Option<&GroupName>, expect: &Expect) {
        let mut questions = std::mem::take(&mut self.questions);
        if expect.converged {
            questions.clause(place, "converged", self.is_alone(group));
        }
        if !expect.events.is_empty() {
            questions.clause(place, "events", self.never_told(&expect.events));
        }
        match &expect.reading {
            Some(ReadingExpectation::Member { who, .. }) if who.is_empty() => {
                questions.clause(place, "who", Some("it names no member".to_owned()));
            }
            Some(ReadingExpectation::Member { who, reads, cannot_read }) => {
                let others = !cannot_read.is_empty() || expect.exactly.is_some();
                match reads.is_empty() {
                    true if !others => questions.clause(place, "reads", Some(NO_MESSAGE.to_owned())),
                    // A complete reading list also has the messages of the reader itself.
                    false if !others => questions.clause(place, "reads", self.all_own(who, reads)),
                    _ => {}
                }
                if expect.exactly.is_some() {
                    let nothing = self.service.sent.list.is_empty();
                    questions.clause(place, "exactly", nothing.then(|| "no message was sent until now".to_owned()));
                }
                if !cannot_read.is_empty() {
                    questions.clause(place, "cannot_read", self.never_readable(who, cannot_read));
                }
            }
            Some(ReadingExpectation::Thief { compromise, reads, cannot_read, healed, .. }) => {
                if expect.names_no_result() {
                    questions.clause(place, "reads", Some(NO_MESSAGE.to_owned()));
                }
                let exactly = expect.exactly.iter().flatten();
                questions.readable.entry(compromise.clone()).or_default().extend(reads.iter().chain(exactly).cloned());
                if *healed == Some(false) {
                    questions.unhealed.insert((compromise.clone(), group.cloned().unwrap_or_default()));
                }
                if let Some(thief) = self.thieves.find(compromise).filter(|_| !cannot_read.is_empty()) {
                    let who = [self.devices[self.thieves[thief].device].name.clone()];
                    questions.clause(place, "cannot_read", self.never_readable(&who, cannot_read));
                }
            }
            None => {}
        }
        self.questions = questions;
    }

    fn is_alone(&self, group: Option<&GroupName>) -> Option<String> {
        let group = self.service.id_of(&group.cloned().unwrap_or_default()).ok()?;
        let connected = self.service.roster(&group).into_iter().filter(|device| self.devices[*device].is_connected());
        let shared = connected.count() > 1;
        (!shared).then(|| "fewer than two members are online".to_owned())
    }

    fn all_own(&self, who: &[MemberName], messages: &[MessageId]) -> Option<String> {
        let sent = &self.service.sent;
        let is_own = |name: &MemberName, id: &MessageId| {
            let message = sent.number(id).map(|number| &sent.list[number]);
            message.is_some_and(|message| !message.forged && self.devices[message.at.sender].name == *name)
        };
        let all = who.iter().all(|name| messages.iter().all(|id| is_own(name, id)));
        all.then(|| "every reader sent these messages itself".to_owned())
    }

    fn never_readable(&self, who: &[MemberName], messages: &[MessageId]) -> Option<String> {
        if messages.iter().all(|id| self.service.sent.number(id).is_none()) {
            return Some("none of these messages was sent".to_owned());
        }
        let was_member = |name: &MemberName| {
            let device = self.devices.find(name).ok();
            let mut rosters = self.service.groups.values().flat_map(|group| &group.rosters);
            device.is_some_and(|device| rosters.any(|roster| roster.contains(&device)))
        };
        (!who.iter().any(was_member)).then(|| {
            let names: Vec<_> = who.iter().take(NAMED).map(MemberName::as_str).collect();
            format!("until now {} was never in the group", names.join(", "))
        })
    }

    /// The warnings of a scenario in which nothing failed.
    pub(super) fn warnings(&mut self, scenario: &Scenario) -> Vec<Warning> {
        let places = Places::of(scenario);
        let mut warnings = Vec::new();
        if !places.expects {
            warnings.push(Warning {
                kind: WarningKind::NothingExpected,
                place: None,
                seen: "the scenario has no `expect`, so it checks only the promises of every scenario".to_owned(),
                remedy: "add an `expect` with the result that matters to the product".to_owned(),
            });
        }
        warnings.extend(self.clause_warnings());
        warnings.extend(self.held_warnings(&places));
        warnings.extend(self.theft_warnings(&places));
        if self.recorder.unordered_commits() > 0 {
            warnings.push(Warning {
                kind: WarningKind::NotReproducible,
                place: None,
                seen: "a commit has too many updates and removals, so the next run may differ".to_owned(),
                remedy: "commit more often, or propose fewer updates and removals before a commit".to_owned(),
            });
        }
        warnings
    }

    fn clause_warnings(&self) -> Vec<Warning> {
        let clauses = self.questions.clauses.iter();
        let mut warnings: Vec<_> = clauses
            .filter_map(|((_, field), (place, reason))| {
                Some(Warning {
                    kind: WarningKind::CannotFail,
                    place: Some(Place { turn: None, ..place.clone() }),
                    seen: format!("`{field}` holds in any case: {}", reason.as_ref()?),
                    remedy: "expect something that can fail, or remove the field".to_owned(),
                })
            })
            .collect();
        warnings.sort_by_key(|warning| warning.place.as_ref().map(|place| place.line));
        warnings
    }

    fn held_warnings(&self, places: &Places) -> Vec<Warning> {
        let mut held: BTreeMap<(usize, &MessageId), Vec<&MemberName>> = BTreeMap::new();
        for device in self.devices.iter() {
            let messages = device.read_status.iter().filter(|(_, status)| **status == ReadStatus::Held);
            let messages = messages.filter_map(|(number, _)| Some((*number, &self.service.sent.list.get(*number)?.id)));
            // Handshakes come after all messages.
            let handshakes = device.inbox.held_handshakes().filter_map(|delivery| {
                Some((usize::MAX, self.service.name_of(device.index, &delivery.group, delivery.receipt.sequence)?))
            });
            for id in messages.chain(handshakes) {
                held.entry(id).or_default().push(&device.name);
            }
        }
        let warnings = held.into_iter().map(|((_, id), who)| Warning {
            kind: WarningKind::NeverReleased,
            place: places.holds.get(id).cloned(),
            seen: format!("{id} is still held back from {}", listed(who.into_iter().map(MemberName::as_str))),
            remedy: format!("release {id}, or `drop` it if it should never arrive"),
        });
        warnings.collect()
    }

    fn theft_warnings(&mut self, places: &Places) -> Vec<Warning> {
        let answers = self.thieves.answers_of_all(self.service.traffic(), &mut self.recorder.facts);
        let nothing = BTreeSet::new();
        let mut warnings = Vec::new();
        for (number, answers) in answers.iter().enumerate() {
            let thief = &self.thieves[number];
            let (id, place) = (&thief.id, places.thefts.get(&thief.id));
            let expected = self.questions.readable.get(id).unwrap_or(&nothing);
            let exposed = answers.exposure.messages.keys().filter_map(|message| self.service.sent.list.get(*message));
            // A thief knows its own messages.
            let exposed = exposed.filter(|message| !message.forged || message.at.sender != thief.device);
            let unexpected: Vec<_> =
                exposed.map(|message| &message.id).filter(|message| !expected.contains(*message)).collect();
            if !unexpected.is_empty() {
                let ids = listed(unexpected.iter().map(|message| message.as_str()));
                warnings.push(Warning {
                    kind: WarningKind::UnexpectedExposure,
                    place: place.cloned(),
                    seen: format!("the thief of {id} can read {ids}, and no `expect` about this thief says so"),
                    remedy: format!("add the messages to the `reads` of an `expect` with `compromise` {id}"),
                });
            }
            for (group, record) in &self.service.groups {
                let label = self.service.label(group);
                let question = (id.clone(), label.clone().unwrap_or_default());
                let healed = thief.healed_after(&answers.exposure, group, record.epoch());
                if healed.is_some() || self.questions.unhealed.contains(&question) {
                    continue;
                }
                let (named, field) = match &label {
                    Some(name) => (format!(" {name}"), format!("`group` {name}, ")),
                    None => (String::new(), String::new()),
                };
                warnings.push(Warning {
                    kind: WarningKind::NotHealed,
                    place: place.cloned(),
                    seen: format!("the group{named} has not healed from {id}, and no `expect` says so"),
                    remedy: format!("heal it, or add an `expect` with {field}`compromise` {id} and `healed` false"),
                });
            }
        }
        warnings
    }
}

/// The places of the steps that cause warnings.
#[derive(Default)]
struct Places {
    expects: bool,
    holds: BTreeMap<MessageId, Place>,
    thefts: BTreeMap<CompromiseId, Place>,
}

impl Places {
    fn of(scenario: &Scenario) -> Self {
        let mut places = Self::default();
        for step in scenario.written_steps() {
            places.expects |= step.item.expect().is_some();
            match step.item {
                Step::Do(Action::Hold(what)) => drop(places.holds.insert(what.id, step.place)),
                Step::Do(Action::Compromise { id, .. }) => drop(places.thefts.insert(id, step.place)),
                _ => {}
            }
        }
        places
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    let (shown, more) = names.split_at(names.len().min(NAMED));
    match more.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
