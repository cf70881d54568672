//! Finds the secrets, and therefore the messages, that follow from a snapshot and all traffic.
//!
//! A commit's path secrets are sealed to keys that are older than the commit. Its welcome is sealed
//! to key packages, and each epoch follows from the epoch before. Therefore one walk along the
//! ordered commits finds everything. The derivations are bound to group contexts and transcript
//! hashes. The model assumes that a thief knows these, because they can be read with the commit or
//! the welcome.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    history::{CommitId, EpochId, MessageNumber},
    holdings::Holdings,
    made::{MadeCommit, SentMessage},
    model::Oracle,
    secret::{KeyPair, Secret},
    secret_tree::RatchetKind,
};

/// The secrets that follow from certain holdings and all traffic.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    pub(super) oracle: &'a Oracle,
    pub(super) holdings: &'a Holdings,
    known: BTreeMap<Secret, Origin>,
}

/// The origin of a known secret.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// The secret is among the holdings.
    Held,
    /// The secret follows from these secrets, in this way.
    From([Option<Secret>; 2], &'static str),
}

impl Oracle {
    /// The secrets that follow from the holdings and all traffic until now.
    pub fn reach<'a>(&'a self, holdings: &'a Holdings) -> Reach<'a> {
        Reach::new(self, holdings)
    }

    /// The messages that a thief with these holdings and all traffic until now can read.
    pub fn exposed(&self, holdings: &Holdings) -> BTreeSet<MessageNumber> {
        self.reach(holdings).exposed()
    }
}

impl<'a> Reach<'a> {
    pub(super) fn new(oracle: &'a Oracle, holdings: &'a Holdings) -> Self {
        let keys = holdings.private_keys.iter().map(|key| Secret::PrivateKey(*key));
        let epochs = holdings.epochs.iter().flat_map(|epoch| [Secret::Init(*epoch), Secret::External(*epoch)]);
        let known = keys.chain(epochs).map(|secret| (secret, Origin::Held)).collect();
        let mut reach = Self { oracle, holdings, known };
        for commit in &oracle.ordered {
            if let Some(made) = oracle.commits.get(commit) {
                reach.follow(*commit, made);
            }
        }
        reach
    }

