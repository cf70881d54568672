//! The observed answer: the secrets that follow from the stolen bytes, along the graph of all
//! computed values.
//!
//! [`Evidence`] collects the devices' tapes and the traffic. For stolen bytes, it looks for every
//! secret of the graph in them, and computes the closure over the graph. A message is exposed if
//! the closure has the key of its ciphertext, or if its text is in the bytes. Each exposure is
//! proved: the key has to decrypt the recorded ciphertext.

use std::collections::{BTreeMap, BTreeSet};

use openmls_traits::crypto::OpenMlsCrypto as _;
use regrow_crypto::DefaultCrypto;
use regrow_engine::{GroupId, Snapshot};
use zeroize::Zeroizing;

use super::{
    closure::{Closure, Path},
    derivation::Derivation,
    graph::{Graph, NodeId},
    tape::{Aead, CallLog},
};

/// All computed values and all traffic.
///
/// ```
/// # use std::sync::Arc;
/// # use regrow_engine::{
/// #     Client, DeviceId, GroupId, Layered, MemoryStore, Policy, Timestamp, default_crypto,
/// # };
/// use regrow_simulator::adversary::{Evidence, CallLog, StolenBytes, Taped};
///
/// let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
/// let log = CallLog::new("all", true);
/// let crypto = Arc::new(Layered(Taped::new(default_crypto(), log.clone())));
/// let mut devices = ["alice", "bob"].map(|user| {
///     let device = DeviceId::new(user, "phone").expect("a short name");
///     Client::create(Arc::new(MemoryStore::new()), crypto.clone(), device, Policy::default())
/// });
/// let [Ok(alice), Ok(bob)] = &mut devices else { return Ok(()) };
/// let key_packages = bob.key_packages(1, now)?;
/// let pending = alice.create_group(GroupId::new("chat")?, now)?.add(&key_packages, now)?;
/// let welcome = pending.welcome().map(<[u8]>::to_vec).unwrap_or_default();
/// alice.confirm(pending, now)?;
/// bob.join(&welcome, now)?;
///
/// let snapshot = bob.snapshot()?;
/// let ciphertext = alice.group(&GroupId::new("chat")?)?.send(b"a text of some length")?;
///
/// let mut evidence = Evidence::default();
/// evidence.record(&log);
/// evidence.message_sent(1, &ciphertext, b"a text of some length");
/// let exposure = evidence.exposure(&StolenBytes::all_of(&snapshot));
/// assert!(exposure.messages[&1].to_string().starts_with("group chat: message secrets -> "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Evidence {
    graph: Graph,
    messages: BTreeMap<usize, RecordedMessage>,
    /// Messages that were sent and that no recorded device has encrypted.
    foreign: BTreeSet<usize>,
    /// The epoch secret of each epoch of each group, if it is on the tape.
    epochs: BTreeMap<GroupId, BTreeMap<u64, NodeId>>,
}

/// An application message that was sent.
struct RecordedMessage {
    /// The ciphertext of the message's content.
    ciphertext: NodeId,
    text: Option<NodeId>,
}

/// Stolen bytes: a record or a file.
#[derive(Clone)]
pub struct StolenBytes {
    /// The name of the record or file.
    pub name: String,
    /// The content of the record or file.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl StolenBytes {
    /// Every record of a snapshot.
    #[must_use]
    pub fn all_of(snapshot: &Snapshot) -> Vec<Self> {
        let records = snapshot.records().iter();
        records.map(|record| Self { name: record.name(), bytes: Zeroizing::new(record.value().to_vec()) }).collect()
    }
}

/// The secrets in stolen bytes, and their closure.
struct Search {
    /// The found nodes, each with the number of the stolen bytes.
    found: BTreeMap<NodeId, usize>,
    /// The names of the stolen bytes.
    names: Vec<String>,
    closure: Closure,
}

/// A secret whose derivation a reader wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The key of the message with this number.
    Message(usize),
    /// The epoch secret of this epoch of the group.
    Epoch(GroupId, u64),
}

/// The messages that can be read with stolen bytes.
pub struct Exposure {
    /// The messages by number, each with the shortest path to its key.
    pub messages: BTreeMap<usize, Path>,
    /// For each group, the latest epoch whose epoch secret is known.
    pub reach: BTreeMap<GroupId, u64>,
    /// Messages without a proof: their key was found but does not decrypt them, or no recorded
    /// device has encrypted them. This set is empty unless the tape or this computation is wrong.
    pub unproved: BTreeSet<usize>,
}

impl Evidence {
    /// Adds the calls that a device has recorded since the last time. The caller asks the devices
    /// in a fixed order, although they work in any order.
    pub fn record(&mut self, log: &CallLog) {
        self.graph.record(log.device(), log.take());
    }

