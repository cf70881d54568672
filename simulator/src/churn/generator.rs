//! Generates the steps of a churn, event by event.

mod changes;

use std::collections::BTreeMap;

use super::{
    Churn, MAX_CHURN_EVENTS,
    activity::Activity,
    arrivals::Arrivals,
    batching::{Changes, Waiting},
    committer::CommitterChoice,
    draws::Draws,
    group::Group,
    instant::Instant,
    latency::RaceWindow,
    presence::PresenceClock,
    schedule::Schedule,
    timeline::Timeline,
    updates::UpdateClock,
};
use crate::scenario::{Action, MemberName, Place, Placed, Step};

/// A change of the group that a member wants.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// A newcomer joins.
    Join(u32),
    /// A member leaves.
    Leave(u32),
    /// A member updates its leaf.
    Update(u32),
}

/// The kinds of events. Simultaneous events happen in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    RaceEnds,
    CommitIsDue,
    Presence,
    Departure,
    Arrival,
    Update,
    Message,
}

/// The steps of one churn. The group belongs to the caller, because written steps change it too.
pub(crate) struct ChurnSteps<'a> {
    churn: &'a Churn,
    /// The number of the churn in its scenario, from 1. It is a part of the ids of messages.
    number: u32,
    names: &'a [MemberName],
    timeline: Timeline,
    now: Instant,
    end: Instant,
    state: State,
    events: u64,
    epochs: u64,
    messages: u64,
    /// The next member that was never in the group.
    newcomer: Option<u32>,
    arrivals: Arrivals,
    stays: Draws,
    departures: Schedule,
    activity: Option<Activity>,
    updates: UpdateClock,
    presence: Option<PresenceClock>,
    /// The members that the churn has taken offline, and tells for each if an update is due.
    away: BTreeMap<u32, bool>,
    committers: CommitterChoice,
    waiting: Waiting,
    race: RaceWindow,
    /// The changes that wait until a member can act.
    deferred: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Running,
    Ended,
}

impl<'a> ChurnSteps<'a> {
    pub(crate) fn new(churn: &'a Churn, number: u32, names: &'a [MemberName], seed: u64, place: Place) -> Self {
        let draws = |parameter: &str| Draws::new(seed, number, parameter);
        let start = Instant::default();
        Self {
            churn,
            number,
            names,
            timeline: Timeline::new(place),
            now: start,
            end: churn.time.map_or(Instant::NEVER, |time| start.after_duration(time)),
            state: State::New,
            events: 0,
            epochs: 0,
            messages: 0,
            newcomer: Some(0),
            arrivals: Arrivals::new(&churn.joins, draws("joins")),
            stays: draws("stay"),
            departures: Schedule::default(),
            activity: churn.messages.as_ref().map(|messages| Activity::new(messages, names.len(), draws)),
            updates: UpdateClock::new(churn.updates, names.len(), draws),
            presence: churn.presence.map(|presence| PresenceClock::new(presence, names.len(), draws)),
            away: BTreeMap::new(),
            committers: CommitterChoice::new(&churn.committer, names, draws),
            waiting: Waiting::new(churn.commits),
            race: RaceWindow::new(churn.latency),
            deferred: Vec::new(),
        }
    }

    /// The next step; [`None`] after the last one.
    pub(crate) fn next(&mut self, group: &mut Group) -> Option<Placed<Step>> {
        loop {
            if let Some(step) = self.timeline.take() {
                return Some(step);
            }
            match self.state {
                State::New => self.begin(group),
                State::Running => self.go_on(group),
                State::Ended => return None,
            }
        }
    }

    /// Creates the group if there is none, and schedules the first events of its members.
    fn begin(&mut self, group: &mut Group) {
        self.state = State::Running;
        let initial = self.churn.initial.unwrap_or_default().min(count(self.names.len()));
        if group.size() == 0 && initial > 0 {
            let with = self.names[1..initial as usize].to_vec();
            self.timeline.act(self.now, Action::Create { by: self.names[0].clone(), with });
            self.committers.committed(0, &Changes { adds: (1..initial).collect(), ..Changes::default() });
            (0..initial).for_each(|member| group.enter(member));
        }
        let members: Vec<u32> = group.members().collect();
        let mut away = Vec::new();
        for member in &members {
            let is_away = self.presence.as_ref().is_some_and(|clock| !clock.is_online_at_start(*member));
            let goes = is_away && group.is_online(*member) && !self.committers.is_fixed(*member);
            if goes {
                self.away.insert(*member, false);
                group.set_online(*member, false);
                away.push(self.name(*member));
            }
            self.entered(group, *member, goes);
        }
        if !away.is_empty() {
            self.timeline.act(self.now, Action::Offline { who: away });
        }
        // From here on, only changes count.
        group.take_changed();
        members.into_iter().for_each(|member| self.note_ability(group, member));
        self.find_newcomer(group);
    }

    /// Tells the choices of senders and committers which members can act now.
    fn note_abilities(&mut self, group: &mut Group) {
        group.take_changed().into_iter().for_each(|member| self.note_ability(group, member));
    }

    fn note_ability(&mut self, group: &Group, member: u32) {
        let able = group.is_able(member);
        if let Some(activity) = &mut self.activity {
            activity.set_able(member, able);
        }
        self.committers.set_able(member, able);
    }

