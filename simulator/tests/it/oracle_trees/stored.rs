//! The records that a device stores, read from its snapshot. They are OpenMLS structures, which are
//! stored as lists of their fields.

use std::collections::BTreeMap;

use regrow_engine::{Client, Record};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub type PublicKey = Vec<u8>;

/// All stored values that the oracle predicts.
#[derive(Default)]
pub struct Stored {
    pub tree: Option<StoredTree>,
    /// The key pairs of the leaf and of the nodes above it.
    pub epoch_keys: Vec<PublicKey>,
    /// The key pairs of update proposals.
    pub update_keys: Vec<PublicKey>,
    /// The init keys and the leaf keys of key packages.
    pub key_packages: Vec<(PublicKey, PublicKey)>,
    /// The key pairs of a pending commit: that of the leaf, and those of the path in its order.
    pub pending_keys: Option<Vec<PublicKey>>,
    /// The key pairs of an external commit that is held apart.
    pub joining_keys: Option<Vec<PublicKey>>,
    /// The number of epochs whose init secrets are stored.
    pub epochs: usize,
    /// The secret tree of the device's present epoch. `past_secret_trees` has those of past epochs,
    /// by their number.
    pub secret_tree: Option<StoredSecrets>,
    pub past_secret_trees: BTreeMap<u64, StoredSecrets>,
    pub pending_secret_tree: Option<StoredSecrets>,
    pub joining_secret_tree: Option<StoredSecrets>,
}

/// A ratchet tree. All devices in one epoch store the same bytes.
pub enum StoredTree {
    /// The tree that was read before.
    Known,
    New {
        record: Vec<u8>,
        nodes: Nodes,
    },
}

/// The nodes of a ratchet tree; [`None`] for a blank node.
pub struct Nodes {
    pub leaves: Vec<Option<PublicKey>>,
    pub parents: Vec<Option<(PublicKey, Vec<u32>)>>,
}

/// A secret tree and its ratchets.
pub struct StoredSecrets {
    /// The nodes whose secrets are stored, in the array representation.
    pub nodes: Vec<u32>,
    pub application: Vec<Option<StoredRatchet>>,
    pub handshake: Vec<Option<StoredRatchet>>,
}

/// The next generation of a ratchet, and the earlier generations whose keys are stored.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredRatchet {
    pub head: u32,
    pub skipped: Vec<u32>,
}

impl Stored {
    /// Reads the records of a client. `known` is the record of a tree that need not be read again.
    pub fn of(client: &Client, known: Option<&[u8]>) -> Self {
        let mut stored = Self::default();
        for record in client.snapshot().unwrap().records() {
            let name = record.name();
            let Some((scope, kind)) = name.split_once(": ") else { panic!("{name}") };
            stored.add(scope.ends_with("being joined"), kind, record, known);
        }
        stored
    }

