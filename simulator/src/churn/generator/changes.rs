//! Carries out the changes and messages of a churn: by commits, races and proposals.

use super::{ChurnSteps, Wanted};
use crate::{
    churn::{
        batching::{Commits, Waiting},
        group::Group,
        latency::{Contender, Effect},
    },
    scenario::{Action, MessageBody, MessageId, Proposal},
};

impl ChurnSteps<'_> {
    pub(super) fn want(&mut self, group: &mut Group, wanted: Wanted) {
        self.events += 1;
        self.make(group, wanted);
    }

    pub(super) fn make(&mut self, group: &mut Group, wanted: Wanted) {
        if let Wanted::Update(member) = wanted
            && !group.is_able(member)
        {
            if let Some(update_is_due) = self.away.get_mut(&member) {
                *update_is_due = true;
            }
            return;
        }
        let made = match self.churn.commits {
            Commits::Direct => self.commit_directly(group, wanted),
            Commits::Window(_) | Commits::Batch(_) => self.propose(group, wanted),
        };
        if made.is_none() {
            self.deferred.push(wanted);
        }
    }

    /// Makes a change by a commit of its own. [`None`] if no member can act.
    fn commit_directly(&mut self, group: &mut Group, wanted: Wanted) -> Option<()> {
        self.note_abilities(group);
        let contender = match wanted {
            Wanted::Join(member) => {
                let inviter = self.committers.inviter(group);
                let effect = Effect::Enter(member);
                let by = self.committers.choose(group, inviter, &effect.changes())?;
                let action = Action::Add { by: self.name(by), who: vec![self.name(member)] };
                Contender { by, action, effect }
            }
            Wanted::Leave(member) => {
                let effect = Effect::Remove(member);
                let by = self.committers.choose(group, None, &effect.changes())?;
                let action = Action::Remove { by: self.name(by), who: vec![self.name(member)] };
                Contender { by, action, effect }
            }
            Wanted::Update(by) => {
                let action = Action::Update { by: self.name(by), signature_key: false };
                Contender { by, action, effect: Effect::Update }
            }
        };
        self.submit(group, contender);
        Some(())
    }

    fn submit(&mut self, group: &mut Group, contender: Contender) {
        if self.race.conflicts(&contender) {
            self.end_race(group);
        }
        group.acted(contender.by);
        if let Some(alone) = self.race.add(self.now, contender) {
            self.timeline.act(self.now, alone.action);
            self.apply(group, alone.by, alone.effect);
        }
    }

    pub(super) fn end_race(&mut self, group: &mut Group) {
        let (actions, effects): (Vec<_>, Vec<_>) =
            self.race.take().into_iter().map(|Contender { by, action, effect }| (action, (by, effect))).unzip();
        self.timeline.race(self.now, actions);
        effects.into_iter().for_each(|(by, effect)| self.apply(group, by, effect));
    }

    fn apply(&mut self, group: &mut Group, by: u32, effect: Effect) {
        match effect {
            Effect::Message => return,
            Effect::Update => {}
            Effect::Enter(member) => {
                group.enter(member);
                self.entered(group, member, false);
            }
            Effect::Remove(member) => group.remove(member),
        }
        self.committers.committed(by, &effect.changes());
        self.epochs += 1;
    }

    /// Makes a change by a proposal. [`None`] if no member can act.
    fn propose(&mut self, group: &mut Group, wanted: Wanted) -> Option<()> {
        let propose = |steps: &Self, by: u32, what| Action::Propose { by: steps.name(by), what };
        let (by, action) = match wanted {
            Wanted::Join(member) => {
                let by = self.committers.inviter(group)?;
                self.waiting.changes.adds.push(member);
                (by, propose(self, by, Proposal::Add(vec![self.name(member)])))
            }
            Wanted::Leave(member) => {
                // Two proposals for one leaf exclude each other (RFC 9420, 12.2).
                if self.waiting.updates(member) {
                    self.commit(group, None);
                }
                if group.is_online(member) {
                    self.waiting.changes.removes.push(member);
                    (member, Action::Leave { who: vec![self.name(member)] })
                } else {
                    let by = self.committers.inviter(group)?;
                    self.waiting.changes.removes.push(member);
                    (by, propose(self, by, Proposal::Remove(vec![self.name(member)])))
                }
            }
            Wanted::Update(by) => {
                if self.waiting.updates(by) {
                    return Some(());
                }
                self.waiting.changes.updates.insert(by);
                (by, propose(self, by, Proposal::Update))
            }
        };
        self.waiting.proposed(self.now, by);
        group.acted(by);
        self.timeline.act(self.now, action);
        if self.waiting.is_full() {
            self.commit(group, None);
        }
        Some(())
    }

    /// Commits the waiting proposals: by this member, or by the policy's. If no member can act, the
    /// commit waits.
    pub(super) fn commit(&mut self, group: &mut Group, by: Option<u32>) {
        self.note_abilities(group);
        let by = by.or_else(|| self.committers.choose(group, self.waiting.first(), &self.waiting.changes));
        let Some(by) = by else { return self.waiting.put_off() };
        let name = self.name(by);
        let action = match self.waiting.is_only_update_of(by) {
            true => Action::Update { by: name, signature_key: false },
            false => Action::Commit { by: name },
        };
        let waiting = std::mem::replace(&mut self.waiting, Waiting::new(self.churn.commits));
        self.timeline.act(self.now, action);
        group.acted(by);
        self.committers.committed(by, &waiting.changes);
        self.epochs += 1;
        waiting.changes.removes.into_iter().for_each(|member| group.remove(member));
        for member in waiting.changes.adds {
            group.enter(member);
            self.entered(group, member, false);
        }
    }

    /// Sends the next message. While proposals wait, the sender commits first (RFC 9420, 12.4).
    pub(super) fn send(&mut self, group: &mut Group) {
        let Some((by, messages)) =
            self.activity.as_mut().and_then(|activity| activity.take(self.now)).zip(self.churn.messages)
        else {
            return;
        };
        self.events += 1;
        self.messages += 1;
        if !self.waiting.is_empty() {
            self.commit(group, Some(by));
        }
        // A name in a file has no spaces. So this id is the id of no written message.
        let id = MessageId::new(format!("churn {} message {}", self.number, self.messages));
        let action = Action::Send { by: self.name(by), id, body: MessageBody::Size(messages.size) };
        self.submit(group, Contender { by, action, effect: Effect::Message });
        if self.updates.sent(by) {
            self.want(group, Wanted::Update(by));
        }
    }
}
