//! Somebody with a snapshot, and the three answers to what it can read.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::Snapshot;

use super::{Adversary, Exposure, Place, Traffic};
use crate::{
    oracle::Holdings,
    scenario::{CompromiseId, MemberName, Scope},
};

/// Somebody with a snapshot.
pub(crate) struct Thief {
    pub(crate) id: CompromiseId,
    /// Whose device was stolen: its name, and its number.
    pub(crate) who: MemberName,
    pub(crate) device: usize,
    /// What was stolen of it.
    pub(crate) scope: Scope,
    /// The group's epoch at that moment.
    pub(crate) epoch: u64,
    /// The epoch that the device was in, if it was in the group.
    pub(crate) device_epoch: Option<u64>,
    /// How many messages had been sent by then.
    pub(crate) messages: usize,
    /// Its number among those who act in the group, behind the members'.
    pub(crate) number: usize,
    /// The stolen bytes, and those of states that it has made itself.
    pub(crate) stolen: Vec<Place>,
    /// The same, as the oracle names it.
    pub(crate) holdings: Holdings,
    /// The stolen state, run in the engine.
    pub(crate) replay: Box<dyn Adversary>,
    /// How much of the traffic the replay has seen.
    pub(crate) seen: usize,
    /// What it could read when it had seen so much of the traffic.
    pub(crate) answers: Option<(usize, Arc<Answers>)>,
}

/// What a thief can read: how that was found out, and where the answers do not agree.
pub(crate) struct Answers {
    pub(crate) exposure: Exposure,
    pub(crate) findings: Vec<Finding>,
}

/// Answers that differ.
pub(crate) struct Finding {
    pub(crate) message: usize,
    pub(crate) expected: &'static str,
    pub(crate) seen: String,
}

impl Thief {
    /// Lets the replay see all that has been sent until now, and answers what of that it could follow.
    pub(crate) fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic> {
        let new = &traffic[self.seen..];
        self.seen = traffic.len();
        self.replay.observe(new)
    }

    /// It has what a device of its own has, besides what it has stolen; the oracle names that so.
    pub(crate) fn knows(&mut self, own: &Snapshot, holdings: Holdings) {
        let own = Place::all_of(own).into_iter();
        self.stolen.extend(own.map(|Place { name, bytes }| Place { name: format!("the thief's own: {name}"), bytes }));
        self.holdings.pool(&holdings);
    }

    /// How many epochs after the compromise the first came that it has no keys of; [`None`] if it has those of the
    /// present epoch.
    pub(crate) fn healed_after(&self, reach: Option<u64>, now: u64) -> Option<u64> {
        healed_after(reach.max(self.device_epoch), self.epoch, now)
    }
}

/// How many epochs after the theft, in epoch `stolen`, the first came that a thief has no keys of who got so far; [`None`]
/// if it has those of the present epoch.
pub(crate) fn healed_after(reach: Option<u64>, stolen: u64, now: u64) -> Option<u64> {
    match reach {
        Some(reach) if reach >= now => None,
        Some(reach) => Some((reach + 1).saturating_sub(stolen)),
        None => Some(0),
    }
}

impl Answers {
    /// Compares what follows from the bytes with what RFC 9420 says and with what the engine reads. `why` tells what the
    /// oracle says of a message.
    pub(crate) fn compare(
        exposure: Exposure,
        predicted: &BTreeSet<usize>,
        replayed: &BTreeSet<usize>,
        why: impl Fn(usize) -> Vec<String>,
    ) -> Self {
        let mut findings = Vec::new();
        for (message, path) in exposure.messages.iter().filter(|(message, _)| !predicted.contains(message)) {
            findings.push(Finding {
                message: *message,
                expected: "cannot be read, by RFC 9420 and the policy",
                seen: format!("its key follows: {path}"),
            });
        }
        for message in predicted.iter().filter(|message| !exposure.messages.contains_key(message)) {
            findings.push(Finding {
                message: *message,
                expected: "can be read, by RFC 9420 and the policy",
                seen: format!(
                    "its key does not follow from the stolen bytes. The oracle: {}",
                    why(*message).join("; ")
                ),
            });
        }
        for message in replayed.iter().filter(|message| !exposure.messages.contains_key(message)) {
            findings.push(Finding {
                message: *message,
                expected: "is read by the engine only if its key follows from the stolen bytes",
                seen: "the engine reads it, and its key does not follow".to_owned(),
            });
        }
        for message in &exposure.unproved {
            findings.push(Finding {
                message: *message,
                expected: "was encrypted on a recorded device, and its key decrypts it",
                seen: "it was not, or does not".to_owned(),
            });
        }
        Self { exposure, findings }
    }
}
