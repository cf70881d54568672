//! Messengers over a real server carry out their intents, on a sound network and on a faulty one.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::world::*;
use regrow_delivery_service::{
    SqliteStore,
    api::{ClaimRequest, Code},
    server::{
        serve::Listening,
        settings::{Settings, Tls},
        shutdown::Shutdown,
    },
};
use regrow_engine::{Client, DeviceId, HandshakeMode::Assisted, MemoryStore, default_crypto};
use regrow_messenger::{Connection, ConnectionError, Error, Event, Intent, Messenger};

#[tokio::test]
async fn two_people_chat() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.count_events(|event| matches!(event, Event::Joined { .. })), 1);

    alice.send(&chat(), b"Hello Bob!").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    bob.send(&chat(), b"Hello Alice!").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.texts(), ["alice: Hello Bob!"]);
    assert_eq!(alice.texts(), ["bob: Hello Alice!"]);
    assert_together(&mut [&mut alice, &mut bob]);
}

/// Writes an authority and its certificate for `localhost` into that folder. Returns the
/// authority's file.
fn write_certificates(folder: &Path, name: &str) -> (PathBuf, Tls) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = folder.join(format!("{name}-authority.pem"));
    std::fs::write(&authority, parameters.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(parameters, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer);
    let files = Tls { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
    std::fs::write(&files.certificate, certificate.unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    (authority, files)
}

#[tokio::test]
async fn people_chat_over_tls_with_their_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, files) = write_certificates(folder.path(), "service");
    let mut world = World::new().await;
    let mut settings = Settings { tls: Some(files), ..Settings::default() };
    settings.listen.set_port(0);
    settings.listen_operators.set_port(0);
    let listening = Listening::bind(&settings).await.unwrap();
    let at = format!("https://localhost:{}", listening.addresses().devices.port());
    let shutdown = Shutdown::default();
    let serving = tokio::spawn(listening.run(world.server.take().unwrap(), shutdown.clone()));
    world.address.address = at;

    // A client that trusts another authority refuses the server.
    let (stranger, _) = write_certificates(folder.path(), "another");
    world.address.authorities = Some(std::fs::read(stranger).unwrap());
    let refused = Connection::service(&world.address).await;
    assert!(matches!(refused, Err(ConnectionError::Unreachable { .. })), "{refused:?}");

    world.address.authorities = Some(std::fs::read(authority).unwrap());
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"Hello Bob!").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.texts(), ["alice: Hello Bob!"]);
    shutdown.begin();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_device_with_too_many_requests_waits_as_requested() {
    let mut world = World::over(memory(), 1, |settings| settings.limits.claims_per_device_and_hour = 60).await;
    let waited = world.wait_by_moving_the_clock();
    let mut alice = world.hostile("alice", Assisted).await;
    world.hostile("bob", Assisted).await;
    let claim = ClaimRequest { user: user("bob"), device: None };
    for _ in 0..60 {
        alice.connection.claim_key_packages(&claim).await.unwrap();
    }
    assert!(waited.lock().unwrap().is_empty());

    alice.connection.claim_key_packages(&claim).await.unwrap();

    assert_eq!(*waited.lock().unwrap(), [Duration::from_secs(60)]);
    assert_eq!(world.asked("/claims"), 62, "one claim too early, and one in time");
}

#[tokio::test]
async fn a_device_with_a_small_rate_succeeds_by_waiting() {
    let mut world = World::over(memory(), 1, |settings| {
        settings.limits.device_requests_per_second = 1;
        settings.limits.device_burst = 1;
    })
    .await;
    let waited = world.wait_by_moving_the_clock();
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"slowly").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.texts(), ["alice: slowly"]);
    // Each request has two attempts: none was made too early.
    let waited = waited.lock().unwrap();
    assert!(waited.len() > 10 && waited.iter().all(|wait| *wait == Duration::from_secs(1)), "{waited:?}");
}

#[tokio::test]
async fn unreported_events_are_not_acknowledged() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    for text in [b"one", b"two"] {
        alice.send(&chat(), text).await.unwrap();
    }
    assert!(matches!(bob.next_event().await.unwrap(), Event::Message { text, .. } if text.to_string() == "one"));

    // The second message has arrived as well.
    bob.acknowledge().await.unwrap();
    bob.crash(&world);
    settle(&mut [&mut bob]).await;

    assert_eq!(bob.texts(), ["alice: one", "alice: two"]);
}

