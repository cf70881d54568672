//! All thieves of a run: their stolen states, their sessions, and their ordered forgeries.

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    sync::Arc,
};

use rayon::prelude::*;
use regrow_delivery_service::Sequence;
use regrow_engine::{Error, GroupId};

use super::{
    commit_order::{ORDER_ATTEMPTS, is_settled},
    fact_recorder::FactRecorder,
    thief_session::ThiefSession,
};
use crate::{
    adversary::{Answers, HeldSecrets, Thief, Traffic, active::ForgedCommit, replay::Replay},
    cost::Operation,
    scenario::CompromiseId,
};

/// A thief's submission that the delivery service has ordered.
pub(super) struct Forgery {
    pub(super) thief: CompromiseId,
    /// The device in whose name the thief submitted.
    pub(super) device: usize,
}

/// The ordered forgeries, by the group and the sequence of their log entry.
#[derive(Default)]
pub(super) struct Forgeries(BTreeMap<GroupId, BTreeMap<Sequence, Forgery>>);

impl Forgeries {
    pub(super) fn insert(&mut self, group: &GroupId, sequence: Sequence, forgery: Forgery) {
        self.0.entry(group.clone()).or_default().insert(sequence, forgery);
    }

    pub(super) fn get(&self, group: &GroupId, sequence: Sequence) -> Option<&Forgery> {
        self.0.get(group)?.get(&sequence)
    }
}

/// The thieves, in the order of the compromises.
#[derive(Default)]
pub(super) struct Thieves {
    list: Vec<Thief>,
    sessions: BTreeMap<CompromiseId, ThiefSession>,
    pub(super) forged: Forgeries,
}

impl Thieves {
    pub(super) fn push(&mut self, thief: Thief, session: Option<ThiefSession>) {
        if let Some(session) = session {
            self.sessions.insert(thief.id.clone(), session);
        }
        self.list.push(thief);
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Thief> {
        self.list.iter()
    }

    /// The index of the thief of this compromise.
    pub(super) fn find(&self, id: &CompromiseId) -> Option<usize> {
        self.list.iter().position(|thief| thief.id == *id)
    }

    pub(super) fn session(&self, id: &CompromiseId) -> Option<&ThiefSession> {
        self.sessions.get(id)
    }

    pub(super) fn session_mut(&mut self, id: &CompromiseId) -> Option<&mut ThiefSession> {
        self.sessions.get_mut(id)
    }

    /// Starts the randomness of this step for all thieves.
    pub(super) fn begin_step(&mut self, step: &str) {
        for session in self.sessions.values_mut() {
            session.begin_step(step);
        }
    }

    /// Shows a thief all ordered traffic, and records the entries that it could follow.
    pub(super) fn observe(&mut self, thief: usize, traffic: &[Traffic], facts: &mut FactRecorder) {
        let thief = &mut self.list[thief];
        for entry in thief.observe(traffic) {
            facts.followed(thief.number, thief.device, &entry);
        }
    }

    /// The stolen device as the thief runs it, after it has seen all ordered traffic. [`None`] if
    /// the thief runs no device.
    pub(super) fn run_stolen_device(
        &mut self,
        thief: usize,
        operation: Operation,
        traffic: &[Traffic],
        facts: &mut FactRecorder,
    ) -> Option<&mut Replay> {
        self.observe(thief, traffic, facts);
        if let Some(session) = self.sessions.get(&self.list[thief].id) {
            session.begin_operation(operation);
        }
        self.list[thief].replay.stolen()
    }

    /// Makes a thief's commit, and repeats it until its changes are in order, like a member's.
    pub(super) fn commit_in_order(&mut self, thief: usize, group: &GroupId) -> Result<ForgedCommit, Error> {
        let thief = &mut self.list[thief];
        let (Some(stolen), Some(session)) = (thief.replay.stolen(), self.sessions.get(&thief.id)) else {
            return Err(Error::UnknownGroup { group: group.clone() });
        };
        let (before, mark) = (stolen.snapshot()?, session.mark());
        for _ in 1..ORDER_ATTEMPTS {
            session.begin_commit();
            let forged = stolen.commit(group)?;
            if is_settled(forged.pending.changes()) {
                return Ok(forged);
            }
            stolen.go_back(&before)?;
            session.go_back(&mark);
        }
        session.begin_commit();
        stolen.commit(group)
    }

    /// Records that a device has noticed a thief's entry. Returns the thief, if the entry is of one.
    pub(super) fn detect(&mut self, group: &GroupId, entry: Sequence) -> Option<CompromiseId> {
        let thief = self.forged.get(group, entry)?.thief.clone();
        if let Some(session) = self.sessions.get_mut(&thief) {
            session.set_detected();
        }
        Some(thief)
    }

    /// The messages that a thief can read now, and the disagreements of the ways to find that out.
    pub(super) fn answers(&mut self, thief: usize, traffic: &[Traffic], facts: &mut FactRecorder) -> Arc<Answers> {
        self.observe(thief, traffic, facts);
        facts.read_tapes();
        self.list[thief].answers(traffic, facts)
    }

    /// The answers for each thief. The thieves work in parallel.
    pub(super) fn answers_of_all(&mut self, traffic: &[Traffic], facts: &mut FactRecorder) -> Vec<Arc<Answers>> {
        let thieves = self.list.par_iter_mut();
        let followed: Vec<_> = thieves.map(|thief| (thief.number, thief.device, thief.observe(traffic))).collect();
        for (thief, device, entries) in followed {
            entries.iter().for_each(|entry| facts.followed(thief, device, entry));
        }
        facts.read_tapes();
        let facts = &*facts;
        self.list.par_iter_mut().map(|thief| thief.answers(traffic, facts)).collect()
    }

    /// The messages that all thieves together can read.
    ///
    /// A key that is useless to one thief may complete another's: the key of an old leaf opens the
    /// commit that healed a different device.
    pub(super) fn pooled_answers(&self, facts: &mut FactRecorder) -> Answers {
        facts.read_tapes();
        let stolen: Vec<_> = self.list.iter().flat_map(|thief| thief.stolen.iter().cloned()).collect();
        let mut holdings = HeldSecrets::default();
        self.list.iter().for_each(|thief| holdings.pool(&thief.holdings));
        let replayed = self.list.iter().flat_map(|thief| thief.replay.readable()).copied().collect();
        facts.answers(&stolen, &holdings, &replayed)
    }
}

impl Thief {
    /// The answers for the traffic until now, which the thief has observed.
    fn answers(&mut self, traffic: &[Traffic], facts: &FactRecorder) -> Arc<Answers> {
        match &self.answers {
            Some((seen, answers)) if *seen == traffic.len() => answers.clone(),
            _ => {
                let answers = Arc::new(facts.answers(&self.stolen, &self.holdings, self.replay.readable()));
                self.answers = Some((traffic.len(), answers.clone()));
                answers
            }
        }
    }
}

impl Index<usize> for Thieves {
    type Output = Thief;

    fn index(&self, index: usize) -> &Thief {
        &self.list[index]
    }
}

impl IndexMut<usize> for Thieves {
    fn index_mut(&mut self, index: usize) -> &mut Thief {
        &mut self.list[index]
    }
}
