//! Tests of values that people compare out of band: safety numbers, verified users, and the group's
//! code.

use std::sync::Arc;

use crate::common::*;
use regrow_engine::{
    Client, Comparison, DeviceId, Error, GroupId, MemoryStore, PendingCommit, ReceivedEvent, SafetyNumber, UserId,
    default_crypto,
};
use sha2::{Digest as _, Sha512};

fn pair() -> (Client, Client) {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    (alice, bob)
}

fn device_of(user: &str, name: &str) -> Client {
    let id = DeviceId::new(user, name).unwrap();
    Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy()).unwrap()
}

fn number(client: &mut Client, user: &str) -> SafetyNumber {
    client.group(&group()).unwrap().safety_number(&user_id(user)).unwrap()
}

/// Verifies the user with the number that is shown now.
fn verify(client: &mut Client, user: &str) {
    let compared = number(client, user);
    client.group(&group()).unwrap().verify_user(&user_id(user), &compared).unwrap();
}

fn verified(client: &mut Client) -> Vec<UserId> {
    client.group(&group()).unwrap().verified_users().unwrap()
}

fn add(client: &mut Client, newcomer: &mut Client) -> PendingCommit {
    client.group(&group()).unwrap().add(&[key_package(newcomer)], NOW).unwrap()
}

/// Returns the users that the commit reports as no longer verified, first to the committer and then
/// to the other member.
fn no_longer_verified(committer: &mut Client, pending: PendingCommit, other: &mut Client) -> [Vec<UserId>; 2] {
    let ReceivedEvent::Commit(received) = other.receive(pending.commit(), NOW).unwrap().event else {
        panic!("not a commit")
    };
    [committer.confirm(pending, NOW).unwrap().no_longer_verified, received.no_longer_verified]
}

#[test]
fn both_sides_compute_the_same_number() {
    let (mut alice, mut bob) = pair();

    let (alices, bobs) = (number(&mut alice, "bob"), number(&mut bob, "alice"));

    assert_eq!(alices, bobs);
    assert_eq!(alices.digits(), bobs.digits());
    assert_eq!(alices.digits().len(), 60);
    assert!(alices.digits().bytes().all(|digit| digit.is_ascii_digit()));
    assert_eq!(alices.to_string().replace(' ', ""), alices.digits());
    assert_eq!(alices.to_string().len(), 71);
}

#[test]
fn every_pair_of_users_has_its_own_number() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);

    assert_ne!(number(&mut alice, "bob"), number(&mut alice, "carol"));
    assert_ne!(number(&mut alice, "bob"), number(&mut bob, "carol"));
}

/// Computes the value as `safety-numbers.md` in the book describes.
#[test]
fn the_number_matches_the_documented_computation() {
    fn vector(bytes: &[u8]) -> Vec<u8> {
        assert!(bytes.len() < 64);
        [&[bytes.len() as u8], bytes].concat()
    }
    fn fingerprint(user: &str, keys: &[u8]) -> Vec<u8> {
        let mut hash = Sha512::digest([&[1], &*vector(user.as_bytes()), keys].concat()).to_vec();
        for _ in 0..5199 {
            hash = Sha512::digest([&*hash, keys].concat()).to_vec();
        }
        hash[..32].to_vec()
    }
    let (mut alice, mut laptop, mut phone) = (client("alice"), device_of("bob", "laptop"), device_of("bob", "phone"));
    make_group(&mut [&mut alice, &mut phone, &mut laptop]);
    let entry = |client: &Client| {
        [vector(&client.device().to_identity()), vector(client.signature_key().unwrap().as_bytes())].concat()
    };
    // The shorter name comes first, because each name begins with its length.
    let bobs_keys = [entry(&phone), entry(&laptop)].concat();
    let mut fingerprints = [fingerprint("alice", &entry(&alice)), fingerprint("bob", &bobs_keys)];
    fingerprints.sort();
    let digits: String = fingerprints
        .iter()
        .flat_map(|fingerprint| fingerprint[..30].chunks(5))
        .map(|five| five.iter().fold(0, |number: u64, byte| number * 256 + u64::from(*byte)) % 100_000)
        .map(|number| format!("{number:05}"))
        .collect();

    let shown = number(&mut alice, "bob");

    assert_eq!(shown.digits(), digits);
    assert_eq!(shown.to_qr_payload(), [&[1], &*fingerprints.concat()].concat());
    assert_eq!(shown, number(&mut laptop, "alice"));
}

