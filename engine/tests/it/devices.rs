//! Tests of users with several devices, with races and failures. A user is added and removed with
//! all devices. A new device is linked into all groups, and a lost device is removed from all of
//! them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::common::{
    store::{FaultyStore, records},
    *,
};
use regrow_engine::{
    Authenticate, Change, Ciphersuite, Client, DeviceId, Error, GroupId, IdentityClaim, IntentStatus, KeyPackageBytes,
    MemoryStore, Outgoing, PendingCommit, Policy, ReceivedEvent, default_crypto,
};

type StatusByGroup = BTreeMap<GroupId, Result<IntentStatus, Error>>;

fn id(user: &str, name: &str) -> DeviceId {
    DeviceId::new(user, name).unwrap()
}

fn named(user: &str, name: &str) -> Client {
    named_in(&MemoryStore::new(), user, name)
}

fn named_in(store: &MemoryStore, user: &str, name: &str) -> Client {
    Client::create(Arc::new(store.clone()), default_crypto(), id(user, name), policy()).unwrap()
}

fn resume(client: &mut Client) -> Option<PendingCommit> {
    match client.group(&group()).unwrap().resume().unwrap() {
        Some(Outgoing::Commit(commit)) => Some(commit),
        None => None,
        other => panic!("not a commit: {other:?}"),
    }
}

/// Returns the members as user/device.
fn roster(client: &mut Client, group: &GroupId) -> Vec<String> {
    let roster = client.group(group).unwrap().roster().unwrap();
    roster.iter().map(|member| member.device.to_string()).collect()
}

fn add(client: &mut Client, key_packages: &[KeyPackageBytes]) -> PendingCommit {
    client.group(&group()).unwrap().add(key_packages, NOW).unwrap()
}

fn commit_of(intent: Result<IntentStatus, Error>) -> PendingCommit {
    match intent.unwrap() {
        IntentStatus::Commit(pending) => pending,
        IntentStatus::Kept => panic!("the group is busy"),
    }
}

/// Plays a service that accepts all commits, and gives the welcomes to the joiner.
fn accept_all(client: &mut Client, answer: StatusByGroup, joiner: &mut Client) {
    for intent in answer.into_values() {
        let pending = commit_of(intent);
        joiner.join(pending.welcome().unwrap(), NOW).unwrap();
        client.confirm(pending, NOW).unwrap();
    }
}

fn groups<const N: usize>(names: [&str; N]) -> [GroupId; N] {
    names.map(group_named)
}

/// Creates Alice's laptop and phone, which are together in the named groups.
fn alices_devices<const N: usize>(store: &MemoryStore, names: [&str; N]) -> (Client, Client, [GroupId; N]) {
    let (mut laptop, mut phone) = (named_in(store, "alice", "laptop"), named("alice", "phone"));
    let groups = groups(names);
    for group in &groups {
        let pending = laptop.create_group(group.clone(), NOW).unwrap().add(&[key_package(&mut phone)], NOW).unwrap();
        phone.join(pending.welcome().unwrap(), NOW).unwrap();
        laptop.confirm(pending, NOW).unwrap();
    }
    (laptop, phone, groups)
}

