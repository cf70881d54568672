//! The graph of secrets. Each edge says that a secret follows from other secrets, by the calls on
//! all devices' tapes.
//!
//! A node is a byte string, and it is the same node on every device. An edge says that its output
//! follows from *all* of its inputs:
//!
//! - an extracted secret from the salt and the input keying material,
//! - an expanded secret from the pseudorandom key,
//! - a private key from its seed,
//! - a plaintext from the ciphertext and the recipient's private key (or the AEAD key),
//! - the content of a plaintext from the plaintext.
//!
//! A ciphertext is a node like the others. The adversary knows it if it was sent, directly or
//! inside of a known plaintext.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::cost::Operation;

use super::{
    naming::{self, SecretKind, SecretName},
    search::{Needles, SHORTEST},
    tape::{Aead, CryptoCall, RecordedCall},
};

/// The number of a byte string on the tape.
pub(crate) type NodeId = u32;

/// All values that the devices of a simulation computed.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<SecretNode>,
    by_bytes: FxHashMap<Arc<[u8]>, NodeId>,
    edges: Vec<Edge>,
    present: FxHashSet<Edge>,
    /// The edges that have the node as an input.
    uses: Vec<Vec<u32>>,
    needles: Needles,
    /// The private key of each public key, if it is on the tape.
    private_keys: FxHashMap<Vec<u8>, NodeId>,
    /// Plaintexts that were sealed to a public key whose private key is not on the tape yet.
    to_strangers: Vec<(Vec<u8>, NodeId, NodeId)>,
    /// Plaintexts whose contents have not been searched yet.
    unread: BTreeSet<NodeId>,
    /// The AEAD ciphertexts, each with the values that open it.
    aeads: BTreeMap<NodeId, Aead>,
    /// The nodes that everybody has: sent bytes, and constants.
    public: BTreeSet<NodeId>,
    /// The device whose calls are being added, and its operation.
    maker: Option<(Arc<str>, Operation)>,
}

struct SecretNode {
    bytes: Arc<[u8]>,
    name: SecretName,
    /// The device that first computed the node, and its operation.
    maker: Option<(Arc<str>, Operation)>,
    /// The node from which this node was expanded.
    parent: Option<NodeId>,
}

/// An output that follows from all of the inputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) how: How,
    inputs: [NodeId; 2],
    pub(crate) output: NodeId,
}

/// The way in which an output follows from its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Derived,
    Decrypted,
    Contained,
}

impl Edge {
    /// The inputs, each once.
    pub(crate) fn inputs(&self) -> &[NodeId] {
        if self.inputs[0] == self.inputs[1] { &self.inputs[..1] } else { &self.inputs }
    }
}

impl Graph {
    /// Adds the calls that a device has recorded since the last time.
    pub(crate) fn record(&mut self, device: &Arc<str>, mut calls: Vec<RecordedCall>) {
        in_one_order(&mut calls);
        for RecordedCall { operation, call } in calls {
            self.maker = Some((device.clone(), operation));
            self.call(call);
        }
        self.maker = None;
    }

    fn call(&mut self, call: CryptoCall) {
        match call {
            CryptoCall::Random { out } => _ = self.node(&out, || SecretName::new(SecretKind::Random)),
            CryptoCall::SignatureKey { private } => {
                _ = self.node(&private, || SecretName::new(SecretKind::SignatureKey))
            }
            CryptoCall::Extract { salt, ikm, out } => self.extract(&salt, &ikm, &out),
            CryptoCall::Expand { prk, info, out } => self.expand(&prk, &info, &out),
            CryptoCall::Mac { key, tag } => {
                let key = self.input(&key);
                let tag = self.node(&tag, || SecretName::new(SecretKind::Tag));
                self.edge(How::Derived, [key, key], tag);
            }
            CryptoCall::KeyPair { ikm, private, public } => self.key_pair(&ikm, &private, public),
            CryptoCall::Sealed { public, info, plaintext, ciphertext } => {
                self.sealed_to(public, &plaintext, &ciphertext, naming::sealed(&info));
            }
            CryptoCall::Opened { private, info, plaintext, ciphertext } => {
                self.opened_with(&private, &plaintext, &ciphertext, naming::sealed(&info));
            }
            CryptoCall::ExportedTo { public, encapsulated, out } => {
                self.sealed_to(public, &out, &encapsulated, external_init());
            }
            CryptoCall::ExportedFrom { private, encapsulated, out } => {
                self.opened_with(&private, &out, &encapsulated, external_init());
            }
            CryptoCall::Aead(aead) => {
                let name = SecretName::new(SecretKind::AeadPlaintext);
                let ciphertext = self.opened_with(&aead.key, &aead.plaintext, &aead.ciphertext, name);
                if let Some(ciphertext) = ciphertext {
                    self.aeads.entry(ciphertext).or_insert(aead);
                }
            }
        }
    }

