//! Writes a scenario as the text of a file. [`read`](super::read) reads it back as the same
//! scenario.

mod costs;
mod events;
mod policy;
mod service;

use std::{fmt::Write as _, time::Duration};

use super::{
    format::{
        Action, Bound, DEFAULT_MESSAGE_SIZE, Delivery, Expect, FORMAT, Fidelity, GroupSettings, MessageBody, Placed,
        Proposal, Protocol, ReadingExpectation, Scenario, ServiceSettings, Step, TheftScope, VerifiedExpectation,
        WrittenStep,
    },
    name::MemberName,
    network::NetworkChange,
    run_settings::{RunSettings, Timeout},
    word::word,
    write_churn::{churn, updates},
};
use crate::{churn::Updates, trace::Replay};

/// The units of a duration, the longest first.
const UNITS: [(u64, char); 4] = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm'), (1, 's')];

/// Writes a scenario as a file of format 1: a step on each line, and no field that has its default.
/// The same scenario gives the same text.
///
/// ```
/// use regrow_simulator::scenario::{read, write};
///
/// let text = r#"{
///   "regrow": 1,
///   "name": "two people talk",
///   "seed": 7,
///   "members": ["alice", "bob"],
///   "steps": [
///     { "create": { "by": "alice", "with": "bob" } },
///     { "send": { "by": "alice", "id": "m1" } }
///   ]
/// }
/// "#;
/// assert_eq!(write(&read(text).unwrap()), text);
/// ```
#[must_use]
pub fn write(scenario: &Scenario) -> String {
    let mut fields = vec![format!("\"regrow\": {FORMAT}"), format!("\"name\": {}", text(&scenario.name))];
    fields.extend(scenario.about.as_ref().map(|about| format!("\"about\": {}", text(about))));
    fields.push(format!("\"seed\": {}", scenario.seed));
    fields.extend(run_settings(&scenario.run));
    if scenario.fidelity != Fidelity::default() {
        fields.push(format!("\"fidelity\": {}", text(word(scenario.fidelity))));
    }
    if scenario.protocol != Protocol::default() {
        fields.push(format!("\"protocol\": {}", text(scenario.protocol.name())));
    }
    if scenario.group != GroupSettings::default() {
        fields.push(format!("\"group\": {}", group(&scenario.group)));
    }
    if !scenario.policies.is_empty() {
        fields.push(format!("\"policies\": {}", policy::policies(&scenario.policies)));
    }
    if scenario.service != ServiceSettings::default() {
        fields.push(format!("\"service\": {}", service::settings(&scenario.service)));
    }
    // The members of a trace are in its file, and come first.
    let of_trace = scenario.trace.as_ref().map_or(0, |trace| trace.history.members().len());
    let listed = scenario.members.get(of_trace..).unwrap_or_default();
    let members: Vec<_> = listed.iter().map(|name| text(name.as_str())).collect();
    if scenario.trace.is_none() || !members.is_empty() {
        fields.push(format!("\"members\": [{}]", members.join(", ")));
    }
    fields.extend(scenario.trace.as_ref().map(|trace| format!("\"trace\": {}", replay(trace))));
    if scenario.trace.is_none() || !scenario.steps.is_empty() {
        fields.push(format!("\"steps\": {}", nodes(&scenario.steps, 1)));
    }
    format!("{{\n  {}\n}}\n", fields.join(",\n  "))
}

fn run_settings(run: &RunSettings) -> Vec<String> {
    let mut fields = Vec::new();
    if !run.tags.is_empty() {
        let tags: Vec<_> = run.tags.iter().map(|tag| text(tag)).collect();
        fields.push(format!("\"tags\": [{}]", tags.join(", ")));
    }
    let Timeout { real, virtual_time } = run.timeout;
    let mut times = LineFields::default();
    for (name, time) in [("real", real), ("virtual", virtual_time)] {
        if let Some(time) = time {
            times.text(name, &duration(time));
        }
    }
    if run.timeout != Timeout::default() {
        fields.push(format!("\"timeout\": {}", times.object()));
    }
    if run.strict {
        fields.push("\"strict\": true".to_owned());
    }
    fields
}

