//! Deliveries to devices: their first and last entry, their order, and their deletion.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    Cursor,
    DeliveryKind::{Commit, Message, Welcome},
    DeviceId, GroupId,
    HandshakeMode::{Assisted, Opaque},
    Limits, Sequence,
};

fn id(name: &str) -> DeviceId {
    device(name)
}

#[test]
fn a_joiner_reads_its_welcome_and_others_read_the_commit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let carol = Client::new("carol");
    say(&service, &mut members[0], "before carol");
    let add = members[0].commit(&[carol.claimed_by(&service, &device("alice"))], &[]);
    accept(&service, &add);
    members[0].confirm();
    say(&service, &mut members[0], "with carol");

    assert_eq!(kinds(&stream(&service, &id("alice"))), [Commit, Message, Commit, Message]);
    assert_eq!(kinds(&stream(&service, &id("bob"))), [Welcome, Message, Commit, Message]);
    let carols = stream(&service, &carol.id);
    assert_eq!(kinds(&carols), [Welcome, Message]);
    assert_eq!(carols[0].bytes, add.welcome.unwrap());
    let mut carol = carol.join(&carols[0].bytes, Assisted);
    assert_eq!(carol.receive(&carols[1].bytes).as_deref(), Some("with carol"));
}

#[test]
fn a_removed_device_reads_up_to_its_removal() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "with bob");
    let remove = members[0].commit(&[], &[&id("bob")]);
    accept(&service, &remove);
    members[0].confirm();
    say(&service, &mut members[0], "without bob");

    let bobs = stream(&service, &id("bob"));
    assert_eq!(kinds(&bobs), [Welcome, Message, Commit]);
    assert_eq!(bobs[2].bytes, remove.commit);
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice"]));
}

#[test]
fn a_device_added_again_has_two_memberships() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let remove = members[0].commit(&[], &[&id("bob")]);
    accept(&service, &remove);
    members[0].confirm();
    say(&service, &mut members[0], "in between");
    let bob = Client::new("bob");
    let add = members[0].commit(&[bob.claimed_by(&service, &device("alice"))], &[]);
    accept(&service, &add);
    members[0].confirm();
    say(&service, &mut members[0], "welcome back");

    assert_eq!(kinds(&stream(&service, &id("bob"))), [Welcome, Commit, Welcome, Message]);
}

#[test]
fn a_replaced_device_reads_its_new_welcome_once() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bob = Client::new("bob");
    let swap = members[0].commit(&[bob.claimed_by(&service, &device("alice"))], &[&id("bob")]);
    accept(&service, &swap);
    members[0].confirm();
    say(&service, &mut members[0], "hello again");

    let bobs = stream(&service, &id("bob"));
    assert_eq!(kinds(&bobs), [Welcome, Welcome, Message]);
    let mut bob = bob.join(&bobs[1].bytes, Assisted);
    assert_eq!(bob.receive(&bobs[2].bytes).as_deref(), Some("hello again"));
}

#[test]
fn an_external_joiner_begins_with_its_own_commit() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "before carol");
    let info = service.group_info(&room()).unwrap().unwrap();
    let (mut carol, join) = Client::new("carol").join_externally(&info, Assisted);
    accept(&service, &join);
    say(&service, &mut carol, "hello");

    let carols = stream(&service, &id("carol"));
    assert_eq!(kinds(&carols), [Commit, Message]);
    assert_eq!(carols[0].bytes, join.commit);
}

#[test]
fn one_stream_carries_all_groups_in_the_order_of_acceptance() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let other = GroupId::new("other").unwrap();
    let mut alice = Client::new("alice").create_unregistered(&other, Assisted);
    service.create_group(&other, &id("alice"), Assisted, &alice.group_info(), NOW).unwrap();
    for turn in 0..3 {
        say(&service, &mut members[0], &format!("room {turn}"));
        let message = alice.send(&format!("other {turn}"));
        service.submit_message(&other, &id("alice"), &message, NOW).unwrap();
    }

    let alices = stream(&service, &id("alice"));
    let groups: Vec<_> = alices.iter().map(|delivery| delivery.group.to_string()).collect();
    assert_eq!(groups, ["room", "room", "other", "room", "other", "room", "other"]);
    assert!(alices.is_sorted_by(|a, b| a.cursor < b.cursor));
    assert_eq!(stream(&service, &id("bob")).len(), 4);
    assert_eq!(alices[2].receipt.sequence, Sequence(1), "the groups share one sequence");
}

