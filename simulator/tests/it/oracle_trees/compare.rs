//! Compares the records of the engine with the oracle's model. Key pairs have names in the oracle,
//! and bytes in the engine. The first place in which a key pair appears shows its name, and the
//! name must not change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regrow_simulator::oracle::{
    CommitId, DeviceNumber, EpochId, Holdings, KeyPair, LeafIndex, NodeIndex, RatchetKind, SecretTree, Tree,
};

use super::{
    stored::{Nodes, PublicKey, Stored, StoredRatchet, StoredSecrets, StoredTree},
    walk::Walk,
};

/// The names of the public keys.
#[derive(Default)]
pub struct Names {
    by_key: HashMap<PublicKey, KeyPair>,
    by_name: HashMap<KeyPair, PublicKey>,
}

impl Names {
    /// Binds a name to a key. Neither may have been bound to another one.
    #[track_caller]
    fn bind(&mut self, name: KeyPair, key: &PublicKey) {
        let known_name = *self.by_key.entry(key.clone()).or_insert(name);
        let known_key = self.by_name.entry(name).or_insert_with(|| key.clone());
        assert!(known_name == name && known_key == key, "{name}: the engine has the key of {known_name}");
    }

    #[track_caller]
    fn bind_all(&mut self, names: impl Iterator<Item = KeyPair>, keys: &[PublicKey]) {
        let names: Vec<KeyPair> = names.collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        names.into_iter().zip(keys).for_each(|(name, key)| self.bind(name, key));
    }

    #[track_caller]
    fn name(&self, key: &PublicKey) -> KeyPair {
        *self.by_key.get(key).expect("the oracle knows a name for each key pair")
    }

    /// If there is just one new key pair and one new name, binds them to each other.
    #[track_caller]
    fn bind_new(&mut self, names: impl Iterator<Item = KeyPair>, keys: &[PublicKey]) {
        let names: Vec<KeyPair> = names.filter(|name| !self.by_name.contains_key(name)).collect();
        let keys: Vec<PublicKey> = keys.iter().filter(|key| !self.by_key.contains_key(*key)).cloned().collect();
        assert!(names.len() == keys.len() && names.len() < 2, "{names:?} for {} new keys", keys.len());
        names.into_iter().zip(&keys).for_each(|(name, key)| self.bind(name, key));
    }
}

impl Walk {
    /// Compares all devices that have changed.
    pub fn compare_touched(&mut self) {
        self.touched.clone().into_iter().for_each(|who| self.compare(who));
    }

    /// Checks that the device's records are the secrets that the oracle names.
    pub fn compare(&mut self, who: usize) {
        self.touched.remove(&who);
        let known = self.compared.as_ref().map(|(record, _)| &record[..]);
        let stored = Stored::of(&self.players[who].client, known);
        let holdings = self.oracle.holdings(DeviceNumber(who));
        match (&stored.tree, self.oracle.tree_of(DeviceNumber(who))) {
            (None, None) => {}
            (Some(StoredTree::Known), Some(tree)) => {
                let compared = self.compared.as_ref().map(|(_, compared)| compared);
                assert_eq!(Some(tree), compared, "device {who}: a tree that the engine has not changed");
            }
            (Some(StoredTree::New { record, nodes }), Some(tree)) => {
                compare_trees(nodes, tree, &mut self.names);
                self.compared = Some((record.clone(), tree.clone()));
            }
            (stored, tree) => panic!("device {who}: tree stored: {}, told: {}", stored.is_some(), tree.is_some()),
        }
        self.compare_keys(who, &stored, &holdings);
        assert_eq!(stored.epochs, holdings.epochs().len(), "device {who}: epochs whose init secret is there");
        self.compare_secrets(who, &stored, &holdings);
    }