#[test]
fn a_new_device_of_either_changes_the_number() {
    let (mut alice, mut bob) = pair();
    let before = number(&mut alice, "bob");

    let pending = add(&mut alice, &mut device_of("bob", "laptop"));
    accept(&mut alice, pending, &mut [&mut bob]);
    let bobs_laptop = number(&mut alice, "bob");
    let pending = add(&mut alice, &mut device_of("alice", "tablet"));
    accept(&mut alice, pending, &mut [&mut bob]);
    let alices_tablet = number(&mut alice, "bob");

    assert!(before != bobs_laptop && bobs_laptop != alices_tablet && before != alices_tablet);
    assert_eq!(alices_tablet, number(&mut bob, "alice"));
}

#[test]
fn a_new_key_of_either_changes_the_number() {
    let (mut alice, mut bob) = pair();
    let before = number(&mut alice, "bob");

    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut bob, rotation, &mut [&mut alice]);
    let after = number(&mut alice, "bob");

    assert_ne!(before, after);
    assert_eq!(after, number(&mut bob, "alice"));
}

#[test]
fn changes_of_other_keys_do_not_change_the_number() {
    let (mut alice, mut bob) = pair();
    let before = number(&mut alice, "bob");

    update(&mut bob, &mut [&mut alice]);
    let pending = add(&mut alice, &mut client("carol"));
    accept(&mut alice, pending, &mut [&mut bob]);

    assert_eq!(number(&mut alice, "bob"), before);
}

#[test]
fn a_user_outside_the_group_has_no_number() {
    let (mut alice, _) = pair();

    let error = alice.group(&group()).unwrap().safety_number(&user_id("carol")).unwrap_err();

    assert!(matches!(error, Error::UnknownUser { user } if user == "carol"));
}

#[test]
fn a_scanned_code_matches_only_the_same_number() {
    let (mut alice, mut bob) = pair();
    let own = number(&mut alice, "bob");
    let shown = number(&mut bob, "alice").to_qr_payload();
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    bob.confirm(rotation, NOW).unwrap();
    let changed = number(&mut bob, "alice").to_qr_payload();
    let of_another_version = [&[2], &shown[1..]].concat();

    assert_eq!(own.compare(&shown), Comparison::Match);
    assert_eq!(own.compare(&changed), Comparison::Mismatch);
    assert_eq!(own.compare(&of_another_version), Comparison::OtherVersion { version: 2 });
    for not_it in [&[][..], &shown[..64], &[&*shown, &[0]].concat()] {
        assert_eq!(own.compare(not_it), Comparison::Mismatch);
    }
    for index in 1..shown.len() {
        let mut other = shown.clone();
        other[index] ^= 1;
        assert_eq!(own.compare(&other), Comparison::Mismatch);
    }
}

#[test]
fn a_user_is_verified_after_the_numbers_are_compared() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    assert!(verified(&mut alice).is_empty());

    verify(&mut alice, "bob");

    assert_eq!(verified(&mut alice), ["bob"]);
    assert!(verified(&mut bob).is_empty(), "only Bob can verify a user for his own device");
}

#[test]
fn an_outdated_number_verifies_nobody() {
    let (mut alice, mut bob) = pair();
    let compared = number(&mut alice, "bob");
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    accept(&mut bob, rotation, &mut [&mut alice]);

    let error = alice.group(&group()).unwrap().verify_user(&user_id("bob"), &compared).unwrap_err();

    assert!(matches!(error, Error::SafetyNumberChanged { user } if user == "bob"));
    assert!(verified(&mut alice).is_empty());
    let unknown = alice.group(&group()).unwrap().verify_user(&user_id("carol"), &compared).unwrap_err();
    assert!(matches!(unknown, Error::UnknownUser { .. }));
}

#[test]
fn verified_users_survive_a_restart() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = (client_in(&store, "alice", policy()), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    verify(&mut alice, "bob");
    drop(alice);

    assert_eq!(verified(&mut reopen(&store)), ["bob"]);
    let snapshot = reopen(&store).snapshot().unwrap();
    assert_eq!(snapshot.records().iter().filter(|record| record.name() == "device: verified user").count(), 1);
}