fn group(settings: &GroupSettings) -> String {
    let mut fields = LineFields::default();
    if let Some(suite) = settings.ciphersuite {
        fields.text("ciphersuite", suite.as_str());
    }
    if let Some(mode) = settings.handshake {
        fields.text("handshake", word(mode));
    }
    policy::settings(&mut fields, &settings.policy);
    fields.object()
}

/// The path of a trace, or an object with the path and the settings that are no defaults.
fn replay(replay: &Replay) -> String {
    let mut fields = LineFields::default();
    fields.text("file", &replay.file);
    if !replay.messages {
        fields.add("messages", false);
    }
    if replay.updates != Updates::default() {
        fields.add("updates", updates(&replay.updates));
    }
    if replay.messages && replay.updates == Updates::default() { text(&replay.file) } else { fields.object() }
}

/// A list of steps, each on its own line, at this depth.
fn nodes(nodes: &[Placed<WrittenStep>], depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let lines: Vec<_> = nodes.iter().map(|placed| format!("{indent}  {}", node(&placed.item, depth + 1))).collect();
    format!("[\n{}\n{indent}]", lines.join(",\n"))
}

fn node(node: &WrittenStep, depth: usize) -> String {
    match node {
        WrittenStep::Do(one) => action(one),
        WrittenStep::Race(contenders) => format!("{{ \"race\": {} }}", nodes(contenders, depth)),
        WrittenStep::Churn(settings) => format!("{{ \"churn\": {} }}", churn(settings)),
        WrittenStep::Repeat { times, steps } => {
            format!("{{ \"repeat\": {{ \"times\": {times}, \"steps\": {} }} }}", nodes(steps, depth))
        }
    }
}

/// Writes a step of a run on one line, as a file would have it without `repeat` and `{i}`.
pub(crate) fn step(step: &Step) -> String {
    match step {
        Step::Do(one) => action(one),
        Step::Race(contenders) => {
            let contenders: Vec<_> = contenders.iter().map(|contender| action(&contender.item)).collect();
            format!("{{ \"race\": [{}] }}", contenders.join(", "))
        }
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Wait(time) => format!("{{ \"wait\": {} }}", text(&duration(*time))),
        action => format!("{{ \"{}\": {} }}", action.name(), fields(action).object()),
    }
}

fn proposal(fields: &mut LineFields, what: &Proposal) {
    match what {
        Proposal::Add(who) => fields.names("add", who.iter().map(|name| name.as_str())),
        Proposal::Remove(who) => fields.names("remove", who.iter().map(|name| name.as_str())),
        Proposal::Update => fields.add("update", true),
    }
}

