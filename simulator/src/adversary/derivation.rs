//! The derivation of a secret: all steps from the stolen bytes to it, each after the steps that it
//! needs.
//!
//! A [`Path`](super::Path) is one line through these steps, and names the other secrets only. A
//! derivation also has the steps to them, for a reader who wants to check each step.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    closure::{Closure, Reached},
    graph::{Graph, How, NodeId},
    naming::{SecretKind, SecretName},
};
use crate::cost::Operation;

/// The steps from the stolen bytes to a secret. The last step is the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Derivation {
    pub(crate) steps: Vec<DerivationStep>,
}

/// A secret, and the way in which the thief learns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DerivationStep {
    pub(crate) secret: SecretName,
    /// The device that first computed the secret, and its operation.
    pub(crate) maker: Option<(Arc<str>, Operation)>,
    pub(crate) source: Source,
}

/// The way in which the thief learns a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Everybody knows it.
    Public,
    /// It is in the stolen bytes with this name.
    Stolen(String),
    /// It follows from the secrets of these steps.
    From { how: How, steps: Vec<usize> },
}

impl Closure {
    /// The derivation of a node, if the node is known. `names` are the names of the stolen bytes.
    pub(crate) fn derivation(&self, graph: &Graph, node: NodeId, names: &[String]) -> Option<Derivation> {
        let mut numbers = FxHashMap::default();
        let mut steps = Vec::new();
        for node in self.in_order(graph, node) {
            let source = match self.reached(node)? {
                Reached::Public => Source::Public,
                Reached::Found(number) => Source::Stolen(names.get(*number)?.clone()),
                Reached::Through { edge, .. } => {
                    let needs = self.needs(graph, node);
                    let from = needs.iter().filter_map(|need| numbers.get(need).copied()).collect();
                    Source::From { how: graph.edges().get(*edge as usize)?.how, steps: from }
                }
            };
            numbers.insert(node, steps.len());
            steps.push(DerivationStep { secret: graph.name(node).clone(), maker: graph.maker(node).cloned(), source });
        }
        Some(Derivation { steps })
    }

    /// The nodes that lead to a node, each after the nodes that it needs.
    fn in_order(&self, graph: &Graph, node: NodeId) -> Vec<NodeId> {
        let (mut order, mut done) = (Vec::new(), FxHashSet::default());
        // The flag is true if the node's needs are in order before it.
        let mut open = vec![(node, false)];
        while let Some((node, ready)) = open.pop() {
            if done.contains(&node) {
                continue;
            }
            if ready {
                done.insert(node);
                order.push(node);
                continue;
            }
            open.push((node, true));
            open.extend(self.needs(graph, node).into_iter().rev().map(|need| (need, false)));
        }
        order
    }

    /// The secrets from which a node follows. The secret that became known last comes first.
    fn needs(&self, graph: &Graph, node: NodeId) -> Vec<NodeId> {
        let mut needs = Vec::new();
        let mut open = self.inputs(graph, node);
        while let Some(input) = open.pop() {
            if self.is_between(graph, input) {
                open.extend(self.inputs(graph, input));
            } else if !needs.contains(&input) {
                needs.push(input);
            }
        }
        needs
    }

    /// The secret inputs of the edge by which a node became known. The last one became known last.
    fn inputs(&self, graph: &Graph, node: NodeId) -> Vec<NodeId> {
        let Some(Reached::Through { edge, .. }) = self.reached(node) else { return Vec::new() };
        let Some(edge) = graph.edges().get(*edge as usize) else { return Vec::new() };
        let secret = |input: &NodeId| !matches!(self.reached(*input), Some(Reached::Public));
        let mut inputs: Vec<_> = edge.inputs().iter().copied().filter(secret).collect();
        inputs.sort_by_key(|input| self.reached(*input).map_or(0, Reached::depth));
        inputs
    }

    /// True if a node is only a value between two secrets that a reader knows: it has no name in RFC
    /// 9420, or it is one of the many nodes of a secret tree or turns of a ratchet.
    fn is_between(&self, graph: &Graph, node: NodeId) -> bool {
        use SecretKind::{Extracted, NodeSecret, RatchetAt, TreeChild};
        matches!(self.reached(node), Some(Reached::Through { .. }))
            && matches!(graph.kind(node), Extracted | NodeSecret | RatchetAt(_) | TreeChild(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::{
        graph::samples::{graph, secret},
        tape::CryptoCall,
    };

    fn expand(prk: u8, label: &str, context: &[u8], out: u8) -> CryptoCall {
        let label = format!("MLS 1.0 {label}");
        let info = [&[0, 32, label.len() as u8], label.as_bytes(), &[context.len() as u8], context].concat();
        CryptoCall::Expand { prk: secret(prk), info, out: secret(out) }
    }

    fn extract(salt: u8, ikm: u8, out: u8) -> CryptoCall {
        CryptoCall::Extract { salt: secret(salt), ikm: secret(ikm), out: secret(out) }
    }

    /// The derivation of a secret from stolen secrets: for each step its secret, and the numbers of the
    /// steps from which it follows.
    fn derived(graph: &Graph, wanted: u8, stolen: &[u8]) -> Option<Vec<(String, Vec<usize>)>> {
        let found = stolen.iter().filter_map(|number| Some((graph.lookup(&secret(*number))?, 0))).collect();
        let node = graph.lookup(&secret(wanted))?;
        let derivation = Closure::over(graph, &found).derivation(graph, node, &["record".to_owned()])?;
        let step = |step: &DerivationStep| match &step.source {
            Source::From { steps, .. } => (step.secret.to_string(), steps.clone()),
            Source::Stolen(_) | Source::Public => (step.secret.to_string(), Vec::new()),
        };
        Some(derivation.steps.iter().map(step).collect())
    }

    #[test]
    fn each_step_comes_after_the_steps_that_it_needs() {
        let context = [&[0, 1, 0, 1, 3][..], b"abc", &5_u64.to_be_bytes(), &[0; 20]].concat();
        let graph = graph([expand(1, "path", &[], 2), extract(9, 2, 3), expand(3, "joiner", &context, 4)]);
        let steps = derived(&graph, 4, &[1, 9]).unwrap();
        let expected = [
            ("a value", vec![]),
            ("commit_secret", vec![0]),
            ("a value", vec![]),
            ("joiner_secret of epoch 5", vec![1, 2]),
        ];
        assert_eq!(steps, expected.map(|(name, from)| (name.to_owned(), from)));
        assert_eq!(derived(&graph, 4, &[1]), None, "the other input is not known");
    }

    #[test]
    fn turns_of_a_ratchet_and_nodes_of_the_secret_tree_are_left_out() {
        let generation = |number: u32| number.to_be_bytes();
        let graph = graph([
            expand(1, "encryption", &[], 2),
            expand(2, "tree", b"left", 3),
            expand(3, "tree", b"right", 4),
            expand(4, "application", &[], 5),
            expand(5, "secret", &generation(0), 6),
            expand(6, "secret", &generation(1), 7),
            expand(7, "key", &generation(2), 8),
        ]);
        let names =
            |stolen| -> Vec<_> { derived(&graph, 8, stolen).unwrap().into_iter().map(|(name, _)| name).collect() };
        assert_eq!(names(&[2]), ["encryption_secret", "application ratchet", "key of generation 2"]);
        assert_eq!(names(&[6]), ["ratchet at generation 1", "key of generation 2"]);
        assert_eq!(names(&[8]), ["key of generation 2"]);
    }
}
