//! The tree of each row is the tree of the oracle, after any operations.

use regrow_simulator::oracle::{
    Commit, CommitId, DeviceNumber, Fact, KeyPackageId, Oracle, ProposalId, ProposalKind, RetentionPolicy,
};
use serde_json::{Value, json};

use super::{Row, rows};
use crate::common::scenario;

/// A group of real clients, and the oracle that is told the same operations.
struct BothTrees {
    oracle: Oracle,
    steps: Vec<Value>,
    members: Vec<usize>,
    commits: Vec<CommitId>,
    /// The oracle's figures after each commit.
    expected: Vec<[u64; 8]>,
    next: u64,
}

const TREE: [&str; 8] = [
    "members",
    "leaves",
    "blank_leaves",
    "blank_parents",
    "unmerged_leaves",
    "filtered_path_length",
    "copath_resolution_sum",
    "copath_resolution_max",
];

impl BothTrees {
    fn new() -> Self {
        let policy = RetentionPolicy { past_epochs: 0, out_of_order: 5, opaque: false };
        let mut oracle = Oracle::new(policy);
        oracle.apply(Fact::Created { by: DeviceNumber(0) }).unwrap();
        let steps = vec![json!({ "create": { "by": "m0" } })];
        Self { oracle, steps, members: vec![0], commits: vec![], expected: vec![], next: 1 }
    }

    fn tell(&mut self, fact: Fact) {
        self.oracle.apply(fact).unwrap();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn commit(&mut self, by: usize, step: Value, mut what: Commit) {
        let (by, commit) = (DeviceNumber(by), CommitId(self.number()));
        what.epoch = self.commits.len() as u64;
        let added: Vec<_> = what.adds.iter().map(|(device, _)| *device).collect();
        let removed: Vec<_> = what.removes.iter().map(|device| device.0).collect();
        self.tell(Fact::Prepared { by, commit, what });
        self.tell(Fact::Ordered { commit });
        self.members.retain(|member| !removed.contains(member));
        for member in self.members.clone() {
            self.tell(Fact::Entered { who: DeviceNumber(member), commit });
        }
        for who in added {
            self.tell(Fact::Joined { who, commit });
            self.members.push(who.0);
        }
        self.steps.push(step);
        self.commits.push(commit);
        self.expected.push(self.figures(by, commit));
    }

    fn figures(&self, by: DeviceNumber, commit: CommitId) -> [u64; 8] {
        let (tree, path) = (self.oracle.tree_of(by).unwrap(), self.oracle.path_of(commit).unwrap());
        let sealed = path.nodes.iter().map(|node| node.sealed_to.len());
        let leaves = tree.leaves().len();
        let members = tree.leaves().iter().flatten().count();
        let unmerged = tree.parents().iter().flatten().map(|parent| parent.unmerged.len()).sum::<usize>();
        let blank_parents = tree.parents().iter().filter(|parent| parent.is_none()).count();
        let (sum, max) = (sealed.clone().sum::<usize>(), sealed.max().unwrap_or_default());
        [members, leaves, leaves - members, blank_parents, unmerged, path.nodes.len(), sum, max]
            .map(|figure| figure as u64)
    }

    fn add(&mut self, by: usize, who: &[usize]) {
        let mut what = Commit::default();
        for who in who {
            let (of, key_package) = (DeviceNumber(*who), KeyPackageId(self.number()));
            self.tell(Fact::KeyPackageMade { of, key_package, last_resort: false });
            what.adds.push((of, key_package));
        }
        let names: Vec<_> = who.iter().map(|who| format!("m{who}")).collect();
        self.commit(by, json!({ "add": { "by": format!("m{by}"), "who": names } }), what);
    }

    fn remove(&mut self, by: usize, who: usize) {
        let what = Commit { removes: vec![DeviceNumber(who)], ..Commit::default() };
        self.commit(by, json!({ "remove": { "by": format!("m{by}"), "who": format!("m{who}") } }), what);
    }

    fn update(&mut self, by: usize) {
        self.commit(by, json!({ "update": { "by": format!("m{by}") } }), Commit::default());
    }

    /// A member proposes an update of its leaf, and another member commits it.
    fn update_by_proposal(&mut self, of: usize, by: usize) {
        let (who, proposal) = (DeviceNumber(of), ProposalId(self.number()));
        self.tell(Fact::Proposed { by: who, proposal, what: ProposalKind::Update });
        for member in self.members.clone().into_iter().filter(|member| *member != of) {
            self.tell(Fact::Received { who: DeviceNumber(member), proposal });
        }
        self.steps.push(json!({ "propose": { "by": format!("m{of}"), "update": true } }));
        let what = Commit { updates: vec![(who, proposal)], ..Commit::default() };
        self.commit(by, json!({ "commit": { "by": format!("m{by}") } }), what);
    }
}

#[test]
fn tree_of_each_commit_is_that_of_the_oracle() {
    let (mut blank, mut unmerged) = (0, 0);
    for seed in 1..=4u64 {
        let mut both = BothTrees::new();
        // The generator of Knuth's MMIX.
        let mut state = seed;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        let mut fresh = 1;
        while both.expected.len() < 40 {
            let [one, other] = [0, 1].map(|_| both.members[below(both.members.len())]);
            match below(5) {
                0 | 1 => {
                    let added: Vec<_> = (fresh..=fresh + below(3)).collect();
                    fresh += added.len();
                    both.add(one, &added);
                }
                2 if one != other => both.remove(one, other),
                3 if one != other => both.update_by_proposal(one, other),
                _ => both.update(one),
            }
        }
        let names: Vec<_> = (0..fresh).map(|number| format!("m{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let rows: Vec<_> = rows(&scenario(&names, &both.steps)).into_iter().filter(Row::is_commit).collect();
        assert_eq!(rows.len(), both.expected.len());
        for (row, expected) in rows.iter().zip(&both.expected) {
            assert_eq!(row.numbers(TREE), *expected, "seed {seed}: {row:?}");
            blank += expected[2] + expected[3];
            unmerged += expected[4];
        }
    }
    assert!(blank > 100 && unmerged > 20, "{blank} blank nodes, {unmerged} unmerged leaves");
}