#[test]
fn pages_of_any_size_give_the_same_deliveries() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let other = GroupId::new("other").unwrap();
    let mut bob = Client::new("bob").create_unregistered(&other, Assisted);
    service.create_group(&other, &id("bob"), Assisted, &bob.group_info(), NOW).unwrap();
    for turn in 0..6 {
        let message = bob.send(&format!("other {turn}"));
        service.submit_message(&other, &id("bob"), &message, NOW).unwrap();
        say(&service, &mut members[1], &format!("room {turn}"));
    }
    let all = stream(&service, &id("bob"));
    assert_eq!(all.len(), 13);
    for size in 1..=14 {
        let (mut read, mut after) = (Vec::new(), Cursor::START);
        loop {
            let page = service.read(&id("bob"), after, size).unwrap();
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = last.cursor;
            read.extend(page);
        }
        assert_eq!(read, all, "in pages of {size}");
    }
    assert_eq!(service.read(&id("bob"), Cursor::START, 0).unwrap(), []);
    assert_eq!(service.read(&id("bob"), Cursor(u64::MAX), 10).unwrap(), []);
}

#[test]
fn a_page_of_large_messages_is_cut_short_and_continued() {
    let service = service();
    let mut members = group_of(&service, Opaque, &["alice", "bob"]);
    let large = "x".repeat(250_000);
    for _ in 0..6 {
        say(&service, &mut members[0], &large);
    }
    let first = stream(&service, &id("bob"));
    assert_eq!(kinds(&first), [Welcome, Message, Message, Message, Message]);
    let rest = service.read(&id("bob"), first[4].cursor, usize::MAX).unwrap();
    assert_eq!(kinds(&rest), [Message, Message]);
}

#[test]
fn a_small_entry_does_not_overtake_a_large_one() {
    let service = service();
    let mut large = Client::new("alice").create_unregistered(&group("a"), Opaque);
    let mut small = Client::new("alice").create_unregistered(&group("b"), Opaque);
    for (group, member) in [("a", &mut large), ("b", &mut small)] {
        service.create_group(&crate::common::group(group), &id("alice"), Opaque, &member.group_info(), NOW).unwrap();
    }
    for _ in 0..5 {
        for (group, member, text) in [("a", &mut large, "x".repeat(250_000)), ("b", &mut small, String::new())] {
            service.submit_message(&crate::common::group(group), &id("alice"), &member.send(&text), NOW).unwrap();
        }
    }
    let first = stream(&service, &id("alice"));
    let rest = service.read(&id("alice"), first.last().unwrap().cursor, usize::MAX).unwrap();
    assert_eq!((first.len(), rest.len()), (8, 2));
}

#[test]
fn entries_that_everyone_has_acknowledged_are_deleted() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "one");
    say(&service, &mut members[0], "two");
    let positions: Vec<_> = stream(&service, &id("bob")).iter().map(|delivery| delivery.cursor).collect();

    assert_eq!(
        service.acknowledge(&id("alice"), positions[2]).unwrap(),
        0,
        "an entry is deleted that bob has not acknowledged"
    );
    assert_eq!(stream(&service, &id("bob")).len(), 3);
    assert_eq!(service.acknowledge(&id("bob"), positions[1]).unwrap(), 2);
    assert_eq!(stream(&service, &id("alice")), [], "alice reads an entry that she has acknowledged");
    let left = stream(&service, &id("bob"));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].receipt.sequence, Sequence(3));
    assert_eq!(service.acknowledge(&id("bob"), positions[2]).unwrap(), 1);
    assert_eq!(stream(&service, &id("bob")), []);
    say(&service, &mut members[0], "three");
    assert_eq!(stream(&service, &id("bob"))[0].receipt.sequence, Sequence(4));
}