    fn extract(&mut self, salt: &[u8], ikm: &[u8], out: &[u8]) {
        let (salt, ikm) = (self.input(salt), self.input(ikm));
        if let Some(ikm) = ikm {
            // The last path secret of a commit is its commit secret (RFC 9420, 7.4).
            let name = &mut self.nodes[ikm as usize].name;
            if name.kind == SecretKind::PathSecret {
                name.kind = SecretKind::CommitSecret;
            }
        }
        let out = self.node(out, || SecretName::new(SecretKind::Extracted));
        self.edge(How::Derived, [salt, ikm], out);
    }

    fn expand(&mut self, prk: &[u8], info: &[u8], out: &[u8]) {
        let Some(parent) = self.input(prk) else { return };
        // Nearly all calls are repeated on every device, and only the first one needs a name.
        let out = self.lookup(out).or_else(|| {
            let name = naming::expanded(&self.nodes[parent as usize].name, info);
            self.node(out, || name)
        });
        if let Some(out) = out {
            self.nodes[out as usize].parent.get_or_insert(parent);
        }
        self.edge(How::Derived, [Some(parent), Some(parent)], out);
    }

    fn key_pair(&mut self, ikm: &[u8], private: &[u8], public: Vec<u8>) {
        let ikm = self.input(ikm);
        let name = ikm
            .map_or(SecretName::new(SecretKind::PrivateKey), |ikm| naming::private_key(&self.nodes[ikm as usize].name));
        let private = self.node(private, || name);
        self.edge(How::Derived, [ikm, ikm], private);
        if let Some(private) = private {
            self.private_keys.insert(public, private);
        }
    }

    /// A plaintext was sealed to a public key. Its private key may not be on the tape yet.
    fn sealed_to(&mut self, public: Vec<u8>, plaintext: &[u8], ciphertext: &[u8], name: SecretName) {
        let (plaintext, ciphertext) = self.sealed(plaintext, ciphertext, name);
        if let (Some(plaintext), Some(ciphertext)) = (plaintext, ciphertext) {
            self.to_strangers.push((public, ciphertext, plaintext));
        }
    }

    /// A key opens a ciphertext. Returns the node of the ciphertext.
    fn opened_with(&mut self, key: &[u8], plaintext: &[u8], ciphertext: &[u8], name: SecretName) -> Option<NodeId> {
        let key = self.input(key);
        let (plaintext, ciphertext) = self.sealed(plaintext, ciphertext, name);
        self.edge(How::Decrypted, [key, ciphertext], plaintext);
        ciphertext
    }

    fn sealed(&mut self, plaintext: &[u8], ciphertext: &[u8], name: SecretName) -> (Option<NodeId>, Option<NodeId>) {
        let plaintext = self.node(plaintext, || name.clone());
        if let Some(plaintext) = plaintext {
            let known = &mut self.nodes[plaintext as usize].name;
            if known.kind == SecretKind::Random || known.epoch.is_none() {
                *known = name;
            }
            self.unread.insert(plaintext);
        }
        (plaintext, self.node(ciphertext, || SecretName::new(SecretKind::Ciphertext)))
    }

    /// The node of a secret that is an input of a call. Most are outputs of other calls; the
    /// provider never made the rest.
    fn input(&mut self, bytes: &[u8]) -> Option<NodeId> {
        self.node(bytes, || SecretName::new(SecretKind::Unknown))
    }

    /// The node of these bytes; none if they are too short to be found again, as a nonce is.
    fn node(&mut self, bytes: &[u8], name: impl FnOnce() -> SecretName) -> Option<NodeId> {
        if bytes.len() < SHORTEST {
            return None;
        }
        if let Some(known) = self.by_bytes.get(bytes) {
            return Some(*known);
        }
        let id = NodeId::try_from(self.nodes.len()).ok()?;
        self.needles.add(id, bytes);
        if bytes.iter().all(|byte| *byte == 0) {
            // The zero vector stands for a missing PSK, and for a missing path (RFC 9420, 8).
            self.public.insert(id);
        }
        let bytes: Arc<[u8]> = bytes.into();
        self.by_bytes.insert(bytes.clone(), id);
        self.nodes.push(SecretNode { bytes, name: name(), maker: self.maker.clone(), parent: None });
        self.uses.push(Vec::new());
        Some(id)
    }

    /// Adds an edge. If an input or the output is too short to be a node, adds nothing.
    fn edge(&mut self, how: How, inputs: [Option<NodeId>; 2], output: Option<NodeId>) {
        let ([Some(one), Some(other)], Some(output)) = (inputs, output) else { return };
        let edge = Edge { how, inputs: [one, other], output };
        let Ok(number) = u32::try_from(self.edges.len()) else { return };
        if one == output || other == output || !self.present.insert(edge) {
            return;
        }
        for input in edge.inputs() {
            self.uses[*input as usize].push(number);
        }
        self.edges.push(edge);
    }

