//! The signed list of a user's devices: removed means removed, and only a listed device adds
//! another.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::world::*;
use ed25519_dalek::{Signer as _, SigningKey};
use regrow_delivery_service::api::{Code, Problem};
use regrow_engine::{DeviceId, GroupId, HandshakeMode::Assisted};
use regrow_messenger::{ConnectionError, DeviceCard, Error, Event};
use regrow_protocol::device_list::{self as list, DeviceList};

fn id(user: &str, device: &str) -> DeviceId {
    DeviceId::new(user, device).unwrap()
}

fn room(number: u8) -> GroupId {
    GroupId::new([number]).unwrap()
}

fn is_refused(event: &Event) -> bool {
    matches!(event, Event::Refused { .. })
}

#[tokio::test]
async fn only_a_linked_device_comes_into_all_groups() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut tablet = world.unpolled_messenger("bob", "tablet", policy(Assisted), world.options()).await;
    make_group(&mut [&mut alice, &mut phone]).await;
    settle(&mut [&mut tablet]).await;
    let shown = |event: &Event| matches!(event, Event::Unlisted { card } if card.device.device() == "tablet");
    assert_eq!(tablet.count_events(shown), 1);

    // The tablet is registered and has key packages, but that is not enough.
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut tablet]).await;
    assert_eq!(alice.members(), ["alice/phone", "bob/phone"]);
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);

    // A person carries the card from screen to camera.
    let card: DeviceCard = tablet.card().unwrap().to_string().parse().unwrap();
    phone.link_device(&card).await.unwrap();
    settle(&mut [&mut phone, &mut tablet, &mut alice]).await;
    assert_eq!(tablet.members(), ["alice/phone", "bob/phone", "bob/tablet"]);
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone"), id("bob", "tablet")]);
    let changed = |event: &Event| match event {
        Event::DevicesChanged { user, added, removed, begun_anew: false } => {
            *user == "bob" && *added == [id("bob", "tablet")] && removed.is_empty()
        }
        _ => false,
    };
    assert_eq!((alice.count_events(changed), phone.count_events(changed)), (1, 1));
    let unlisted = |event: &Event| matches!(event, Event::UnlistedMember { .. });
    assert_eq!(alice.count_events(unlisted), 0);
}

#[tokio::test]
async fn a_removed_stolen_device_does_not_come_back() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut laptop = world.messenger("bob", "laptop", Assisted).await;
    link(&mut phone, &laptop).await;
    make_group(&mut [&mut alice, &mut phone, &mut laptop]).await;
    assert_eq!(alice.members(), ["alice/phone", "bob/laptop", "bob/phone"]);

    phone.remove_device(&id("bob", "laptop")).await.unwrap();
    settle(&mut [&mut phone, &mut alice]).await;
    assert_eq!(alice.members(), ["alice/phone", "bob/phone"]);
    // The thief keeps the laptop running. It publishes nothing and reads nothing.
    let refused = laptop.poll().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Connection(ConnectionError::DeviceRefused { device }) if *device == id("bob", "laptop")),
        "{refused}"
    );

    // Bob links a tablet; alice makes a new group and adds bob.
    let mut tablet = world.messenger("bob", "tablet", Assisted).await;
    link(&mut phone, &tablet).await;
    alice.create_group(&room(2)).await.unwrap();
    alice.add_user(&room(2), &user("bob")).await.unwrap();
    settle(&mut [&mut phone, &mut tablet, &mut alice]).await;
    let mut members: Vec<_> = alice.roster(&room(2)).unwrap().into_iter().map(|it| it.device).collect();
    members.sort();
    assert_eq!(members, [id("alice", "phone"), id("bob", "phone"), id("bob", "tablet")]);
    // No device can put the laptop on the list again, not even bob's.
    let card = laptop.card().unwrap();
    phone.link_device(&card).await.unwrap();
    settle(&mut [&mut phone]).await;
    assert_eq!(
        phone.count_events(|event| matches!(event, Event::NotLinked { device, .. } if *device == card.device)),
        1
    );
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone"), id("bob", "tablet")]);
}

#[tokio::test]
async fn a_removed_member_comes_back_only_by_its_name() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut carol = world.messenger("carol", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut tablet = world.messenger("bob", "tablet", Assisted).await;
    link(&mut phone, &tablet).await;
    make_group(&mut [&mut alice, &mut carol, &mut phone, &mut tablet]).await;
    assert_eq!(alice.members().len(), 4);

    alice.remove_member(&chat(), &id("bob", "tablet")).await.unwrap();
    settle(&mut [&mut alice, &mut carol, &mut phone, &mut tablet]).await;
    // No member adds the device with its user, not even after a restart.
    carol.crash(&world);
    for adder in [&mut alice, &mut carol] {
        adder.add_user(&chat(), &user("bob")).await.unwrap();
        settle(&mut [adder]).await;
        assert_eq!(adder.members().len(), 3);
    }
    carol.add_device(&chat(), &id("bob", "tablet")).await.unwrap();
    settle(&mut [&mut alice, &mut carol, &mut phone, &mut tablet]).await;
    assert_eq!(alice.members().len(), 4);
    assert_eq!(tablet.members().len(), 4);
}