    fn compare_keys(&mut self, who: usize, stored: &Stored, holdings: &Holdings) {
        let names = &mut self.names;
        let held = || holdings.private_keys().iter().copied();
        let (init, leaf): (Vec<_>, Vec<_>) = stored.key_packages.iter().cloned().unzip();
        names.bind_new(held().filter(|name| matches!(name, KeyPair::Init(_))), &init);
        names.bind_new(held().filter(|name| matches!(name, KeyPair::KeyPackageLeaf(_))), &leaf);
        names.bind_new(held().filter(|name| matches!(name, KeyPair::UpdateLeaf(_))), &stored.update_keys);
        let under_way =
            |commit: Option<CommitId>, keys: &Option<Vec<PublicKey>>, names: &mut Names| match (commit, keys) {
                (None, None) => {}
                (Some(commit), Some(keys)) => {
                    let path = self.oracle.path_of(commit).unwrap().nodes.len();
                    let path = (0..path).map(|position| KeyPair::PathNode(commit, position));
                    names.bind_all([KeyPair::PathLeaf(commit)].into_iter().chain(path), keys);
                }
                (commit, _) => panic!("device {who} has {commit:?} under way, but its records differ"),
            };
        under_way(self.players[who].pending(), &stored.pending_keys, names);
        under_way(self.players[who].joining(), &stored.joining_keys, names);
        let all = [&stored.epoch_keys, &stored.update_keys, &init, &leaf].into_iter();
        let all = all.chain(&stored.pending_keys).chain(&stored.joining_keys).flatten();
        let stored: BTreeSet<KeyPair> = all.map(|key| names.name(key)).collect();
        assert_eq!(&stored, holdings.private_keys(), "device {who}: private keys, stored and told");
    }

    fn compare_secrets(&self, who: usize, stored: &Stored, holdings: &Holdings) {
        let number = |epoch| match epoch {
            EpochId::First => 0,
            EpochId::After(commit) => self.epochs[&commit],
        };
        let player = &self.players[who];
        let under_way = |commit: Option<CommitId>| commit.map(EpochId::After);
        let mut told: BTreeMap<EpochId, &SecretTree> =
            holdings.secret_trees().map(|tree| (tree.epoch(), tree)).collect();
        for (epoch, stored) in [
            (under_way(player.pending()), &stored.pending_secret_tree),
            (under_way(player.joining()), &stored.joining_secret_tree),
        ] {
            let tree = epoch.and_then(|epoch| told.remove(&epoch));
            assert_eq!(tree.is_some(), stored.is_some(), "device {who}: the secret tree of a commit under way");
            if let (Some(tree), Some(stored)) = (tree, stored) {
                compare_secret_trees(who, stored, tree, None);
            }
        }
        let own = self.oracle.tree_of(DeviceNumber(who)).and_then(|tree| tree.leaf_of(DeviceNumber(who)));
        let current = told.keys().copied().max_by_key(|epoch| number(*epoch));
        let current = current.and_then(|epoch| told.remove(&epoch));
        assert_eq!(current.is_some(), stored.secret_tree.is_some(), "device {who}: the secret tree of the epoch");
        if let (Some(tree), Some(stored)) = (current, &stored.secret_tree) {
            compare_secret_trees(who, stored, tree, own);
        }
        let past: BTreeMap<u64, &SecretTree> = told.into_iter().map(|(epoch, tree)| (number(epoch), tree)).collect();
        assert!(past.keys().eq(stored.past_secret_trees.keys()), "device {who}: past epochs");
        for (tree, stored) in past.values().zip(stored.past_secret_trees.values()) {
            compare_secret_trees(who, stored, tree, None);
        }
    }

    /// Checks that the commit's path secrets are sealed to the keys that the oracle names.
    pub fn compare_path(&mut self, by: usize, commit: CommitId) {
        let sealed = self.players[by].crypto.0.take_sealed();
        let sealed: BTreeSet<BTreeSet<KeyPair>> =
            sealed.iter().map(|keys| keys.iter().map(|key| self.names.name(key)).collect()).collect();
        let path = &self.oracle.path_of(commit).unwrap().nodes;
        let told = path.iter().map(|node| node.sealed_to.iter().copied().collect::<BTreeSet<_>>());
        let told: BTreeSet<BTreeSet<KeyPair>> = told.filter(|keys| !keys.is_empty()).collect();
        assert_eq!(sealed, told, "{commit} of device {by}: the keys to which it is sealed, recorded and told");
    }
}

