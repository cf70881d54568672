//! The settings that have to be the same on all nodes, because the owner applies them and every
//! node can become the owner. The owner writes them into its record.

use std::{collections::BTreeMap, fmt};

use super::secret::ClusterSecret;
use crate::server::{keys, settings::Settings};

/// The beginnings of the keys that have to agree. Sizes of a machine may differ: its memory and its
/// connections.
const KEYS: [&str; 12] = [
    "limits.ordering.",
    "limits.device_requests_per_second",
    "limits.device_burst",
    "limits.address_requests_per_second",
    "limits.address_burst",
    "limits.claims_per_device_and_hour",
    "limits.streams_per_device",
    "limits.challenge_seconds",
    "limits.session_seconds",
    "registration.",
    "wake_up.hosts",
    "cluster.lease_seconds",
];

/// Keys of `registration` that name files, which each machine has in its own place.
const FILES: [&str; 2] = ["registration.jwks", "registration.jwks_authorities"];

/// The name under which the secret's fingerprint is compared.
const SECRET: &str = "the secret in cluster.secret_file";

/// A setting that is not the same on two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    key: String,
    here: Option<String>,
    there: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, here, there } = self;
        if key == SECRET {
            return write!(f, "{SECRET} is another one");
        }
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "`{key}` is {} here and {} there", value(here), value(there))
    }
}

/// Writes the settings that have to agree, one in each line.
pub(super) fn written(settings: &Settings, secret: &ClusterSecret) -> String {
    let agreed = |key: &str| KEYS.iter().any(|agreed| key.starts_with(agreed)) && !FILES.contains(&key);
    let values = keys::values(settings).into_iter().filter(|(key, _)| agreed(key));
    let secret = (SECRET.to_owned(), secret.fingerprint());
    values.chain([secret]).map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// Returns the settings that differ. A setting that one version of the software does not have
/// counts as different only if the other node has set it.
pub(super) fn differences(here: &str, there: &str) -> Vec<Difference> {
    let (here, there) = (read(here), read(there));
    let keys = here.keys().chain(there.keys().filter(|key| !here.contains_key(*key)));
    let differing = keys.filter(|key| here.get(*key) != there.get(*key));
    let value = |values: &BTreeMap<&str, &str>, key: &str| values.get(key).map(|&value| value.to_owned());
    differing
        .map(|&key| Difference { key: key.to_owned(), here: value(&here, key), there: value(&there, key) })
        .collect()
}

fn read(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(" = ")).collect()
}
