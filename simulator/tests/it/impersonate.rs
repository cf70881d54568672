//! The actions of a thief in a member's name, their detection, and the steps that end them.

use std::sync::Arc;

use crate::common::{Run, run, run_on_threads, scenario, scenario_with, told};
use regrow_engine::{
    Client, DeviceId, Error, GroupId, MemoryStore, PendingCommit, Policy, Refusal, Timestamp, default_crypto,
};
use regrow_simulator::{
    adversary::{Adversary, Traffic, TrafficKind, replay::Replay},
    report::AuthenticationFigures,
};
use serde_json::{Value, json};

const MODES: [&str; 2] = ["assisted", "opaque"];

fn create() -> Value {
    json!({ "create": { "by": "alice", "with": ["bob", "carol"] } })
}

fn send(by: &str, id: &str) -> Value {
    json!({ "send": { "by": by, "id": id } })
}

fn update(by: &str) -> Value {
    json!({ "update": { "by": by } })
}

fn rotate(by: &str) -> Value {
    json!({ "update": { "by": by, "signature_key": true } })
}

fn steal(who: &str) -> Value {
    json!({ "compromise": { "who": who, "id": "stolen" } })
}

fn act(action: &str) -> Value {
    json!({ "impersonate": { "compromise": "stolen", "action": action } })
}

fn forge(id: &str) -> Value {
    json!({ "impersonate": { "compromise": "stolen", "action": "send", "id": id } })
}

fn thief(expect: Value) -> Value {
    let mut expect = expect;
    expect["compromise"] = json!("stolen");
    json!({ "expect": expect })
}

fn members(who: &[&str], expect: Value) -> Value {
    let mut expect = expect;
    expect["who"] = json!(who);
    json!({ "expect": expect })
}

fn accepted(expected: bool) -> Value {
    thief(json!({ "accepted": expected }))
}

fn detected(expected: bool) -> Value {
    thief(json!({ "detected": expected }))
}

/// Runs a scenario that has to pass, in both handshake modes.
#[track_caller]
fn passes(steps: &[Value]) -> Vec<Run> {
    let runs = MODES.map(|mode| {
        let run = run(&scenario_with(json!({ "handshake": mode }), &["alice", "bob", "carol", "dave"], steps));
        run.assert_passed(mode);
        run
    });
    runs.into()
}

/// The answers to the thief's attempts, in order.
fn outcomes(run: &Run) -> Vec<&str> {
    run.events("impersonated").map(|event| event["outcome"].as_str().unwrap()).collect()
}

fn who_noticed(run: &Run) -> Vec<(&str, &str)> {
    run.events("detected").map(|event| (event["by"].as_str().unwrap(), event["how"].as_str().unwrap())).collect()
}

#[test]
fn forged_message_is_read_by_all_and_the_owner_notices() {
    let runs = passes(&[
        create(),
        send("bob", "m1"),
        steal("bob"),
        forge("forged"),
        accepted(true),
        detected(true),
        members(&["alice", "carol"], json!({ "reads": ["m1", "forged"] })),
        members(&["bob"], json!({ "reads": "m1", "cannot_read": "forged" })),
        send("alice", "m2"),
        members(&["bob", "carol"], json!({ "reads": "m2" })),
    ]);
    for run in runs {
        assert_eq!(who_noticed(&run), [("bob", "cannot go on: its state is a copy")]);
        assert_eq!(run.outcome.figures.messages, 3);
    }
}

#[test]
fn owner_that_noticed_must_rejoin_before_it_acts() {
    passes(&[
        create(),
        steal("bob"),
        act("send"),
        send("bob", "m1"),
        json!({ "expect": { "fails": "lost" } }),
        rotate("bob"),
        json!({ "expect": { "fails": "lost" } }),
        update("alice"),
        json!({ "rejoin": { "who": "bob" } }),
        send("bob", "m2"),
        members(&["alice", "carol"], json!({ "reads": "m2" })),
        json!({ "expect": { "epoch": 3, "converged": true } }),
    ]);
}

/// Both use the key of the same generation (RFC 9420, 9.1). A member that reads one message cannot
/// read the other.
#[test]
fn only_the_first_message_of_a_generation_is_read() {
    let steps = [
        create(),
        steal("bob"),
        json!({ "hold": { "id": "forged", "for": "carol" } }),
        json!({ "offline": { "who": "carol" } }),
        send("bob", "own"),
        forge("forged"),
        members(&["alice"], json!({ "reads": "own", "cannot_read": "forged" })),
        json!({ "online": { "who": "carol" } }),
        json!({ "release": { "id": "forged" } }),
        update("alice"),
        members(&["carol"], json!({ "reads": "own", "cannot_read": "forged" })),
        accepted(true),
    ];
    passes(&steps);
}

