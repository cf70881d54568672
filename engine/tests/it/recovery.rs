//! Tests of recovery: a device that cannot continue reports it, creates no messages, and rejoins.

use std::fs;

use crate::common::*;
use regrow_engine::{
    Agreement, Change, Client, Epoch, Error, HandshakeMode, IntentStatus, Lost, MemoryStore, Outgoing, Policy,
    Received, ReceivedEvent, SqliteStore, StoreKey, default_crypto,
};

const MODES: [HandshakeMode; 2] = [HandshakeMode::Assisted, HandshakeMode::Opaque];

fn pair(handshake: HandshakeMode) -> (Client, Client) {
    let policy = Policy { handshake, ..policy() };
    let mut clients = ["alice", "bob"].map(|user| client_in(&MemoryStore::new(), user, policy.clone()));
    make_group(&mut clients.each_mut());
    let [alice, bob] = clients;
    (alice, bob)
}

/// Opens a copy of the device's present storage. The copy becomes an older state when the device
/// continues.
fn copy(client: &Client, handshake: HandshakeMode) -> Client {
    let store = std::sync::Arc::new(client.snapshot().unwrap().to_store());
    Client::open(store, default_crypto(), Policy { handshake, ..policy() }).unwrap()
}

/// Checks that every call that would use a key of the group fails.
fn assert_makes_nothing(client: &mut Client) {
    let added = key_package(&mut self::client("dave"));
    let mut chat = client.group(&group()).unwrap();
    let refused = |error: Error| matches!(error, Error::Restored { group: id } if id == group());
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

/// Rejoins the group and checks that it works.
fn rejoin(client: &mut Client, other: &mut Client) {
    let pending = client.join_external(&group_info(other)).unwrap();
    accept(client, pending, &mut [other]);
    assert_same_epoch(&mut [client, other]);
    assert_eq!(members(other), ["alice", "bob"]);
    assert_eq!(read(other, &send(client, b"back")), b"back");
}

#[test]
fn an_unknown_own_message_reveals_a_restored_older_state() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let later = send(&mut bob, b"sent after the copy was taken");
        drop(bob);

        assert!(matches!(hear(&mut older, &later), ReceivedEvent::Lost(Lost::Restored)));

        assert_makes_nothing(&mut older);
        let mut older = copy(&older, handshake);
        assert_makes_nothing(&mut older);
        assert_eq!(read(&mut older, &send(&mut alice, b"can be read")), b"can be read");
        rejoin(&mut older, &mut alice);
    }
}

#[test]
fn a_known_own_message_never_signals_a_rollback() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let sent = send(&mut bob, b"hello");
        for _ in 0..2 {
            assert!(matches!(hear(&mut bob, &sent), ReceivedEvent::Own));
        }
        let mut bob = copy(&bob, handshake);
        assert!(matches!(hear(&mut bob, &sent), ReceivedEvent::Own));

        send(&mut bob, b"goes on");
        update(&mut bob, &mut [&mut alice]);
        send(&mut bob, b"and on");
    }
}

/// The service can change a delivery, and can know that it is this device's message. But a changed
/// message does not count as a new message of the device.
#[test]
fn a_changed_own_message_does_not_signal_a_rollback() {
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
                    matches!(
                        &result,
                        Err(_) | Ok(Received { event: ReceivedEvent::Own | ReceivedEvent::Ignored(_), .. })
                    ),
                    "byte {at}: {result:?}"
                );
            }
        }
        update(&mut bob, &mut [&mut alice]);
        send(&mut bob, b"goes on");
    }
}

#[test]
fn an_unknown_own_commit_reveals_a_restored_older_state() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let pending = bob.group(&group()).unwrap().update().unwrap();
        let commit = pending.commit().to_vec();
        accept(&mut bob, pending, &mut [&mut alice]);
        drop(bob);

        assert!(matches!(hear(&mut older, &commit), ReceivedEvent::Lost(Lost::Restored)));

        assert_makes_nothing(&mut older);
        rejoin(&mut older, &mut alice);
    }
}

#[test]
fn an_unknown_own_proposal_reveals_a_restored_older_state() {
    for handshake in MODES {
        let (mut alice, mut bob) = pair(handshake);
        let mut older = copy(&bob, handshake);
        let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
        deliver(proposal.as_bytes(), &mut [&mut alice]);

        assert!(matches!(hear(&mut older, proposal.as_bytes()), ReceivedEvent::Lost(Lost::Restored)));

        assert_makes_nothing(&mut older);
        rejoin(&mut older, &mut alice);
    }
}

/// A device and its copy encrypt handshakes with the same keys. A member that has read the device's
/// handshake cannot read the copy's commit, which other members may have processed.
#[test]
fn a_commit_with_a_reused_message_key_is_lost() {
    let (mut alice, mut bob) = pair(HandshakeMode::Opaque);
    let mut copy = copy(&bob, HandshakeMode::Opaque);
    let proposal = bob.group(&group()).unwrap().propose_update().unwrap();
    hear(&mut alice, proposal.as_bytes());

    let commit = copy.group(&group()).unwrap().update().unwrap();
    let event = hear(&mut alice, commit.commit());

    assert!(matches!(&event, ReceivedEvent::Lost(Lost::Commit { .. })), "{event:?}");
    assert!(matches!(hear(&mut alice, proposal.as_bytes()), ReceivedEvent::Ignored(_)), "the proposal was read before");
    assert_eq!(alice.group(&group()).unwrap().epoch().unwrap(), Epoch(1));
}

