//! Each test plants a fault in a correct world, and the check for this fault finds it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regrow_engine::GroupId;

use super::{
    device::ReadStatus, fault_injection::NoFaults, matrix_recorder::MatrixRecorder, service_under_test::Endpoint,
    state::World, submission::Submission, thieves::Forgery,
};
use crate::{
    adversary::{Adversary, GroupAtTheft, StolenBytes, Thief, Traffic},
    report::{RunOptions, Transcript},
    scenario,
};

/// Alice makes a group with bob and carol and sends m1. Dave is no member.
const STEPS: &str = r#"
    { "create": { "by": "alice", "with": ["bob", "carol"] } },
    { "hold": { "id": "late", "for": "bob" } },
    { "send": { "by": "alice", "id": "m1" } },
    { "send": { "by": "alice", "id": "late" } },
    { "update": { "by": "carol" } },
    { "compromise": { "who": "bob", "id": "stolen" } }"#;
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;

/// Plays the steps, plants a fault, and returns the broken invariants.
#[track_caller]
fn found(fault: impl FnOnce(&mut World<'_>)) -> Vec<(String, String)> {
    found_with("", fault)
}

#[track_caller]
fn found_with(group: &str, fault: impl FnOnce(&mut World<'_>)) -> Vec<(String, String)> {
    let text = format!(
        r#"{{ "regrow": 1, "name": "n", "group": {{ {group} }}, "members": ["alice", "bob", "carol", "dave"],
             "steps": [ {STEPS} ] }}"#
    );
    let scenario = scenario::read(&text).unwrap();
    let mut transcript = Transcript::new("n", false);
    let endpoint = Endpoint::local(&NoFaults, None).unwrap();
    let options = RunOptions { seed: Some(1), ..RunOptions::default() };
    let mut world =
        World::new(&scenario, &options, &mut transcript, &NoFaults, endpoint, Some(MatrixRecorder::default())).unwrap();
    assert_eq!(world.play(&scenario), [], "it runs well");
    assert_eq!(world.invariants(), [], "nothing is wrong before the fault");
    fault(&mut world);
    world.invariants().into_iter().map(|failure| (failure.expected, failure.seen)).collect()
}

/// The identifier of the group.
fn group() -> GroupId {
    GroupId::new("group").unwrap()
}

/// The members of each epoch of the group.
fn rosters<'w>(world: &'w mut World<'_>) -> &'w mut Vec<BTreeSet<usize>> {
    &mut world.service.groups.get_mut(&group()).unwrap().rosters
}

fn release_late(world: &mut World<'_>) {
    let delivery = scenario::Delivery { id: scenario::MessageId::new("late"), to: None };
    world.delivery_rules.release(&delivery, world.devices.names());
    world.settle().unwrap();
}