    /// Adds bytes that were sent, and that everybody can see.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.graph.settle();
        self.graph.sent(bytes);
    }

    /// Adds an application message that was sent.
    pub fn message_sent(&mut self, number: usize, bytes: &[u8], text: &[u8]) {
        let text = self.graph.plaintext(text);
        self.graph.settle();
        // A PrivateMessage has a second ciphertext, of the sender data, which is shorter (RFC 9420,
        // 6.3).
        let content = self.graph.sent(bytes).into_iter().max_by_key(|node| self.graph.bytes(*node).len());
        match content {
            Some(ciphertext) => _ = self.messages.insert(number, RecordedMessage { ciphertext, text }),
            None => _ = self.foreign.insert(number),
        }
    }

    /// Adds an epoch of a group that has begun, with its authenticator (RFC 9420, 8.7).
    pub fn epoch(&mut self, group: &GroupId, epoch: u64, authenticator: &[u8]) {
        if let Some(secret) = self.epoch_secret(authenticator) {
            self.epochs.entry(group.clone()).or_default().insert(epoch, secret);
        }
    }

    /// True if the group's last epoch with this number has this authenticator.
    pub(crate) fn has_epoch(&self, group: &GroupId, epoch: u64, authenticator: &[u8]) -> bool {
        let known = self.epochs.get(group).and_then(|epochs| epochs.get(&epoch));
        known.is_some_and(|secret| self.epoch_secret(authenticator) == Some(*secret))
    }

    /// The epoch secret of this authenticator, if both are on the tape.
    fn epoch_secret(&self, authenticator: &[u8]) -> Option<NodeId> {
        self.graph.parent(self.graph.lookup(authenticator)?)
    }

    /// Finds the messages that can be read with the stolen bytes.
    pub fn exposure(&self, stolen: &[StolenBytes]) -> Exposure {
        let Search { found, names, closure } = self.search(stolen);
        let mut exposure =
            Exposure { messages: BTreeMap::new(), reach: BTreeMap::new(), unproved: self.foreign.clone() };
        for (number, message) in &self.messages {
            let aead = self.graph.aead(message.ciphertext);
            let key = self.key_of(message).filter(|key| closure.knows(*key));
            let text = message.text.filter(|text| found.contains_key(text));
            let Some(path) = key.or(text).and_then(|node| closure.path(&self.graph, node, &names)) else { continue };
            if key.is_some() && !aead.is_some_and(|aead| self.decrypts(aead, message.text)) {
                exposure.unproved.insert(*number);
            }
            exposure.messages.insert(*number, path);
        }
        let reach = |(group, epochs): (&GroupId, &BTreeMap<u64, NodeId>)| {
            let last = epochs.iter().rev().find(|(_, secret)| closure.knows(**secret));
            last.map(|(epoch, _)| (group.clone(), *epoch))
        };
        exposure.reach = self.epochs.iter().filter_map(reach).collect();
        exposure
    }

    /// Finds the derivation of each of these secrets from the stolen bytes. [`None`] stands for a
    /// secret that does not follow.
    pub(crate) fn derivations(&self, stolen: &[StolenBytes], goals: &[Goal]) -> Vec<Option<Derivation>> {
        let Search { names, closure, .. } = self.search(stolen);
        let node = |goal: &Goal| match goal {
            Goal::Message(number) => {
                let message = self.messages.get(number)?;
                self.key_of(message).filter(|key| closure.knows(*key)).or(message.text)
            }
            Goal::Epoch(group, epoch) => self.epochs.get(group)?.get(epoch).copied(),
        };
        goals.iter().map(|goal| closure.derivation(&self.graph, node(goal)?, &names)).collect()
    }

    /// Looks for all secrets in the stolen bytes, and computes their closure.
    fn search(&self, stolen: &[StolenBytes]) -> Search {
        let mut found = BTreeMap::new();
        for (number, part) in stolen.iter().enumerate() {
            for node in self.graph.find(&part.bytes) {
                found.entry(node).or_insert(number);
            }
        }
        let names = stolen.iter().map(|part| part.name.clone()).collect();
        let closure = Closure::over(&self.graph, &found);
        Search { found, names, closure }
    }

    /// The key of a message, if it is on the tape.
    fn key_of(&self, message: &RecordedMessage) -> Option<NodeId> {
        self.graph.lookup(&self.graph.aead(message.ciphertext)?.key)
    }

    /// True if the key opens the ciphertext, and the plaintext contains the text.
    fn decrypts(&self, aead: &Aead, text: Option<NodeId>) -> bool {
        let opened =
            DefaultCrypto::default().aead_decrypt(aead.algorithm, &aead.key, &aead.ciphertext, &aead.nonce, &aead.aad);
        let text = text.map_or(&[][..], |text| self.graph.bytes(text));
        opened.is_ok_and(|plaintext| {
            plaintext == aead.plaintext && (text.is_empty() || plaintext.windows(text.len()).any(|part| part == text))
        })
    }
}
