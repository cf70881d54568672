//! The generator's scenario under construction: draws submissions that are possible now, and adds
//! steps.

use std::sync::Arc;

use super::{
    model::{MemberNumber, Model, ProposedChange},
    weights::{StepKind, Weights},
};
use crate::choices::Choices;
use crate::scenario::{
    Action, CrashPoint, DEFAULT_MESSAGE_SIZE, Delivery, MemberName, MessageBody, MessageId, Place, Placed, Proposal,
    WrittenStep,
};

/// How often the generator draws a step that is impossible now, before it gives up.
pub(super) const ATTEMPTS: u32 = 50;

const CRASH_POINTS: [CrashPoint; 4] =
    [CrashPoint::BeforeSubmit, CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm, CrashPoint::DuringWrite];

/// A scenario under construction.
pub(super) struct Generator<'w> {
    pub(super) rng: Choices,
    pub(super) weights: &'w Weights,
    pub(super) model: Model,
    pub(super) steps: Vec<Placed<WrittenStep>>,
    messages: u32,
    data: u32,
    pub(super) handshakes: u32,
    pub(super) compromises: u32,
}

impl<'w> Generator<'w> {
    pub(super) fn new(rng: Choices, weights: &'w Weights, names: Vec<MemberName>) -> Self {
        Self {
            rng,
            weights,
            model: Model::new(names),
            steps: Vec::new(),
            messages: 0,
            data: 0,
            handshakes: 0,
            compromises: 0,
        }
    }

    /// A member that could do a step of this kind.
    pub(super) fn actor(&mut self, kind: StepKind) -> Option<MemberNumber> {
        match kind {
            StepKind::Join => self.rng.one(&self.model.joiners()),
            StepKind::Rejoin => {
                let online = self.model.online.intersection(&self.model.group).copied();
                self.rng.one(&online.collect::<Vec<_>>())
            }
            _ => self.rng.one(&self.model.present()),
        }
    }

    /// A submission that this device could make now.
    pub(super) fn any_submission(&mut self, by: MemberNumber) -> Option<Action> {
        if !self.model.group.contains(&by) {
            return self.submission(StepKind::Join, by);
        }
        for _ in 0..ATTEMPTS {
            if let Some(kind) = self.pick()
                && let Some(action) = self.submission(kind, by)
            {
                return Some(action);
            }
        }
        None
    }

    /// A submission of this kind that this device could make now. Does not change the modelled
    /// group.
    pub(super) fn submission(&mut self, kind: StepKind, by: MemberNumber) -> Option<Action> {
        let is_member = self.model.group.contains(&by);
        if !self.model.online.contains(&by) || is_member == (kind == StepKind::Join) {
            return None;
        }
        let robbed = self.model.robbed.contains(&by) && kind != StepKind::Rejoin;
        if robbed || self.model.out.contains(&by) || is_member && self.model.lags(by) {
            return None;
        }
        let possible = match kind {
            StepKind::Update | StepKind::Send => true,
            StepKind::Add | StepKind::Remove => self.model.is_at_rest(),
            _ => self.model.is_calm(),
        };
        if !possible {
            return None;
        }
        let others: Vec<_> = self.model.group.iter().copied().filter(|member| *member != by).collect();
        let name = self.name(by);
        match kind {
            StepKind::Add => {
                let who = self.rng.some(&self.model.addable(), 2);
                (!who.is_empty()).then(|| Action::Add { by: name, who: self.names(&who) })
            }
            StepKind::Remove if others.len() > 1 => {
                let most = if self.rng.once_in(4) { 2 } else { 1 };
                let who = self.rng.some(&others, most.min(others.len() - 1));
                Some(Action::Remove { by: name, who: self.names(&who) })
            }
            StepKind::Update => Some(Action::Update { by: name, signature_key: self.rng.once_in(4) }),
            StepKind::Leave if others.len() > 1 && !self.model.waits(ProposedChange::Remove(by)) => {
                Some(Action::Leave { who: vec![name] })
            }
            StepKind::Propose => Some(Action::Propose { by: name, what: self.proposal(by, &others)? }),
            StepKind::SetData => Some(Action::SetData { by: name, data: self.data() }),
            StepKind::Commit => self.model.can_commit(by).then_some(Action::Commit { by: name }),
            StepKind::Join => Some(Action::Join { who: vec![name] }),
            StepKind::Rejoin if !self.model.leaving.contains(&by) => Some(Action::Rejoin { who: vec![name] }),
            StepKind::Send if !self.model.something_waits() => Some(self.message(by)),
            _ => None,
        }
    }