#[test]
fn own_messages_of_past_epochs_do_not_signal_a_rollback() {
    let policy = Policy { past_epochs: 2, ..policy() };
    let mut alice = client("alice");
    let mut bob = client_in(&MemoryStore::new(), "bob", policy);
    make_group(&mut [&mut alice, &mut bob]);
    let sent = send(&mut bob, b"late");
    update(&mut alice, &mut [&mut bob]);

    assert!(matches!(hear(&mut bob, &sent), ReceivedEvent::Own));

    send(&mut bob, b"goes on");
}

#[test]
fn after_rolled_back_no_group_creates_messages() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    bob.create_group(group_named("other"), NOW).unwrap();
    let waiting = bob.join_external(&group_info(&mut alice)).unwrap();

    bob.storage_restored().unwrap();

    let mut bob = copy(&bob, HandshakeMode::Assisted);
    assert_makes_nothing(&mut bob);
    assert!(matches!(bob.group(&group_named("other")).unwrap().send(b"no"), Err(Error::Restored { .. })));
    // The pending external commit belongs to the same older state.
    alice.receive(waiting.commit(), NOW).unwrap();
    bob.confirm(waiting, NOW).unwrap();
    assert_makes_nothing(&mut bob);
    rejoin(&mut bob, &mut alice);
}

#[test]
fn the_number_of_openings_reveals_an_older_file() {
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
fn intents_survive_a_rejoin() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
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
    // The external commit has already given the device new keys.
    assert_eq!(again.changes(), [Change::Added(device("carol"))]);
    accept(&mut bob, again, &mut [&mut alice]);
    assert_eq!(members(&mut alice), ["alice", "bob", "carol"]);
    assert!(bob.group(&group()).unwrap().resume().unwrap().is_none());
}

#[test]
fn intents_behind_a_pending_commit_survive_a_rejoin() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    let _lost = bob.group(&group()).unwrap().update().unwrap();
    let kept = bob.remove_device(&device("carol")).unwrap();
    assert!(matches!(kept[&group()], Ok(IntentStatus::Kept)));

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    let Some(Outgoing::Commit(removal)) = bob.group(&group()).unwrap().resume().unwrap() else { panic!() };
    assert_eq!(removal.changes(), [Change::Removed(device("carol"))]);
}

#[test]
fn a_rejoin_fulfils_an_intent_for_new_keys() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let lost = bob.group(&group()).unwrap().update().unwrap();
    bob.discard(lost).unwrap();

    rejoin(&mut bob, &mut alice);

    assert!(bob.group(&group()).unwrap().resume().unwrap().is_none());
}

#[test]
fn a_device_that_missed_entries_rejoins() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    update(&mut alice, &mut []);
    let later = send(&mut alice, b"nothing before this is to be had any more");

    assert!(matches!(bob.receive(&later, NOW), Err(Error::FutureEpoch { .. })));

    rejoin(&mut bob, &mut alice);
}

#[test]
fn comparing_authenticators_reveals_a_fork() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let mut carol = client("carol");
    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut carol)], NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    accept(&mut alice, pending, &mut [&mut bob]);
    carol.join(&welcome, NOW).unwrap();
    let common = epoch(&mut alice);
    let authenticator = |client: &mut Client| client.group(&group()).unwrap().epoch_authenticator().unwrap();
    let before = authenticator(&mut alice);

    // The service tells Alice that her commit was first, and tells Bob that his was first.
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
    assert_eq!(agreement(&mut carol, common - 1, &before), Agreement::Unknown, "Carol was not a member in this epoch");
    let unread = send(&mut bob, b"nobody can hear me");
    assert!(matches!(alice.receive(&unread, NOW), Err(Error::Invalid { .. })));

    let pending = bob.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut bob, pending, &mut [&mut alice, &mut carol]);
    assert_eq!(agreement(&mut bob, common + 2, &authenticator(&mut alice)), Agreement::Same);
}

#[test]
fn the_documented_number_of_epochs_can_be_compared() {
    let (mut alice, mut bob) = pair(HandshakeMode::Assisted);
    let first = epoch(&mut alice);
    let before = alice.group(&group()).unwrap().epoch_authenticator().unwrap();
    for _ in 0..31 {
        update(&mut alice, &mut [&mut bob]);
    }
    let compare = |client: &mut Client| client.group(&group()).unwrap().agreement(Epoch(first), &before).unwrap();
    assert_eq!(compare(&mut bob), Agreement::Same);

    update(&mut alice, &mut [&mut bob]);

    assert_eq!(compare(&mut bob), Agreement::Unknown);
    assert_eq!(compare(&mut copy(&alice, HandshakeMode::Assisted)), Agreement::Unknown);
}
