//! Replays a trace as ordinary steps.

use std::sync::Arc;

use super::{
    changes::{Change, TraceItem},
    history::History,
    row::TraceName,
};
use crate::{
    churn::{Draws, Group, Instant, MAX_BATCH, Timeline, UpdateClock, Updates},
    scenario::{Action, DEFAULT_MESSAGE_SIZE, MemberName, MessageBody, MessageId, Place, Placed, Proposal, Step},
};

/// The trace of a scenario, and the settings of its replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The path of the file, as the scenario gives it.
    pub file: Arc<str>,
    /// True if the messages of the trace are sent.
    pub messages: bool,
    /// The rules for updates, which a trace does not have itself.
    pub updates: Updates,
    /// The content of the file.
    pub history: Arc<History>,
    /// The place of the field in the scenario.
    pub place: Place,
}

/// The steps of a replay. The group belongs to the caller, because written steps change it too.
pub(crate) struct ReplaySteps<'a> {
    replay: &'a Replay,
    items: std::slice::Iter<'a, TraceItem>,
    timeline: Timeline,
    updates: UpdateClock,
    messages: u64,
}

impl<'a> ReplaySteps<'a> {
    pub(crate) fn new(replay: &'a Replay, seed: u64) -> Self {
        // A churn has a number from 1.
        let draws = |parameter: &str| Draws::new(seed, 0, parameter);
        Self {
            replay,
            items: replay.history.items().iter(),
            timeline: Timeline::new(replay.place.clone()),
            updates: UpdateClock::new(replay.updates, replay.history.members().len(), draws),
            messages: 0,
        }
    }

    /// The next step; [`None`] after the last one.
    pub(crate) fn next(&mut self, group: &mut Group) -> Option<Placed<Step>> {
        loop {
            if let Some(step) = self.timeline.take() {
                return Some(step);
            }
            // A group keeps a list of its changes for churns; a replay does not need it.
            group.take_changed();
            let next = self.items.as_slice().first()?;
            let time = Instant::from_seconds(match next {
                TraceItem::Change(change) => change.time,
                TraceItem::Message { time, .. } => *time,
            });
            let update = self.updates.time();
            if update < time {
                if let Some(member) = self.updates.take(group) {
                    self.update(group, update, member);
                }
                continue;
            }
            self.items.next();
            match next {
                TraceItem::Change(change) if group.size() == 0 => self.create(group, time, change),
                TraceItem::Change(change) => self.change(group, time, change),
                TraceItem::Message { by, .. } if self.replay.messages => self.send(group, time, *by),
                TraceItem::Message { .. } => {}
            }
        }
    }

    fn create(&mut self, group: &mut Group, now: Instant, change: &Change) {
        let mut names = self.names(&self.numbers(&change.joins)).into_iter();
        if let Some(by) = names.next() {
            self.timeline.act(now, Action::Create { by, with: names.collect() });
            self.enter(group, now, &change.joins);
        }
    }

    /// Makes one commit of a change. If the change adds and removes members, the smaller part
    /// becomes proposals, which the commit of the larger part includes.
    fn change(&mut self, group: &mut Group, now: Instant, change: &Change) {
        let (joins, leaves) = (self.numbers(&change.joins), self.numbers(&change.leaves));
        leaves.iter().for_each(|member| group.want_to_leave(*member));
        let author = change.by.and_then(|by| self.replay.history.number(by)).filter(|by| group.is_able(*by));
        // A history never removes all members at once, so there is a first member.
        let Some(by) = author.or_else(|| group.last_active()).or_else(|| group.pick(0)) else { return };
        let committer = self.name(by);
        let add = |who| Action::Add { by: committer.clone(), who };
        let remove = |who| Action::Remove { by: committer.clone(), who };
        let propose = |what| Action::Propose { by: committer.clone(), what };
        let (added, removed) = (self.names(&joins), self.names(&leaves));
        let actions = match (added.len(), removed.len()) {
            (_, 0) => vec![add(added)],
            (0, _) => vec![remove(removed)],
            (adds, removes) if adds.min(removes) > MAX_BATCH as usize => vec![remove(removed), add(added)],
            (adds, removes) if adds <= removes => vec![propose(Proposal::Add(added)), remove(removed)],
            _ => vec![propose(Proposal::Remove(removed)), add(added)],
        };
        actions.into_iter().for_each(|action| self.timeline.act(now, action));
        leaves.iter().for_each(|member| group.remove(*member));
        self.enter(group, now, &change.joins);
        group.acted(by);
    }

    fn enter(&mut self, group: &mut Group, now: Instant, joins: &[TraceName]) {
        for member in self.numbers(joins) {
            group.enter(member);
            self.updates.entered(now, group.stay(member));
        }
    }

    fn send(&mut self, group: &mut Group, now: Instant, by: TraceName) {
        let Some(by) = self.replay.history.number(by) else { return };
        self.messages += 1;
        // A name in a file has no spaces. So this id is the id of no written message.
        let id = MessageId::new(format!("trace message {}", self.messages));
        let body = MessageBody::Size(DEFAULT_MESSAGE_SIZE);
        self.timeline.act(now, Action::Send { by: self.name(by), id, body });
        group.acted(by);
        if self.updates.sent(by) {
            self.update(group, now, by);
        }
    }

    fn update(&mut self, group: &mut Group, now: Instant, by: u32) {
        self.timeline.act(now, Action::Update { by: self.name(by), signature_key: false });
        group.acted(by);
    }

    fn numbers(&self, names: &[TraceName]) -> Vec<u32> {
        names.iter().filter_map(|name| self.replay.history.number(*name)).collect()
    }

    fn names(&self, members: &[u32]) -> Vec<MemberName> {
        members.iter().map(|member| self.name(*member)).collect()
    }

    fn name(&self, member: u32) -> MemberName {
        self.replay.history.members()[member as usize].clone()
    }
}
