//! Tests that the keys of a commit's path are new (RFC 9420, 12.4.2). No member processes a commit
//! that repeats a key of the tree.

use std::sync::{Arc, Mutex};

use crate::common::*;
use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_traits::types::{CryptoError, HashType};
use regrow_engine::{
    Client, CryptoProvider, HandshakeMode, Layer, Layered, Lost, MemoryStore, Outgoing, PendingCommit, Policy,
    ReceivedEvent, default_crypto,
};

const MODES: [HandshakeMode; 2] = [HandshakeMode::Assisted, HandshakeMode::Opaque];

/// The length of a path secret with SHA-256. Among random values of this length, a commit draws its
/// path secret first.
const PATH_SECRET: usize = 32;

/// Randomness that repeats an earlier path secret. Clones share their state.
#[derive(Clone)]
struct RepeatingRandomness {
    crypto: Arc<dyn CryptoProvider>,
    drawn: Arc<Mutex<DrawnSecrets>>,
}

/// The secrets that were drawn, and the secret that the next draw repeats.
#[derive(Default)]
struct DrawnSecrets {
    /// The first path secret of the next path. `None` for a new secret.
    next: Option<Vec<u8>>,
    /// The path secrets of the last commit, from the lowest node up.
    path: Vec<Vec<u8>>,
    /// The last random bytes.
    last: Vec<u8>,
}

impl RepeatingRandomness {
    fn new() -> Self {
        Self { crypto: default_crypto(), drawn: Arc::default() }
    }

    /// Makes the next path begin with a path secret of the last path: the one this many nodes above
    /// the lowest node.
    fn repeat(&self, above: usize) {
        let mut drawn = self.drawn.lock().unwrap();
        drawn.next = Some(drawn.path[above].clone());
    }

    fn client(&self, store: &MemoryStore, user: &str, handshake: HandshakeMode) -> Client {
        let policy = Policy { handshake, ..policy() };
        Client::create(Arc::new(store.clone()), Arc::new(Layered(self.clone())), device(user), policy).unwrap()
    }
}

impl Layer for RepeatingRandomness {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.crypto
    }

    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut drawn = self.drawn.lock().unwrap();
        let next = drawn.next.take_if(|_| len == PATH_SECRET);
        drawn.last = next.map_or_else(|| self.crypto.random_bytes(len), Ok)?;
        Ok(drawn.last.clone())
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        let secret = self.crypto.hkdf_expand(hash, prk, info, len)?;
        let mut drawn = self.drawn.lock().unwrap();
        // RFC 9420, 7.4: path_secret[n + 1] = DeriveSecret(path_secret[n], "path").
        if info.windows(12).any(|label| label == b"MLS 1.0 path") {
            if drawn.last == prk {
                drawn.path = vec![prk.to_vec()];
            }
            if drawn.path.last().is_some_and(|last| last == prk) {
                drawn.path.push(secret.as_slice().to_vec());
            }
        }
        Ok(secret)
    }
}

/// Alice, Bob, Carol and Dave in one group, in this order from the left. Alice has made the last
/// commit.
struct FourMembers {
    clients: [Client; 4],
    stores: [MemoryStore; 4],
    draws: RepeatingRandomness,
    handshake: HandshakeMode,
}

fn scene(handshake: HandshakeMode) -> FourMembers {
    let (draws, stores) = (RepeatingRandomness::new(), std::array::from_fn(|_| MemoryStore::new()));
    let users = ["alice", "bob", "carol", "dave"];
    let mut clients = std::array::from_fn(|index| draws.client(&stores[index], users[index], handshake));
    make_group(&mut clients.each_mut());
    // Every member commits, so that the tree has no blank node.
    for last in (0..4).rev() {
        let pending = clients[last].group(&group()).unwrap().update().unwrap();
        confirm(&mut clients, last, pending);
    }
    FourMembers { clients, stores, draws, handshake }
}

/// Delivers the commit to all other clients and confirms it.
fn confirm(clients: &mut [Client], committer: usize, pending: PendingCommit) {
    for (index, client) in clients.iter_mut().enumerate() {
        if index != committer {
            let event = hear(client, pending.commit());
            assert!(matches!(event, ReceivedEvent::Commit(_)), "{event:?}");
        }
    }
    clients[committer].confirm(pending, NOW).unwrap();
}

