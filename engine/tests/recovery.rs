//! A device that cannot go on says so, makes nothing that it should not, and comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use common::*;
use regrow_engine::{
    Agreement, Change, Client, Epoch, Error, Event, Handshake, Lost, MemoryStore, Outgoing, Policy, Received,
    SqliteStore, StoreKey, Wish, default_crypto,
};

const MODES: [Handshake; 2] = [Handshake::Assisted, Handshake::Opaque];

fn pair(handshake: Handshake) -> (Client, Client) {
    let policy = Policy { handshake, ..policy() };
    let mut clients = ["alice", "bob"].map(|user| client_in(&MemoryStore::new(), user, policy.clone()));
    make_group(&mut clients.each_mut());
    let [alice, bob] = clients;
    (alice, bob)
}

/// The device as an older copy of its storage has it.
fn copy(client: &Client, handshake: Handshake) -> Client {
    let store = std::sync::Arc::new(client.snapshot().unwrap().to_store());
    Client::open(store, default_crypto(), Policy { handshake, ..policy() }).unwrap()
}

/// Everything that would use a key of the group's.
fn assert_makes_nothing(client: &mut Client) {
    let added = key_package(&mut self::client("dave"));
    let mut chat = client.group(&group()).unwrap();
    let refused = |error: Error| matches!(error, Error::RolledBack { group: id } if id == group());
    assert!(refused(chat.send(b"hello").unwrap_err()));
    assert!(refused(chat.update().unwrap_err()));
    assert!(refused(chat.rotate_signature_key().unwrap_err()));
    assert!(refused(chat.add(std::slice::from_ref(&added), NOW).unwrap_err()));
    assert!(refused(chat.remove(&[device("alice")]).unwrap_err()));
    assert!(refused(chat.commit().unwrap_err()));
    assert!(refused(chat.resume().unwrap_err()));
    assert!(refused(chat.propose_add(&added, NOW).unwrap_err()));
    assert!(refused(chat.propose_remove(&device("alice")).unwrap_err()));
    assert!(refused(chat.propose_update().unwrap_err()));
    assert!(refused(chat.leave().unwrap_err()));
}

/// The device rejoins, and all is well.
fn rejoin(client: &mut Client, other: &mut Client) {
    let pending = client.join_external(&group_info(other)).unwrap();
    accept(client, pending, &mut [other]);
    assert_same_epoch(&mut [client, other]);
    assert_eq!(members(other), ["alice", "bob"]);
    assert_eq!(read(other, &send(client, b"back")), b"back");
}

#[test]
fn an_own_message_that_the_storage_knows_nothing_of_shows_that_it_is_a_copy() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let later = send(&mut bob, b"sent after the copy was taken");
        drop(bob);

        assert!(matches!(hear(&mut older, &later), Event::Lost(Lost::RolledBack)));

        assert_makes_nothing(&mut older);
        let mut older = copy(&older, handshake);
        assert_makes_nothing(&mut older);
        assert_eq!(read(&mut older, &send(&mut alice, b"can be read")), b"can be read");
        rejoin(&mut older, &mut alice);
    }
}

#[test]
fn a_message_that_is_known_shows_nothing_however_often_it_comes() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let sent = send(&mut bob, b"hello");
        for _ in 0..2 {
            assert!(matches!(hear(&mut bob, &sent), Event::Own));
        }
        let mut bob = copy(&bob, handshake);
        assert!(matches!(hear(&mut bob, &sent), Event::Own));

        send(&mut bob, b"goes on");
        update(&mut bob, &mut [&mut alice]);
        send(&mut bob, b"and on");
    }
}

/// The service can change what it delivers, and know that a message is of this device. It makes no new one by that.
#[test]
fn an_own_message_that_was_changed_on_its_way_shows_nothing() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut own = vec![send(&mut bob, b"hello")];
        own.push(bob.group(&group()).unwrap().propose_update().unwrap().as_bytes().to_vec());
        let pending = bob.group(&group()).unwrap().update().unwrap();
        own.push(pending.commit().to_vec());
        bob.discard(pending).unwrap();
        for message in &own {
            for at in 0..message.len() {
                let mut changed = message.clone();
                changed[at] ^= 1;
                let result = bob.receive(&changed, NOW);
                assert!(
                    matches!(&result, Err(_) | Ok(Received { event: Event::Own | Event::Ignored(_), .. })),
                    "byte {at}: {result:?}"
                );
            }
        }
        update(&mut bob, &mut [&mut alice]);
        send(&mut bob, b"goes on");
    }
}