    /// Adds the edges that could not be added before all calls were there.
    pub(crate) fn settle(&mut self) {
        for (public, ciphertext, plaintext) in std::mem::take(&mut self.to_strangers) {
            match self.private_keys.get(&public).copied() {
                Some(private) => self.edge(How::Decrypted, [Some(private), Some(ciphertext)], Some(plaintext)),
                None => self.to_strangers.push((public, ciphertext, plaintext)),
            }
        }
        for plaintext in std::mem::take(&mut self.unread) {
            let bytes = self.nodes[plaintext as usize].bytes.clone();
            for inside in self.find(&bytes) {
                self.edge(How::Contained, [Some(plaintext), Some(plaintext)], Some(inside));
            }
        }
    }

    /// The node of a text that will be found in a plaintext.
    pub(crate) fn plaintext(&mut self, text: &[u8]) -> Option<NodeId> {
        self.node(text, || SecretName::new(SecretKind::MessageText))
    }

    /// Makes the nodes in these sent bytes public. Returns the AEAD ciphertexts among them.
    pub(crate) fn sent(&mut self, bytes: &[u8]) -> Vec<NodeId> {
        let found = self.find_plain(bytes);
        self.public.extend(&found);
        found.into_iter().filter(|node| self.aeads.contains_key(node)).collect()
    }

    /// The nodes that are in these bytes, in any of the known encodings.
    pub(crate) fn find(&self, bytes: &[u8]) -> BTreeSet<NodeId> {
        self.needles.find(bytes, |node| self.bytes(node))
    }

    /// The nodes that are in these bytes without an encoding. MLS messages contain raw bytes only.
    fn find_plain(&self, bytes: &[u8]) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        self.needles.find_raw(bytes, &|node| self.bytes(node), &mut found);
        found
    }

    /// The node of these bytes, if they are on the tape.
    pub(crate) fn lookup(&self, bytes: &[u8]) -> Option<NodeId> {
        self.by_bytes.get(bytes).copied()
    }

    pub(crate) fn bytes(&self, node: NodeId) -> &[u8] {
        &self.nodes[node as usize].bytes
    }

    pub(crate) fn kind(&self, node: NodeId) -> &SecretKind {
        &self.nodes[node as usize].name.kind
    }

    pub(crate) fn name(&self, node: NodeId) -> &SecretName {
        &self.nodes[node as usize].name
    }

    /// The device that first computed the node, and its operation.
    pub(crate) fn maker(&self, node: NodeId) -> Option<&(Arc<str>, Operation)> {
        self.nodes[node as usize].maker.as_ref()
    }

    /// The name of the node. If several nodes of an epoch have this name, the node's maker is
    /// added.
    pub(crate) fn describe(&self, node: NodeId) -> String {
        let SecretNode { name, maker, .. } = &self.nodes[node as usize];
        match maker {
            Some((device, operation)) if name.is_one_of_many() => format!("{name}, of {device} {operation}"),
            _ => name.to_string(),
        }
    }

    /// The node from which this node was expanded.
    pub(crate) fn parent(&self, node: NodeId) -> Option<NodeId> {
        self.nodes[node as usize].parent
    }

    pub(crate) fn aead(&self, ciphertext: NodeId) -> Option<&Aead> {
        self.aeads.get(&ciphertext)
    }

    pub(crate) fn public(&self) -> &BTreeSet<NodeId> {
        &self.public
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges that have the node as an input.
    pub(crate) fn uses(&self, node: NodeId) -> &[u32] {
        &self.uses[node as usize]
    }
}

fn external_init() -> SecretName {
    SecretName::new(SecretKind::ExternalInitSecret)
}

/// Sorts the path secrets of a commit, because OpenMLS seals them on several threads in any order.
fn in_one_order(calls: &mut [RecordedCall]) {
    let is_sealed = |recorded: &RecordedCall| matches!(recorded.call, CryptoCall::Sealed { .. });
    for run in calls.chunk_by_mut(|one, other| is_sealed(one) && is_sealed(other)) {
        run.sort_by(|one, other| match (&one.call, &other.call) {
            (
                CryptoCall::Sealed { public, plaintext, .. },
                CryptoCall::Sealed { public: other_public, plaintext: other_plaintext, .. },
            ) => (public, &**plaintext).cmp(&(other_public, &**other_plaintext)),
            _ => std::cmp::Ordering::Equal,
        });
    }
}

#[cfg(test)]
pub(super) mod samples {
    //! Graphs for the tests of this folder.

    use super::*;
    use crate::cost::Operation;

    pub(in crate::adversary) fn secret(number: u8) -> Vec<u8> {
        vec![number; 32]
    }

    /// The graph of these calls on the device of alice.
    pub(in crate::adversary) fn graph(calls: impl IntoIterator<Item = CryptoCall>) -> Graph {
        let mut graph = Graph::default();
        let recorded = calls.into_iter().map(|call| RecordedCall { operation: Operation::default(), call });
        graph.record(&"alice".into(), recorded.collect());
        graph.settle();
        graph
    }
}
