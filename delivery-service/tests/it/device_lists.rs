//! The signed device lists of users: accepted entries, their senders, and their effects at the
//! service.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::http::{Answer, Device, Key, World};
use axum::http::StatusCode;
use ed25519_dalek::Signer as _;
use openmls::prelude::MlsMessageOut;
use regrow_delivery_service::{
    DeviceId, DeviceKey,
    api::{self, Code, DeviceListHead, DeviceListPage},
};
use regrow_protocol::device_list::{DeviceCard, DeviceList, ListChange, ListEntry, ListedKeys};

fn keys(key: &Key) -> ListedKeys {
    let signature_key = key.name.to_identity().into();
    ListedKeys { key: DeviceKey(key.signing.verifying_key().to_bytes()), signature_key }
}

fn add(key: &Key) -> ListChange {
    ListChange::Add(DeviceCard { device: key.name.clone(), keys: keys(key) })
}

/// Reads a user's device list from the server and verifies it.
async fn read(world: &World, reader: &Device, user: &str) -> DeviceList {
    let mut list = DeviceList::new(crate::http::name(user, "any").user().clone());
    loop {
        let path = format!("/v1/users/{user}/device-list?after={}", list.number());
        let page: DeviceListPage = world.call("GET", &path, Some(&reader.token), None).await.ok();
        for entry in &page.entries {
            list.append(&world.key, &ListEntry::decode(&entry.0).unwrap()).unwrap();
        }
        if list.number() == page.number {
            assert_eq!(page.head.0, list.head().0);
            return list;
        }
    }
}

async fn append_as(world: &World, sender: &Device, signer: &Key, change: ListChange) -> Answer {
    let list = read(world, sender, sender.key.name.user().as_str()).await;
    let entry = list.entry(&world.key, &signer.name, change, |bytes| signer.signing.sign(bytes).to_bytes());
    let body = api::DeviceListEntry { entry: entry.encode().into() };
    world.post("/v1/device-list", Some(&sender.token), &body).await
}

async fn append(world: &World, sender: &Device, change: ListChange) -> Answer {
    append_as(world, sender, &sender.key, change).await
}

/// Registers a user's phone and begins the user's list with it.
async fn listed_phone(world: &World, user: &str) -> Device {
    let phone = world.device(user, "phone").await;
    let head: DeviceListHead = append(world, &phone, ListChange::Begin(keys(&phone.key))).await.created();
    assert_eq!(head.number, 1);
    phone
}

fn names(list: &DeviceList) -> Vec<String> {
    list.devices().map(|(device, _)| device.to_string()).collect()
}

#[tokio::test]
async fn listed_devices_add_devices_and_everyone_reads_the_list() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let tablet = world.device("bob", "tablet").await;
    append(&world, &phone, add(&tablet.key)).await.is(StatusCode::CREATED);
    let set = ListChange::SetSignatureKey(vec![7; 32].into());
    append(&world, &tablet, set).await.is(StatusCode::CREATED);

    let alice = world.device("alice", "phone").await;
    let list = read(&world, &alice, "bob").await;
    assert_eq!((names(&list), list.number()), (vec!["bob/phone".into(), "bob/tablet".into()], 3));
    assert_eq!(read(&world, &alice, "alice").await.number(), 0, "a user without a list");
}

#[tokio::test]
async fn a_long_list_is_read_in_pages() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let mut list = read(&world, &phone, "bob").await;
    for number in 2..=250_u16 {
        let change = ListChange::SetSignatureKey(number.to_be_bytes().to_vec().into());
        let entry = list.entry(&world.key, &phone.key.name, change, |it| phone.key.signing.sign(it).to_bytes());
        list.append(&world.key, &entry).unwrap();
        let body = api::DeviceListEntry { entry: entry.encode().into() };
        world.post("/v1/device-list", Some(&phone.token), &body).await.is(StatusCode::CREATED);
    }
    let page: DeviceListPage = world.call("GET", "/v1/users/bob/device-list", Some(&phone.token), None).await.ok();
    assert_eq!((page.entries.len(), page.number), (100, 250));
    assert_eq!(read(&world, &phone, "bob").await, list);
}

#[tokio::test]
async fn an_entry_that_is_not_the_next_one_is_stale() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let early = DeviceList::new(phone.key.name.user().clone());
    let begin = ListChange::Begin(keys(&phone.key));
    let entry = early.entry(&world.key, &phone.key.name, begin, |it| phone.key.signing.sign(it).to_bytes());
    let body = api::DeviceListEntry { entry: entry.encode().into() };
    world.post("/v1/device-list", Some(&phone.token), &body).await.refused(Code::Stale);
}

#[tokio::test]
async fn only_listed_devices_append_entries() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let ghost = world.device("bob", "ghost").await;
    // An unlisted device appends in its own name, in the phone's name, and for another user.
    append(&world, &ghost, add(&Key::new("bob", "other"))).await.refused(Code::Forbidden);
    let in_its_name = Key { name: phone.key.name.clone(), ..Key::new("bob", "ghost") };
    append_as(&world, &ghost, &in_its_name, add(&ghost.key)).await.refused(Code::Forbidden);
    append_as(&world, &phone, &in_its_name, add(&ghost.key)).await.refused(Code::Forbidden);
    let eve = listed_phone(&world, "eve").await;
    append(&world, &eve, add(&ghost.key)).await.refused(Code::BadRequest);
    // The unlisted device sends an entry that the phone has signed.
    append_as(&world, &ghost, &phone.key, add(&ghost.key)).await.refused(Code::Forbidden);
    let alice = world.device("alice", "phone").await;
    assert_eq!(names(&read(&world, &alice, "bob").await), ["bob/phone"]);
}