#[test]
fn an_own_commit_that_the_storage_knows_nothing_of_shows_that_it_is_a_copy() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let pending = bob.group(&group()).unwrap().update().unwrap();
        let commit = pending.commit().to_vec();
        accept(&mut bob, pending, &mut [&mut alice]);
        drop(bob);

        assert!(matches!(hear(&mut older, &commit), Event::Lost(Lost::RolledBack)));

        assert_makes_nothing(&mut older);
        rejoin(&mut older, &mut alice);
    }
}

#[test]
fn an_own_proposal_that_the_storage_knows_nothing_of_shows_that_it_is_a_copy() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
        deliver(proposal.as_bytes(), &mut [&mut alice]);

        assert!(matches!(hear(&mut older, proposal.as_bytes()), Event::Lost(Lost::RolledBack)));

        assert_makes_nothing(&mut older);
        rejoin(&mut older, &mut alice);
    }
}

/// A device and its copy encrypt handshakes with the same keys: who has read the one's cannot read the other's commit, which
/// others may have carried out.
#[test]
fn a_commit_with_a_key_that_its_sender_has_used_before_cannot_be_followed() {
    let (mut alice, mut bob) = pair(Handshake::Opaque);
    let mut copy = copy(&bob, Handshake::Opaque);
    let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
    hear(&mut alice, proposal.as_bytes());

    let commit = copy.group(&group()).unwrap().update().unwrap();
    let event = hear(&mut alice, commit.commit());

    assert!(matches!(&event, Event::Lost(Lost::Commit { .. })), "{event:?}");
    assert!(matches!(hear(&mut alice, proposal.as_bytes()), Event::Ignored(_)), "it is a proposal, and known");
    assert_eq!(alice.group(&group()).unwrap().epoch().unwrap(), Epoch(1));
}

#[test]
fn a_late_own_message_of_a_past_epoch_shows_nothing() {
    let policy = Policy { past_epochs: 2, ..policy() };
    let mut alice = client("alice");
    let mut bob = client_in(&MemoryStore::new(), "bob", policy);
    make_group(&mut [&mut alice, &mut bob]);
    let sent = send(&mut bob, b"late");
    update(&mut alice, &mut [&mut bob]);

    assert!(matches!(hear(&mut bob, &sent), Event::Own));

    send(&mut bob, b"goes on");
}

#[test]
fn a_copy_that_the_application_notices_makes_nothing_in_any_group() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    bob.create_group(group_named("other"), NOW).unwrap();
    let waiting = bob.join_external(&group_info(&mut alice)).unwrap();

    bob.rolled_back().unwrap();

    let mut bob = copy(&bob, Handshake::Assisted);
    assert_makes_nothing(&mut bob);
    assert!(matches!(bob.group(&group_named("other")).unwrap().send(b"no"), Err(Error::RolledBack { .. })));
    // An external commit that was waiting is as old as the rest.
    alice.receive(waiting.commit(), NOW).unwrap();
    bob.confirm(waiting, NOW).unwrap();
    assert_makes_nothing(&mut bob);
    rejoin(&mut bob, &mut alice);
}

#[test]
fn an_older_copy_of_a_file_is_told_by_how_often_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("bob"), folder.path().join("backup"));
    let key = StoreKey::from_bytes([7; 32]);
    let open = || SqliteStore::open(&path, &key, default_crypto()).unwrap().openings();
    assert_eq!(SqliteStore::create(&path, &key, default_crypto()).unwrap().openings(), 1);
    assert_eq!(open(), 2);
    fs::copy(&path, &backup).unwrap();
    let kept = open();
    assert_eq!(kept, 3);

    fs::copy(&backup, &path).unwrap();

    assert!(open() <= kept);
}

