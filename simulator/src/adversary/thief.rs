//! A thief with one snapshot, and the three answers to the question which messages it can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regrow_engine::{GroupId, Snapshot};

use super::{
    evidence::{Exposure, StolenBytes},
    held::HeldSecrets,
    replay::Adversary,
    traffic::Traffic,
};
use crate::scenario::{CompromiseId, MemberName, TheftScope};

/// A thief with one snapshot.
pub(crate) struct Thief {
    pub(crate) id: CompromiseId,
    /// The name of the member whose device was stolen; `device` is its number.
    pub(crate) who: MemberName,
    pub(crate) device: usize,
    /// The stolen part of the device.
    pub(crate) scope: TheftScope,
    /// The groups at the theft. A group that was created later is not here.
    pub(crate) groups: BTreeMap<GroupId, GroupAtTheft>,
    /// For each group, the latest epoch that the thief has entered by a commit of its own.
    pub(crate) entered: BTreeMap<GroupId, u64>,
    /// The virtual seconds from the beginning of the scenario to the theft.
    pub(crate) time: u64,
    /// The number of messages that had been sent before the theft.
    pub(crate) messages: usize,
    /// The thief's number among the acting devices, after the numbers of the members.
    pub(crate) number: usize,
    /// The stolen bytes, and the bytes of states that the thief has made itself.
    pub(crate) stolen: Vec<StolenBytes>,
    /// The same secrets, by the oracle's names.
    pub(crate) holdings: HeldSecrets,
    /// The stolen state, which runs in the engine.
    pub(crate) replay: Box<dyn Adversary>,
    /// The number of traffic entries that the replay has seen.
    pub(crate) seen: usize,
    /// The last answers, and the number of traffic entries that they take into account.
    pub(crate) answers: Option<(usize, Arc<Answers>)>,
}

/// A group at the time of a theft.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupAtTheft {
    /// The group's epoch.
    pub(crate) epoch: u64,
    /// The epoch of the stolen device, if the thief has the device's state of the group.
    pub(crate) device_epoch: Option<u64>,
}

/// The messages that a thief can read, and the disagreements between the three answers.
pub(crate) struct Answers {
    pub(crate) exposure: Exposure,
    pub(crate) disagreements: Vec<Disagreement>,
}

/// A disagreement between two answers.
pub(crate) struct Disagreement {
    pub(crate) message: usize,
    pub(crate) expected: &'static str,
    pub(crate) seen: String,
}

impl Thief {
    /// Lets the replay see all traffic until now. Returns the entries that the replay could follow.
    pub(crate) fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic> {
        let new = &traffic[self.seen..];
        self.seen = traffic.len();
        self.replay.observe(new)
    }

    /// The group at the theft.
    pub(crate) fn at_theft(&self, group: &GroupId) -> GroupAtTheft {
        self.groups.get(group).copied().unwrap_or_default()
    }

    /// Records that the thief has entered an epoch by a commit of its own. Adds the state that the
    /// thief then has, and the oracle's names for its secrets.
    pub(crate) fn enters(&mut self, group: &GroupId, epoch: u64, own: &Snapshot, holdings: &HeldSecrets) {
        self.entered.insert(group.clone(), epoch);
        let own = StolenBytes::all_of(own).into_iter();
        self.stolen.extend(
            own.map(|StolenBytes { name, bytes }| StolenBytes { name: format!("the thief's own: {name}"), bytes }),
        );
        self.holdings.pool(holdings);
    }

    /// The number of epochs of a group from the theft to the first epoch from which on the thief
    /// knows no epoch secret; [`None`] if the thief has secrets of the present epoch, `now`. A device
    /// does not store the epoch secret of its own epoch. So the thief has secrets of an epoch that it
    /// has entered, although no epoch secret follows.
    pub(crate) fn healed_after(&self, exposure: &Exposure, group: &GroupId, now: u64) -> Option<u64> {
        let reach = exposure.reach.get(group).max(self.entered.get(group));
        self.at_theft(group).healed_after(reach.copied(), now)
    }
}

impl GroupAtTheft {
    /// The number of epochs from the theft to the first epoch from which on the thief knows no
    /// epoch secret; [`None`] if the thief has secrets of the present epoch. `reach` is the latest
    /// epoch whose epoch secret the thief knows.
    pub(crate) fn healed_after(self, reach: Option<u64>, now: u64) -> Option<u64> {
        match reach.max(self.device_epoch) {
            Some(reach) if reach >= now => None,
            Some(reach) => Some((reach + 1).saturating_sub(self.epoch)),
            None => Some(0),
        }
    }
}

impl Answers {
    /// Compares the observed answer with the predicted and with the replayed answer. `why` returns
    /// the oracle's explanation for a message.
    pub(crate) fn compare(
        exposure: Exposure,
        predicted: &BTreeSet<usize>,
        replayed: &BTreeSet<usize>,
        why: impl Fn(usize) -> Vec<String>,
    ) -> Self {
        let mut disagreements = Vec::new();
        for (message, path) in exposure.messages.iter().filter(|(message, _)| !predicted.contains(message)) {
            disagreements.push(Disagreement {
                message: *message,
                expected: "cannot be read, by RFC 9420 and the policy",
                seen: format!("its key follows: {path}"),
            });
        }
        for message in predicted.iter().filter(|message| !exposure.messages.contains_key(message)) {
            disagreements.push(Disagreement {
                message: *message,
                expected: "can be read, by RFC 9420 and the policy",
                seen: format!(
                    "its key does not follow from the stolen bytes. The oracle: {}",
                    why(*message).join("; ")
                ),
            });
        }
        for message in replayed.iter().filter(|message| !exposure.messages.contains_key(message)) {
            disagreements.push(Disagreement {
                message: *message,
                expected: "is read by the engine only if its key follows from the stolen bytes",
                seen: "the engine reads it, and its key does not follow".to_owned(),
            });
        }
        for message in &exposure.unproved {
            disagreements.push(Disagreement {
                message: *message,
                expected: "was encrypted on a recorded device, and its key decrypts it",
                seen: "no recorded device has encrypted it, or its key does not decrypt it".to_owned(),
            });
        }
        Self { exposure, disagreements }
    }
}
