//! Races: changes within the latency of one another are prepared in the same epoch.

use std::{collections::BTreeSet, time::Duration};

use super::{batching::Changes, instant::Instant};
use crate::scenario::Action;

/// The effect of a step on the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A message: the epoch stays.
    Message,
    /// A commit without a change of the membership.
    Update,
    /// A commit that adds a member.
    Enter(u32),
    /// A commit that removes a member.
    Remove(u32),
}

impl Effect {
    /// The changes of a commit with this effect.
    pub(crate) fn changes(self) -> Changes {
        match self {
            Self::Message | Self::Update => Changes::default(),
            Self::Enter(member) => Changes { adds: vec![member], ..Changes::default() },
            Self::Remove(member) => Changes { removes: vec![member], ..Changes::default() },
        }
    }
}

/// A step, its author and its effect.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) by: u32,
    pub(crate) action: Action,
    pub(crate) effect: Effect,
}

/// The steps that are under way at the same time.
#[derive(Clone, Debug)]
pub(crate) struct RaceWindow {
    latency: Option<Duration>,
    contenders: Vec<Contender>,
    /// The authors of the steps, and the members that they add or remove.
    involved: BTreeSet<u32>,
    closes: Instant,
}

impl RaceWindow {
    pub(crate) fn new(latency: Option<Duration>) -> Self {
        Self { latency, contenders: Vec::new(), involved: BTreeSet::new(), closes: Instant::NEVER }
    }

    /// The time at which the steps reach the delivery service.
    pub(crate) fn closes(&self) -> Instant {
        self.closes
    }

    /// True if a step of this member, or about it, is under way.
    pub(crate) fn involves(&self, member: u32) -> bool {
        self.involved.contains(&member)
    }

    /// True if the step cannot take part in the present race.
    pub(crate) fn conflicts(&self, contender: &Contender) -> bool {
        members(contender).any(|member| self.involves(member))
    }

    /// Adds a step. Returns it if it is under way alone: there is no latency, or a message does not
    /// meet a commit.
    pub(crate) fn add(&mut self, now: Instant, contender: Contender) -> Option<Contender> {
        let Some(latency) = self.latency else { return Some(contender) };
        if self.contenders.is_empty() {
            if contender.effect == Effect::Message {
                return Some(contender);
            }
            self.closes = now.after_duration(latency);
        }
        self.involved.extend(members(&contender));
        self.contenders.push(contender);
        None
    }

    /// Ends the race, and takes its steps.
    pub(crate) fn take(&mut self) -> Vec<Contender> {
        self.closes = Instant::NEVER;
        self.involved.clear();
        std::mem::take(&mut self.contenders)
    }
}

fn members(contender: &Contender) -> impl Iterator<Item = u32> + use<> {
    let target = match contender.effect {
        Effect::Enter(member) | Effect::Remove(member) => Some(member),
        Effect::Message | Effect::Update => None,
    };
    std::iter::once(contender.by).chain(target)
}
