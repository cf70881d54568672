//! Tests a group's whole life in each ciphersuite that the cryptography supports.

use std::sync::Arc;

use crate::common::*;
use regrow_engine::{
    Ciphersuite, Client, CryptoProvider, Error, MemoryStore, Policy, ReceivedEvent, Refusal, default_crypto,
};

/// Creates a group, adds, joins, sends, receives, updates, changes signature keys, joins by
/// external commit and removes a member.
fn a_group_lives(crypto: &Arc<dyn CryptoProvider>, ciphersuite: Ciphersuite) {
    let policy = Policy { ciphersuite, ..policy() };
    let stores = [MemoryStore::new(), MemoryStore::new(), MemoryStore::new()];
    let [mut alice, mut bob, mut carol] = [0, 1, 2].map(|number| {
        let user = device(["alice", "bob", "carol"][number]);
        Client::create(Arc::new(stores[number].clone()), crypto.clone(), user, policy.clone()).unwrap()
    });
    make_group(&mut [&mut alice, &mut bob]);
    let message = send(&mut alice, b"from alice");
    assert_eq!(read(&mut bob, &message), b"from alice");

    update(&mut bob, &mut [&mut alice]);
    let rotation = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut alice, rotation, &mut [&mut bob]);
    let message = send(&mut bob, b"from bob");
    assert_eq!(read(&mut alice, &message), b"from bob");

    let joining = carol.join_external(&group_info(&mut bob)).unwrap();
    accept(&mut carol, joining, &mut [&mut alice, &mut bob]);
    let proposal = carol.group(&group()).unwrap().propose_update().unwrap();
    deliver(proposal.as_bytes(), &mut [&mut alice, &mut bob, &mut carol]);
    let commit = alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut alice, commit, &mut [&mut bob, &mut carol]);
    assert_same_epoch(&mut [&mut alice, &mut bob, &mut carol]);

    // Open the store again, as after a restart.
    let mut carol = Client::open(Arc::new(stores[2].clone()), crypto.clone(), policy).unwrap();
    let message = send(&mut alice, b"to two");
    assert_eq!((read(&mut bob, &message), read(&mut carol, &message)), (b"to two".to_vec(), b"to two".to_vec()));
    let removal = carol.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    let events = accept(&mut carol, removal, &mut [&mut alice, &mut bob]);
    assert!(matches!(events[1], ReceivedEvent::Removed { .. }));
    let secrets = [&mut alice, &mut carol].map(|member| member.group(&group()).unwrap().export_secret("a", b"", 32));
    let [ours, theirs] = secrets.map(Result::unwrap);
    assert_eq!(ours, theirs);
}

#[test]
fn groups_work_in_each_default_ciphersuite() {
    let crypto = default_crypto();
    let supported = crypto.supported_ciphersuites();
    for usual in [
        Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
        Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
        Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
    ] {
        assert!(supported.contains(&usual), "{supported:?}");
    }
    for ciphersuite in supported {
        a_group_lives(&crypto, ciphersuite);
    }
}

#[test]
fn an_unsupported_ciphersuite_is_refused() {
    let policy = Policy { ciphersuite: Ciphersuite::MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448, ..policy() };

    let created = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device("alice"), policy);

    assert!(matches!(created, Err(Error::Crypto(_))), "{created:?}");
}

#[test]
fn a_key_package_of_another_ciphersuite_is_refused() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let mut bob = client_in(&MemoryStore::new(), "bob", Policy { ciphersuite, ..policy() });
    let added = key_package(&mut bob);

    let refused = alice.group(&group()).unwrap().add(&[added], NOW);

    assert!(matches!(refused, Err(Error::Refused(Refusal::Ciphersuite(other))) if other == ciphersuite));
}

#[cfg(feature = "post-quantum")]
#[test]
fn groups_work_in_the_post_quantum_ciphersuite() {
    let crypto = regrow_engine::post_quantum_crypto();
    let supported = crypto.supported_ciphersuites();
    assert!(supported.contains(&Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519), "{supported:?}");
    for ciphersuite in supported {
        a_group_lives(&crypto, ciphersuite);
    }
}

/// A leaf lists the ciphersuites of the cryptography, so the usual list stays as it is.
#[cfg(feature = "post-quantum")]
#[test]
fn the_usual_cryptography_has_no_post_quantum_ciphersuite() {
    let ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;
    let usual = default_crypto().supported_ciphersuites();
    assert!(!usual.contains(&ciphersuite), "{usual:?}");
    assert_eq!(regrow_engine::post_quantum_crypto().supported_ciphersuites(), [&usual[..], &[ciphersuite]].concat());

    let policy = Policy { ciphersuite, ..policy() };
    let created = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device("alice"), policy);

    assert!(matches!(created, Err(Error::Crypto(_))), "{created:?}");
}
