//! The events that the engines of devices tell their applications, and the expectations on them.

use std::collections::{BTreeMap, BTreeSet};

use regrow_delivery_service::Delivery;
use regrow_engine::{Change, DeviceId, EpochChange, Error, GroupId, ReceivedEvent, UserId};

use super::{delivery_check::DeliveryResult, expect::names, state::World};
use crate::{
    report::{ExpectField, Failure},
    scenario::{EventExpectation, EventKind, ExpectScope, MemberName, Place},
};

/// The largest number of events that a failure lists.
const LISTED: usize = 8;

/// The events so far, if an `expect` asks for events.
#[derive(Default)]
pub(super) struct ToldEvents {
    active: bool,
    steps: Vec<Place>,
    /// The events of each device, in their order, each with its group and the number of its step.
    told: BTreeMap<usize, Vec<(usize, GroupId, ToldEvent)>>,
    /// The number of the last step in which the device got something.
    reached: BTreeMap<usize, usize>,
}

/// An event that a device tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToldEvent {
    event: EventKind,
    about: Option<Subject>,
}

/// The device or the user that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Device(DeviceId),
    User(UserId),
}

impl ToldEvents {
    /// An empty list. An inactive list stays empty.
    pub(super) fn new(active: bool) -> Self {
        Self { active, ..Self::default() }
    }

    /// True if the events are recorded.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// A step begins.
    pub(super) fn begin(&mut self, place: &Place) {
        if self.active {
            self.steps.push(place.clone());
        }
    }

    /// Adds the events of one entry that a device has processed.
    pub(super) fn tell(&mut self, to: usize, group: &GroupId, events: Vec<ToldEvent>) {
        if self.active {
            self.reached.insert(to, self.steps.len());
            let told = self.told.entry(to).or_default();
            told.extend(events.into_iter().map(|event| (self.steps.len(), group.clone(), event)));
        }
    }

    /// The events of a device in a part of the run.
    fn of(
        &self,
        device: usize,
        of: ExpectScope,
        only: Option<&GroupId>,
    ) -> impl DoubleEndedIterator<Item = (usize, &ToldEvent)> {
        let told = self.told.get(&device).map_or(&[][..], Vec::as_slice);
        let counts = move |(step, group, _): &&(usize, GroupId, ToldEvent)| {
            (of == ExpectScope::Run || *step == self.steps.len()) && only.is_none_or(|only| group == only)
        };
        told.iter().filter(counts).map(|(step, _, event)| (*step, event))
    }
}

impl ToldEvent {
    fn new(event: EventKind, about: &DeviceId) -> Self {
        Self { event, about: Some(Subject::Device(about.clone())) }
    }

    /// The events of an entry that a device has processed, and of the keys that it showed to the
    /// application.
    pub(super) fn of_delivery(result: &DeliveryResult, delivery: &Delivery, keys: BTreeSet<DeviceId>) -> Vec<Self> {
        let mut events: Vec<_> = keys.iter().map(|device| Self::new(EventKind::NewKey, device)).collect();
        match result {
            Ok(None) => events.push(Self::new(EventKind::Joined, &delivery.sender)),
            Ok(Some(ReceivedEvent::Commit(change))) => events.extend(Self::of_change(change)),
            Ok(Some(ReceivedEvent::Removed { by, .. })) => events.push(Self::new(EventKind::Removed, by)),
            Ok(Some(ReceivedEvent::Proposal { by, .. })) => events.push(Self::new(EventKind::Proposal, by)),
            Ok(Some(ReceivedEvent::Lost(_))) => events.push(Self { event: EventKind::Lost, about: None }),
            Ok(Some(ReceivedEvent::Message(_) | ReceivedEvent::Own | ReceivedEvent::Ignored(_))) => {}
            Err(Error::Refused(_)) => events.push(Self::new(EventKind::Refused, &delivery.sender)),
            Err(Error::Invalid { .. }) => events.push(Self::new(EventKind::Invalid, &delivery.sender)),
            Err(_) => {}
        }
        events
    }

    /// The events of an own commit. By an external commit the device has joined, too.
    pub(super) fn of_own_commit(change: &EpochChange, is_external: bool) -> Vec<Self> {
        let joined = is_external.then(|| Self::new(EventKind::Joined, &change.by));
        joined.into_iter().chain(Self::of_change(change)).collect()
    }

