//! The device as a whole: removal everywhere, lock, backup, group data, and verified users.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use crate::world::*;
use regrow_engine::{
    Backup, Change, Client, DeviceId, Error as Engine, GroupId, HandshakeMode::Assisted, SqliteStore, StoreKey,
    default_crypto,
};
use regrow_messenger::{Error, Event, Messenger};

fn is_locked<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Engine(Engine::Locked)))
}

#[tokio::test]
async fn a_removed_device_leaves_all_groups_and_the_service() {
    let world = World::new().await;
    let mut phone = world.messenger("alice", "phone", Assisted).await;
    let mut laptop = world.messenger("alice", "laptop", Assisted).await;
    link(&mut phone, &laptop).await;
    let rooms = ["one", "two"].map(|name| GroupId::new(name).unwrap());
    for room in &rooms {
        phone.create_group(room).await.unwrap();
        phone.add_user(room, &user("alice")).await.unwrap();
        settle(&mut [&mut phone, &mut laptop]).await;
    }
    let lost = laptop.device().clone();
    assert_eq!(phone.roster(&rooms[1]).unwrap().len(), 2);

    world.cut_network();
    phone.remove_device(&lost).await.unwrap();
    // The removal is one intent in the store.
    phone.crash(&world);
    world.repair_network();
    settle(&mut [&mut phone]).await;

    for room in &rooms {
        assert_eq!(phone.roster(room).unwrap().len(), 1);
    }
    let is_removed = |event: &Event| matches!(event, Event::DeviceRemoved { device } if *device == lost);
    assert_eq!(phone.count_events(is_removed), 1);
    assert!(laptop.poll().await.is_err(), "the service does not know the device any more");
    // A new group with the user has only the remaining devices.
    phone.create_group(&chat()).await.unwrap();
    phone.add_user(&chat(), &user("alice")).await.unwrap();
    settle(&mut [&mut phone]).await;
    assert_eq!(phone.members(), ["alice/phone"]);
}

#[tokio::test]
async fn a_locked_messenger_goes_on_after_its_unlock() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let key = StoreKey::from_bytes([7; 32]);
    let store = SqliteStore::create(folder.path().join("alice"), &key, default_crypto()).unwrap();
    let device = DeviceId::new("alice", "phone").unwrap();
    let client = Client::create(Arc::new(store), default_crypto(), device, policy(Assisted)).unwrap();
    let mut alice = Messenger::register(client, &world.address, None, None, world.options()).await.unwrap();
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    alice.poll().await.unwrap();
    settle(&mut [&mut bob]).await;

    alice.lock().unwrap();
    let before = world.asked("/deliveries");
    assert!(is_locked(alice.poll().await));
    assert!(is_locked(alice.next_event().await));
    assert!(is_locked(alice.send(&chat(), b"?").await));
    assert!(is_locked(alice.acknowledge().await));
    assert_eq!(world.asked("/deliveries"), before, "the device makes no request");
    bob.send(&chat(), b"are you there?").await.unwrap();

    assert!(matches!(alice.unlock(&StoreKey::from_bytes([8; 32])), Err(Error::Engine(Engine::WrongKey))));
    assert!(is_locked(alice.poll().await));
    alice.unlock(&key).unwrap();
    let mut texts = Vec::new();
    for _ in 0..4 {
        for event in alice.poll().await.unwrap() {
            if let Event::Message { text, .. } = event {
                texts.push(text.to_string());
            }
        }
    }
    assert_eq!(texts, ["are you there?"]);
}

#[tokio::test]
async fn the_last_intent_sets_the_groups_data() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    world.cut_network();
    alice.set_data(&chat(), b"name: one").await.unwrap();
    alice.set_data(&chat(), b"name: two").await.unwrap();
    world.repair_network();
    settle(&mut [&mut alice, &mut bob]).await;

    assert_eq!(bob.group(&chat()).unwrap().data().unwrap(), b"name: two");
    let is_set = |event: &Event| {
        let Event::Changed { change, .. } = event else { return false };
        change.changes.contains(&Change::Data(b"name: two".to_vec()))
    };
    assert_eq!(bob.count_events(is_set), 1);
    assert!(matches!(alice.set_data(&chat(), &[0; 5000]).await, Err(Error::Engine(Engine::Refused(_)))));
}

#[tokio::test]
async fn a_user_is_verified_by_the_compared_number() {
    let world = World::new().await;
    let (mut alice, mut bob) =
        (world.messenger("alice", "phone", Assisted).await, world.messenger("bob", "phone", Assisted).await);
    make_group(&mut [&mut alice, &mut bob]).await;
    let number = alice.safety_number(&chat(), &user("bob")).unwrap();
    alice.verify_user(&chat(), &user("bob"), &number).unwrap();
    assert_eq!(alice.group(&chat()).unwrap().verified_users().unwrap(), [user("bob")]);

    bob.rotate(&chat(), true).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    let changed = alice.verify_user(&chat(), &user("bob"), &number);
    assert!(matches!(changed, Err(Error::Engine(Engine::SafetyNumberChanged { .. }))));
}

#[tokio::test]
async fn a_backup_names_the_device_and_its_groups() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    make_group(&mut [&mut alice]).await;
    let bytes = alice.backup(b"archive", "correct horse").unwrap();
    let backup = Backup::open(&bytes, "correct horse").unwrap();
    assert_eq!((backup.device(), backup.archive()), (alice.device(), &b"archive"[..]));
    assert!(backup.groups().eq([&chat()]));
}

#[tokio::test]
async fn only_wake_ups_at_permitted_hosts_are_registered() {
    let world = World::over(memory(), 1, |settings| settings.wake_up.hosts = vec!["push.example".into()]).await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    alice.register_wake_up("https://push.example/alice").await.unwrap();
    assert!(matches!(alice.register_wake_up("https://other.example/alice").await, Err(Error::Connection(_))));
    alice.remove_wake_up().await.unwrap();
    alice.remove_wake_up().await.unwrap();
}
