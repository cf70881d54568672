//! The steps: one file for each area, with the descriptions and decoders of its steps.
//!
//! | module | steps |
//! | --- | --- |
//! | `membership` | changes of the group |
//! | `users` | all devices of a user, and devices in all groups |
//! | `messages` | application messages |
//! | `network` | connections, deliveries and time |
//! | `key_packages` | key packages at the delivery service |
//! | `connections` | faults of connections and clocks |
//! | `structure` | races and repeats |
//! | `crashes` | crashes |
//! | `devices` | the life of a device beside the group |
//! | `service` | faults and lies of the delivery service, and comparisons without it |
//! | `theft` | compromises and the acts of thieves |
//! | `churn` | generated histories |
//! | `expectations`, `evidence`, `due` | expectations |
//!
//! [`describe`](super::describe) tells how to add a step.

mod connections;
mod costs;
mod crashes;
mod devices;
mod due;
mod events;
mod evidence;
mod expectations;
mod key_packages;
mod membership;
mod messages;
mod network;
mod service;
mod structure;
mod theft;
mod users;

pub(super) mod churn;

pub use connections::{MAX_CLOCK_OFFSET, MAX_LATENCY_MS};
pub use messages::MAX_MESSAGE_SIZE;
pub use network::{MAX_WAIT, duration};
pub use service::MAX_ENTRIES;

pub(super) use structure::{list, nodes};

use super::{
    describe::Kind,
    fields::{At, FileReader},
    format::{Action, WrittenStep},
};

/// An area of steps: its name in the marks of the reference, and its steps.
pub(super) struct Area {
    /// The name.
    #[cfg_attr(not(test), allow(dead_code, reason = "only the test that writes the reference reads it"))]
    pub(super) name: &'static str,
    /// The steps, in the order of the reference.
    pub(super) steps: &'static [StepKind],
}

/// Every area, in the order of the reference.
pub(super) const AREAS: &[Area] = &[
    Area { name: "membership", steps: membership::STEPS },
    Area { name: "users", steps: users::STEPS },
    Area { name: "messages", steps: messages::STEPS },
    Area { name: "network", steps: network::STEPS },
    Area { name: "connections", steps: connections::STEPS },
    Area { name: "structure", steps: structure::STEPS },
    Area { name: "crashes", steps: crashes::STEPS },
    Area { name: "devices", steps: devices::STEPS },
    Area { name: "service", steps: service::STEPS },
    Area { name: "theft", steps: theft::STEPS },
    Area { name: "churn", steps: churn::STEPS },
    Area { name: "expectations", steps: expectations::STEPS },
];

/// Every step.
pub(super) fn steps() -> impl Iterator<Item = &'static StepKind> {
    AREAS.iter().flat_map(|area| area.steps)
}

/// One kind of step: its description and its decoder.
pub(super) struct StepKind {
    /// The name in a file.
    pub(super) name: &'static str,
    /// The meaning, in sentences.
    pub(super) about: &'static str,
    /// The value of the step's only field.
    pub(super) value: Kind,
    /// Reads the value.
    pub(super) decoder: Decoder,
    /// True if the step may be inside a `race`.
    races: bool,
    /// True if the step may be inside a `repeat`.
    repeats: bool,
    /// The names of the step's definitions in the schema, if it has steps of its own: inside a
    /// `race`, inside a `repeat`.
    nested_names: Option<(&'static str, &'static str)>,
}

/// Reads the value of a step.
pub(super) enum Decoder {
    /// A step that does one thing.
    Action(for<'a> fn(&mut FileReader<'a>, At<'a>) -> Option<Action>),
    /// A step that has or generates other steps. The text is the start of their numbers.
    Structure(for<'a> fn(&mut FileReader<'a>, At<'a>, &str) -> Option<WrittenStep>),
}

/// The structures around a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nesting {
    in_race: bool,
    in_repeat: bool,
}

impl StepKind {
    /// A step that does one thing. It may be inside a `repeat`.
    const fn action(
        name: &'static str,
        value: Kind,
        decode: for<'a> fn(&mut FileReader<'a>, At<'a>) -> Option<Action>,
        about: &'static str,
    ) -> Self {
        let decoder = Decoder::Action(decode);
        Self { name, about, value, decoder, races: false, repeats: true, nested_names: None }
    }

    /// Allows the step inside a `race`: it submits something to the group, for one member.
    const fn racing(mut self) -> Self {
        self.races = true;
        self
    }

    /// The name of the step's definition in the schema, at a place with this nesting.
    pub(super) fn definition(&self, nesting: Nesting) -> &'static str {
        match self.nested_names {
            Some((in_race, _)) if nesting.in_race => in_race,
            Some((_, in_repeat)) if nesting.in_repeat => in_repeat,
            _ => self.name,
        }
    }

    /// The nesting of the steps inside this step.
    pub(super) fn inside(&self, nesting: Nesting) -> Nesting {
        match self.name {
            structure::RACE => Nesting { in_race: true, ..nesting },
            structure::REPEAT => Nesting { in_repeat: true, ..nesting },
            _ => nesting,
        }
    }
}

impl Nesting {
    /// The top of a scenario.
    pub(super) const TOP: Self = Self { in_race: false, in_repeat: false };

    /// True if the step may be at this place.
    pub(super) fn allows(self, step: &StepKind) -> bool {
        (step.races || !self.in_race) && (step.repeats || !self.in_repeat)
    }

    /// The name of the definition of a step at this place in the schema.
    pub(super) fn definition(self) -> &'static str {
        match (self.in_race, self.in_repeat) {
            (false, false) => "step",
            (true, false) => "contender",
            (false, true) => "turn",
            (true, true) => "repeated_contender",
        }
    }
}