#[test]
fn one_commit_adds_or_removes_all_devices_of_a_user() {
    let (mut alice, mut carol) = (client("alice"), client("carol"));
    let mut bobs = ["phone", "laptop", "tablet"].map(|name| named("bob", name));
    make_group(&mut [&mut alice, &mut carol]);
    let key_packages = bobs.each_mut().map(key_package);

    let pending = alice.group(&group()).unwrap().add_user(&user_id("bob"), &key_packages, NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    accept(&mut alice, pending, &mut [&mut carol]);
    for bob in &mut bobs {
        bob.join(&welcome, NOW).unwrap();
    }
    assert_eq!(roster(&mut carol, &group()), ["alice/phone", "carol/phone", "bob/phone", "bob/laptop", "bob/tablet"]);

    let pending = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    assert_eq!(pending.removed().count(), 3);
    let [one, two, three] = &mut bobs;
    let events = accept(&mut alice, pending, &mut [one, two, three, &mut carol]);

    assert!(events[..3].iter().all(|event| matches!(event, ReceivedEvent::Removed { .. })));
    assert_eq!(roster(&mut carol, &group()), ["alice/phone", "carol/phone"]);
    assert_eq!(alice.group(&group()).unwrap().resume().unwrap(), None);
}

#[test]
fn adding_a_user_adds_only_the_missing_devices() {
    let mut alice = client("alice");
    let (mut phone, mut laptop) = (named("bob", "phone"), named("bob", "laptop"));
    make_group(&mut [&mut alice, &mut phone]);

    let key_packages = [key_package(&mut phone), key_package(&mut laptop)];
    let pending = alice.group(&group()).unwrap().add_user(&user_id("bob"), &key_packages, NOW).unwrap();
    assert_eq!(pending.changes(), [Change::Added(id("bob", "laptop"))]);
    accept(&mut alice, pending, &mut [&mut phone]);

    let again = alice.group(&group()).unwrap().add_user(&user_id("bob"), &key_packages, NOW);
    assert!(matches!(again, Err(Error::NothingToCommit)));
}

#[test]
fn key_packages_of_several_users_are_refused_completely() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    make_group(&mut [&mut alice]);
    let before = records(&store);
    let key_packages = [key_package(&mut client("bob")), key_package(&mut client("mallory"))];

    let refused = alice.group(&group()).unwrap().add_user(&user_id("bob"), &key_packages, NOW);

    assert!(
        matches!(&refused, Err(Error::OtherUser { device: other, user }) if *other == device("mallory") && user == "bob"),
        "{refused:?}"
    );
    assert!(records(&store) == before);
}

#[test]
fn removing_the_own_or_an_unknown_user_is_refused() {
    let (mut alice, mut laptop) = (client("alice"), named("alice", "laptop"));
    make_group(&mut [&mut alice, &mut laptop]);

    let mut chat = alice.group(&group()).unwrap();
    assert!(matches!(chat.remove_user(&user_id("alice")), Err(Error::OwnRemoval)));
    assert!(matches!(chat.remove_user(&user_id("bob")), Err(Error::UnknownUser { .. })));
    assert_eq!(chat.resume().unwrap(), None);
}

#[test]
fn a_device_added_meanwhile_is_removed_with_its_user() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    let (mut bob, mut carol, mut tablet) = (client("bob"), client("carol"), named("bob", "tablet"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let _lost = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    let won = add(&mut carol, &[key_package(&mut tablet)]);
    let welcome = won.welcome().unwrap().to_vec();
    accept(&mut carol, won, &mut [&mut alice, &mut bob]);
    tablet.join(&welcome, NOW).unwrap();

    let mut alice = reopen(&store);
    let again = resume(&mut alice).unwrap();
    assert_eq!(again.removed().count(), 2);
    accept(&mut alice, again, &mut [&mut bob, &mut carol, &mut tablet]);

    assert_eq!(roster(&mut carol, &group()), ["alice/phone", "carol/phone"]);
}

#[test]
fn removing_a_user_leaves_out_proposals_for_its_devices() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let tablet = key_package(&mut named("bob", "tablet"));
    let proposal = bob.group(&group()).unwrap().propose_add(&tablet, NOW).unwrap().as_bytes().to_vec();
    deliver(&proposal, &mut [&mut alice, &mut carol]);

    let pending = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    accept(&mut alice, pending, &mut [&mut carol]);

    assert_eq!(roster(&mut carol, &group()), ["alice/phone", "carol/phone"]);
    assert_same_epoch(&mut [&mut alice, &mut carol]);
}

#[test]
fn a_user_that_another_member_removed_is_not_removed_again() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let _lost = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    let won = carol.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    let events = accept(&mut carol, won, &mut [&mut alice]);
    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if !change.resume));

    let back = add(&mut carol, &[key_package(&mut named("bob", "new"))]);
    accept(&mut carol, back, &mut [&mut alice]);

    assert_eq!(resume(&mut alice), None);
}

#[test]
fn the_last_intent_for_a_user_counts() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let laptop = key_package(&mut named("bob", "laptop"));

    // An addition is wanted, and then a removal before the addition happens.
    let pending = alice.group(&group()).unwrap().add_user(&user_id("bob"), std::slice::from_ref(&laptop), NOW).unwrap();
    alice.discard(pending).unwrap();
    let pending = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    assert_eq!(pending.changes(), [Change::Removed(device("bob"))]);

    // A removal is wanted, and then an addition of another device.
    alice.discard(pending).unwrap();
    let pending = alice.group(&group()).unwrap().add_user(&user_id("bob"), &[laptop], NOW).unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!(roster(&mut alice, &group()), ["alice/phone", "bob/laptop"]);
}