#[tokio::test]
async fn a_readded_user_has_all_devices() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut tablet = world.messenger("bob", "tablet", Assisted).await;
    link(&mut phone, &tablet).await;
    make_group(&mut [&mut alice, &mut phone, &mut tablet]).await;
    alice.remove_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut tablet]).await;
    assert_eq!(alice.members().len(), 1);
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone, &mut tablet]).await;
    assert_eq!(alice.members().len(), 3);
}

#[tokio::test]
async fn a_device_off_the_list_leaves_all_groups() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut tablet = world.messenger("bob", "tablet", Assisted).await;
    let mut laptop = world.messenger("bob", "laptop", Assisted).await;
    for new in [&tablet, &laptop] {
        link(&mut phone, new).await;
    }
    // The phone is in neither of these groups.
    tablet.create_group(&room(1)).await.unwrap();
    tablet.add_device(&room(1), &id("bob", "laptop")).await.unwrap();
    alice.create_group(&room(2)).await.unwrap();
    alice.add_device(&room(2), &id("bob", "laptop")).await.unwrap();
    settle(&mut [&mut alice, &mut tablet, &mut laptop]).await;
    assert_eq!(laptop.engine().groups().unwrap().len(), 2);

    phone.remove_device(&id("bob", "laptop")).await.unwrap();
    // Each device learns of the removal at its next read of the list.
    world.wait(2 * 60 * 60);
    alice.devices(&user("bob")).await.unwrap();
    settle(&mut [&mut tablet, &mut alice]).await;
    assert_eq!(tablet.roster(&room(1)).unwrap().len(), 1);
    assert_eq!(alice.roster(&room(2)).unwrap().len(), 1);
}

#[tokio::test]
async fn the_service_cannot_add_a_ghost() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let phone = world.messenger("bob", "phone", Assisted).await;
    let ghost = world.messenger("bob", "ghost", Assisted).await;
    // The true list, with an entry at its end that another key has signed.
    let mut known = DeviceList::new(user("bob"));
    let keys = phone.card().unwrap().keys;
    let key = SigningKey::from_bytes(&[1; 32]);
    let page = world.device_list("bob").await;
    let begin = list::ListEntry::decode(&page.entries[0].0).unwrap();
    known.append(&phone.service(), &begin).unwrap();
    assert_eq!(known.get(phone.device()), Some(&keys));
    let change = list::ListChange::Add(ghost.card().unwrap());
    let forged = known.entry(&phone.service(), phone.device(), change, |bytes| key.sign(bytes).to_bytes());
    world.tamper_with_list(move |page| {
        page.entries.push(forged.encode().into());
        page.number += 1;
    });

    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.members(), ["alice/phone"]);
    assert_eq!(alice.count_events(|event| matches!(event, Event::DeviceListForged { user, .. } if *user == "bob")), 1);
    assert_eq!(alice.count_events(is_refused), 1);
    assert!(matches!(alice.devices(&user("bob")).await, Err(Error::Devices { .. })));
}

#[tokio::test]
async fn the_service_cannot_replace_keys_of_a_listed_device() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    // Key packages in the name of the phone, with a foreign signature key.
    let mut impostor = world.impostor(&phone).await;
    impostor.upload().await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut phone]).await;
    assert_eq!(alice.members(), ["alice/phone"]);
    let is_unlisted = |event: &Event| match event {
        Event::NotAdded { device, cause, .. } => device == phone.device() && matches!(&**cause, Error::Unlisted { .. }),
        _ => false,
    };
    assert_eq!(alice.count_events(is_unlisted), 1);
}

#[tokio::test]
async fn the_service_cannot_take_a_list_back() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let laptop = world.messenger("bob", "laptop", Assisted).await;
    link(&mut phone, &laptop).await;
    phone.remove_device(laptop.device()).await.unwrap();
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);
    alice.crash(&world);

    // The list from before the removal.
    world.tamper_with_list(|page| {
        page.entries.clear();
        page.number = 2;
    });
    assert!(matches!(alice.devices(&user("bob")).await, Err(Error::Devices { .. })));
    // A list of the same length with another end.
    world.tamper_with_list(|page| page.head.0[0] ^= 1);
    assert!(matches!(alice.devices(&user("bob")).await, Err(Error::Devices { .. })));
    // A longer list without its new entries.
    world.tamper_with_list(|page| page.number += 1);
    assert!(matches!(alice.devices(&user("bob")).await, Err(Error::Devices { .. })));
    world.stop_tampering();
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);
    settle(&mut [&mut alice]).await;
    assert_eq!(alice.count_events(|event| matches!(event, Event::DeviceListForged { .. })), 3);
}