#[test]
fn what_was_wanted_outlives_a_lost_state() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    let carols = key_package(&mut client("carol"));
    let lost = bob.group(&group()).unwrap().add(&[carols], NOW).unwrap();
    bob.discard(lost).unwrap();
    let lost = bob.group(&group()).unwrap().update().unwrap();
    bob.discard(lost).unwrap();
    update(&mut alice, &mut []);

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    alice.receive(pending.commit(), NOW).unwrap();
    let change = bob.confirm(pending, NOW).unwrap();

    assert!(change.resume);
    let Some(Outgoing::Commit(again)) = bob.group(&group()).unwrap().resume().unwrap() else { panic!() };
    // New keys are what the external commit gave it.
    assert_eq!(again.changes(), [Change::Added(device("carol"))]);
    accept(&mut bob, again, &mut [&mut alice]);
    assert_eq!(members(&mut alice), ["alice", "bob", "carol"]);
    assert!(bob.group(&group()).unwrap().resume().unwrap().is_none());
}

#[test]
fn what_was_kept_behind_a_commit_outlives_a_lost_state_as_well() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    let _lost = bob.group(&group()).unwrap().update().unwrap();
    let kept = bob.remove_device(&device("carol")).unwrap();
    assert!(matches!(kept[&group()], Ok(Wish::Kept)));

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    let Some(Outgoing::Commit(removal)) = bob.group(&group()).unwrap().resume().unwrap() else { panic!() };
    assert_eq!(removal.changes(), [Change::Removed(device("carol"))]);
}

#[test]
fn who_wanted_new_keys_has_them_by_rejoining() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    let lost = bob.group(&group()).unwrap().update().unwrap();
    bob.discard(lost).unwrap();

    rejoin(&mut bob, &mut alice);

    assert!(bob.group(&group()).unwrap().resume().unwrap().is_none());
}

#[test]
fn a_device_that_the_group_has_moved_on_without_rejoins() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    update(&mut alice, &mut []);
    let later = send(&mut alice, b"nothing before this is to be had any more");

    assert!(matches!(bob.receive(&later, NOW), Err(Error::FutureEpoch { .. })));

    rejoin(&mut bob, &mut alice);
}

#[test]
fn a_fork_is_told_by_whoever_compares() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    accept(&mut alice, pending, &mut [&mut bob]);
    carol.join(&welcome, NOW).unwrap();
    let common = epoch(&mut alice);
    let authenticator = |client: &mut Client| client.group(&group()).unwrap().epoch_authenticator().unwrap();
    let before = authenticator(&mut alice);

    // The service tells Alice that hers was first, and Bob that his was.
    let (hers, his) =
        (alice.group(&group()).unwrap().update().unwrap(), bob.group(&group()).unwrap().update().unwrap());
    accept(&mut alice, hers, &mut [&mut carol]);
    accept(&mut bob, his, &mut []);

    let (hers, his) = (authenticator(&mut alice), authenticator(&mut bob));
    let agreement =
        |client: &mut Client, epoch, theirs| client.group(&group()).unwrap().agreement(Epoch(epoch), theirs).unwrap();
    assert_eq!(agreement(&mut alice, common + 1, &his), Agreement::Fork);
    assert_eq!(agreement(&mut bob, common + 1, &hers), Agreement::Fork);
    assert_eq!(agreement(&mut carol, common + 1, &hers), Agreement::Same);
    assert_eq!(agreement(&mut bob, common, &before), Agreement::Same);
    assert_eq!(agreement(&mut bob, common + 2, &hers), Agreement::Unknown);
    assert_eq!(agreement(&mut carol, common - 1, &before), Agreement::Unknown, "she was not there");
    let unread = send(&mut bob, b"nobody can hear me");
    assert!(matches!(alice.receive(&unread, NOW), Err(Error::Invalid { .. })));

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice, &mut carol]);
    assert_eq!(agreement(&mut bob, common + 2, &authenticator(&mut alice)), Agreement::Same);
}

#[test]
fn as_many_epochs_are_compared_as_are_documented() {
    let (mut alice, mut bob) = pair(Handshake::Assisted);
    let first = epoch(&mut alice);
    let before = alice.group(&group()).unwrap().epoch_authenticator().unwrap();
    for _ in 0..31 {
        update(&mut alice, &mut [&mut bob]);
    }
    let compare = |client: &mut Client| client.group(&group()).unwrap().agreement(Epoch(first), &before).unwrap();
    assert_eq!(compare(&mut bob), Agreement::Same);

    update(&mut alice, &mut [&mut bob]);

    assert_eq!(compare(&mut bob), Agreement::Unknown);
    assert_eq!(compare(&mut copy(&alice, Handshake::Assisted)), Agreement::Unknown);
}