#[tokio::test]
async fn next_event_can_be_dropped_while_it_waits() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    for number in 0..5 {
        alice.send(&chat(), format!("{number}").as_bytes()).await.unwrap();
    }

    let (mut texts, mut patience) = (Vec::new(), 0);
    while texts.len() < 5 {
        // The test drops the call again and again, each time a little later.
        patience += 1;
        let later = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        let event = tokio::select! {
            biased;
            event = bob.next_event() => event.unwrap(),
            () = later => continue,
        };
        if let Event::Message { text, .. } = event {
            texts.push(text.to_string());
        }
    }

    assert_eq!(texts, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_user_is_all_of_its_devices() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut laptop = world.messenger("bob", "laptop", Assisted).await;
    link(&mut phone, &laptop).await;
    make_group(&mut [&mut alice, &mut phone, &mut laptop]).await;
    assert_eq!(alice.members().len(), 3);

    laptop.send(&chat(), b"from the laptop").await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut laptop]).await;
    assert_eq!(alice.texts(), ["bob: from the laptop"]);
    assert_eq!(phone.texts(), ["bob: from the laptop"]);

    alice.remove_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut laptop]).await;
    assert_eq!(alice.members(), ["alice/phone"]);
    for device in [&phone, &laptop] {
        assert_eq!(device.count_events(|event| matches!(event, Event::Removed { by: Some(_), .. })), 1);
    }
    assert!(matches!(phone.send(&chat(), b"?").await, Err(Error::Engine(_))));
}

#[tokio::test]
async fn another_member_commits_a_departure() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob, &mut carol]).await;

    // The first member leaves, so that the second one has to commit.
    alice.leave(&chat()).await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    assert_eq!(bob.members(), ["bob/phone", "carol/phone"]);
    assert_eq!(alice.count_events(|event| matches!(event, Event::Removed { .. })), 1);
    assert_together(&mut [&mut bob, &mut carol]);
    assert_eq!(world.asked("/commits"), 3, "only one member commits the removal");
}

#[tokio::test]
async fn the_next_member_commits_for_an_absent_one() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob, &mut carol]).await;

    carol.leave(&chat()).await.unwrap();
    settle(&mut [&mut bob, &mut carol]).await;
    assert_eq!(bob.members().len(), 3, "alice comes before bob");
    world.wait(15);
    settle(&mut [&mut bob, &mut carol]).await;

    assert_eq!(bob.members(), ["alice/phone", "bob/phone"]);
}

#[tokio::test]
async fn a_lone_member_leaves_without_a_commit() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    make_group(&mut [&mut alice]).await;
    alice.leave(&chat()).await.unwrap();
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.count_events(|event| matches!(event, Event::Removed { .. })), 1);
    assert!(alice.engine().groups().unwrap().is_empty());
}

#[tokio::test]
async fn an_existing_group_is_not_made_again() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    alice.create_group(&chat()).await.unwrap();

    assert!(matches!(bob.create_group(&chat()).await, Err(Error::GroupTaken { .. })));
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn the_intent_to_add_an_unknown_user_is_refused() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    make_group(&mut [&mut alice]).await;
    alice.add_user(&chat(), &user("nobody")).await.unwrap();
    settle(&mut [&mut alice]).await;
    let intent = Some(Intent::AddUser(user("nobody")));
    assert_eq!(alice.count_events(|event| matches!(event, Event::Refused { intent: told, .. } if *told == intent)), 1);
    assert_eq!(world.asked("/claims"), 0);
}

#[tokio::test]
async fn a_commit_with_a_lost_response_happens_once() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();

    // The responses to both attempts are lost: the messenger has to submit once more.
    world.lose_reply("/commits");
    world.lose_reply("/commits");
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(alice.epoch(), epoch + 1, "the service has ordered the commit once");
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn a_message_with_a_lost_response_arrives_once() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    world.lose_reply("/messages");
    world.lose_reply("/messages");
    alice.send(&chat(), b"once").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.texts(), ["alice: once"]);
}

#[tokio::test]
async fn a_lost_race_loses_no_intent() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob]).await;

    alice.rotate(&chat(), false).await.unwrap();
    bob.add_user(&chat(), &user("carol")).await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    assert_eq!(carol.members().len(), 3);
    assert_together(&mut [&mut alice, &mut bob, &mut carol]);
}

#[tokio::test]
async fn intents_wait_for_one_another() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    alice.add_user(&chat(), &user("carol")).await.unwrap();
    alice.send(&chat(), b"to both").await.unwrap();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;
    assert_eq!(bob.texts(), ["alice: to both"]);
    assert_eq!(carol.texts(), ["alice: to both"]);
}

#[tokio::test]
async fn a_stale_message_is_encrypted_again() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;

    alice.rotate(&chat(), false).await.unwrap();
    bob.send(&chat(), b"made too late").await.unwrap();
    assert_eq!(world.asked("/messages"), 1, "the first submission is stale");
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(alice.texts(), ["bob: made too late"]);
    assert_eq!(world.asked("/messages"), 2);
}

#[tokio::test]
async fn entries_before_an_own_commit_are_read_first() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    // The engine stores no past epoch: after the confirmation of the commit, the text is
    // unreadable.
    bob.send(&chat(), b"just before").await.unwrap();
    alice.rotate(&chat(), false).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.texts(), ["bob: just before"]);
}