    fn of_change(change: &EpochChange) -> impl Iterator<Item = Self> {
        let changes = change.changes.iter().filter_map(|one| match one {
            Change::Added(device) => Some(Self::new(EventKind::MemberAdded, device)),
            Change::Removed(device) => Some(Self::new(EventKind::MemberRemoved, device)),
            Change::Data(_) => Some(Self::new(EventKind::DataChanged, &change.by)),
            Change::Updated(_) => None,
        });
        let unverified = change.no_longer_verified.iter();
        let unverified = unverified
            .map(|user| Self { event: EventKind::NoLongerVerified, about: Some(Subject::User(user.clone())) });
        std::iter::once(Self::new(EventKind::Commit, &change.by)).chain(changes).chain(unverified)
    }

    /// True if the event is about this device, or about its user.
    fn is_about(&self, device: &DeviceId) -> bool {
        match &self.about {
            Some(Subject::Device(about)) => about == device,
            Some(Subject::User(about)) => about == device.user(),
            None => false,
        }
    }
}

impl World<'_> {
    /// The failures of an expectation on events in all groups, or only in one.
    pub(super) fn expect_event(&self, only: Option<&GroupId>, expected: &EventExpectation) -> Vec<Failure> {
        let abouts: Vec<_> = match &expected.about {
            Some(names) => names.iter().map(Some).collect(),
            None => vec![None],
        };
        let pairs = expected.to.iter().flat_map(|to| abouts.iter().map(move |about| (to, *about)));
        pairs.filter_map(|(to, about)| self.untold(only, expected, to, about)).collect()
    }

    /// The failure if a member was not told an event about another one, or too often.
    fn untold(
        &self,
        only: Option<&GroupId>,
        expected: &EventExpectation,
        to: &MemberName,
        about: Option<&MemberName>,
    ) -> Option<Failure> {
        let device = self.devices.find(to).ok()?;
        let address = match about {
            Some(about) => Some(&self.devices[self.devices.find(about).ok()?].address),
            None => None,
        };
        let is_it =
            |told: &ToldEvent| told.event == expected.event && address.is_none_or(|address| told.is_about(address));
        let in_part = || self.told.of(device, expected.of, only);
        let count = in_part().filter(|(_, told)| is_it(told)).count();
        if expected.times.map_or(count > 0, |times| count == times as usize) {
            return None;
        }
        let part = match (expected.of, self.told.steps.last()) {
            (ExpectScope::Step, Some(place)) => format!(" in {place}"),
            _ => " until here".to_owned(),
        };
        let about = about.map(|about| format!(" about {about}")).unwrap_or_default();
        let event = format!("`{}`{about}", expected.event);
        let wanted = match expected.times {
            Some(0) => format!("{to} is not told {event}{part}"),
            Some(times) => format!("{to} is told {event} {}{part}", number_of(times as usize)),
            None => format!("{to} is told {event}{part}"),
        };
        let seen = if count > 0 {
            format!("it is told it {}", number_of(count))
        } else {
            let listed: Vec<_> = in_part().map(|(_, told)| self.in_words(told)).collect();
            let mut seen = match listed.len() {
                0 => "it is told nothing".to_owned(),
                count => {
                    let first = count.saturating_sub(LISTED);
                    let more = if first > 0 { format!("{first} earlier events, and ") } else { String::new() };
                    format!("it is told {more}{}", listed[first..].join(", "))
                }
            };
            let earlier = self.told.of(device, ExpectScope::Run, only).rev().find(|(_, told)| is_it(told));
            let place = earlier.and_then(|(step, _)| self.told.steps.get(step.checked_sub(1)?));
            if let Some(place) = place {
                seen += &format!("; {place} told it, and `\"of\": \"run\"` counts all steps");
            }
            seen
        };
        Some(self.recorder.failure(wanted, seen).about_member(to).of_field(ExpectField::Event(expected.event)))
    }

    fn in_words(&self, told: &ToldEvent) -> String {
        let about = match &told.about {
            Some(Subject::Device(device)) => format!(" about {}", self.devices.name_of(device)),
            Some(Subject::User(user)) => format!(" about {user}"),
            None => String::new(),
        };
        format!("`{}`{about}", told.event)
    }

    /// The reason why events cannot have been told, if all expectations ask for their absence.
    pub(super) fn never_told(&self, expected: &[EventExpectation]) -> Option<String> {
        let got_nothing = |name: &&MemberName, of: ExpectScope| {
            let device = self.devices.find(name).ok();
            let last = device.and_then(|device| self.told.reached.get(&device));
            last.is_none_or(|last| of == ExpectScope::Step && *last != self.told.steps.len())
        };
        let is_idle = |one: &EventExpectation| one.times == Some(0) && one.to.iter().all(|to| got_nothing(&to, one.of));
        let members: BTreeSet<_> = expected.iter().flat_map(|one| &one.to).collect();
        expected.iter().all(is_idle).then(|| format!("nothing was delivered to {}", names(members)))
    }
}

fn number_of(times: usize) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}