impl FourMembers {
    /// Checks that the receivers of the commit reject it without a change of their state, even if
    /// it comes twice.
    fn assert_not_followed(&mut self, commit: &[u8], by: &[usize]) {
        for index in by {
            let client = &mut self.clients[*index];
            let state = |client: &mut Client| {
                let authenticator = client.group(&group()).unwrap().epoch_authenticator().unwrap();
                (store::records(&self.stores[*index]), authenticator)
            };
            let before = state(client);
            for _ in 0..2 {
                let event = hear(client, commit);
                assert!(matches!(event, ReceivedEvent::Lost(Lost::Commit { .. })), "{index}: {event:?}");
                assert!(state(client) == before, "{index}: the state has changed");
            }
        }
    }

    /// Checks that the group still works and accepts commits of every member.
    fn assert_goes_on(&mut self) {
        for committer in 0..4 {
            let pending = self.clients[committer].group(&group()).unwrap().update().unwrap();
            confirm(&mut self.clients, committer, pending);
        }
        assert_same_epoch(&mut self.clients.each_mut());
        let text = send(&mut self.clients[0], b"we are here");
        assert_eq!(read(&mut self.clients[3], &text), b"we are here");
    }
}

#[test]
fn a_commit_that_repeats_its_committers_path_is_not_processed() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(0);
        let bad = scene.clients[0].group(&group()).unwrap().update().unwrap();

        scene.assert_not_followed(bad.commit(), &[1, 2, 3]);

        scene.clients[0].discard(bad).unwrap();
        scene.assert_goes_on();
    }
}

/// Carol's lowest node gets the key of the root. The result does not depend on whether a device has
/// the private keys of both nodes or of one.
#[test]
fn commits_with_a_key_of_another_node_are_not_processed() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(1);
        let bad = scene.clients[2].group(&group()).unwrap().update().unwrap();

        scene.assert_not_followed(bad.commit(), &[0, 1, 3]);

        scene.clients[2].discard(bad).unwrap();
        scene.assert_goes_on();
    }
}

#[test]
fn a_commit_with_repeated_keys_removes_nobody() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(0);
        let bad = scene.clients[0].group(&group()).unwrap().remove(&[device("dave")]).unwrap();

        scene.assert_not_followed(bad.commit(), &[1, 2, 3]);

        let [alice, bob, carol, dave] = &mut scene.clients;
        alice.discard(bad).unwrap();
        let Some(Outgoing::Commit(good)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!() };
        let events = accept(alice, good, &mut [bob, carol, dave]);
        assert!(
            matches!(events[..], [ReceivedEvent::Commit(_), ReceivedEvent::Commit(_), ReceivedEvent::Removed { .. }]),
            "{events:?}"
        );
    }
}

#[test]
fn external_commits_with_keys_of_the_tree_are_not_processed() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        let group_info = group_info(&mut scene.clients[0]);
        let mut newcomer = scene.draws.client(&MemoryStore::new(), "erin", scene.handshake);
        scene.draws.repeat(0);
        let bad = newcomer.join_external(&group_info).unwrap();

        scene.assert_not_followed(bad.commit(), &[0, 1, 2, 3]);

        scene.assert_goes_on();
    }
}

/// The later messages in the same call are read as if the commit were not there.
#[test]
fn messages_after_a_commit_with_repeated_keys_are_read() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(0);
        let bad = scene.clients[0].group(&group()).unwrap().update().unwrap();
        let text = send(&mut scene.clients[2], b"read me");
        let good = scene.clients[2].group(&group()).unwrap().update().unwrap();

        let page = [bad.commit(), &text, good.commit()];
        let results = scene.clients[1].receive_all(&page, NOW).unwrap();

        let events: Vec<_> = results.into_iter().map(|result| result.unwrap().event).collect();
        assert!(
            matches!(
                &events[..],
                [ReceivedEvent::Lost(Lost::Commit { .. }), ReceivedEvent::Message(_), ReceivedEvent::Commit(_)]
            ),
            "{events:?}"
        );
    }
}