#[test]
fn a_removed_device_still_gets_its_earlier_entries() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "bob is offline");
    let remove = members[0].commit(&[], &[&id("bob")]);
    accept(&service, &remove);
    let end = stream(&service, &id("alice")).last().unwrap().cursor;

    assert_eq!(service.acknowledge(&id("alice"), end).unwrap(), 0);
    assert_eq!(stream(&service, &id("bob")).len(), 3);
    assert_eq!(service.acknowledge(&id("bob"), end).unwrap(), 3);
    assert_eq!(stream(&service, &id("alice")), []);
}

#[test]
fn nobody_acknowledges_for_another() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "one");
    for name in ["mallory", "alic", "alicebob"] {
        assert_eq!(service.acknowledge(&id(name), Cursor(u64::MAX)).unwrap(), 0);
    }
    assert_eq!(stream(&service, &id("bob")).len(), 2);
}

#[test]
fn an_acknowledgement_beyond_the_end_does_not_cover_later_entries() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    service.acknowledge(&id("bob"), Cursor(u64::MAX)).unwrap();
    say(&service, &mut members[0], "later");
    service.acknowledge(&id("alice"), Cursor(u64::MAX)).unwrap();
    assert_eq!(stream(&service, &id("bob")).len(), 1);
}

#[test]
fn entries_expire_unread_after_the_retention_time() {
    let limits = Limits { retention_seconds: 100, ..Limits::default() };
    let service = service_with(limits);
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bytes = say(&service, &mut members[0], "old");
    let young = members[0].send("young");
    service.submit_message(&room(), &id("alice"), &young, later(50)).unwrap();

    let expired = service.expire(later(99)).unwrap();
    assert_eq!((expired.entries, expired.remembered_outcomes), (0, 0));
    let expired = service.expire(later(100)).unwrap();
    assert_eq!((expired.entries, expired.remembered_outcomes), (2, 2));
    let left = stream(&service, &id("bob"));
    assert_eq!((left.len(), left[0].receipt.sequence), (1, Sequence(3)));
    assert_eq!(
        service.acknowledge(&id("bob"), left[0].cursor).unwrap(),
        0,
        "an entry is deleted that alice has not acknowledged"
    );
    assert_eq!(service.acknowledge(&id("alice"), left[0].cursor).unwrap(), 1);

    // The service has forgotten the old message, so the same bytes are a new submission.
    let outcome = service.submit_message(&room(), &id("alice"), &bytes, later(101)).unwrap();
    assert!(accepted(&outcome).is_some_and(|(sequence, _)| sequence == Sequence(4)));
}

#[test]
fn a_resubmission_is_recognized_after_its_entry_was_deleted() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let bytes = say(&service, &mut members[0], "hello");
    for name in ["alice", "bob"] {
        service.acknowledge(&id(name), Cursor(u64::MAX)).unwrap();
    }
    assert_eq!(stream(&service, &id("bob")), []);
    let outcome = service.submit_message(&room(), &id("alice"), &bytes, NOW).unwrap();
    assert!(accepted(&outcome).is_some_and(|(sequence, _)| sequence == Sequence(2)));
    assert_eq!(stream(&service, &id("bob")), []);
}

#[test]
fn a_full_log_loses_its_oldest_entries() {
    let service = service_with(Limits { max_queue_length: 3, ..Limits::default() });
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    for turn in 0..5 {
        say(&service, &mut members[0], &format!("{turn}"));
    }
    let sequences: Vec<_> = stream(&service, &id("bob")).iter().map(|delivery| delivery.receipt.sequence.0).collect();
    assert_eq!(sequences, [4, 5, 6]);
}

#[test]
fn a_stranger_reads_nothing() {
    let service = service();
    group_of(&service, Assisted, &["alice", "bob"]);
    for name in ["mallory", "alic", "alicea"] {
        assert_eq!(stream(&service, &id(name)), []);
    }
}