fn compare_trees(stored: &Nodes, tree: &Tree, names: &mut Names) {
    assert_eq!(stored.leaves.len(), tree.leaves().len(), "leaves");
    for (stored, leaf) in stored.leaves.iter().zip(tree.leaves()) {
        assert_eq!(stored.is_some(), leaf.is_some(), "blank leaves");
        if let (Some(key), Some(leaf)) = (stored, leaf) {
            names.bind(leaf.key, key);
        }
    }
    assert!(stored.parents.iter().skip(tree.parents().len()).all(Option::is_none));
    for (stored, parent) in stored.parents.iter().zip(tree.parents()) {
        assert_eq!(stored.is_some(), parent.is_some(), "blank parents");
        if let (Some((key, unmerged)), Some(parent)) = (stored, parent) {
            names.bind(parent.key, key);
            assert!(unmerged.iter().eq(parent.unmerged.iter().map(|leaf| &leaf.0)), "unmerged leaves");
        }
    }
    for node in 0..2 * tree.leaves().len() as u32 - 1 {
        let told = tree.resolution(NodeIndex(node));
        let real: Vec<KeyPair> = resolution(stored, node).iter().map(|key| names.name(key)).collect();
        assert!(told.iter().map(|(key, _)| key).eq(&real), "the resolution of node {node}");
    }
}

/// The resolution of a node in the stored tree (RFC 9420, 4.1.1).
fn resolution(tree: &Nodes, node: u32) -> Vec<PublicKey> {
    let leaf = |at: u32| tree.leaves[at as usize].clone();
    if node.is_multiple_of(2) {
        return leaf(node / 2).into_iter().collect();
    }
    match &tree.parents[node as usize / 2] {
        Some((key, unmerged)) => [key.clone()].into_iter().chain(unmerged.iter().filter_map(|at| leaf(*at))).collect(),
        None => {
            let half = 1 << (node.trailing_ones() - 1);
            [resolution(tree, node - half), resolution(tree, node + half)].concat()
        }
    }
}

/// Compares two secret trees. The oracle counts only some handshakes of other members, so only a
/// member's own handshakes are compared.
fn compare_secret_trees(who: usize, stored: &StoredSecrets, told: &SecretTree, own: Option<LeafIndex>) {
    for (leaf, stored) in (0..).map(LeafIndex).zip(&stored.application) {
        let told = told.ratchet(leaf, RatchetKind::Application);
        let told = StoredRatchet { head: told.head(), skipped: told.skipped().iter().copied().collect() };
        let untouched = StoredRatchet { head: 0, skipped: Vec::new() };
        let stored = stored.as_ref().unwrap_or(&untouched);
        assert_eq!(stored, &told, "device {who}: {leaf}'s ratchet, stored and told");
    }
    if let Some(own) = own {
        let stored = stored.handshake[own.0 as usize].as_ref().map_or(0, |ratchet| ratchet.head);
        assert_eq!(stored, told.ratchet(own, RatchetKind::Handshake).head(), "device {who}: its handshakes");
    }
    // A leaf's ratchets follow from the secrets above it until they are derived. Then these secrets
    // are gone.
    for (leaf, ratchet) in (0u32..).zip(&stored.application) {
        let above = |node: &&u32| (2 * leaf) >> (node.trailing_ones() + 1) == **node >> (node.trailing_ones() + 1);
        let expected = usize::from(ratchet.is_none());
        assert_eq!(stored.nodes.iter().filter(above).count(), expected, "device {who}: secrets above leaf {leaf}");
    }
}
