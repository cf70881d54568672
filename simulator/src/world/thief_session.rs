//! The session in which a thief acts in its victim's name, and the record of its attempts.

use std::{collections::BTreeMap, sync::Arc};

use regrow_engine::{GroupId, Layered};

use super::{generation_counter::GenerationCounter, randomness::SeededCrypto};
use crate::{
    adversary::{CallLog, Mark},
    cost::Operation,
    report::AuthenticationFigures,
    scenario::ThiefAction,
};

/// A thief's session.
pub(super) struct ThiefSession {
    crypto: Arc<Layered<SeededCrypto>>,
    log: Arc<CallLog>,
    /// The label of the step whose randomness the thief draws.
    step: String,
    /// For each group, continues the count of the stolen device.
    generations: BTreeMap<GroupId, GenerationCounter>,
    attempts: Vec<ThiefAttempt>,
    detected: bool,
}

/// An action that a thief tried.
struct ThiefAttempt {
    act: ThiefAction,
    /// The number of epochs since the compromise.
    after: u64,
    accepted: bool,
}

impl ThiefSession {
    pub(super) fn new(
        crypto: Arc<Layered<SeededCrypto>>,
        log: Arc<CallLog>,
        generations: BTreeMap<GroupId, GenerationCounter>,
    ) -> Self {
        Self { crypto, log, step: String::new(), generations, attempts: Vec::new(), detected: false }
    }

    /// Takes the generation for a message in this epoch of a group.
    pub(super) fn take_generation(&mut self, group: &GroupId, epoch: u64) -> u32 {
        self.generations.entry(group.clone()).or_default().take(epoch)
    }

    /// Starts the randomness of this step.
    pub(super) fn begin_step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.crypto.0.begin_step(step);
    }

    /// Starts the randomness of a commit in this step. Each call gives the same randomness again.
    pub(super) fn begin_commit(&self) {
        self.crypto.0.begin_step(format!("{} commit", self.step));
    }

    /// Counts the following crypto calls for this operation.
    pub(super) fn begin_operation(&self, operation: Operation) {
        self.log.begin(operation);
    }

    pub(super) fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// Removes the crypto calls since the mark.
    pub(super) fn go_back(&self, mark: &Mark) {
        self.log.go_back(mark);
    }

    pub(super) fn record_attempt(&mut self, act: ThiefAction, after: u64, accepted: bool) {
        self.attempts.push(ThiefAttempt { act, after, accepted });
    }

    pub(super) fn attempts(&self) -> usize {
        self.attempts.len()
    }

    /// True if the service ordered the thief's last attempt.
    pub(super) fn last_accepted(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.accepted)
    }

    pub(super) fn set_detected(&mut self) {
        self.detected = true;
    }

    /// True if a device has noticed the thief.
    pub(super) fn is_detected(&self) -> bool {
        self.detected
    }

    pub(super) fn figures(&self) -> Option<AuthenticationFigures> {
        if self.attempts.is_empty() {
            return None;
        }
        let accepted = self.attempts.iter().filter(|attempt| attempt.accepted);
        let last = self.attempts.iter().rposition(|attempt| attempt.accepted);
        let since = &self.attempts[last.map_or(0, |last| last + 1)..];
        Some(AuthenticationFigures {
            attempts: self.attempts.len() as u64,
            accepted: accepted.count() as u64,
            acted_until: last.map(|last| self.attempts[last].after),
            healed_after: since.iter().find(|attempt| attempt.act == ThiefAction::Rejoin).map(|attempt| attempt.after),
        })
    }
}