/// Another member adds the wanted device while the removal of its user's old devices is still an
/// intent.
#[test]
fn an_intended_device_stays_when_its_user_is_removed() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let mut laptop = named("bob", "laptop");
    let key_packages = [key_package(&mut laptop), key_package(&mut laptop)];
    let removal = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();
    alice.discard(removal).unwrap();
    let _lost = alice.group(&group()).unwrap().add_user(&user_id("bob"), &key_packages[..1], NOW).unwrap();
    let won = add(&mut carol, &key_packages[1..]);
    accept(&mut carol, won, &mut [&mut alice, &mut bob]);

    let again = resume(&mut alice).unwrap();
    accept(&mut alice, again, &mut [&mut bob, &mut carol]);

    assert!(roster(&mut carol, &group()).contains(&"bob/laptop".to_owned()));
    assert!(!roster(&mut carol, &group()).contains(&"bob/phone".to_owned()));
    assert_same_epoch(&mut [&mut alice, &mut carol]);
}

#[test]
fn a_later_key_package_replaces_the_waiting_one() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let waits = add(&mut alice, &[key_package(&mut client("bob"))]);
    alice.discard(waits).unwrap();
    // Bob's phone was set up again.
    let mut bob = client("bob");

    let pending = add(&mut alice, &[key_package(&mut bob)]);

    bob.join(pending.welcome().unwrap(), NOW).unwrap();
}