    /// Schedules the events of a member that is in the group from now on.
    fn entered(&mut self, group: &Group, member: u32, is_away: bool) {
        let stay = group.stay(member);
        self.updates.entered(self.now, stay);
        if self.committers.is_fixed(member) {
            return;
        }
        let length = self.churn.stay.draw(&self.stays, member);
        self.departures.add(self.now.after(length), stay);
        // A member that a written step has taken offline stays offline.
        if let Some(presence) = self.presence.as_mut().filter(|_| is_away || group.is_online(member)) {
            presence.begin(self.now, stay, !is_away);
        }
    }

    fn find_newcomer(&mut self, group: &Group) {
        while let Some(member) = self.newcomer.filter(|member| group.was_member(*member)) {
            self.next_newcomer(member);
        }
    }

    fn next_newcomer(&mut self, after: u32) {
        self.newcomer = Some(after + 1).filter(|member| (*member as usize) < self.names.len());
    }

    /// Generates the next event, or ends the churn.
    fn go_on(&mut self, group: &mut Group) {
        self.note_abilities(group);
        if let Some(activity) = &mut self.activity {
            activity.set_members(self.now, group.able());
        }
        let (time, event) = self.next_event();
        let is_over = self.events >= self.churn.events.unwrap_or(MAX_CHURN_EVENTS)
            || self.epochs >= self.churn.epochs.unwrap_or(u64::MAX);
        if is_over || time > self.end || time == Instant::NEVER {
            if !is_over && self.end < Instant::NEVER {
                self.now = self.end;
            }
            return self.finish(group);
        }
        self.now = time;
        match event {
            Event::RaceEnds => self.end_race(group),
            Event::CommitIsDue => self.commit(group, None),
            Event::Presence => self.change_presence(group),
            Event::Departure => self.depart(group),
            Event::Arrival => {
                self.arrivals.advance();
                if let Some(newcomer) = self.newcomer {
                    self.next_newcomer(newcomer);
                    self.find_newcomer(group);
                    self.want(group, Wanted::Join(newcomer));
                }
            }
            Event::Update => {
                if let Some(member) = self.updates.take(group) {
                    self.want(group, Wanted::Update(member));
                }
            }
            Event::Message => self.send(group),
        }
    }

    fn next_event(&self) -> (Instant, Event) {
        let arrival = self.newcomer.map_or(Instant::NEVER, |_| self.arrivals.time());
        let times = [
            (self.race.closes(), Event::RaceEnds),
            (self.waiting.due(), Event::CommitIsDue),
            (self.presence.as_ref().map_or(Instant::NEVER, PresenceClock::time), Event::Presence),
            (self.departures.time(), Event::Departure),
            (arrival, Event::Arrival),
            (self.updates.time(), Event::Update),
            (self.activity.as_ref().map_or(Instant::NEVER, Activity::time), Event::Message),
        ];
        times.into_iter().min().unwrap_or((Instant::NEVER, Event::RaceEnds))
    }

    fn depart(&mut self, group: &mut Group) {
        let Some((_, stay)) = self.departures.take() else { return };
        // The last member stays: nobody could remove it.
        if group.lasts(stay) && group.staying() > 1 {
            group.want_to_leave(stay.member);
            self.want(group, Wanted::Leave(stay.member));
        }
    }

    fn change_presence(&mut self, group: &mut Group) {
        let Some(stay) = self.presence.as_mut().and_then(|presence| presence.take(group)) else { return };
        let (member, online) = (stay.member, !group.is_online(stay.member));
        if let Some(presence) = self.presence.as_mut().filter(|_| group.lasts(stay)) {
            presence.begin(self.now, stay, online);
        }
        self.events += 1;
        if self.race.involves(member) {
            self.end_race(group);
        }
        group.set_online(member, online);
        let who = vec![self.name(member)];
        if online {
            let update_is_due = self.away.remove(&member).unwrap_or_default();
            self.timeline.act(self.now, Action::Online { who });
            self.catch_up(group);
            if update_is_due {
                self.make(group, Wanted::Update(member));
            }
        } else {
            self.away.insert(member, false);
            self.timeline.act(self.now, Action::Offline { who });
        }
    }

    /// Makes the changes and the commit that had to wait until a member can act.
    fn catch_up(&mut self, group: &mut Group) {
        for wanted in std::mem::take(&mut self.deferred) {
            self.make(group, wanted);
        }
        if self.waiting.is_overdue() {
            self.commit(group, None);
        }
    }

    /// Ends the churn: all members that it took offline come back, and nothing waits any more.
    fn finish(&mut self, group: &mut Group) {
        self.state = State::Ended;
        self.timeline.wait_until(self.now);
        self.end_race(group);
        let away: Vec<u32> = std::mem::take(&mut self.away).into_keys().collect();
        if !away.is_empty() {
            let who = away.iter().map(|member| self.name(*member)).collect();
            away.into_iter().for_each(|member| group.set_online(member, true));
            self.timeline.act(self.now, Action::Online { who });
        }
        for wanted in std::mem::take(&mut self.deferred) {
            self.make(group, wanted);
        }
        self.end_race(group);
        if !self.waiting.is_empty() {
            self.commit(group, None);
        }
    }

    fn name(&self, member: u32) -> MemberName {
        self.names[member as usize].clone()
    }
}

fn count(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}