#[tokio::test]
async fn an_unlisted_member_is_reported() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut mallory = world.hostile("mallory", Assisted).await;
    let _phone = world.messenger("bob", "phone", Assisted).await;
    let ghost = world.messenger("ghost", "phone", Assisted).await;
    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("mallory")).await.unwrap();
    mallory.read().await;
    // The operator has lost the list of this user: no device vouches for this one.
    world.tamper_with_list(|page| {
        page.entries.clear();
        (page.number, page.head) = (0, vec![0; 32].into());
    });
    mallory.add(ghost.device()).await;
    settle(&mut [&mut alice]).await;
    let is_told = |event: &Event| matches!(event, Event::UnlistedMember { device, .. } if device == ghost.device());
    assert_eq!(alice.count_events(is_told), 1);
}

#[tokio::test]
async fn other_users_have_to_accept_a_new_list() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let phone = world.messenger("bob", "phone", Assisted).await;
    assert_eq!(alice.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);
    let mut spare = world.messenger("bob", "spare", Assisted).await;

    // While the lost phone is registered, a newly registered device may be a stranger's.
    spare.begin_devices_anew().await.unwrap();
    settle(&mut [&mut spare]).await;
    assert_eq!(spare.count_events(|event| matches!(event, Event::NotLinked { .. })), 1);
    // Such a device cannot remove bob's phone either.
    spare.remove_device(phone.device()).await.unwrap();
    settle(&mut [&mut spare]).await;
    assert_eq!(spare.count_events(|event| matches!(event, Event::DeviceNotRemoved { .. })), 1);

    // The operator removes the phone from the service. The list does not change.
    world.impostor(&phone).await.connection.remove_device(phone.device()).await.unwrap();
    spare.begin_devices_anew().await.unwrap();
    settle(&mut [&mut spare]).await;
    assert_eq!(spare.devices(&user("bob")).await.unwrap(), [id("bob", "spare")]);

    alice.create_group(&chat()).await.unwrap();
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut spare]).await;
    assert_eq!(alice.members(), ["alice/phone"]);
    let is_new = |event: &Event| matches!(event, Event::DevicesChanged { begun_anew: true, .. });
    assert_eq!((alice.count_events(is_new), alice.count_events(is_refused)), (1, 1));
    assert_eq!(alice.accept_devices(&user("bob")).await.unwrap(), [id("bob", "spare")]);
    alice.add_user(&chat(), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut spare]).await;
    assert_eq!(alice.members(), ["alice/phone", "bob/spare"]);
}

#[tokio::test]
async fn a_new_signature_key_reaches_the_list_first() {
    let world = World::new().await;
    let mut alice = world.messenger("alice", "phone", Assisted).await;
    let mut bob = world.messenger("bob", "phone", Assisted).await;
    make_group(&mut [&mut alice, &mut bob]).await;
    bob.rotate(&chat(), true).await.unwrap();
    settle(&mut [&mut bob, &mut alice]).await;
    alice.create_group(&room(2)).await.unwrap();
    alice.add_user(&room(2), &user("bob")).await.unwrap();
    settle(&mut [&mut alice, &mut bob]).await;
    assert_eq!(alice.roster(&room(2)).unwrap().len(), 2);
    assert_eq!(alice.count_events(|event| matches!(event, Event::NotAdded { .. })), 0);
}

#[tokio::test]
async fn list_changes_survive_crashes_and_lost_responses() {
    let world = World::new().await;
    let mut phone = world.messenger("bob", "phone", Assisted).await;
    let mut tablet = world.messenger("bob", "tablet", Assisted).await;
    phone.create_group(&chat()).await.unwrap();
    world.cut_network();
    link(&mut phone, &tablet).await;
    phone.crash(&world);
    world.repair_network();
    world.lose_reply("/device-list");
    settle(&mut [&mut phone, &mut tablet]).await;
    assert_eq!(tablet.members(), ["bob/phone", "bob/tablet"]);
    world.lose_reply("/device-list");
    phone.remove_device(tablet.device()).await.unwrap();
    phone.crash(&world);
    settle(&mut [&mut phone]).await;
    assert_eq!(phone.members(), ["bob/phone"]);
    assert_eq!(phone.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);
}

#[tokio::test]
async fn only_one_of_two_new_devices_begins_the_list() {
    let world = World::new().await;
    let mut phone = world.unpolled_messenger("bob", "phone", policy(Assisted), world.options()).await;
    let mut tablet = world.unpolled_messenger("bob", "tablet", policy(Assisted), world.options()).await;
    // Both devices have found no list.
    world.refuse("/v1/device-list", Problem::new(Code::Unavailable));
    settle(&mut [&mut phone, &mut tablet]).await;
    world.repair_network();
    world.wait(60);
    settle(&mut [&mut phone, &mut tablet]).await;
    assert_eq!(phone.devices(&user("bob")).await.unwrap(), [id("bob", "phone")]);
    assert_eq!(tablet.count_events(|event| matches!(event, Event::Unlisted { .. })), 1);
}
