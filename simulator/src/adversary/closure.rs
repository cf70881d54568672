//! Computes the closure of a snapshot over the graph: the secrets that follow from it, and a path
//! to each of them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use super::{
    graph::{Graph, How, NodeId},
    naming::SecretKind,
};

/// All secrets that follow from certain bytes and all traffic.
pub(crate) struct Closure {
    /// For each known node, the last step of the shortest path to it; [`None`] for the other nodes.
    reached: Vec<Option<Reached>>,
}

/// The way in which a node became known.
#[derive(Clone)]
pub(super) enum Reached {
    /// The node is public.
    Public,
    /// The node is in the stolen bytes with this number.
    Found(usize),
    /// The node follows by this edge. `depth` is the number of edges from the stolen bytes.
    Through { edge: u32, depth: u32 },
}

impl Reached {
    /// The number of edges from the stolen bytes.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::Public | Self::Found(_) => 0,
            Self::Through { depth, .. } => *depth,
        }
    }
}

impl Closure {
    /// Computes the closure of the found nodes and of the public nodes. Each found node has the
    /// number of the stolen bytes that contain it.
    pub(crate) fn over(graph: &Graph, found: &BTreeMap<NodeId, usize>) -> Self {
        let mut closure = Self { reached: vec![None; graph.len()] };
        let mut missing: Vec<u8> = graph.edges().iter().map(|edge| edge.inputs().len() as u8).collect();
        let mut next = VecDeque::new();
        let start = graph.public().iter().map(|node| (*node, Reached::Public));
        // A found node counts as found, even if it is also public.
        for (node, how) in found.iter().map(|(node, stolen)| (*node, Reached::Found(*stolen))).chain(start) {
            closure.learn(node, how, &mut next);
        }
        while let Some(node) = next.pop_front() {
            let depth = closure.reached[node as usize].as_ref().map_or(0, Reached::depth);
            for number in graph.uses(node) {
                missing[*number as usize] -= 1;
                if missing[*number as usize] == 0 {
                    let output = graph.edges()[*number as usize].output;
                    closure.learn(output, Reached::Through { edge: *number, depth: depth + 1 }, &mut next);
                }
            }
        }
        closure
    }

    fn learn(&mut self, node: NodeId, how: Reached, next: &mut VecDeque<NodeId>) {
        let known = &mut self.reached[node as usize];
        if known.is_none() {
            *known = Some(how);
            next.push_back(node);
        }
    }

    pub(crate) fn knows(&self, node: NodeId) -> bool {
        self.reached.get(node as usize).is_some_and(Option::is_some)
    }

    /// The way in which a node became known, if it is known.
    pub(super) fn reached(&self, node: NodeId) -> Option<&Reached> {
        self.reached.get(node as usize)?.as_ref()
    }

    /// The path from the stolen bytes to a node, if the node is known. `names` are the names of
    /// the stolen bytes.
    pub(crate) fn path(&self, graph: &Graph, node: NodeId, names: &[String]) -> Option<Path> {
        let (mut steps, mut stolen) = (Vec::new(), None);
        let mut at = node;
        loop {
            match self.reached.get(at as usize)?.as_ref()? {
                Reached::Public => {
                    steps.push(GraphStep { node: at, how: None, with: Vec::new() });
                    break;
                }
                Reached::Found(number) => {
                    steps.push(GraphStep { node: at, how: None, with: Vec::new() });
                    stolen = Some(names.get(*number)?.clone());
                    break;
                }
                Reached::Through { edge, .. } => {
                    let edge = &graph.edges()[*edge as usize];
                    // The path continues through the secret that became known last.
                    let secret = |node: &&NodeId| !matches!(self.reached[**node as usize], Some(Reached::Public));
                    let depth = |node: &&NodeId| self.reached[**node as usize].as_ref().map_or(0, Reached::depth);
                    let through = edge.inputs().iter().max_by_key(|node| (secret(node), depth(node)))?;
                    let with = edge.inputs().iter().filter(|node| *node != through).filter(secret).copied();
                    steps.push(GraphStep { node: at, how: Some(edge.how), with: with.collect() });
                    at = *through;
                }
            }
        }
        steps.reverse();
        let stolen = stolen.map(|what| Derivation { how: None, what, with: Box::default() });
        // A path is in words only after it is short: the key of the last of thousands of messages
        // follows from thousands of turns of a ratchet.
        let derived = shortened(graph, steps).into_iter().map(|step| Derivation::of_step(graph, &step));
        Some(Path { steps: stolen.into_iter().chain(derived).collect() })
    }
}

/// A step to a node of the graph.
struct GraphStep {
    node: NodeId,
    how: Option<How>,
    /// The other secrets that the step needs.
    with: Vec<NodeId>,
}

/// Removes the secrets that have no name in RFC 9420, and all turns of a ratchet except the last.
fn shortened(graph: &Graph, steps: Vec<GraphStep>) -> Vec<GraphStep> {
    let turns = |step: &GraphStep| matches!(graph.kind(step.node), SecretKind::RatchetAt(_));
    let mut short: Vec<GraphStep> = Vec::new();
    let mut with = Vec::new();
    for mut step in steps {
        if *graph.kind(step.node) == SecretKind::Extracted {
            with.append(&mut step.with);
            continue;
        }
        step.with.append(&mut with);
        if turns(&step) && short.last().is_some_and(turns) {
            short.pop();
        }
        short.push(step);
    }
    short
}