/// The fields of every step that has fields.
fn fields(action: &Action) -> LineFields {
    let mut fields = LineFields::default();
    match action {
        Action::InGroup { group, action } => {
            fields = self::fields(action);
            fields.text("group", group.as_str());
        }
        Action::Named { id, action } => {
            fields = self::fields(action);
            fields.text("id", id.as_str());
        }
        Action::Create { by, with } => {
            fields.text("by", by.as_str());
            if !with.is_empty() {
                fields.names("with", with.iter().map(|name| name.as_str()));
            }
        }
        Action::Add { by, who } | Action::Remove { by, who } => {
            fields.text("by", by.as_str());
            fields.names("who", who.iter().map(|name| name.as_str()));
        }
        Action::AddUser { by, who } | Action::RemoveUser { by, who } => {
            fields.text("by", by.as_str());
            fields.text("who", who.as_str());
        }
        Action::LinkDevice { by, who } | Action::LostDevice { by, who } => {
            fields.text("by", by.as_str());
            fields.text("who", who.as_str());
        }
        Action::Update { by, signature_key } => {
            fields.text("by", by.as_str());
            if *signature_key {
                fields.add("signature_key", true);
            }
        }
        Action::Leave { who }
        | Action::Join { who }
        | Action::Rejoin { who }
        | Action::Offline { who }
        | Action::Online { who }
        | Action::Lock { who }
        | Action::Upkeep { who } => fields.names("who", who.iter().map(|name| name.as_str())),
        Action::KeyPackages { who, change } => policy::key_packages(&mut fields, who, *change),
        Action::Propose { by, what } => {
            fields.text("by", by.as_str());
            proposal(&mut fields, what);
        }
        Action::SetData { by, data } => {
            fields.text("by", by.as_str());
            fields.text("data", data);
        }
        Action::Unlock { who, wrong_key } => {
            fields.names("who", who.iter().map(|name| name.as_str()));
            if *wrong_key {
                fields.add("wrong_key", true);
            }
        }
        Action::Backup { who, id } => {
            fields.text("who", who.as_str());
            fields.text("id", id.as_str());
        }
        Action::Restore { who, from, wrong_passphrase } => {
            fields.text("who", who.as_str());
            fields.text("from", from.as_str());
            if *wrong_passphrase {
                fields.add("wrong_passphrase", true);
            }
        }
        Action::Verify { by, who } => {
            fields.text("by", by.as_str());
            service::names(&mut fields, "who", who);
        }
        Action::Authenticate { who, of, answer } => {
            service::names(&mut fields, "who", who);
            service::names(&mut fields, "of", of);
            fields.text("answer", answer.as_str());
        }
        Action::Commit { by } => fields.text("by", by.as_str()),
        Action::Send { by, id, body } => {
            fields.text("by", by.as_str());
            fields.text("id", id.as_str());
            match body {
                MessageBody::Size(DEFAULT_MESSAGE_SIZE) => {}
                MessageBody::Size(size) => fields.add("size", size),
                MessageBody::Text(words) => fields.text("text", words),
            }
        }
        Action::Hold(what) | Action::Release(what) | Action::Drop(what) | Action::Duplicate(what) => {
            delivery(&mut fields, what);
        }
        Action::Crash { who, at } => {
            fields.text("who", who.as_str());
            fields.text("at", at.as_str());
        }
        Action::Compromise { who, id, scope } => {
            fields.text("who", who.as_str());
            fields.text("id", id.as_str());
            if *scope != TheftScope::default() {
                fields.text("scope", scope.as_str());
            }
        }
        Action::Impersonate { compromise, act, id } => {
            fields.text("compromise", compromise.as_str());
            fields.text("action", act.as_str());
            if let Some(id) = id {
                fields.text("id", id.as_str());
            }
        }
        Action::Network(change) => network(&mut fields, change),
        Action::Clock { who, change } => {
            fields.names("who", who.iter().map(|name| name.as_str()));
            if let Some(offset) = change.offset {
                fields.text("offset", &offset.to_string());
            }
            if let Some(rate) = change.rate {
                fields.add("rate", rate);
            }
        }
        Action::Service(fault) => service::fault(&mut fields, fault),
        Action::Compare { who } => service::names(&mut fields, "who", who),
        Action::Wait(_) => {}
        Action::Expect(expect) => expected(&mut fields, expect),
    }
    fields
}

fn network(fields: &mut LineFields, change: &NetworkChange) {
    let NetworkChange { who, heal, latency_ms, jitter_ms, loss, duplicate, reorder, partition } = change;
    if let Some(who) = who {
        fields.names("who", who.iter().map(|name| name.as_str()));
    }
    if *heal {
        fields.add("heal", true);
    }
    for (name, time) in [("latency_ms", latency_ms), ("jitter_ms", jitter_ms)] {
        if let Some(time) = time {
            fields.add(name, time);
        }
    }
    for (name, share) in [("loss", loss), ("duplicate", duplicate), ("reorder", reorder)] {
        if let Some(share) = share {
            fields.add(name, share);
        }
    }
    if let Some(sides) = partition {
        let names = |side: &Vec<MemberName>| {
            let names: Vec<_> = side.iter().map(|name| text(name.as_str())).collect();
            format!("[{}]", names.join(", "))
        };
        let sides: Vec<_> = sides.iter().map(names).collect();
        fields.add("partition", format_args!("[{}]", sides.join(", ")));
    }
}