#[test]
fn offline_owner_notices_when_it_returns() {
    for action in ["send", "commit", "rejoin"] {
        let runs = passes(&[
            create(),
            steal("bob"),
            json!({ "offline": { "who": "bob" } }),
            act(action),
            accepted(true),
            detected(false),
            json!({ "online": { "who": "bob" } }),
            detected(true),
        ]);
        for run in runs {
            let how =
                if action == "rejoin" { "removed by bob in epoch 2" } else { "cannot go on: its state is a copy" };
            assert_eq!(who_noticed(&run), [("bob", how)], "{action}");
        }
    }
}

#[test]
fn committing_thief_takes_the_owners_place() {
    for action in ["commit", "rejoin"] {
        let runs = passes(&[
            create(),
            steal("bob"),
            act(action),
            thief(json!({ "healed": false })),
            send("alice", "m1"),
            forge("forged"),
            update("carol"),
            send("carol", "m2"),
            thief(json!({ "reads": ["m1", "m2"], "accepted": true, "detected": true })),
            members(&["alice", "carol"], json!({ "reads": "forged" })),
            members(&["bob"], json!({ "cannot_read": ["m1", "forged", "m2"] })),
            json!({ "expect": { "members": ["alice", "bob", "carol"], "epoch": 3, "converged": true } }),
            json!({ "rejoin": { "who": "bob" } }),
            send("alice", "m3"),
            thief(json!({ "cannot_read": "m3" })),
            members(&["bob", "carol"], json!({ "reads": "m3" })),
            json!({ "expect": { "epoch": 4, "converged": true } }),
        ]);
        for run in runs {
            assert_eq!(run.thief().healed_after, Some(3), "{action}");
        }
    }
}

/// Handshakes in PrivateMessages have their own generations (RFC 9420, 9.1). The member has used
/// the generation of the thief's commit. Therefore nobody can process the commit, although the
/// service has ordered it. All members report this, and rejoin.
#[test]
fn opaque_commit_with_a_used_key_locks_everybody_out() {
    let steps = |then: &[Value]| {
        let propose = json!({ "propose": { "by": "bob", "update": true } });
        [&[create(), steal("bob"), propose, act("commit"), accepted(true), detected(true)], then].concat()
    };
    let everybody = ["alice", "bob", "carol"];
    let back = [
        send("alice", "m1"),
        json!({ "expect": { "fails": "lost" } }),
        json!({ "rejoin": { "who": everybody } }),
        send("alice", "m2"),
        members(&everybody, json!({ "reads": "m2" })),
        thief(json!({ "cannot_read": "m2" })),
        json!({ "expect": { "epoch": 5, "members": everybody, "converged": true } }),
    ];
    let opaque = run(&scenario_with(json!({ "handshake": "opaque" }), &everybody, &steps(&back)));
    opaque.assert_passed("opaque");
    let noticed: Vec<_> = who_noticed(&opaque).into_iter().map(|(by, _)| by).collect();
    assert_eq!(noticed, everybody);

    let only_bob = [send("alice", "m1"), members(&["carol"], json!({ "reads": "m1" }))];
    let assisted = run(&scenario_with(json!({ "handshake": "assisted" }), &everybody, &steps(&only_bob)));
    assisted.assert_passed("assisted");
    assert_eq!(who_noticed(&assisted), [("bob", "cannot go on: its state is a copy")]);
}

/// If the stolen device had read the proposal, its thief cannot open the commit with the same key.
/// An earlier thief can.
#[test]
fn commit_with_a_used_key_opens_only_with_that_key() {
    let steal_carol = |id: &str| json!({ "compromise": { "who": "carol", "id": id } });
    let expect = |id: &str, what: &str| json!({ "expect": { "compromise": id, what: "forged" } });
    let steps = [
        create(),
        steal_carol("early"),
        steal("bob"),
        json!({ "propose": { "by": "bob", "update": true } }),
        steal_carol("late"),
        act("commit"),
        forge("forged"),
        accepted(true),
        thief(json!({ "reads": "forged" })),
        expect("early", "reads"),
        expect("late", "cannot_read"),
    ];
    run(&scenario_with(json!({ "handshake": "opaque" }), &["alice", "bob", "carol"], &steps)).assert_passed("opaque");
}