    fn add(&mut self, joining: bool, kind: &str, record: &Record, known: Option<&[u8]>) {
        let decoded = || record.decode().unwrap();
        match (joining, kind) {
            (false, "ratchet tree") => {
                self.tree = Some(match known == Some(record.value()) {
                    true => StoredTree::Known,
                    false => StoredTree::New { record: record.value().to_vec(), nodes: read_tree(decoded()) },
                });
            }
            (_, "epoch encryption keys") => {
                let keys = key_pairs(decoded());
                match joining {
                    true => self.joining_keys = Some(keys),
                    false => {
                        assert!(self.epoch_keys.is_empty(), "two epochs' key pairs");
                        self.epoch_keys = keys;
                    }
                }
            }
            (false, "encryption key") => self.update_keys.push(bytes(&decoded()[0])),
            (false, "key package") => {
                let payload = &decoded()[0][0];
                self.key_packages.push((bytes(&payload[2]), bytes(&payload[3][0][0])));
            }
            (_, "epoch secrets") => self.epochs += 1,
            (false, "message secrets") => {
                let all: (Value, Vec<(u64, Value, Value)>, Value) = read(decoded());
                self.secret_tree = Some(read_secrets(&all.2));
                self.past_secret_trees =
                    all.1.iter().map(|(epoch, secrets, _)| (*epoch, read_secrets(secrets))).collect();
            }
            (true, "message secrets") => {
                let all = decoded();
                assert!(all[1].as_array().unwrap().is_empty(), "an external joiner has no past");
                self.joining_secret_tree = Some(read_secrets(&all[2]));
            }
            (false, "group state") => {
                let state = decoded();
                let Some(pending) = state.get("PendingCommit") else { return };
                let made = &pending["Member"][1]["GroupMember"];
                assert!(made[4].is_null(), "the committer's leaf is in the path");
                self.pending_keys = Some(key_pairs(made[3].clone()));
                self.pending_secret_tree = Some(read_secrets(&made[1]));
                self.epochs += 1;
            }
            _ => {}
        }
    }
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// The public keys of a list of key pairs: those of an epoch, or those of a commit's path.
fn key_pairs(value: Value) -> Vec<PublicKey> {
    read::<Vec<(Value, Value)>>(value).iter().map(|(public, _)| bytes(public)).collect()
}

/// Bytes inside of any number of structures with one field.
fn bytes(value: &Value) -> Vec<u8> {
    match value.as_array().map(Vec::as_slice) {
        Some([inner @ Value::Array(_)]) => bytes(inner),
        Some(bytes) => bytes.iter().map(|byte| byte.as_u64().unwrap() as u8).collect(),
        None => panic!("no bytes: {value}"),
    }
}

fn read_tree(value: Value) -> Nodes {
    let ((leaves, parents, ..), _): ((Vec<Value>, Vec<Value>, Value, Value), Value) = read(value);
    let leaf = |slot: &Value| (!slot[0].is_null()).then(|| bytes(&slot[0][0][0]));
    let parent =
        |slot: &Value| (!slot[0].is_null()).then(|| (bytes(&slot[0][0]), read::<(Vec<u32>,)>(slot[0][2].clone()).0));
    Nodes { leaves: leaves.iter().map(leaf).collect(), parents: parents.iter().map(parent).collect() }
}

#[derive(Deserialize)]
enum SenderRatchet {
    EncryptionRatchet((Value, u32)),
    DecryptionRatchet((Vec<Option<Value>>, (Value, u32))),
}

fn read_secrets(message_secrets: &Value) -> StoredSecrets {
    type Fields = (Value, Vec<Value>, Vec<Value>, Vec<Option<SenderRatchet>>, Vec<Option<SenderRatchet>>, Value);
    let (_, leaves, parents, handshake, application, _): Fields = read(message_secrets[4].clone());
    let there = |nodes: Vec<Value>, first: u32| {
        (0..).zip(nodes).filter(|(_, node)| !node.is_null()).map(move |(at, _)| 2 * at + first).collect::<Vec<u32>>()
    };
    let ratchets = |ratchets: Vec<Option<SenderRatchet>>| {
        ratchets.into_iter().map(|ratchet| ratchet.map(read_ratchet)).collect::<Vec<_>>()
    };
    StoredSecrets {
        nodes: [there(leaves, 0), there(parents, 1)].concat(),
        handshake: ratchets(handshake),
        application: ratchets(application),
    }
}

fn read_ratchet(ratchet: SenderRatchet) -> StoredRatchet {
    match ratchet {
        SenderRatchet::EncryptionRatchet((_, head)) => StoredRatchet { head, skipped: Vec::new() },
        SenderRatchet::DecryptionRatchet((past, (_, head))) => {
            // The latest key comes first.
            let skipped = (1..).zip(past).filter(|(_, key)| key.is_some()).map(|(back, _)| head - back);
            let mut skipped: Vec<u32> = skipped.collect();
            skipped.sort_unstable();
            StoredRatchet { head, skipped }
        }
    }
}