#[track_caller]
fn assert_found(found: &[(String, String)], expected: &str, seen: &str) {
    assert!(found.iter().any(|(e, s)| e.contains(expected) && s.contains(seen)), "found: {found:#?}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_| {}), []);
    assert_eq!(found(release_late), []);
}

#[test]
fn message_that_never_came() {
    let found = found(|world| assert!(world.devices[BOB].read_status.remove(&0).is_some()));
    assert_found(&found, "bob has every message of its membership", "m1 was not delivered to it");
}

#[test]
fn message_that_an_outsider_has_read() {
    let found = found(|world| assert!(world.devices[DAVE].read_status.insert(0, ReadStatus::Read).is_none()));
    assert_found(&found, "an epoch in which dave was not a member", "dave reads m1, of epoch 1");
}

/// A replay that claims to read every message.
struct Omniscient(BTreeSet<usize>);

impl Adversary for Omniscient {
    fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic> {
        self.0.extend(traffic.iter().filter_map(|entry| entry.message));
        Vec::new()
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.0
    }
}

/// A replay that claims to read no message.
struct Blind(BTreeSet<usize>);

impl Adversary for Blind {
    fn observe(&mut self, _: &[Traffic]) -> Vec<Traffic> {
        Vec::new()
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.0
    }
}

/// A thief with bob's device, which still has the key of the late message. The thief claims the
/// device of this member.
fn thief(world: &World<'_>, device: usize, replay: impl Adversary + 'static) -> Thief {
    Thief {
        id: scenario::CompromiseId::new("magic"),
        who: world.devices[device].name.clone(),
        device,
        scope: scenario::TheftScope::Device,
        groups: [(group(), GroupAtTheft { epoch: 2, device_epoch: Some(2) })].into(),
        entered: BTreeMap::new(),
        time: 0,
        messages: 2,
        number: world.devices.len() + world.thieves.len(),
        stolen: StolenBytes::all_of(&world.devices[BOB].client.snapshot().unwrap()),
        holdings: world.recorder.facts.holdings(BOB),
        replay: Box::new(replay),
        seen: 0,
        answers: None,
    }
}

#[test]
fn thief_that_reads_what_its_victim_was_no_member_for() {
    let found = found_with(r#""past_epochs": 1"#, |world| {
        let thief = thief(world, DAVE, Blind(BTreeSet::new()));
        world.thieves.push(thief, None);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_found(&found, "an epoch in which dave was not a member", "the thief of magic reads late, of epoch 1");
}

#[test]
fn thief_whose_device_is_in_the_last_epoch_has_not_healed() {
    found_with(r#""past_epochs": 1"#, |world| {
        let thief = thief(world, BOB, Blind(BTreeSet::new()));
        world.thieves.push(thief, None);
        let figures = world.figures().compromises.pop().unwrap();
        assert_eq!((figures.exposed_before, figures.exposed_after, figures.healed_after), (1, 0, None));
    });
}

#[test]
fn engine_that_reads_what_does_not_follow() {
    let found = found(|world| {
        let thief = thief(world, BOB, Omniscient(BTreeSet::new()));
        world.thieves.push(thief, None);
    });
    assert_found(&found, "m1 is read by the engine only if its key follows", "its key does not follow");
}

#[test]
fn secret_that_the_oracle_knows_nothing_of() {
    let found = found_with(r#""past_epochs": 1"#, |world| {
        let thief = thief(world, BOB, Blind(BTreeSet::new()));
        world.thieves.push(Thief { holdings: world.recorder.facts.holdings(DAVE), ..thief }, None);
    });
    assert_found(&found, "for the thief of magic, late cannot be read", "message secrets -> ");
}

#[test]
fn secret_that_the_oracle_expects_and_is_not_there() {
    let found = found_with(r#""past_epochs": 1"#, |world| {
        let thief = thief(world, BOB, Blind(BTreeSet::new()));
        world.thieves.push(Thief { stolen: Vec::new(), ..thief }, None);
    });
    assert_found(&found, "for the thief of magic, late can be read", "its key does not follow from the stolen bytes");
}

#[test]
fn member_that_has_gone_its_own_way() {
    let found = found(|world| {
        let group = group();
        let client = &mut world.devices[BOB].client;
        let pending = client.group(&group).unwrap().update().unwrap();
        client.confirm(pending, world.clock.now()).unwrap();
    });
    assert_found(&found, "bob is in epoch 2, like the service", "bob is in epoch 3");
    assert_found(&found, "all online members hold the same epoch authenticator", "alice, carol / bob");
}

#[test]
fn members_that_disagree_in_the_same_epoch() {
    let found = found(|world| {
        let group = group();
        for member in [ALICE, BOB] {
            let client = &mut world.devices[member].client;
            let pending = client.group(&group).unwrap().update().unwrap();
            client.confirm(pending, world.clock.now()).unwrap();
        }
        let roster = world.service.roster(&group);
        rosters(world).push(roster);
        world.devices[CAROL].online = false;
    });
    assert_eq!(found.len(), 1, "the epochs are the same: {found:#?}");
    assert_found(&found, "the same epoch authenticator", "there are 2 states");
}

#[test]
fn member_that_misses_a_commit() {
    let found = found(|world| {
        world.devices[BOB].online = false;
        let commit = world.make_commit(ALICE, |client| client.group(&group())?.update()).unwrap();
        world.carry_through(ALICE, Submission::Commit(commit)).unwrap();
        world.settle().unwrap();
        world.devices[BOB].online = true;
    });
    assert_found(&found, "bob is in epoch 3, like the service", "bob is in epoch 2");
}

#[test]
fn member_that_has_lost_its_state() {
    let found = found(|world| {
        let group = group();
        world.devices[CAROL].client.forget(&group).unwrap();
    });
    assert_found(&found, "carol is in epoch 2, like the service", "carol is not in the group");
}

#[test]
fn roster_that_is_not_the_members() {
    let found = found(|world| {
        rosters(world).last_mut().unwrap().insert(DAVE);
        world.devices[DAVE].online = false;
    });
    assert_found(&found, "alice and the service see the same members", "they do not");
}

#[test]
fn commits_that_make_no_epoch_or_two() {
    let found = found(|world| {
        world.service.begin_epoch(&group(), &world.devices, &mut world.recorder).unwrap();
        rosters(world).pop();
    });
    assert_found(&found, "one commit makes one epoch", "in epoch 2 after 3 commits");
}