#[test]
fn a_new_device_is_linked_into_all_groups() {
    let (mut laptop, mut phone, [one, two, three]) = alices_devices(&MemoryStore::new(), ["one", "two", "three"]);
    let mut tablet = named("alice", "tablet");
    let key_packages = tablet.key_packages(3, NOW).unwrap();

    let answer = laptop.link_device(&id("alice", "tablet"), &key_packages, NOW).unwrap();
    let commits: Vec<_> = answer
        .values()
        .map(|intent| match intent {
            Ok(IntentStatus::Commit(pending)) => pending.commit().to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    accept_all(&mut laptop, answer, &mut tablet);
    for commit in commits {
        phone.receive(&commit, NOW).unwrap();
    }

    for group in [&one, &two, &three] {
        assert_eq!(roster(&mut phone, group), ["alice/laptop", "alice/phone", "alice/tablet"]);
        let message = tablet.group(group).unwrap().send(b"it is me").unwrap();
        assert_eq!(read(&mut phone, &message), b"it is me");
    }
    assert!(laptop.link_device(&id("alice", "tablet"), &[], NOW).unwrap().is_empty());
    assert_eq!(laptop.groups_of_device(&id("alice", "tablet")).unwrap().len(), 3);
}

#[test]
fn linking_reports_missing_key_packages_and_uses_none_twice() {
    let store = MemoryStore::new();
    let (laptop, _, [one, two, three]) = alices_devices(&store, ["one", "two", "three"]);
    drop(laptop);
    let mut tablet = named("alice", "tablet");
    let wanted = id("alice", "tablet");
    let mut key_packages = tablet.key_packages(1, NOW).unwrap();

    let first = reopen(&store).link_device(&wanted, &key_packages, NOW).unwrap();
    assert!(matches!(&first[&one], Ok(IntentStatus::Commit(_))));
    assert!([&two, &three].iter().all(|group| matches!(&first[*group], Err(Error::NoKeyPackage))));

    // The device's process has ended, and the device repeats the call. The result is the same
    // commit, and no other group gets the same key package.
    let mut laptop = reopen(&store);
    let again = laptop.link_device(&wanted, &key_packages, NOW).unwrap();
    assert_eq!(again[&one].as_ref().unwrap(), first[&one].as_ref().unwrap());
    assert!(matches!(&again[&two], Err(Error::NoKeyPackage)));

    // The first group's commit is accepted. Its tree contains the key package.
    laptop.confirm(commit_of(first.into_iter().next().unwrap().1), NOW).unwrap();
    key_packages.extend(tablet.key_packages(1, NOW).unwrap());
    let mut answer = laptop.link_device(&wanted, &key_packages, NOW).unwrap();
    assert_eq!(answer.keys().collect::<Vec<_>>(), [&three, &two]);
    assert!(matches!(&answer[&three], Err(Error::NoKeyPackage)));
    let pending = commit_of(answer.remove(&two).unwrap());
    tablet.join(pending.welcome().unwrap(), NOW).unwrap();

    let answer = laptop.link_device(&wanted, &tablet.key_packages(1, NOW).unwrap(), NOW).unwrap();
    assert_eq!(answer.keys().collect::<Vec<_>>(), [&three, &two]);
    assert!(answer.values().all(|intent| matches!(intent, Ok(IntentStatus::Commit(_)))));
}

#[test]
fn a_link_that_lost_a_race_reuses_its_key_package() {
    let (mut laptop, mut phone, [chat, other]) = alices_devices(&MemoryStore::new(), ["chat", "other"]);
    let mut tablet = named("alice", "tablet");
    let wanted = id("alice", "tablet");
    let key_packages = tablet.key_packages(2, NOW).unwrap();
    let _lost = laptop.link_device(&wanted, &key_packages, NOW).unwrap();
    let won = phone.group(&chat).unwrap().update().unwrap();
    accept(&mut phone, won, &mut [&mut laptop]);

    // The repeated call needs no new key package.
    let answer = laptop.link_device(&wanted, &[], NOW).unwrap();
    assert_eq!(answer.keys().collect::<Vec<_>>(), [&chat, &other]);
    accept_all(&mut laptop, answer, &mut tablet);

    assert_eq!(tablet.groups().unwrap().len(), 2);
}

#[test]
fn a_busy_group_stores_the_intent_to_link_a_device() {
    let store = MemoryStore::new();
    let (mut laptop, mut phone, [chat, other]) = alices_devices(&store, ["chat", "other"]);
    let mut tablet = named("alice", "tablet");
    let wanted = id("alice", "tablet");
    let busy = laptop.group(&chat).unwrap().update().unwrap();
    let key_packages = tablet.key_packages(2, NOW).unwrap();

    let answer = laptop.link_device(&wanted, &key_packages, NOW).unwrap();
    assert_eq!(answer[&chat].as_ref().unwrap(), &IntentStatus::Kept);
    assert!(matches!(&answer[&other], Ok(IntentStatus::Commit(_))));
    let again = laptop.link_device(&wanted, &key_packages, NOW).unwrap();
    assert_eq!(again[&chat].as_ref().unwrap(), &IntentStatus::Kept);
    assert_eq!(again[&other].as_ref().unwrap(), answer[&other].as_ref().unwrap());

    let mut laptop = reopen(&store);
    let change = laptop.confirm(busy.clone(), NOW).unwrap();
    assert!(change.resume);
    phone.receive(busy.commit(), NOW).unwrap();
    let pending = resume(&mut laptop).unwrap();
    assert_eq!(pending.changes(), [Change::Added(wanted)]);
    tablet.join(pending.welcome().unwrap(), NOW).unwrap();
    accept(&mut laptop, pending, &mut [&mut phone]);
    assert_same_epoch(&mut [&mut laptop, &mut phone, &mut tablet]);
}

#[test]
fn a_last_resort_key_package_serves_the_remaining_groups() {
    let (mut laptop, _, [one, two, three]) = alices_devices(&MemoryStore::new(), ["one", "two", "three"]);
    let mut tablet = named("alice", "tablet");
    let key_packages = [tablet.last_resort_key_package(NOW).unwrap(), key_package(&mut tablet)];

    let answer = laptop.link_device(&id("alice", "tablet"), &key_packages, NOW).unwrap();
    assert_eq!(answer.len(), 3);
    accept_all(&mut laptop, answer, &mut tablet);

    assert_eq!(tablet.groups().unwrap().len(), 3);
    assert_eq!(tablet.key_package_count().unwrap(), 1, "the ordinary key package was not used");
    for group in [one, two, three] {
        assert_eq!(roster(&mut tablet, &group).len(), 3);
    }
}

#[test]
fn a_group_gets_a_key_package_of_its_own_ciphersuite() {
    let (mut laptop, _, [one]) = alices_devices(&MemoryStore::new(), ["one"]);
    let chacha = Policy { ciphersuite: Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519, ..policy() };
    let mut tablet = Client::create(Arc::new(MemoryStore::new()), default_crypto(), id("alice", "tablet"), chacha);
    let other = key_package(tablet.as_mut().unwrap());

    let answer = laptop.link_device(&id("alice", "tablet"), &[other], NOW).unwrap();

    assert!(matches!(&answer[&one], Err(Error::NoKeyPackage)));
}

#[test]
fn only_the_named_device_of_the_own_user_is_linked() {
    let store = MemoryStore::new();
    let (mut laptop, _, _) = alices_devices(&store, ["one"]);
    let before = records(&store);
    let mut mallory = named("alice", "mallory");

    let refused = laptop.link_device(&id("alice", "tablet"), &[key_package(&mut mallory)], NOW);
    assert!(matches!(&refused, Err(Error::OtherDevice { device, .. }) if *device == id("alice", "mallory")));
    let refused = laptop.link_device(&device("bob"), &[key_package(&mut client("bob"))], NOW);
    assert!(matches!(&refused, Err(Error::OtherUser { device: other, .. }) if *other == device("bob")));
    assert!(records(&store) == before);
}

#[test]
fn a_lost_device_is_removed_from_all_groups() {
    let store = MemoryStore::new();
    let (mut laptop, phone, [chat, two, three]) = alices_devices(&store, ["chat", "two", "three"]);
    let lost = phone.device().clone();
    let busy = laptop.group(&chat).unwrap().update().unwrap();

    let answer = laptop.remove_device(&lost).unwrap();
    assert_eq!(answer[&chat].as_ref().unwrap(), &IntentStatus::Kept);
    for group in [&two, &three] {
        assert!(matches!(&answer[group], Ok(IntentStatus::Commit(pending)) if pending.removed().eq([&lost])));
    }

    // The call is repeated after a restart. It stores no second intent, and the same commits are
    // pending.
    let mut laptop = reopen(&store);
    let before = records(&store);
    let again = laptop.remove_device(&lost).unwrap();
    assert_eq!(format!("{again:?}"), format!("{answer:?}"));
    assert!(records(&store) == before);
    for group in [&two, &three] {
        laptop.confirm(commit_of(Ok(again[group].as_ref().unwrap().clone())), NOW).unwrap();
    }
    assert_eq!(laptop.groups_of_device(&lost).unwrap(), std::slice::from_ref(&chat));

    let change = laptop.confirm(busy, NOW).unwrap();
    assert!(change.resume);
    let pending = resume(&mut laptop).unwrap();
    assert_eq!(pending.changes(), [Change::Removed(lost.clone())]);
    laptop.confirm(pending, NOW).unwrap();

    assert!(laptop.remove_device(&lost).unwrap().is_empty());
    assert!(laptop.groups_of_device(&lost).unwrap().is_empty());
    assert_eq!(resume(&mut laptop), None);
}

#[test]
fn a_stored_intent_survives_every_end_of_the_pending_commit() {
    type End = fn(&mut Client, &mut Client, PendingCommit);
    let ends: [(&str, End); 4] = [
        ("confirmed", |laptop, carol, busy| drop(accept(laptop, busy, &mut [carol]))),
        ("it comes back", |laptop, carol, busy| drop(deliver(busy.commit(), &mut [laptop, carol]))),
        ("discarded", |laptop, _, busy| laptop.discard(busy).unwrap()),
        ("another won", |laptop, carol, _| update(carol, &mut [laptop])),
    ];
    for (how, end) in ends {
        let store = MemoryStore::new();
        let (mut laptop, mut phone) = (named_in(&store, "alice", "laptop"), named("alice", "phone"));
        let mut carol = client("carol");
        make_group(&mut [&mut laptop, &mut phone, &mut carol]);
        let busy = laptop.group(&group()).unwrap().update().unwrap();
        assert_eq!(laptop.remove_device(phone.device()).unwrap()[&group()].as_ref().unwrap(), &IntentStatus::Kept);

        end(&mut laptop, &mut carol, busy);
        let mut laptop = reopen(&store);
        let pending = resume(&mut laptop).unwrap_or_else(|| panic!("{how}: the intent is lost"));

        assert!(pending.removed().eq([phone.device()]), "{how}");
        accept(&mut laptop, pending, &mut [&mut carol]);
        assert_same_epoch(&mut [&mut laptop, &mut carol]);
    }
}

#[test]
fn abandon_deletes_stored_intents() {
    let (mut laptop, phone, [chat]) = alices_devices(&MemoryStore::new(), ["chat"]);
    let _busy = laptop.group(&chat).unwrap().update().unwrap();
    let _kept = laptop.remove_device(phone.device()).unwrap();

    laptop.group(&chat).unwrap().abandon().unwrap();

    assert_eq!(resume(&mut laptop), None);
}

#[test]
fn a_stored_intent_that_another_member_fulfils_is_done() {
    let (mut laptop, mut carol) = (named("alice", "laptop"), client("carol"));
    make_group(&mut [&mut laptop, &mut carol, &mut client("bob")]);
    let _busy = laptop.group(&group()).unwrap().update().unwrap();
    let _kept = laptop.remove_device(&device("bob")).unwrap();
    let won = carol.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut carol, won, &mut [&mut laptop]);

    // Only the intent of the pending commit is left.
    let pending = resume(&mut laptop).unwrap();
    assert!(pending.changes().is_empty());
}

#[test]
fn removing_a_device_of_a_removed_user_adds_no_intent() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = alice.group(&group()).unwrap().remove_user(&user_id("bob")).unwrap();

    let answer = alice.remove_device(&device("bob")).unwrap();

    assert_eq!(commit_of(answer.into_values().next().unwrap()), pending);
}

