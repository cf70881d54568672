//! Devices and a very simple delivery service: it delivers everything to every device, in one
//! order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

pub mod intruder;
pub mod store;
pub mod store_folder;
pub mod tape;

use std::sync::Arc;

use regrow_engine::{
    Client, DeviceId, GroupId, KeyPackageBytes, MemoryStore, PendingCommit, Policy, ReceivedEvent, Store, Timestamp,
    UserId, default_crypto,
};

pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// Returns a policy whose key packages are always valid by the system clock, which OpenMLS reads.
pub fn policy() -> Policy {
    Policy { clock_skew: NOW.0, reading_delay: 200 * 365 * 24 * 60 * 60, ..Policy::default() }
}

pub fn device(user: &str) -> DeviceId {
    DeviceId::new(user, "phone").unwrap()
}

pub fn group() -> GroupId {
    group_named("chat")
}

pub fn group_named(name: &str) -> GroupId {
    GroupId::new(name).unwrap()
}

pub fn user_id(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Creates a device of this user in this store.
pub fn client_in(store: &MemoryStore, user: &str, policy: Policy) -> Client {
    Client::create(Arc::new(store.clone()), default_crypto(), device(user), policy).unwrap()
}

/// Creates a device of this user on any store.
pub fn client_over(store: &(impl Store + Clone + 'static), user: &str) -> Client {
    Client::create(Arc::new(store.clone()), default_crypto(), device(user), policy()).unwrap()
}

/// Opens the device in the store, as after a restart.
pub fn reopen(store: &(impl Store + Clone + 'static)) -> Client {
    Client::open(Arc::new(store.clone()), default_crypto(), policy()).unwrap()
}

pub fn client(user: &str) -> Client {
    client_in(&MemoryStore::new(), user, policy())
}

pub fn key_package(client: &mut Client) -> KeyPackageBytes {
    client.key_packages(1, NOW).unwrap().remove(0)
}

/// Creates a group with the first client. It adds the others in one commit, and each of them joins.
pub fn make_group(clients: &mut [&mut Client]) {
    let (creator, others) = clients.split_first_mut().unwrap();
    creator.create_group(group(), NOW).unwrap();
    if others.is_empty() {
        return;
    }
    let key_packages: Vec<_> = others.iter_mut().map(|client| key_package(client)).collect();
    let pending = creator.group(&group()).unwrap().add(&key_packages, NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    creator.confirm(pending, NOW).unwrap();
    for other in others {
        other.join(&welcome, NOW).unwrap();
    }
}

/// Plays a service that accepts the commit: the committer confirms it, and the others receive it.
pub fn accept(committer: &mut Client, pending: PendingCommit, others: &mut [&mut Client]) -> Vec<ReceivedEvent> {
    let commit = pending.commit().to_vec();
    committer.confirm(pending, NOW).unwrap();
    deliver(&commit, others)
}

pub fn deliver(bytes: &[u8], to: &mut [&mut Client]) -> Vec<ReceivedEvent> {
    to.iter_mut().map(|client| hear(client, bytes)).collect()
}

/// Delivers the message to the client and acknowledges it. Returns the event.
pub fn hear(client: &mut Client, bytes: &[u8]) -> ReceivedEvent {
    let received = client.receive(bytes, NOW).unwrap();
    client.acknowledge().unwrap();
    received.event
}

/// Returns the text that the client reads from the message.
pub fn read(client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    match hear(client, bytes) {
        ReceivedEvent::Message(message) => message.text.to_vec(),
        other => panic!("not a message: {other:?}"),
    }
}

pub fn send(client: &mut Client, text: &[u8]) -> Vec<u8> {
    client.group(&group()).unwrap().send(text).unwrap()
}

pub fn assert_same_epoch(clients: &mut [&mut Client]) {
    let authenticators: Vec<_> =
        clients.iter_mut().map(|client| client.group(&group()).unwrap().epoch_authenticator().unwrap()).collect();
    assert!(authenticators.windows(2).all(|pair| pair[0] == pair[1]), "the members are in different states");
}

pub fn epoch(client: &mut Client) -> u64 {
    client.group(&group()).unwrap().epoch().unwrap().0
}

/// Returns the names of the group's members.
pub fn members(client: &mut Client) -> Vec<String> {
    let roster = client.group(&group()).unwrap().roster().unwrap();
    roster.iter().map(|member| member.device.user().to_string()).collect()
}

pub fn group_info(client: &mut Client) -> Vec<u8> {
    client.group(&group()).unwrap().group_info().unwrap()
}

/// Updates the keys of this device by a commit that all members accept.
pub fn update(committer: &mut Client, others: &mut [&mut Client]) {
    let pending = committer.group(&group()).unwrap().update().unwrap();
    accept(committer, pending, others);
}
