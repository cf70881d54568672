//! Tests of welcomes and group infos without the ratchet tree. The joining device gets the tree
//! separately.

use crate::common::*;
use regrow_engine::{Client, Epoch, Error, HandshakeMode, JoinMessage, MemoryStore, PendingCommit, Policy};

fn apart() -> Policy {
    Policy { send_ratchet_tree: false, ..policy() }
}

/// Creates Alice, alone in the group, with a policy that does not send the tree.
fn alice() -> Client {
    let mut alice = client_in(&MemoryStore::new(), "alice", apart());
    alice.create_group(group(), NOW).unwrap();
    alice
}

fn tree(client: &mut Client) -> Vec<u8> {
    client.group(&group()).unwrap().ratchet_tree().unwrap()
}

/// Adds all joiners, but does not let them join yet. Returns the confirmed commit.
fn add(alice: &mut Client, joiners: &mut [&mut Client]) -> PendingCommit {
    let key_packages: Vec<_> = joiners.iter_mut().map(|joiner| key_package(joiner)).collect();
    let pending = alice.group(&group()).unwrap().add(&key_packages, NOW).unwrap();
    alice.confirm(pending.clone(), NOW).unwrap();
    pending
}

fn needs_tree_of(epoch: u64) -> impl Fn(Error) {
    move |error| match error {
        Error::NeedsRatchetTree { group: of, epoch: at } => assert_eq!((of, at), (group(), Epoch(epoch))),
        other => panic!("unexpected error: {other}"),
    }
}

#[test]
fn a_welcome_without_a_tree_needs_a_separate_tree() {
    let (mut alice, mut bob) = (alice(), client("bob"));
    let pending = add(&mut alice, &mut [&mut bob]);
    let welcome = pending.welcome().unwrap();

    needs_tree_of(1)(bob.join(welcome, NOW).unwrap_err());
    // The failed attempt has used up nothing.
    bob.join(JoinMessage::with_tree(welcome, &tree(&mut alice)), NOW).unwrap();

    assert_same_epoch(&mut [&mut alice, &mut bob]);
    let sent = send(&mut alice, b"hello");
    assert_eq!(read(&mut bob, &sent), b"hello");
}

#[test]
fn a_wrong_tree_is_refused_and_uses_up_nothing() {
    let (mut alice, mut bob, mut carol) = (alice(), client("bob"), client("carol"));
    let before = tree(&mut alice);
    let pending = add(&mut alice, &mut [&mut bob]);
    let welcome = pending.welcome().unwrap().to_vec();
    let right = tree(&mut alice);
    let _ = add(&mut alice, &mut [&mut carol]);
    let after = tree(&mut alice);
    let mut changed = right.clone();
    *changed.last_mut().unwrap() ^= 1;

    for wrong in [&before, &after, &changed] {
        let error = bob.join(JoinMessage::with_tree(&welcome, wrong), NOW).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. } | Error::Malformed { .. }), "{error}");
    }
    for rubbish in [&b""[..], b"rubbish", &right[..right.len() - 1]] {
        let error = bob.join(JoinMessage::with_tree(&welcome, rubbish), NOW).unwrap_err();
        assert!(matches!(error, Error::Malformed { expected: "a ratchet tree", .. }), "{error}");
    }
    bob.join(JoinMessage::with_tree(&welcome, &right), NOW).unwrap();
}

#[test]
fn an_external_commit_without_a_tree_needs_a_separate_tree() {
    let (mut alice, mut bob) = (alice(), client_in(&MemoryStore::new(), "bob", apart()));
    let pending = add(&mut alice, &mut [&mut bob]);
    bob.join(JoinMessage::with_tree(pending.welcome().unwrap(), &tree(&mut alice)), NOW).unwrap();
    let pending = alice.group(&group()).unwrap().update().unwrap();
    let info = pending.group_info().unwrap().to_vec();
    accept(&mut alice, pending, &mut [&mut bob]);

    let mut carol = client_in(&MemoryStore::new(), "carol", apart());
    for joiner in [&mut carol, &mut bob] {
        needs_tree_of(2)(joiner.join_external(&info).unwrap_err());
    }
    let tree = tree(&mut alice);
    let pending = bob.join_external(JoinMessage::with_tree(&info, &tree)).unwrap();
    assert_eq!(pending.removed().collect::<Vec<_>>(), [&device("bob")], "the commit removes the old leaf");
    needs_tree_of(3)(carol.join_external(pending.group_info().unwrap()).unwrap_err());
    accept(&mut bob, pending, &mut [&mut alice]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    // The tree belongs to another epoch than the group info.
    let error = carol.join_external(JoinMessage::with_tree(&info, &self::tree(&mut alice))).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[test]
fn welcomes_and_group_infos_do_not_grow_with_the_tree() {
    let sizes = |policy: Policy, members: usize| {
        let mut alice = client_in(&MemoryStore::new(), "alice", policy);
        alice.create_group(group(), NOW).unwrap();
        let mut others: Vec<_> = (0..members).map(|number| client(&format!("member{number}"))).collect();
        let _ = add(&mut alice, &mut others.iter_mut().collect::<Vec<_>>());
        let mut one = client("one");
        let pending = add(&mut alice, &mut [&mut one]);
        (pending.welcome().unwrap().len(), pending.group_info().unwrap().len())
    };
    assert_eq!(sizes(apart(), 5), sizes(apart(), 40));
    let (welcome, group_info) = sizes(policy(), 40);
    let (welcome_apart, group_info_apart) = sizes(apart(), 40);
    assert!(welcome > welcome_apart + 40 * 200 && group_info > group_info_apart + 40 * 200);
}

#[test]
fn in_an_opaque_group_the_tree_is_always_sent() {
    let opaque = || Policy { handshake: HandshakeMode::Opaque, ..apart() };
    let mut alice = client_in(&MemoryStore::new(), "alice", opaque());
    alice.create_group(group(), NOW).unwrap();
    let mut bob = client_in(&MemoryStore::new(), "bob", opaque());
    let pending = add(&mut alice, &mut [&mut bob]);
    bob.join(pending.welcome().unwrap(), NOW).unwrap();
    let mut carol = client_in(&MemoryStore::new(), "carol", opaque());
    assert!(carol.join_external(pending.group_info().unwrap()).is_ok());
}