#[test]
fn a_device_cannot_remove_itself_from_all_groups() {
    let (mut laptop, _, [chat]) = alices_devices(&MemoryStore::new(), ["chat"]);

    assert!(matches!(laptop.remove_device(&id("alice", "laptop")), Err(Error::OwnRemoval)));
    assert_eq!(laptop.group(&chat).unwrap().pending().unwrap(), None);
}

/// Forbids removals in one group.
struct OneGroupForbids(Mutex<GroupId>);

impl Authenticate for OneGroupForbids {
    fn authenticate(&self, _: &IdentityClaim) -> Result<(), String> {
        Ok(())
    }

    fn may(&self, group: &GroupId, _: &DeviceId, change: &Change) -> Result<(), String> {
        match change {
            Change::Removed(_) if *group == *self.0.lock().unwrap() => Err("not an admin here".into()),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_refusal_in_one_group_does_not_affect_other_groups() {
    let store = MemoryStore::new();
    let (_, phone, [one, two, three]) = alices_devices(&store, ["one", "two", "three"]);
    let forbids = Arc::new(OneGroupForbids(Mutex::new(two.clone())));
    let mut laptop = reopen(&store).with_authentication(forbids);

    let answer = laptop.remove_device(phone.device()).unwrap();

    assert!(matches!(&answer[&two], Err(Error::Refused(_))));
    assert!([&one, &three].iter().all(|group| matches!(&answer[*group], Ok(IntentStatus::Commit(_)))));
    assert_eq!(laptop.group(&two).unwrap().resume().unwrap(), None, "the intent was not dropped");
}

#[test]
fn a_failing_store_leaves_all_groups_unchanged() {
    let store = FaultyStore::new();
    let mut alice = client_over(&store, "alice");
    let mut bob = client("bob");
    for name in groups(["one", "two"]) {
        let pending = alice.create_group(name, NOW).unwrap().add(&[key_package(&mut bob)], NOW).unwrap();
        alice.confirm(pending, NOW).unwrap();
    }
    let before = records(&store.records);

    store.fail_writes();
    assert!(matches!(alice.remove_device(&device("bob")), Err(Error::Storage(_))));
    store.heal();
    for reads in 0.. {
        let mut alice = reopen(&store);
        store.fail_reads_after(reads);
        let result = alice.remove_device(&device("bob"));
        if !store.heal() {
            break;
        }
        assert!(matches!(result, Err(Error::Storage(_))), "after {reads} reads: {result:?}");
        assert!(records(&store.records) == before);
    }

    let mut alice = reopen(&store);
    assert_eq!(alice.remove_device(&device("bob")).unwrap().len(), 2);
}

#[test]
fn groups_are_listed_by_user_and_by_device() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    let [one, two, three] = groups(["one", "two", "three"]);
    for (name, key_packages) in
        [(&one, vec![key_package(&mut bob)]), (&two, vec![key_package(&mut named("bob", "laptop"))]), (&three, vec![])]
    {
        let mut group = alice.create_group(name.clone(), NOW).unwrap();
        if !key_packages.is_empty() {
            let pending = group.add(&key_packages, NOW).unwrap();
            alice.confirm(pending, NOW).unwrap();
        }
    }

    assert_eq!(alice.groups_of_user(&user_id("bob")).unwrap(), [one.clone(), two]);
    assert_eq!(alice.groups_of_device(&device("bob")).unwrap(), [one]);
    assert_eq!(alice.groups_of_user(&user_id("alice")).unwrap().len(), 3);
    assert!(alice.groups_of_user(&user_id("bobby")).unwrap().is_empty());
}