#[test]
fn locked_out_owner_can_be_removed_and_added_again() {
    for action in ["commit", "rejoin"] {
        passes(&[
            create(),
            steal("bob"),
            act(action),
            json!({ "remove": { "by": "alice", "who": "bob" } }),
            act("rejoin"),
            accepted(false),
            json!({ "wait": "91d" }),
            json!({ "add": { "by": "alice", "who": "bob" } }),
            send("bob", "m1"),
            members(&["alice", "carol"], json!({ "reads": "m1" })),
            json!({ "expect": { "converged": true } }),
        ]);
    }
}

/// The first of three known facts: an update does not stop the thief.
#[test]
fn an_update_does_not_stop_reentry() {
    let runs = passes(&[
        create(),
        steal("bob"),
        update("bob"),
        act("send"),
        accepted(false),
        act("commit"),
        accepted(false),
        detected(false),
        send("alice", "m1"),
        act("rejoin"),
        accepted(true),
        detected(true),
        send("alice", "m2"),
        thief(json!({ "reads": "m2", "cannot_read": "m1" })),
    ]);
    for run in runs {
        assert_eq!(outcomes(&run), ["stale in epoch 2", "stale in epoch 2", "accepted"]);
        let expected = AuthenticationFigures { attempts: 3, accepted: 1, acted_until: Some(1), healed_after: None };
        assert_eq!(run.thief().authentication, Some(expected));
        // The device healed with its update. The thief then entered the present epoch by itself.
        assert_eq!(run.thief().healed_after, None);
    }
}

/// The second known fact: a new signature key stops the thief. The thief really makes the external
/// commit, with its own key, and the commit removes the leaf.
#[test]
fn a_new_signature_key_stops_reentry() {
    let suites = [
        "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
        "MLS_128_DHKEMP256_AES128GCM_SHA256_P256",
        "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
        "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519",
    ];
    for (mode, suite) in MODES.into_iter().flat_map(|mode| suites.map(|suite| (mode, suite))) {
        let group = json!({ "handshake": mode, "ciphersuite": suite });
        let steps = [create(), steal("bob"), rotate("bob"), act("rejoin"), accepted(false), detected(false)];
        let run = run(&scenario_with(group, &["alice", "bob", "carol"], &steps));
        run.assert_passed(mode);
        let refused = "the delivery service refuses it: the leaf that is replaced has another signature key";
        assert_eq!(outcomes(&run), [refused], "{mode}, {suite}");
        assert!(run.events("impersonated").all(|event| event["sha256"].is_string()), "it was made");
        let expected = AuthenticationFigures { attempts: 1, accepted: 0, acted_until: None, healed_after: Some(1) };
        assert_eq!(run.thief().authentication, Some(expected));
    }
}

/// The third known fact: a removal stops the thief.
#[test]
fn removal_stops_reentry() {
    let runs = passes(&[
        create(),
        steal("bob"),
        json!({ "remove": { "by": "alice", "who": "bob" } }),
        act("send"),
        accepted(false),
        act("commit"),
        accepted(false),
        act("rejoin"),
        accepted(false),
        detected(false),
        json!({ "expect": { "members": ["alice", "carol"], "epoch": 2, "converged": true } }),
    ]);
    for run in runs {
        let refused = |why: &str| format!("the delivery service refuses it: {why}");
        assert_eq!(
            outcomes(&run),
            [
                refused("the sender is not a member"),
                refused("the sender is not a member"),
                refused("the sender was removed from the group, and has to be added again"),
            ]
        );
        assert_eq!(run.thief().authentication.unwrap().healed_after, Some(1));
    }
}

#[test]
fn removed_member_cannot_join_before_it_is_added_again() {
    passes(&[
        create(),
        json!({ "join": { "who": "dave" } }),
        json!({ "remove": { "by": "alice", "who": ["bob", "dave"] } }),
        json!({ "join": { "who": "dave" } }),
        json!({ "expect": { "fails": "removed" } }),
        json!({ "add": { "by": "carol", "who": "dave" } }),
        json!({ "rejoin": { "who": "dave" } }),
        json!({ "join": { "who": "bob" } }),
        json!({ "expect": { "fails": "removed" } }),
        json!({ "expect": { "members": ["alice", "carol", "dave"], "converged": true } }),
    ]);
}

