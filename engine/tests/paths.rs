//! The keys of a commit's path are new (RFC 9420, 12.4.2): a commit that brings a key of the tree again is carried out by nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_traits::types::{CryptoError, HashType};
use regrow_engine::{
    Client, CryptoProvider, Event, Handshake, Layer, Layered, Lost, MemoryStore, Outgoing, PendingCommit, Policy,
    default_crypto,
};

const MODES: [Handshake; 2] = [Handshake::Assisted, Handshake::Opaque];

/// The length of a path secret, with SHA-256. A commit draws that of its path before all else that is as long.
const PATH_SECRET: usize = 32;

/// Randomness that gives a path secret which was there before. Clones are the same.
#[derive(Clone)]
struct Repeating {
    crypto: Arc<dyn CryptoProvider>,
    drawn: Arc<Mutex<Drawn>>,
}

#[derive(Default)]
struct Drawn {
    /// What the next path begins with, if not with something new.
    next: Option<Vec<u8>>,
    /// The path secrets of the last commit, from below.
    path: Vec<Vec<u8>>,
    /// The last random bytes.
    last: Vec<u8>,
}

impl Repeating {
    fn new() -> Self {
        Self { crypto: default_crypto(), drawn: Arc::default() }
    }

    /// From here on the next path begins with the path secret that the last one had so far above its lowest node.
    fn repeat(&self, above: usize) {
        let mut drawn = self.drawn.lock().unwrap();
        drawn.next = Some(drawn.path[above].clone());
    }

    fn client(&self, store: &MemoryStore, user: &str, handshake: Handshake) -> Client {
        let policy = Policy { handshake, ..policy() };
        Client::create(Arc::new(store.clone()), Arc::new(Layered(self.clone())), device(user), policy).unwrap()
    }
}

impl Layer for Repeating {
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

/// Alice, Bob, Carol and Dave, in this order from the left, and what they are in. Alice has committed last.
struct Scene {
    clients: [Client; 4],
    stores: [MemoryStore; 4],
    draws: Repeating,
    handshake: Handshake,
}

fn scene(handshake: Handshake) -> Scene {
    let (draws, stores) = (Repeating::new(), std::array::from_fn(|_| MemoryStore::new()));
    let users = ["alice", "bob", "carol", "dave"];
    let mut clients = std::array::from_fn(|index| draws.client(&stores[index], users[index], handshake));
    make_group(&mut clients.each_mut());
    // Every member commits: the tree has no blank node.
    for last in (0..4).rev() {
        let pending = clients[last].group(&group()).unwrap().update().unwrap();
        confirm(&mut clients, last, pending);
    }
    Scene { clients, stores, draws, handshake }
}

/// All carry out the commit of that client.
fn confirm(clients: &mut [Client], committer: usize, pending: PendingCommit) {
    for (index, client) in clients.iter_mut().enumerate() {
        if index != committer {
            let event = hear(client, pending.commit());
            assert!(matches!(event, Event::Commit(_)), "{event:?}");
        }
    }
    clients[committer].confirm(pending, NOW).unwrap();
}

impl Scene {
    /// Those who receive the commit lose nothing but its epoch, however often it comes.
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
                assert!(matches!(event, Event::Lost(Lost::Commit { .. })), "{index}: {event:?}");
                assert!(state(client) == before, "{index}: the state has changed");
            }
        }
    }

    /// The group is none the worse: it takes commits of everybody.
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
fn a_path_that_its_committer_has_had_before_is_not_followed() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(0);
        let bad = scene.clients[0].group(&group()).unwrap().update().unwrap();

        scene.assert_not_followed(bad.commit(), &[1, 2, 3]);

        scene.clients[0].discard(bad).unwrap();
        scene.assert_goes_on();
    }
}

/// Carol's lowest node has the key of the root. Whether a device has a private key of both or of one, it is the same commit.
#[test]
fn a_path_with_a_key_of_another_node_is_not_followed() {
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
fn who_would_be_removed_by_such_a_commit_is_not() {
    for handshake in MODES {
        let mut scene = scene(handshake);
        scene.draws.repeat(0);
        let bad = scene.clients[0].group(&group()).unwrap().remove(&[device("dave")]).unwrap();

        scene.assert_not_followed(bad.commit(), &[1, 2, 3]);

        let [alice, bob, carol, dave] = &mut scene.clients;
        alice.discard(bad).unwrap();
        let Some(Outgoing::Commit(good)) = alice.group(&group()).unwrap().resume().unwrap() else { panic!() };
        let events = accept(alice, good, &mut [bob, carol, dave]);
        assert!(matches!(events[..], [Event::Commit(_), Event::Commit(_), Event::Removed { .. }]), "{events:?}");
    }
}

#[test]
fn an_external_commit_with_keys_of_the_tree_is_not_followed() {
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

/// In a page of messages, what comes after it is read as if it had not been there.
#[test]
fn the_messages_after_such_a_commit_are_read() {
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
            matches!(&events[..], [Event::Lost(Lost::Commit { .. }), Event::Message(_), Event::Commit(_)]),
            "{events:?}"
        );
    }
}