#[test]
fn message_that_is_read_twice() {
    let found = found(|world| {
        let before = world.devices[BOB].checkpoint();
        let held = world.devices[BOB].inbox.clone();
        release_late(world);
        // Bob goes back to the state with the key of the late message, and gets the message again.
        world.devices[BOB].go_back(&before).unwrap();
        world.devices[BOB].inbox = held;
        world.settle().unwrap();
    });
    // Without past epochs the message is too late to read, so the next world keeps one.
    assert_eq!(found, []);
    let found = found_with(r#""past_epochs": 1"#, |world| {
        let before = world.devices[BOB].checkpoint();
        let held = world.devices[BOB].inbox.clone();
        release_late(world);
        world.devices[BOB].go_back(&before).unwrap();
        world.devices[BOB].inbox = held;
        world.settle().unwrap();
    });
    assert_found(&found, "bob: delivery of the message late: it is unreadable", "read");
}

#[test]
fn past_epoch_that_is_kept_for_longer_than_the_policy_says() {
    let found = found_with(r#""past_epochs": 1"#, |world| {
        Arc::make_mut(&mut world.devices[BOB].policy).past_epochs = 0;
        release_late(world);
    });
    assert_found(&found, "bob: delivery of the message late: it is unreadable, because its keys are erased", "read");
}

#[test]
fn past_epoch_that_is_dropped_before_the_policy_says() {
    let found = found(|world| {
        Arc::make_mut(&mut world.devices[BOB].policy).past_epochs = 1;
        release_late(world);
    });
    assert_found(&found, "bob: delivery of the message late: the device reads it", "ignored: its keys are gone");
}

#[test]
fn text_that_is_not_what_was_sent() {
    let found = found_with(r#""past_epochs": 1"#, |world| {
        world.service.sent.list[1].text.push(b'!');
        release_late(world);
    });
    assert_found(&found, "bob: delivery of the message late: the device reads the sent text", "read");
}

#[test]
fn delivery_that_cannot_be_processed() {
    let found = found(|world| {
        let commit = world.make_commit(ALICE, |client| client.group(&group())?.update()).unwrap();
        let before = world.devices[BOB].cursor;
        world.carry_through(ALICE, Submission::Commit(commit)).unwrap();
        world.deliver_to(BOB).unwrap();
        assert!(world.devices[BOB].cursor > before);
        let commit = world.make_commit(ALICE, |client| client.group(&group())?.update()).unwrap();
        world.carry_through(ALICE, Submission::Commit(commit)).unwrap();
        let commit = world.make_commit(ALICE, |client| client.group(&group())?.update()).unwrap();
        // Bob does not get the second commit, and then gets the third.
        world.devices[BOB].cursor.0 += 1;
        world.carry_through(ALICE, Submission::Commit(commit)).unwrap();
        world.settle().unwrap();
    });
    assert_found(&found, "bob: delivery of the commit", "error: the message is of epoch 4");
}

/// The forged entry is alice's own message here, so her engine takes it for its own.
#[test]
fn member_that_does_not_notice_a_thief() {
    let found = found(|world| {
        let entry = regrow_delivery_service::Sequence(world.service.last_sequence(&group()).0 + 1);
        let thief = scenario::CompromiseId::new("stolen");
        world.thieves.forged.insert(&group(), entry, Forgery { thief, device: ALICE });
        let message = world.make_message(&group(), ALICE, scenario::MessageId::new("m2"), b"m2".to_vec()).unwrap();
        world.carry_through(ALICE, message).unwrap();
        world.settle().unwrap();
    });
    let expected = "alice: delivery of the message m2: the device notices that another device acts in its name";
    assert_found(&found, expected, "its own");
}

/// The commit is alice's own, so no device is locked out by it.
#[test]
fn member_that_falls_behind_after_a_thiefs_message() {
    let found = found(|world| {
        world.devices[BOB].in_group(&group()).lost = true;
        world.devices[BOB].online = false;
        let commit = world.make_commit(ALICE, |client| client.group(&group())?.update()).unwrap();
        world.carry_through(ALICE, Submission::Commit(commit)).unwrap();
        world.settle().unwrap();
        world.devices[BOB].online = true;
    });
    assert_found(&found, "bob is in epoch 3, like the service", "bob is in epoch 2");
}

#[test]
fn crash_that_never_happened() {
    let found = found(|world| world.devices[BOB].arm(scenario::CrashPoint::DuringWrite));
    assert_found(&found, "bob's process dies at `during_write`", "no operation reached that point");
}