    /// The secrets that the thief knows, without the secrets of ratchets.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.known.keys().copied()
    }

    /// The messages that the thief can read.
    pub fn exposed(&self) -> BTreeSet<MessageNumber> {
        let sent = self.oracle.messages.iter().filter(|(_, message)| message.sent);
        sent.filter(|(_, message)| self.reads(message)).map(|(number, _)| *number).collect()
    }

    /// Explains in words, step by step, why the thief can or cannot read a message.
    pub fn why(&self, message: MessageNumber) -> Vec<String> {
        let Some(it) = self.oracle.messages.get(&message) else { return vec![format!("there is no {message}")] };
        let key = format!("the key of {message}, generation {} of {} in {}", it.generation, it.leaf, it.epoch);
        let mut lines = Vec::new();
        if !it.sent {
            lines.push(format!("{message} was never sent"));
        } else if self.knows(Secret::Encryption(it.epoch)) {
            self.explain(Secret::Encryption(it.epoch), &mut BTreeSet::new(), &mut lines);
            lines.push(format!("{key}: from the secret tree"));
        } else if let Some(secrets) = self.holdings.secret_trees.get(&it.epoch) {
            let ratchet = secrets.ratchet(it.leaf, RatchetKind::Application);
            lines.push(match ratchet.yields(it.generation) {
                true if it.generation >= ratchet.head() => format!("{key}: from the held ratchet"),
                true => format!("{key}: held, because it was skipped"),
                false => format!("{key}: used and erased before"),
            });
        } else {
            lines.push(format!("{key}: the secret tree is not held"));
            if let EpochId::After(commit) = it.epoch {
                self.explain_missing(commit, &mut lines);
            }
        }
        lines
    }

    /// Adds the secrets that a commit and its welcome reveal.
    fn follow(&mut self, commit: CommitId, made: &MadeCommit) {
        let path = &made.path;
        if self.reads_handshake(made) {
            for (position, node) in path.nodes.iter().enumerate() {
                let opener = node.sealed_to.iter().map(|key| Secret::PrivateKey(*key)).find(|key| self.knows(*key));
                if let Some(opener) = opener {
                    self.learn(Secret::Path(commit, position), [Some(opener), None], "opens the commit's path");
                }
            }
        }
        let joiner = Secret::Joiner(commit);
        for invited in &made.joiners {
            let opener = Secret::PrivateKey(KeyPair::Init(invited.key_package));
            if self.knows(opener) {
                let first = path.first_known_to(invited.leaf);
                self.learn(joiner, [Some(opener), None], "opens the welcome");
                self.learn(Secret::Path(commit, first), [Some(opener), None], "opens the welcome");
            }
        }
        for position in 0..path.nodes.len() {
            let secret = Secret::Path(commit, position);
            let next = match position + 1 == path.nodes.len() {
                true => Secret::Commit(commit),
                false => Secret::Path(commit, position + 1),
            };
            let node = Secret::PrivateKey(KeyPair::PathNode(commit, position));
            self.follows(node, secret, None, "node secret");
            self.follows(next, secret, None, "next path secret");
        }
        let external = Secret::ExternalInit(commit);
        let init = match made.what.external {
            true => {
                self.follows(external, Secret::External(made.in_epoch), None, "opens the external init");
                external
            }
            false => Secret::Init(made.in_epoch),
        };
        let epoch = EpochId::After(commit);
        self.follows(joiner, init, Some(Secret::Commit(commit)), "key schedule");
        self.follows(Secret::Encryption(epoch), joiner, None, "key schedule");
        self.follows(Secret::Init(epoch), joiner, None, "key schedule");
        self.follows(Secret::External(epoch), joiner, None, "key schedule");
    }

    /// True if the thief can read the commit: it is a PublicMessage, or the thief has its key.
    pub(super) fn reads_handshake(&self, made: &MadeCommit) -> bool {
        made.generation.is_none_or(|generation| {
            self.knows(Secret::Encryption(made.in_epoch))
                || self
                    .holdings
                    .secret_trees
                    .get(&made.in_epoch)
                    .is_some_and(|secrets| secrets.yields(made.path.committer, RatchetKind::Handshake, generation))
        })
    }

    pub(super) fn reads(&self, message: &SentMessage) -> bool {
        self.knows(Secret::Encryption(message.epoch))
            || self
                .holdings
                .secret_trees
                .get(&message.epoch)
                .is_some_and(|secrets| secrets.yields(message.leaf, RatchetKind::Application, message.generation))
    }

    /// True if the thief knows the secret.
    pub fn knows(&self, secret: Secret) -> bool {
        self.known.contains_key(&secret)
    }

    fn follows(&mut self, secret: Secret, from: Secret, and: Option<Secret>, how: &'static str) {
        if self.knows(from) && and.is_none_or(|and| self.knows(and)) {
            self.learn(secret, [Some(from), and], how);
        }
    }

    fn learn(&mut self, secret: Secret, from: [Option<Secret>; 2], how: &'static str) {
        self.known.entry(secret).or_insert(Origin::From(from, how));
    }

    /// Explains the origin of a known secret. The secrets from which it follows come first.
    fn explain(&self, secret: Secret, told: &mut BTreeSet<Secret>, lines: &mut Vec<String>) {
        if !told.insert(secret) {
            return;
        }
        match self.known.get(&secret) {
            None => {}
            Some(Origin::Held) => lines.push(format!("{secret}: held")),
            Some(Origin::From(from, how)) => {
                let from: Vec<Secret> = from.iter().flatten().copied().collect();
                from.iter().for_each(|secret| self.explain(*secret, told, lines));
                let from: Vec<String> = from.iter().map(Secret::to_string).collect();
                lines.push(format!("{secret}: {how}, from {}", from.join(" and ")));
            }
        }
    }

    /// Lists the secrets that lead into the epoch of a commit, each as known or not known.
    fn explain_missing(&self, commit: CommitId, lines: &mut Vec<String>) {
        let Some(made) = self.oracle.commits.get(&commit) else { return };
        let init = match made.what.external {
            true => Secret::ExternalInit(commit),
            false => Secret::Init(made.in_epoch),
        };
        for secret in [init, Secret::Commit(commit)] {
            let state = if self.knows(secret) { "known" } else { "not known" };
            lines.push(format!("{secret}: {state}"));
        }
        if !self.reads_handshake(made) {
            lines.push(format!("{commit}: its key is not known"));
        }
    }
}