    fn proposal(&mut self, by: MemberNumber, others: &[MemberNumber]) -> Option<Proposal> {
        match self.rng.below(3) {
            0 => {
                let addable = self.model.addable();
                let new: Vec<_> =
                    addable.into_iter().filter(|member| !self.model.waits(ProposedChange::Add(*member))).collect();
                let who = self.rng.one(&new)?;
                Some(Proposal::Add(vec![self.name(who)]))
            }
            1 if others.len() > 1 => {
                let new = others.iter().copied().filter(|member| !self.model.waits(ProposedChange::Remove(*member)));
                let who = self.rng.one(&new.collect::<Vec<_>>())?;
                Some(Proposal::Remove(vec![self.name(who)]))
            }
            2 if !self.model.waits_from(by, ProposedChange::Update) => Some(Proposal::Update),
            _ => None,
        }
    }

    /// A new message of this member.
    pub(super) fn message(&mut self, by: MemberNumber) -> Action {
        self.messages += 1;
        let id = MessageId::new(format!("m{}", self.messages));
        Action::Send { by: self.name(by), id, body: MessageBody::Size(self.message_size()) }
    }

    /// Group data that the group does not have.
    fn data(&mut self) -> String {
        self.data += 1;
        format!("name {}", self.data)
    }

    fn message_size(&mut self) -> u32 {
        match self.rng.below(12) {
            0 => 0,
            1 => 1,
            2 => 1000,
            _ => DEFAULT_MESSAGE_SIZE,
        }
    }

    /// A delivery rule for a message, for some members or for all.
    pub(super) fn delivery(&mut self, id: MessageId) -> Delivery {
        let all: Vec<_> = self.model.all().collect();
        let to = self.rng.once_in(2).then(|| self.rng.some(&all, 2));
        Delivery { id, to: to.map(|members| self.names(&members)) }
    }

    pub(super) fn crash(&mut self, who: MemberNumber) {
        let at = self.rng.one(&CRASH_POINTS).unwrap_or(CrashPoint::DuringWrite);
        self.act(Action::Crash { who: self.name(who), at });
    }

    pub(super) fn act(&mut self, action: Action) {
        self.model.apply(&action);
        self.push(WrittenStep::Do(action));
    }

    /// Adds a step, if it can be done now.
    pub(super) fn act_if_permitted(&mut self, action: Action) -> Option<()> {
        self.model.permits(&action).then(|| self.act(action))
    }

    pub(super) fn push(&mut self, item: WrittenStep) {
        self.steps.push(Placed { place: nowhere(), item });
    }

    pub(super) fn name(&self, member: MemberNumber) -> MemberName {
        self.model.names[member].clone()
    }

    pub(super) fn names(&self, members: &[MemberNumber]) -> Vec<MemberName> {
        members.iter().map(|member| self.name(*member)).collect()
    }

    pub(super) fn pick(&mut self) -> Option<StepKind> {
        let rng = &mut self.rng;
        self.weights.pick(|end| rng.below(end))
    }
}

/// The place of a step that has none yet. A step gets its place when the scenario is written and
/// read.
pub(super) fn nowhere() -> Place {
    Place { number: Arc::from(""), path: Arc::from(""), line: 0, turn: None }
}