#[test]
fn a_new_device_ends_the_verification_of_its_user() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = (client_in(&store, "alice", policy()), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    verify(&mut alice, "bob");
    let pending = add(&mut bob, &mut device_of("bob", "laptop"));

    let [_, received] = no_longer_verified(&mut bob, pending, &mut alice);

    assert_eq!(received, ["bob"]);
    assert!(verified(&mut alice).is_empty());
    // The removal of the device does not verify Bob again, because another device was in the group.
    let removal = bob.group(&group()).unwrap().remove(&[DeviceId::new("bob", "laptop").unwrap()]).unwrap();
    accept(&mut bob, removal, &mut [&mut alice]);
    drop(alice);
    let mut alice = reopen(&store);
    assert!(verified(&mut alice).is_empty());
    verify(&mut alice, "bob");
    assert_eq!(verified(&mut alice), ["bob"]);
}

#[test]
fn a_new_key_ends_the_verification_of_its_user() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();

    let [_, received] = no_longer_verified(&mut bob, rotation, &mut alice);

    assert_eq!(received, ["bob"]);
    assert!(verified(&mut alice).is_empty());
}

#[test]
fn an_own_commit_also_reports_ended_verifications() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");
    let pending = add(&mut alice, &mut device_of("bob", "laptop"));

    let [own, _] = no_longer_verified(&mut alice, pending, &mut bob);

    assert_eq!(own, ["bob"]);
    assert!(verified(&mut alice).is_empty());
}

#[test]
fn two_new_devices_of_a_user_are_reported_once() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");
    let newcomers = ["laptop", "tablet"].map(|name| key_package(&mut device_of("bob", name)));
    let pending = bob.group(&group()).unwrap().add(&newcomers, NOW).unwrap();

    let [_, received] = no_longer_verified(&mut bob, pending, &mut alice);

    assert_eq!(received, ["bob"]);
}

#[test]
fn commits_without_new_keys_of_the_user_end_no_verification() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");

    let pending = bob.group(&group()).unwrap().update().unwrap();
    assert_eq!(no_longer_verified(&mut bob, pending, &mut alice), [vec![], Vec::<UserId>::new()]);
    let pending = add(&mut alice, &mut client("carol"));
    assert_eq!(no_longer_verified(&mut alice, pending, &mut bob), [vec![], Vec::<UserId>::new()]);
    let rotation = alice.group(&group()).unwrap().rotate_signature_key().unwrap();
    assert_eq!(no_longer_verified(&mut alice, rotation, &mut bob), [vec![], Vec::<UserId>::new()]);
    let rejoin = bob.join_external(&group_info(&mut alice)).unwrap();
    assert_eq!(no_longer_verified(&mut bob, rejoin, &mut alice), [vec![], Vec::<UserId>::new()]);

    assert_eq!(verified(&mut alice), ["bob"]);
}

#[test]
fn a_rejoin_reports_verifications_that_ended_in_the_meantime() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
    bob.confirm(rotation, NOW).unwrap();

    let rejoin = alice.join_external(&group_info(&mut bob)).unwrap();
    let [own, _] = no_longer_verified(&mut alice, rejoin, &mut bob);

    assert_eq!(own, ["bob"]);
    assert!(verified(&mut alice).is_empty());
}

#[test]
fn a_verification_applies_to_all_groups_with_the_same_keys() {
    let (mut alice, mut bob) = pair();
    verify(&mut alice, "bob");
    let other = GroupId::new("other").unwrap();

    let same = key_package(&mut bob);
    let pending = alice.create_group(other.clone(), NOW).unwrap().add(&[same], NOW).unwrap();
    assert!(alice.confirm(pending, NOW).unwrap().no_longer_verified.is_empty());
    assert_eq!(alice.group(&other).unwrap().verified_users().unwrap(), ["bob"]);

    let laptop = key_package(&mut device_of("bob", "laptop"));
    let pending = alice.group(&other).unwrap().add(&[laptop], NOW).unwrap();
    assert_eq!(alice.confirm(pending, NOW).unwrap().no_longer_verified, ["bob"]);
    assert!(verified(&mut alice).is_empty(), "an unknown device claims to be Bob's");

    // Bob is verified in both groups after Alice has compared the numbers of both.
    verify(&mut alice, "bob");
    assert!(alice.group(&other).unwrap().verified_users().unwrap().is_empty());
    let compared = alice.group(&other).unwrap().safety_number(&user_id("bob")).unwrap();
    alice.group(&other).unwrap().verify_user(&user_id("bob"), &compared).unwrap();
    verify(&mut alice, "bob");
    assert_eq!(alice.group(&other).unwrap().verified_users().unwrap(), ["bob"]);
    assert_eq!(verified(&mut alice), ["bob"]);
}

