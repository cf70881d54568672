//! Generates steps over an imperfect network: changes of connections, actions of members that are
//! cut off, held handshakes, and wrong clocks.

use std::time::Duration;

use super::{generator::Generator, model::MemberNumber, weights::StepKind};
use crate::{
    churn::Decimal,
    scenario::{Action, ClockChange, ClockOffset, Delivery, MessageId, NetworkChange},
};

const HOUR: u64 = 60 * 60;

/// The probabilities of faults.
const SHARES: [&str; 3] = ["0.05", "0.2", "0.5"];

/// The rates of clocks. A key package has to stay usable by each of them.
const RATES: [&str; 3] = ["0.999", "1", "1.001"];

/// The differences of clocks, in seconds.
const OFFSETS: [u64; 4] = [0, 90, 5 * HOUR, 3 * 24 * HOUR];

impl Generator<'_> {
    /// Adds a change of the network. While members are cut off, one of them acts, or the network
    /// heals.
    pub(super) fn network(&mut self) -> Option<()> {
        let isolated: Vec<_> = self.model.isolated().collect();
        if !isolated.is_empty() && !self.rng.once_in(3) {
            return self.act_alone(&isolated);
        }
        let change = match self.model.is_calm() {
            false => NetworkChange { heal: true, ..NetworkChange::default() },
            true if self.rng.once_in(3) => self.partition()?,
            true => self.conditions(),
        };
        self.act_if_permitted(Action::Network(change))
    }

    fn conditions(&mut self) -> NetworkChange {
        let all: Vec<_> = self.model.all().collect();
        let who = self.rng.once_in(3).then(|| self.rng.some(&all, 2));
        let who = who.map(|members| self.names(&members));
        let share = |generator: &mut Self| {
            let share = generator.rng.one(&SHARES).and_then(Decimal::parse);
            share.filter(|_| generator.rng.once_in(2))
        };
        let (loss, duplicate, reorder) = (share(self), share(self), share(self));
        let latency_ms = Some(self.rng.below(2000));
        let jitter_ms = self.rng.once_in(2).then(|| self.rng.below(500));
        NetworkChange { who, latency_ms, jitter_ms, loss, duplicate, reorder, ..NetworkChange::default() }
    }

    /// A partition that leaves a member of the group on the service's side.
    fn partition(&mut self) -> Option<NetworkChange> {
        let present = self.model.present();
        let stays = self.rng.one(&present)?;
        let others: Vec<_> = present.into_iter().filter(|member| *member != stays).collect();
        if others.is_empty() {
            return None;
        }
        let cut = self.rng.some(&others, others.len());
        let sides = vec![self.names(&[stays]), self.names(&cut)];
        Some(NetworkChange { partition: Some(sides), ..NetworkChange::default() })
    }

    /// Adds an action of a member that is cut off. The action waits until the network heals.
    fn act_alone(&mut self, isolated: &[MemberNumber]) -> Option<()> {
        let by = self.rng.one(isolated)?;
        let action = match self.model.has_queued(by) || self.rng.once_in(2) {
            true => self.message(by),
            false => Action::Update { by: self.name(by), signature_key: false },
        };
        self.act(action);
        Some(())
    }

    /// Adds a delivery rule for a handshake, and the commit that it concerns.
    pub(super) fn handshake_rule(&mut self, kind: StepKind) -> Option<()> {
        (self.model.is_calm() && self.model.is_quiet()).then_some(())?;
        let by = self.rng.one(&self.model.present())?;
        let change = self.rng.one(&[StepKind::Update, StepKind::Update, StepKind::Add, StepKind::Remove])?;
        let commit = self.submission(change, by)?;
        let others: Vec<_> = self.model.all().filter(|member| *member != by).collect();
        let to = self.rng.some(&others, 2);
        self.handshakes += 1;
        let id = MessageId::new(format!("h{}", self.handshakes));
        let delivery = Delivery { id: id.clone(), to: Some(self.names(&to)) };
        self.act(match kind {
            StepKind::Hold => Action::Hold(delivery),
            StepKind::Drop => Action::Drop(delivery),
            _ => Action::Duplicate(delivery),
        });
        self.act(commit.named(Some(id)));
        // The device notices the loss by the next entry.
        if kind == StepKind::Drop {
            let message = self.message(by);
            self.act(message);
        }
        Some(())
    }

    /// Adds a change of a clock. The difference stays small enough for key packages.
    pub(super) fn clock(&mut self) -> Option<()> {
        let all: Vec<_> = self.model.all().collect();
        let who = self.rng.some(&all, 2);
        let by = Duration::from_secs(self.rng.one(&OFFSETS)?);
        let offset = ClockOffset { behind: self.rng.once_in(2) && !by.is_zero(), by };
        let rate = self.rng.one(&RATES).and_then(Decimal::parse).filter(|_| self.rng.once_in(3));
        self.act(Action::Clock { who: self.names(&who), change: ClockChange { offset: Some(offset), rate } });
        Some(())
    }
}