#[test]
fn member_that_left_can_join_again_only_in_assisted_mode() {
    let steps = |back: &[Value]| {
        let steps =
            [create(), json!({ "leave": { "who": "bob" } }), update("alice"), json!({ "join": { "who": "bob" } })];
        [&steps[..], back].concat()
    };
    for (mode, back) in
        [("assisted", vec![send("bob", "m1")]), ("opaque", vec![json!({ "expect": { "fails": "removed" } })])]
    {
        let scenario = scenario_with(json!({ "handshake": mode }), &["alice", "bob", "carol"], &steps(&back));
        run(&scenario).assert_passed(mode);
    }
}

#[test]
fn thief_follows_others_and_acts_in_their_epoch() {
    let runs = passes(&[
        create(),
        steal("bob"),
        send("bob", "own"),
        update("alice"),
        json!({ "add": { "by": "carol", "who": "dave" } }),
        forge("forged"),
        accepted(true),
        members(&["alice", "carol", "dave"], json!({ "reads": "forged" })),
        act("commit"),
        accepted(true),
    ]);
    for run in runs {
        assert_eq!(run.thief().authentication.unwrap().acted_until, Some(2));
    }
}

/// The thief of a device outside of the group has only a name with which it can act.
#[test]
fn thief_of_an_outsider_can_only_join() {
    let runs = passes(&[
        create(),
        steal("dave"),
        act("send"),
        accepted(false),
        act("commit"),
        accepted(false),
        act("rejoin"),
        accepted(true),
        detected(false),
        json!({ "expect": { "members": ["alice", "bob", "carol", "dave"] } }),
    ]);
    for run in runs {
        assert!(outcomes(&run)[0].starts_with("it cannot make it: "), "{:?}", outcomes(&run));
    }
}

#[test]
fn two_thieves_of_one_device_replace_each_other() {
    let other = |action: &str| json!({ "impersonate": { "compromise": "other", "action": action } });
    let steps = [
        create(),
        steal("bob"),
        json!({ "compromise": { "who": "bob", "id": "other" } }),
        act("commit"),
        other("send"),
        json!({ "expect": { "compromise": "other", "accepted": false } }),
        other("rejoin"),
        json!({ "expect": { "compromise": "other", "accepted": true } }),
        act("send"),
        accepted(false),
        send("alice", "m1"),
        json!({ "expect": { "compromise": "other", "reads": "m1" } }),
        thief(json!({ "cannot_read": "m1" })),
    ];
    passes(&steps);
}

#[test]
fn the_same_scenario_and_seed_give_the_same_transcript() {
    let steps = [
        create(),
        steal("bob"),
        act("send"),
        act("commit"),
        act("rejoin"),
        json!({ "rejoin": { "who": "bob" } }),
        rotate("bob"),
        act("rejoin"),
    ];
    let scenario = scenario(&["alice", "bob", "carol"], &steps);
    let first = run_on_threads(1, &scenario);
    first.assert_passed("the scenario");
    assert_eq!(first.hash, run_on_threads(4, &scenario).hash);
}

/// OpenMLS stores waiting proposals in an order that depends on the machine. The thief's commit
/// uses the same fixed order as the members' commits.
#[test]
fn thiefs_commit_of_waiting_proposals_is_reproducible() {
    let propose = |by: &str| json!({ "propose": { "by": by, "update": true } });
    let propose_all = ["alice", "carol", "dave", "erin"].map(propose);
    let create = json!({ "create": { "by": "alice", "with": ["bob", "carol", "dave", "erin"] } });
    let steps = [&[create, steal("bob")], &propose_all[..], &[act("commit"), accepted(true)]].concat();
    let scenario = scenario(&["alice", "bob", "carol", "dave", "erin"], &steps);
    let first = run(&scenario);
    first.assert_passed("the scenario");
    for _ in 0..3 {
        assert_eq!(first.hash, run(&scenario).hash);
    }
}