#[tokio::test]
async fn messengers_go_on_after_a_restart_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.db");
    let mut world = World::in_file(&path, 1).await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"before").await.unwrap();

    world.restart(&path).await;
    alice.send(&chat(), b"after").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.texts(), ["alice: before", "alice: after"]);
}

#[tokio::test]
async fn stored_texts_are_sent_when_the_network_returns() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob]).await;

    world.cut_network();
    alice.send(&chat(), b"into the void").await.unwrap();
    alice.add_user(&chat(), &user("carol")).await.unwrap();
    let error = alice.next_event().await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    // The text is in the store, and not only in memory.
    alice.crash(&world);
    world.repair_network();
    settle(&mut [&mut alice, &mut bob, &mut carol]).await;

    assert_eq!(bob.texts(), ["alice: into the void"]);
    assert_eq!(carol.members().len(), 3);
}

#[tokio::test]
async fn a_process_that_dies_before_confirming_goes_on() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();

    alice.rotate(&chat(), false).await.unwrap();
    assert_eq!(alice.epoch(), epoch, "the commit is accepted, and not confirmed");
    alice.crash(&world);
    alice.send(&chat(), b"here again").await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(alice.epoch(), epoch + 1);
    assert_eq!(bob.texts(), ["alice: here again"]);
}

#[tokio::test]
async fn only_unstored_events_are_reported_again() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.send(&chat(), b"kept").await.unwrap();
    settle(&mut [&mut bob]).await;
    alice.send(&chat(), b"not kept").await.unwrap();
    bob.poll_once().await;
    assert_eq!(bob.texts(), ["alice: kept", "alice: not kept"]);

    bob.crash(&world);
    bob.events.clear();
    settle(&mut [&mut bob]).await;

    assert_eq!(bob.texts(), ["alice: not kept"]);
    bob.crash(&world);
    bob.events.clear();
    settle(&mut [&mut bob]).await;
    assert!(bob.texts().is_empty());
}

#[tokio::test]
async fn an_expired_session_is_replaced() {
    let world =
        World::over(SqliteStore::in_memory().unwrap(), 1, |settings| settings.limits.session_seconds = 60).await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    make_group(&mut [&mut alice]).await;
    let before = world.asked("/v1/sessions");
    // The test moves the service's clock only: by the client's clock the session lasts.
    world.wait(61);
    alice.send(&chat(), b"still here").await.unwrap();
    settle(&mut [&mut alice]).await;
    assert_eq!(world.asked("/v1/sessions"), before + 1);
    assert_eq!(world.asked("/messages"), 2);
}

#[tokio::test]
async fn a_registration_with_a_lost_response_succeeds() {
    let world = World::new().await;
    let store = MemoryStore::new();
    let device = DeviceId::new("alice", "phone").unwrap();
    let client =
        Client::create(std::sync::Arc::new(store.clone()), default_crypto(), device, policy(Assisted)).unwrap();
    world.lose_reply("/devices");
    world.lose_reply("/devices");
    assert!(Messenger::register(client, &world.address, None, None, world.options()).await.unwrap_err().is_temporary());
    let client = Client::open(std::sync::Arc::new(store), default_crypto(), policy(Assisted)).unwrap();
    let mut alice = Messenger::register(client, &world.address, None, None, world.options()).await.unwrap();
    assert!(alice.poll().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_taken_name_is_not_registered() {
    let world = World::new().await;
    let _alice = world.messenger("alice", "phone", Assisted).await;
    let device = DeviceId::new("alice", "phone").unwrap();
    let client =
        Client::create(std::sync::Arc::new(MemoryStore::new()), default_crypto(), device, policy(Assisted)).unwrap();
    let refused = Messenger::register(client, &world.address, None, None, world.options()).await;
    assert!(matches!(
        refused,
        Err(Error::Connection(ConnectionError::Problem(problem))) if problem.code == Code::DeviceExists
    ));
}

#[tokio::test]
async fn key_packages_are_replenished() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    let made = bob.engine().key_package_count().unwrap();
    assert_eq!(made, 4, "three, and the last-resort key package");
    make_group(&mut [&mut alice, &mut bob]).await;
    assert_eq!(bob.engine().key_package_count().unwrap(), 4, "the claimed key package is replaced");
    assert_eq!(world.asked("/key-packages"), 2 + 2 + 2, "each device queries and uploads once, and bob again");
}

#[tokio::test]
async fn due_keys_are_rotated() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    let epoch = alice.epoch();
    world.wait(8 * 24 * 60 * 60);
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.epoch(), epoch + 2, "each device rotates once");
    assert_together(&mut [&mut alice, &mut bob]);
}

#[tokio::test]
async fn a_removed_device_gives_waiting_texts_back() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    alice.remove_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice]).await;

    bob.send(&chat(), b"too late").await.unwrap();
    settle(&mut [&mut bob]).await;

    assert_eq!(
        bob.count_events(|event| matches!(event, Event::Undeliverable { text, .. } if text.as_bytes() == b"too late")),
        1
    );
}