#[test]
fn a_returning_device_with_a_known_key_is_not_reported() {
    let (mut alice, mut bob, mut laptop) = (client("alice"), client("bob"), device_of("bob", "laptop"));
    make_group(&mut [&mut alice, &mut bob]);
    verify(&mut alice, "bob");
    let other = GroupId::new("other").unwrap();
    laptop.create_group(other.clone(), NOW).unwrap();
    let info = laptop.group(&other).unwrap().group_info().unwrap();
    let pending = alice.join_external(&info).unwrap();
    laptop.receive(pending.commit(), NOW).unwrap();
    assert_eq!(alice.confirm(pending, NOW).unwrap().no_longer_verified, ["bob"], "the new device is reported once");
    verify(&mut alice, "bob");

    let info = alice.group(&other).unwrap().group_info().unwrap();
    let rejoin = laptop.join_external(&info).unwrap();
    let ReceivedEvent::Commit(change) = alice.receive(rejoin.commit(), NOW).unwrap().event else {
        panic!("not a commit")
    };

    assert!(change.no_longer_verified.is_empty());
    assert_eq!(verified(&mut alice), ["bob"]);
}

#[test]
fn a_commit_that_could_not_be_written_ends_no_verification() {
    let store = store::FaultyStore::new();
    let (mut alice, mut bob) = (client_over(&store, "alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    verify(&mut alice, "bob");
    let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();

    store.fail_writes();
    alice.receive(rotation.commit(), NOW).unwrap_err();
    store.heal();

    assert_eq!(verified(&mut alice), ["bob"]);
    let [_, received] = no_longer_verified(&mut bob, rotation, &mut alice);
    assert_eq!(received, ["bob"]);
}

#[test]
fn the_other_devices_of_the_own_user_can_be_verified() {
    let (mut phone, mut laptop) = (client("alice"), device_of("alice", "laptop"));
    make_group(&mut [&mut phone, &mut laptop]);
    let shown = number(&mut laptop, "alice");
    assert_eq!(shown, number(&mut phone, "alice"));

    verify(&mut phone, "alice");
    let rotation = phone.group(&group()).unwrap().rotate_signature_key().unwrap();
    phone.confirm(rotation, NOW).unwrap();

    assert_eq!(verified(&mut phone), ["alice"], "a device's own new key ends no verification");
}

#[test]
fn the_members_of_an_epoch_share_a_code() {
    let (mut alice, mut bob) = pair();
    let code = |client: &mut Client| client.group(&group()).unwrap().code().unwrap();
    let before = code(&mut alice);
    assert_eq!(before, code(&mut bob));
    assert_eq!(before.digits().len(), 30);
    assert!(before.digits().bytes().all(|digit| digit.is_ascii_digit()));
    assert_eq!(before.to_string().split(' ').collect::<Vec<_>>().concat(), before.digits());

    let pending = bob.group(&group()).unwrap().update().unwrap();
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_ne!(code(&mut alice), before);
    assert_eq!(code(&mut alice), code(&mut bob));
}

/// Computes the value as `safety-numbers.md` in the book describes.
#[test]
fn the_code_matches_the_documented_computation() {
    let (mut alice, _) = pair();
    let authenticator = alice.group(&group()).unwrap().epoch_authenticator().unwrap();
    let hash = sha2::Sha256::digest([b"regrow group code 1", authenticator.as_bytes()].concat());
    let digits: String = hash[..30]
        .chunks(5)
        .map(|five| five.iter().fold(0, |number: u64, byte| number * 256 + u64::from(*byte)) % 100_000)
        .map(|number| format!("{number:05}"))
        .collect();

    assert_eq!(alice.group(&group()).unwrap().code().unwrap().digits(), digits);
}