/// The path from stolen bytes to a secret, step by step, in the words of RFC 9420: `group chat:
/// epoch secrets -> init_secret of epoch 4 -> joiner_secret of epoch 5 (with commit_secret) -> …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    // A slice has no spare capacity: there is a path for each message and theft.
    steps: Box<[Derivation]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Derivation {
    how: Option<How>,
    what: String,
    /// The other secrets that the step needs.
    with: Box<[String]>,
}

impl Derivation {
    fn of_step(graph: &Graph, step: &GraphStep) -> Self {
        let with = step.with.iter().map(|node| graph.describe(*node)).collect();
        Self { how: step.how, what: graph.describe(step.node), with }
    }
}

impl Path {
    /// The derivations in words, from the stolen bytes to the key.
    pub fn steps(&self) -> impl Iterator<Item = String> {
        self.steps.iter().map(Derivation::to_string)
    }
}

impl fmt::Display for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.how {
            Some(How::Decrypted) => "decrypts ",
            Some(How::Contained) => "contains ",
            Some(How::Derived) | None => "",
        };
        write!(f, "{verb}{}", self.what)?;
        if !self.with.is_empty() {
            write!(f, " (with {})", self.with.join(" and "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let arrow = if number == 0 { "" } else { " -> " };
            write!(f, "{arrow}{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openmls_traits::types::AeadType;

    use super::*;
    use crate::adversary::{
        graph::samples::{graph, secret},
        tape::{Aead, CryptoCall},
    };

    fn sealed(public: u8, plaintext: u8, ciphertext: u8) -> CryptoCall {
        CryptoCall::Sealed {
            public: secret(public),
            info: Vec::new(),
            plaintext: secret(plaintext),
            ciphertext: secret(ciphertext),
        }
    }

    fn encrypted(key: u8, plaintext: &[u8], ciphertext: u8) -> CryptoCall {
        CryptoCall::Aead(Aead {
            algorithm: AeadType::Aes128Gcm,
            key: secret(key),
            nonce: vec![0; 12],
            aad: Vec::new(),
            plaintext: plaintext.to_vec(),
            ciphertext: secret(ciphertext),
        })
    }

    /// True if the wanted secret follows from the stolen secrets.
    fn follows(graph: &Graph, wanted: u8, stolen: &[u8]) -> bool {
        let found = stolen.iter().filter_map(|number| Some((graph.lookup(&secret(*number))?, 0))).collect();
        Closure::over(graph, &found).knows(graph.lookup(&secret(wanted)).unwrap())
    }

    #[test]
    fn extraction_needs_both_inputs() {
        let graph = graph([CryptoCall::Extract { salt: secret(1), ikm: secret(2), out: secret(3) }]);
        assert!(follows(&graph, 3, &[1, 2]));
        assert!(!follows(&graph, 3, &[1]));
        assert!(!follows(&graph, 3, &[2]));
    }

    #[test]
    fn zero_vector_is_public() {
        let graph = graph([CryptoCall::Extract { salt: secret(1), ikm: secret(0), out: secret(3) }]);
        assert!(follows(&graph, 3, &[1]));
        assert!(!follows(&graph, 3, &[]));
    }

    #[test]
    fn derivation_cannot_be_inverted() {
        let graph = graph([CryptoCall::Expand { prk: secret(1), info: Vec::new(), out: secret(2) }]);
        assert!(follows(&graph, 2, &[1]));
        assert!(!follows(&graph, 1, &[2]));
    }

    #[test]
    fn sealed_secret_needs_the_private_key_and_the_sent_ciphertext() {
        let pair = CryptoCall::KeyPair { ikm: secret(1), private: secret(2), public: secret(3) };
        let mut graph = graph([sealed(3, 4, 5), pair]);
        assert!(!follows(&graph, 4, &[2]), "the ciphertext was not sent");
        graph.sent(&secret(5));
        assert!(follows(&graph, 4, &[2]));
        assert!(follows(&graph, 4, &[1]), "the private key follows from its seed");
        assert!(!follows(&graph, 4, &[]));
    }

    #[test]
    fn inner_ciphertext_needs_the_outer_key_first() {
        let pair = CryptoCall::KeyPair { ikm: secret(1), private: secret(2), public: secret(3) };
        let commit = [&[9; 3][..], &secret(5), &[9; 70]].concat();
        let mut graph = graph([pair, sealed(3, 4, 5), encrypted(6, &commit, 7)]);
        graph.sent(&secret(7));
        assert!(!follows(&graph, 4, &[2]), "the commit is not readable");
        assert!(!follows(&graph, 4, &[6]), "its path is sealed to another");
        assert!(follows(&graph, 4, &[2, 6]));
    }

    #[test]
    fn shortest_path_is_returned() {
        let expand = |prk, out| CryptoCall::Expand { prk: secret(prk), info: Vec::new(), out: secret(out) };
        let graph = graph([expand(1, 2), expand(2, 3), expand(3, 4), expand(5, 4)]);
        let found = [(graph.lookup(&secret(1)).unwrap(), 0), (graph.lookup(&secret(5)).unwrap(), 1)].into();
        let path = Closure::over(&graph, &found).path(
            &graph,
            graph.lookup(&secret(4)).unwrap(),
            &["first record".to_owned(), "second record".to_owned()],
        );
        assert_eq!(path.unwrap().to_string(), "second record -> a value -> expanded secret");
    }
}