fn delivery(fields: &mut LineFields, what: &Delivery) {
    fields.text("id", what.id.as_str());
    if let Some(to) = &what.to {
        fields.names("for", to.iter().map(|name| name.as_str()));
    }
}

fn expected(fields: &mut LineFields, expect: &Expect) {
    if let Some(epoch) = expect.epoch {
        fields.add("epoch", epoch);
    }
    if let Some(members) = &expect.members {
        fields.names("members", members.iter().map(|name| name.as_str()));
    }
    if expect.converged {
        fields.add("converged", true);
    }
    if let Some(reading) = &expect.reading {
        let (reads, cannot_read) = match reading {
            ReadingExpectation::Member { who, reads, cannot_read } => {
                fields.names("who", who.iter().map(|name| name.as_str()));
                (reads, cannot_read)
            }
            ReadingExpectation::Thief { compromise, reads, cannot_read, healed, heals_within, accepted, detected } => {
                fields.text("compromise", compromise.as_str());
                if let Some(epochs) = heals_within {
                    fields.add("heals_within", epochs);
                }
                for (name, expected) in [("healed", healed), ("accepted", accepted), ("detected", detected)] {
                    if let Some(expected) = expected {
                        fields.add(name, expected);
                    }
                }
                (reads, cannot_read)
            }
        };
        for (name, ids) in [("reads", reads), ("cannot_read", cannot_read)] {
            // A question about a reader has at least one condition, also if it names no message.
            if !ids.is_empty() || name == "reads" && expect.names_no_result() {
                fields.names(name, ids.iter().map(|id| id.as_str()));
            }
        }
        if let Some(ids) = &expect.exactly {
            fields.names("exactly", ids.iter().map(|id| id.as_str()));
        }
    }
    for evidence in &expect.evidence {
        service::evidence(fields, evidence);
    }
    if !expect.cut_off.is_empty() {
        service::names(fields, "cut_off", &expect.cut_off);
    }
    if let Some(due) = &expect.due {
        policy::due(fields, due);
    }
    if let Some(data) = &expect.data {
        fields.text("data", data);
    }
    if let Some(VerifiedExpectation { by, who }) = &expect.verified {
        let mut inner = LineFields::default();
        inner.text("by", by.as_str());
        service::names(&mut inner, "who", who);
        fields.add("verified", inner.object());
    }
    if !expect.events.is_empty() {
        fields.add("events", events::events(&expect.events));
    }
    if let Some(expected) = &expect.costs {
        fields.add("costs", costs::costs(expected).object());
    }
    if let Some(code) = expect.fails {
        fields.text("fails", code.as_str());
    }
    match expect.bound {
        Some(Bound::Steps(steps)) => fields.add("within", format_args!("{{ \"steps\": {steps} }}")),
        Some(Bound::Time(time)) => fields.text("within", &duration(time)),
        Some(Bound::End) => fields.add("eventually", true),
        None => {}
    }
}

/// The duration in the longest unit that is exact.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let fitting = UNITS.iter().find(|(length, _)| seconds.is_multiple_of(*length));
    let (length, unit) = fitting.copied().unwrap_or((1, 's'));
    format!("{}{unit}", seconds / length)
}

/// A text as JSON.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The fields of an object on one line.
#[derive(Default)]
pub(super) struct LineFields(String);

impl LineFields {
    pub(super) fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let comma = if self.0.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{comma}\"{name}\": {value}");
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.add(name, text(value));
    }

    /// Adds one name, or a list of names.
    fn names<'n>(&mut self, name: &str, names: impl Iterator<Item = &'n str>) {
        let names: Vec<_> = names.map(text).collect();
        match names.as_slice() {
            [one] => self.add(name, one),
            several => self.add(name, format_args!("[{}]", several.join(", "))),
        }
    }

    pub(super) fn object(&self) -> String {
        format!("{{ {} }}", self.0)
    }
}