#[test]
fn failed_expectations_of_a_thief_are_reported() {
    let told_of = |expect: Value, before: &[Value]| {
        let steps = [&[create(), steal("bob")], before, &[thief(expect)]].concat();
        let run = run(&scenario(&["alice", "bob", "carol"], &steps));
        let [failure] = run.outcome.failures.as_slice() else { panic!("{}", told(&run.outcome.failures)) };
        (failure.expected.clone(), failure.seen.clone())
    };
    let text = |expected: &str, seen: &str| (expected.to_owned(), seen.to_owned());
    let refused = [update("bob"), act("send")];
    assert_eq!(
        told_of(json!({ "accepted": false }), &[act("send")]),
        text("the last action of the thief of stolen is not accepted", "it is accepted")
    );
    assert_eq!(
        told_of(json!({ "accepted": true }), &refused),
        text("the last action of the thief of stolen is accepted", "it is not accepted")
    );
    assert_eq!(
        told_of(json!({ "detected": false }), &[act("send")]),
        text("nobody has noticed the thief of stolen", "somebody has noticed")
    );
    assert_eq!(
        told_of(json!({ "detected": true }), &refused),
        text("somebody has noticed the thief of stolen", "nobody has noticed")
    );
}

const NOW: Timestamp = Timestamp(1_800_000_000);

fn policy() -> Policy {
    Policy { clock_skew: NOW.0, reading_delay: 200 * 365 * 24 * 60 * 60, ..Policy::default() }
}

/// Alice's group with Bob in it, and a copy of Bob's device.
fn stolen_pair() -> (Client, Client, Replay) {
    let device = |user: &str| {
        let id = DeviceId::new(user, "phone").unwrap();
        Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy()).unwrap()
    };
    let (mut alice, mut bob) = (device("alice"), device("bob"));
    let key_packages = bob.key_packages(1, NOW).unwrap();
    let pending = alice.create_group(GroupId::new("chat").unwrap(), NOW).unwrap().add(&key_packages, NOW).unwrap();
    let welcome = pending.welcome().unwrap().to_vec();
    alice.confirm(pending, NOW).unwrap();
    bob.join(&welcome, NOW).unwrap();
    let thief = Replay::new(&bob.snapshot().unwrap(), default_crypto(), policy()).unwrap();
    (alice, bob, thief)
}

fn ordered(pending: PendingCommit, by: &mut Client, others: &mut [&mut Client], thief: &mut Replay) {
    for other in others {
        other.receive(pending.commit(), NOW).unwrap();
    }
    let (group, epoch) = (pending.group(), pending.epoch().0);
    let commit = Traffic::new(group, TrafficKind::Commit, epoch, None, pending.commit());
    thief.observe(&[commit.sent_by(by.device())]);
    by.confirm(pending, NOW).unwrap();
}

/// The delivery service also asks for the leaf's key. But the service could help the thief, so
/// members check the key, too.
#[test]
fn members_refuse_an_external_commit_without_the_leafs_signature_key() {
    let (mut alice, mut bob, mut thief) = stolen_pair();
    let chat = GroupId::new("chat").unwrap();
    let rotation = bob.group(&chat).unwrap().rotate_signature_key().unwrap();
    ordered(rotation, &mut bob, &mut [&mut alice], &mut thief);

    let forged = thief.rejoin(&chat, &alice.group(&chat).unwrap().group_info().unwrap()).unwrap().pending;

    assert_eq!(forged.removed().collect::<Vec<_>>(), [bob.device()]);
    for member in [&mut alice, &mut bob] {
        let refusal = member.receive(forged.commit(), NOW).unwrap_err();
        let expected = Refusal::SignatureKeyChanged { device: DeviceId::new("bob", "phone").unwrap() };
        assert!(matches!(&refusal, Error::Refused(refusal) if *refusal == expected), "{refusal}");
    }
    assert_eq!(alice.group(&chat).unwrap().epoch().unwrap().0, 2);
}

/// With the leaf's key, nobody can distinguish the thief from the member that comes back. The
/// commit is made in the same way.
#[test]
fn members_accept_an_external_commit_with_the_leafs_signature_key() {
    let (mut alice, mut bob, mut thief) = stolen_pair();
    let chat = GroupId::new("chat").unwrap();
    let update = bob.group(&chat).unwrap().update().unwrap();
    ordered(update, &mut bob, &mut [&mut alice], &mut thief);

    let forged = thief.rejoin(&chat, &alice.group(&chat).unwrap().group_info().unwrap()).unwrap();
    alice.receive(forged.pending.commit(), NOW).unwrap();
    thief.ordered(forged).unwrap();

    let (_, message) = thief.send(&chat, b"it is me").unwrap();
    assert!(alice.receive(&message, NOW).is_ok());
}
