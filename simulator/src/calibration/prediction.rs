//! Compares predicted times with the measured times of real clients.
//!
//! A prediction has only the time of the cryptography. The quotient of the measured and the
//! predicted time tells the share of everything else: OpenMLS's trees, the encoding, the store.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use regrow_engine::{Client, CryptoProvider, DeviceId, Error, GroupId, Layered, MemoryStore, Policy, Timestamp};
use serde::{Deserialize, Serialize};

use super::UnitTimes;
use crate::{
    adversary::{CallLog, Taped},
    cost::{CostCounts, Operation},
};

/// The sizes of the measured groups. Each group is new: its commits seal to every leaf.
pub const GROUP_SIZES: [u32; 4] = [2, 10, 100, 1000];

/// The number of repetitions, of which the median counts.
const REPETITIONS: usize = 5;

/// The predicted and the measured time of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The members of the group.
    pub members: u32,
    /// The role: `committer` of an update, `receiver` of that commit, or `joiner` by a welcome.
    pub role: String,
    /// The predicted time, in seconds.
    pub predicted_s: f64,
    /// The measured time, in seconds: the median of several operations.
    pub measured_s: f64,
}

/// The median of several times, in seconds.
fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}

/// The seconds of a call, with its result.
fn timed<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<(f64, T), Error> {
    let start = Instant::now();
    let result = call()?;
    Ok((start.elapsed().as_secs_f64(), result))
}

/// Measures groups of each size, and predicts the same operations with these unit times. The
/// clients use the default ciphersuite.
///
/// # Errors
///
/// Errors of the engine.
pub(super) fn predictions(crypto: &Arc<dyn CryptoProvider>, units: &UnitTimes) -> Result<Vec<Prediction>, Error> {
    let mut predictions = Vec::new();
    for members in GROUP_SIZES {
        let counted = run(members, |name| counting(crypto, name))?;
        let measured = run(members, |_| (crypto.clone(), None))?;
        for (role, (_, counts)) in &counted {
            let counts = counts.named().map(|(_, count)| count as f64);
            predictions.push(Prediction {
                members,
                role: (*role).to_owned(),
                predicted_s: units.predict(counts).unwrap_or_default(),
                measured_s: measured.get(role).map_or(0.0, |(seconds, _)| *seconds),
            });
        }
    }
    Ok(predictions)
}

/// A provider that counts its calls.
fn counting(crypto: &Arc<dyn CryptoProvider>, name: &str) -> (Arc<dyn CryptoProvider>, Option<Arc<CallLog>>) {
    let log = CallLog::new(name, false);
    (Arc::new(Layered(Taped::new(crypto.clone(), log.clone()))), Some(log))
}

/// The median seconds of each role, and the counts of its last operation.
type Roles = BTreeMap<&'static str, (f64, CostCounts)>;

/// Makes a group of this size, in which the first member commits updates, and others join and
/// receive.
fn run(
    members: u32,
    provider: impl Fn(&str) -> (Arc<dyn CryptoProvider>, Option<Arc<CallLog>>),
) -> Result<Roles, Error> {
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()));
    let policy = Policy { publish_group_info: false, ..Policy::default() };
    let mut clients = Vec::with_capacity(members as usize);
    for number in 0..members {
        let name = format!("m{number}");
        let (crypto, log) = provider(&name);
        let device = DeviceId::new(&name, "device").map_err(|error| Error::Invalid { detail: error.to_string() })?;
        clients.push((Client::create(Arc::new(MemoryStore::new()), crypto, device, policy.clone())?, log));
    }
    let begin = |log: &Option<Arc<CallLog>>| log.iter().for_each(|log| log.begin(Operation::Commit));
    let counts = |log: &Option<Arc<CallLog>>| log.as_ref().map(|log| log.present()).unwrap_or_default();

    let mut key_packages = Vec::with_capacity(clients.len());
    for (client, _) in &mut clients[1..] {
        key_packages.extend(client.key_packages(1, now)?);
    }
    let id = GroupId::new("group").map_err(|error| Error::Invalid { detail: error.to_string() })?;
    let [(committer, committer_log), others @ ..] = clients.as_mut_slice() else { return Ok(Roles::new()) };
    committer.create_group(id.clone(), now)?;
    let pending = committer.group(&id)?.add(&key_packages, now)?;
    let welcome = pending.welcome().unwrap_or_default().to_vec();
    committer.confirm(pending, now)?;

    let (mut joining, mut committing, mut receiving) = (Vec::new(), Vec::new(), Vec::new());
    let mut roles = Roles::new();
    for (joiner, log) in others.iter_mut().take(REPETITIONS) {
        begin(log);
        joining.push(timed(|| joiner.join(&welcome, now))?.0);
        roles.insert("joiner", (0.0, counts(log)));
    }
    let [(receiver, receiver_log), ..] = others else { return Ok(Roles::new()) };
    for _ in 0..REPETITIONS {
        begin(committer_log);
        let (seconds, commit) = timed(|| {
            let pending = committer.group(&id)?.update()?;
            let commit = pending.commit().to_vec();
            committer.confirm(pending, now)?;
            Ok(commit)
        })?;
        committing.push(seconds);
        roles.insert("committer", (0.0, counts(committer_log)));
        begin(receiver_log);
        receiving.push(timed(|| receiver.receive(&commit, now))?.0);
        roles.insert("receiver", (0.0, counts(receiver_log)));
    }
    for (role, seconds) in [("joiner", joining), ("committer", committing), ("receiver", receiving)] {
        roles.entry(role).or_default().0 = median(seconds);
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_engine::default_crypto;

    #[test]
    fn prediction_has_the_counts_of_the_engine() {
        // Only HPKE operations take time here.
        let units = UnitTimes { hpke_seal: 1.0, hpke_open: 1000.0, ..UnitTimes::default() };
        let crypto = default_crypto();
        let counted = run(10, |name| counting(&crypto, name));
        let predicted = |role| {
            let (_, counts) = counted.as_ref().unwrap()[role];
            units.predict(counts.named().map(|(_, count)| count as f64)).unwrap()
        };
        // The tree is new, so the update is sealed to each other leaf.
        assert_eq!(predicted("committer"), 9.0);
        assert_eq!(predicted("receiver"), 1000.0);
        assert_eq!(predicted("joiner"), 1000.0);
    }
}