#[tokio::test]
async fn a_listed_key_must_be_the_registered_key() {
    let world = World::new().await;
    let phone = world.device("bob", "phone").await;
    let tablet = world.device("bob", "tablet").await;
    let other = ListedKeys { key: keys(&tablet.key).key, ..keys(&phone.key) };
    let signer = Key { name: phone.key.name.clone(), ..Key::new("bob", "tablet") };
    append_as(&world, &phone, &signer, ListChange::Begin(other)).await.refused(Code::Forbidden);
    append(&world, &phone, ListChange::Begin(keys(&phone.key))).await.is(StatusCode::CREATED);
    append(&world, &phone, add(&Key::forged("bob", "tablet"))).await.refused(Code::Forbidden);
    append(&world, &phone, add(&Key::new("bob", "unknown"))).await.refused(Code::Forbidden);
}

#[tokio::test]
async fn a_removal_entry_removes_the_device_from_the_service() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let laptop = world.device("bob", "laptop").await;
    append(&world, &phone, add(&laptop.key)).await.is(StatusCode::CREATED);
    append(&world, &phone, ListChange::Remove(laptop.key.name.clone())).await.is(StatusCode::CREATED);
    world.call("GET", "/v1/key-packages", Some(&laptop.token), None).await.refused(Code::NoSession);
    world.open_session(&laptop.key).await.refused(Code::BadProof);
    let devices: api::Devices = world.call("GET", "/v1/users/bob/devices", Some(&phone.token), None).await.ok();
    assert_eq!(devices.devices, std::slice::from_ref(&phone.key.name));
    // The list may remove the last device as well.
    append(&world, &phone, ListChange::Remove(phone.key.name.clone())).await.is(StatusCode::CREATED);
    world.call("GET", "/v1/key-packages", Some(&phone.token), None).await.refused(Code::NoSession);
}

#[tokio::test]
async fn an_unlisted_device_removes_only_itself() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let ghost = world.device("bob", "ghost").await;
    world.call("DELETE", &phone.path(), Some(&ghost.token), None).await.refused(Code::Forbidden);
    world.call("DELETE", &ghost.path(), Some(&phone.token), None).await.is(StatusCode::NO_CONTENT);
    let other = world.device("bob", "other").await;
    world.call("DELETE", &other.path(), Some(&other.token), None).await.is(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn key_packages_of_unlisted_devices_are_not_handed_out() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let ghost = world.device("bob", "ghost").await;
    for device in [&phone, &ghost] {
        let key_package = MlsMessageOut::from(device.client().key_package()).to_bytes().unwrap();
        let upload = serde_json::json!({ "key_packages": [api::Bytes(key_package)] });
        world.call("POST", "/v1/key-packages", Some(&device.token), Some(upload)).await.is(StatusCode::OK);
    }
    let alice = world.device("alice", "phone").await;
    let answer: api::ClaimAnswer = world.claim(&alice.token, "bob").await.ok();
    let devices: Vec<DeviceId> = answer.key_packages.into_iter().map(|claimed| claimed.device).collect();
    assert_eq!((devices, answer.without), (vec![phone.key.name.clone()], vec![]));
    let claim = serde_json::json!({ "user": "bob", "device": "ghost" });
    world.call("POST", "/v1/key-packages/claims", Some(&alice.token), Some(claim)).await.refused(Code::NotFound);
}

#[tokio::test]
async fn a_list_begins_anew_when_no_listed_device_is_registered() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    let spare = world.device("bob", "spare").await;
    append(&world, &spare, ListChange::Begin(keys(&spare.key))).await.refused(Code::Forbidden);
    world.call("DELETE", &phone.path(), Some(&phone.token), None).await.is(StatusCode::NO_CONTENT);
    append(&world, &spare, ListChange::Begin(keys(&spare.key))).await.is(StatusCode::CREATED);
    let list = read(&world, &spare, "bob").await;
    assert_eq!((names(&list), list.begun()), (vec!["bob/spare".into()], 2));
}

#[tokio::test]
async fn a_full_list_takes_removals() {
    let world = World::with(|settings| settings.limits.ordering.max_device_list_entries = 2).await;
    let phone = listed_phone(&world, "bob").await;
    let (laptop, tablet) = (world.device("bob", "laptop").await, world.device("bob", "tablet").await);
    append(&world, &phone, add(&laptop.key)).await.is(StatusCode::CREATED);
    append(&world, &phone, add(&tablet.key)).await.refused(Code::LimitReached);
    append(&world, &phone, ListChange::SetSignatureKey(vec![7; 32].into())).await.refused(Code::LimitReached);
    append(&world, &phone, ListChange::Remove(laptop.key.name.clone())).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn malformed_entries_are_refused() {
    let world = World::new().await;
    let phone = listed_phone(&world, "bob").await;
    for bytes in [vec![], vec![0; 100], vec![0xff; 7000]] {
        let body = api::DeviceListEntry { entry: bytes.into() };
        world.post("/v1/device-list", Some(&phone.token), &body).await.refused(Code::BadRequest);
    }
}
