//! The protocols beside the engine's: byte laws, and `regrow compare`.

use std::{collections::BTreeMap, fs, path::Path};

use regrow_simulator::{
    cost::Operation,
    model,
    report::{RunOutcome, comparison::ProtocolTotals, costs::CostTable},
    scenario::{Protocol, Scenario, read},
};
use serde_json::{Value, json};

use crate::common::{program::regrow, told};

/// A SignalMessage with 32 bytes of text, padded to 128: the version, the ratchet key, two counters,
/// nine blocks of AES-CBC, and the MAC.
const MESSAGE: u64 = 1 + 35 + 4 + (3 + 144) + 8;

/// A PreKeySignalMessage around it.
const PREKEY_MESSAGE: u64 = 1 + 3 + 5 + 5 + 35 + 35 + (3 + MESSAGE);

/// A SenderKeyMessage with the same text.
const SENDER_KEY_MESSAGE: u64 = 1 + 18 + 6 + 2 + (3 + 144) + 64;

fn scenario(protocol: Protocol, members: u64, group: &Value, steps: &Value) -> Scenario {
    let file = json!({
        "regrow": 1, "name": "a baseline", "fidelity": "model", "protocol": protocol.name(), "group": group,
        "members": { "prefix": "m", "count": members }, "steps": steps,
    });
    read(&file.to_string()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[track_caller]
fn run(protocol: Protocol, members: u64, group: &Value, steps: &Value) -> RunOutcome {
    let scenario = scenario(protocol, members, group, steps);
    let outcome = model::run(&scenario, 0);
    assert!(outcome.failures.is_empty(), "{protocol:?}: {}", told(&outcome.failures));
    outcome
}

fn names(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(|number| format!("m{number}")).collect()
}

fn create(members: u64) -> Value {
    json!({ "create": { "by": "m1", "with": names(2, members) } })
}

fn send(by: u64, id: &str) -> Value {
    json!({ "send": { "by": format!("m{by}"), "id": id } })
}

fn update(by: u64) -> Value {
    json!({ "update": { "by": format!("m{by}") } })
}

fn remove(by: u64, who: u64) -> Value {
    json!({ "remove": { "by": format!("m{by}"), "who": format!("m{who}") } })
}

/// The rows of the costs, by the names of the columns.
fn rows(outcome: &RunOutcome) -> Vec<BTreeMap<String, String>> {
    let mut csv = Vec::new();
    let mut table = CostTable::begin(&mut csv).unwrap();
    table.write(Path::new("a.json"), "a baseline", 0, &outcome.costs).unwrap();
    table.finish().unwrap();
    csv::Reader::from_reader(csv.as_slice()).deserialize().map(Result::unwrap).collect()
}

fn traffic(outcome: &RunOutcome) -> (u64, u64, u64) {
    let traffic = outcome.figures.message_traffic;
    (traffic.uploaded_bytes, traffic.deliveries, traffic.delivered_bytes)
}

#[test]
fn only_protocols_with_a_group_state_lose_commits() {
    let steps = json!([create(8), { "race": [update(2), update(3), update(4)] }]);
    for protocol in Protocol::ALL {
        let outcome = run(protocol, 8, &json!({}), &steps);
        let contention = &outcome.figures.contention;
        let stateless = matches!(protocol, Protocol::SenderKeys | Protocol::Pairwise);
        let lost = if stateless { 0 } else { 2 };
        assert_eq!((contention.commits, contention.lost), (4 + lost, lost), "{protocol:?}");
        assert_eq!(contention.wasted_bytes > 0, lost > 0, "{protocol:?}");
        assert_eq!(contention.wasted_operations.hpke_seals > 0, lost > 0, "{protocol:?}");
        // The losers commit again.
        assert_eq!(outcome.figures.epochs, 4, "{protocol:?}");
    }
}

#[test]
fn optional_paths_cost_the_same_where_each_commit_needs_a_path() {
    let group = json!({ "publish_group_info": true });
    let steps = json!([
        { "create": { "by": "m1" } },
        { "join": { "who": names(2, 9) } },
        update(4),
        send(5, "a"),
        { "propose": { "by": "m2", "update": true } },
        { "commit": { "by": "m3" } },
        remove(3, 6),
        { "rejoin": { "who": "m7" } },
        { "propose": { "by": "m2", "add": "m10" } },
        update(3),
    ]);
    let (mls, optional) = (run(Protocol::Mls, 10, &group, &steps), run(Protocol::MlsOptionalPaths, 10, &group, &steps));
    assert_eq!(mls, optional);
}

#[test]
fn commit_that_only_adds_has_no_path() {
    let steps = json!([create(8), { "add": { "by": "m3", "who": "m9" } }, update(2)]);
    let outcome = run(Protocol::MlsOptionalPaths, 9, &json!({}), &steps);
    let rows = rows(&outcome);
    let cell = |row: usize, column: &str| rows[row][column].clone();
    // Create, commit, welcome, commit, welcome, commit.
    assert_eq!(cell(1, "copath_resolution_sum"), "0");
    assert_eq!(cell(1, "committer_hpke_seals"), "7");
    assert_eq!(cell(1, "update_path_bytes"), "0");
    assert_eq!(cell(3, "committer_hpke_seals"), "1");
    assert_eq!((cell(3, "receivers"), cell(3, "receiver_hpke_opens_max")), ("7".to_owned(), "0".to_owned()));
    // All parents are blank, so an update seals to each other member.
    assert_eq!(cell(5, "copath_resolution_sum"), "8");
}

#[test]
fn pairwise_message_is_one_ciphertext_for_each_other_member() {
    for (members, messages) in [(2, 1), (5, 3), (40, 7)] {
        let mut steps = vec![create(members)];
        steps.extend((0..messages).map(|number| send(1, &number.to_string())));
        let outcome = run(Protocol::Pairwise, members, &json!({}), &json!(steps));
        let ciphertexts = messages * (members - 1);
        // Nobody has answered.
        let bytes = ciphertexts * PREKEY_MESSAGE;
        assert_eq!(traffic(&outcome), (bytes, ciphertexts, bytes));
        let costs: Vec<_> = outcome.figures.costs.values().collect();
        // The sender begins each session with five agreements, and its peer makes six.
        assert_eq!(costs.iter().map(|counts| counts.dh).sum::<u64>(), 11 * (members - 1));
        assert_eq!(costs.iter().map(|counts| counts.aead_seals).sum::<u64>(), ciphertexts);
        assert_eq!(costs.iter().map(|counts| counts.signatures).sum::<u64>(), 0);
    }
}

#[test]
fn pairwise_messages_shrink_with_the_first_answer() {
    let steps = json!([create(3), send(1, "a"), send(2, "b"), send(1, "c"), send(3, "d"), send(1, "e")]);
    let outcome = run(Protocol::Pairwise, 3, &json!({}), &steps);
    // a: two new sessions. b: an answer to m1, and a new session with m3. c: m2 has answered, m3 has
    // not. d: answers to both. e: both have answered.
    let bytes =
        2 * PREKEY_MESSAGE + (MESSAGE + PREKEY_MESSAGE) + (MESSAGE + PREKEY_MESSAGE) + 2 * MESSAGE + 2 * MESSAGE;
    assert_eq!(traffic(&outcome), (bytes, 10, bytes));
    let dh: u64 = outcome.figures.costs.values().map(|counts| counts.dh).sum();
    // Three sessions; steps: b at m1, c at m2, d at m1 and m2, e at m3.
    assert_eq!(dh, 3 * 11 + 5 * 2);
}

#[test]
fn changes_of_pairwise_groups_send_nothing() {
    let steps = json!([create(6), remove(1, 3), { "add": { "by": "m2", "who": "m7" } }, update(2)]);
    let outcome = run(Protocol::Pairwise, 7, &json!({}), &steps);
    let uploaded: Vec<_> = outcome.costs.iter().map(|entry| entry.service.uploaded).collect();
    // An update is an empty message to the five other members: one block, padded to none.
    let empty = 1 + 35 + 4 + (2 + 16) + 8;
    assert_eq!(uploaded, [0, 0, 0, 0, 5 * (1 + 3 + 5 + 5 + 35 + 35 + (2 + empty))]);
    let members: Vec<_> = rows(&outcome).iter().map(|row| row["members"].clone()).collect();
    assert_eq!(members, ["1", "6", "5", "6", "6"]);
}

#[test]
fn sender_keys_are_distributed_again_after_a_removal() {
    let send_first = run(Protocol::SenderKeys, 4, &json!({}), &json!([create(4), send(1, "a")]));
    // A key is a text of 96 bytes, which is padded to 128 like the text of a message.
    let first = 3 * PREKEY_MESSAGE;
    assert_eq!(traffic(&send_first), (first + SENDER_KEY_MESSAGE, 6, first + 3 * SENDER_KEY_MESSAGE));
    let steps = json!([
        create(4), send(1, "a"), send(1, "b"), { "add": { "by": "m1", "who": "m5" } }, send(1, "c"), remove(1, 2),
        send(1, "d"),
    ]);
    let outcome = run(Protocol::SenderKeys, 5, &json!({}), &steps);
    // b: no key. c: the newcomer gets the key. d: a new key for three members.
    let keys = first + PREKEY_MESSAGE + 3 * PREKEY_MESSAGE;
    let delivered = keys + (3 + 3 + 4 + 3) * SENDER_KEY_MESSAGE;
    assert_eq!(traffic(&outcome), (keys + 4 * SENDER_KEY_MESSAGE, 3 + 1 + 3 + 13, delivered));
    let made: u64 = outcome.figures.costs.values().map(|counts| counts.signature_keys).sum();
    assert_eq!(made, 2);
}

#[test]
fn split_commit_delivers_one_path_secret_to_each_member() {
    let steps = json!([create(32), update(9), update(20)]);
    let (mls, split) =
        (run(Protocol::Mls, 32, &json!({}), &steps), run(Protocol::SplitCommits, 32, &json!({}), &steps));
    for (mls, split) in mls.costs.iter().zip(&split.costs).filter(|(mls, _)| mls.path.is_some()) {
        assert_eq!(mls.path, split.path);
        assert_eq!(mls.receivers.devices(), split.receivers.devices());
    }
    let delivered = |outcome: &RunOutcome| outcome.costs.iter().map(|entry| entry.service.delivered).sum::<u64>();
    assert!(delivered(&split) < delivered(&mls));
    assert_eq!(traffic(&mls), traffic(&split));
}

#[test]
fn partial_clients_join_without_the_tree() {
    let steps = json!([create(64), send(1, "a"), update(1), { "add": { "by": "m5", "who": "m65" } }]);
    let (mls, partial) =
        (run(Protocol::Mls, 65, &json!({}), &steps), run(Protocol::PartialMls, 65, &json!({}), &steps));
    let (of_mls, of_partial) = (rows(&mls), rows(&partial));
    assert_eq!(of_mls[2]["joiner_verifications_max"], "65");
    assert_eq!(of_partial[2]["joiner_verifications_max"], "1");
    // A joiner hashes the group info, the reference and the transcript, and two proofs of seven nodes.
    assert_eq!(of_partial[2]["joiner_hashes_max"], (3 + 2 * 7).to_string());
    // A receiver hashes the two transcripts and three proofs, and no tree.
    assert_eq!(of_partial[3]["receiver_hashes_max"], (2 + 3 * 7).to_string());
    let bytes = |row: &BTreeMap<String, String>, column: &str| row[column].parse::<u64>().unwrap();
    assert!(bytes(&of_partial[2], "joiner_welcome_bytes") < bytes(&of_mls[2], "joiner_welcome_bytes") / 4);
    // The commit itself is the same, and the annotations come on top.
    assert_eq!(of_partial[3]["commit_bytes"], of_mls[3]["commit_bytes"]);
    assert!(bytes(&of_partial[3], "delivered_bytes") > bytes(&of_mls[3], "delivered_bytes"));
    assert_eq!(of_partial[3]["deliveries"], of_mls[3]["deliveries"]);
    // The second committer downloads the tree.
    assert_eq!(bytes(&of_partial[4], "deliveries"), bytes(&of_mls[4], "deliveries") + 1);
    assert!(traffic(&partial).2 > traffic(&mls).2);
}

#[test]
fn combiner_pays_for_the_second_session_only_in_full_commits() {
    let mut steps = vec![create(16)];
    steps.extend((0..50).map(|_| update(3)));
    steps.push(remove(1, 9));
    let (mls, combined) = (
        run(Protocol::Mls, 16, &json!({}), &json!(steps)),
        run(Protocol::AmortizedPqCombiner, 16, &json!({}), &json!(steps)),
    );
    let sizes = |outcome: &RunOutcome| outcome.costs.iter().filter_map(|entry| entry.bytes.commit).collect::<Vec<_>>();
    let is_full: Vec<_> = sizes(&mls).iter().zip(sizes(&combined)).map(|(mls, combined)| *mls < combined).collect();
    let full: Vec<_> = is_full.iter().enumerate().filter(|(_, full)| **full).map(|(number, _)| number).collect();
    // The creation, the fiftieth update, and the removal.
    assert_eq!(full, [0, 50, 51]);
    assert_eq!(traffic(&mls), traffic(&combined));
}

#[test]
fn tainted_treekem_makes_the_creator_refresh_the_whole_tree() {
    let steps = json!([create(16), update(1), update(2), update(1)]);
    let outcome = run(Protocol::TaintedTreekem, 16, &json!({}), &steps);
    let keys: Vec<_> = rows(&outcome).iter().map(|row| row["committer_key_pairs"].clone()).collect();
    // The creation, 31 nodes, the welcome, 31 nodes again, a path of five, and 31 without the leaf of
    // m2.
    assert_eq!(keys, ["2", "31", "", "31", "5", "30"]);
}

#[test]
fn more_members_never_cost_less() {
    for protocol in Protocol::ALL {
        let mut before = (0, 0, 0);
        for members in [2, 3, 8, 9, 33, 100] {
            let steps = json!([create(members), send(1, "a"), update(2), send(2, "b"), remove(1, 2), send(1, "c")]);
            let outcome = run(protocol, members, &json!({}), &steps);
            let totals = ProtocolTotals::of(protocol, &outcome);
            let now = (totals.handshake_uploaded, totals.message_delivered, totals.public_key_operations);
            assert!(before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2, "{protocol:?}: {before:?}, {now:?}");
            before = now;
        }
    }
}

#[test]
fn every_protocol_plays_a_churn() {
    let steps = json!([{ "churn": {
        "initial": 30, "epochs": 300, "joins": "4/d", "stay": { "exponential": { "mean": "8d" } },
        "messages": { "rate": "1/d" }, "updates": { "every": "5d" }, "commits": { "window": "2h" },
        "presence": { "online": "20h", "offline": "10h" },
    } }]);
    let mut counts = None;
    for protocol in Protocol::ALL {
        let figures = run(protocol, 400, &json!({}), &steps).figures;
        let now = (figures.members, figures.devices, figures.epochs, figures.messages);
        assert_eq!(*counts.get_or_insert(now), now, "{protocol:?}");
    }
}

#[test]
fn real_devices_have_only_mls() {
    let file = json!({
        "regrow": 1, "name": "a baseline", "protocol": "pairwise", "members": ["a"],
        "steps": [{ "create": { "by": "a" } }],
    });
    let problems = read(&file.to_string()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "protocol");
    assert!(problems[0].problem.contains("set `fidelity` to `model`"), "{}", problems[0].problem);
}

#[test]
fn compare_shows_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let file = json!({
        "regrow": 1, "name": "a comparison", "members": { "prefix": "m", "count": 20 },
        "steps": [create(20), send(1, "a"), update(2), send(2, "b")],
    });
    fs::write(folder.path().join("small.json"), file.to_string()).unwrap();
    let regrow = |arguments: &[&str]| regrow(arguments, folder.path());
    let output = regrow(&["compare", "small.json", "--csv", "out.csv"]);
    assert!(output.status.success(), "{output:?}");
    let (table, csv) =
        (String::from_utf8(output.stdout).unwrap(), fs::read_to_string(folder.path().join("out.csv")).unwrap());
    for protocol in Protocol::ALL {
        assert!(table.contains(protocol.name()), "{table}");
        assert!(csv.contains(protocol.name()), "{csv}");
    }
    assert_eq!(csv.lines().count(), 9);
    let again = regrow(&["compare", "small.json"]);
    assert_eq!(table, String::from_utf8(again.stdout).unwrap());

    let thief = json!({
        "regrow": 1, "name": "a theft", "members": ["m1"],
        "steps": [{ "create": { "by": "m1" } }, { "compromise": { "who": "m1", "id": "x" } }],
    });
    fs::write(folder.path().join("theft.json"), thief.to_string()).unwrap();
    let refused = regrow(&["compare", "theft.json"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("the cost model has no such step"), "{error}");
}

/// A history with every kind of step that the cost model has.
fn all_kinds_of_steps() -> Value {
    let mut steps = vec![
        json!({ "create": { "by": "m1" } }),
        json!({ "add": { "by": "m1", "who": names(2, 4) } }),
        json!({ "add": { "by": "m2", "who": names(5, 9) } }),
        send(1, "a"),
        send(2, "b"),
        send(1, "c"),
        json!({ "update": { "by": "m3", "signature_key": true } }),
        json!({ "propose": { "by": "m4", "update": true } }),
        json!({ "propose": { "by": "m4", "update": true } }),
        json!({ "propose": { "by": "m5", "add": "m10" } }),
        json!({ "propose": { "by": "m5", "remove": "m6" } }),
        json!({ "commit": { "by": "m2" } }),
        send(4, "d"),
        send(4, "e"),
        json!({ "join": { "who": "m11" } }),
        send(11, "f"),
        json!({ "offline": { "who": ["m7", "m8"] } }),
        remove(1, 3),
        send(1, "g"),
        json!({ "rejoin": { "who": "m9" } }),
        json!({ "add": { "by": "m10", "who": "m3" } }),
        send(3, "h"),
        send(2, "i"),
        json!({ "online": { "who": ["m7", "m8"] } }),
        json!({ "race": [
            { "add": { "by": "m2", "who": "m12" } }, { "remove": { "by": "m4", "who": "m5" } },
            { "update": { "by": "m1" } }, { "join": { "who": "m13" } },
        ] }),
        json!({ "leave": { "who": "m7" } }),
        json!({ "commit": { "by": "m8" } }),
        json!({ "propose": { "by": "m4", "add": "m14" } }),
        json!({ "update": { "by": "m4" } }),
    ];
    // One post-quantum commit for 50 updates, and none soon after it.
    steps.extend((0..53).map(|turn| update(if turn % 2 == 0 { 1 } else { 4 })));
    steps.push(remove(1, 4));
    steps.push(json!({ "update": { "by": "m1", "signature_key": true } }));
    steps.extend([send(1, "j"), send(9, "k"), send(1, "l")]);
    json!(steps)
}

/// The totals of a run: bytes, deliveries, contention, and the counts of the roles. Hashes are left
/// out, because a build without `--release` counts more of them.
fn totals(outcome: &RunOutcome) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows(outcome) {
        for (column, cell) in row {
            let is_count = ["_sum", "_bytes", "_max"].iter().any(|end| column.ends_with(end));
            if let (true, Ok(number)) = (is_count || column.starts_with("committer_"), cell.parse::<u64>()) {
                *all.entry(column).or_default() += number;
            }
        }
    }
    for (name, count) in outcome.figures.costs.values().flat_map(|counts| counts.named()) {
        *all.entry(format!("all operations: {name}")).or_default() += count;
    }
    let (uploaded, deliveries, delivered) = traffic(outcome);
    let contention = &outcome.figures.contention;
    let others = [
        ("message uploads", uploaded),
        ("message deliveries", deliveries),
        ("message deliveries, bytes", delivered),
        ("deliveries", outcome.costs.iter().map(|entry| entry.service.deliveries).sum()),
        ("lost commits", contention.lost),
        ("lost bytes", contention.wasted_bytes),
        ("lost seals", contention.wasted_operations.hpke_seals),
        ("lost derivations", contention.wasted_operations.kdf),
    ];
    all.extend(others.map(|(name, number)| (name.to_owned(), number)));
    all.retain(|name, number| *number > 0 && !name.contains("hash"));
    all
}

/// Every rule of a protocol changes a total of this history, so no rule changes unseen. The file has
/// the totals. After a change that is meant, write the printed rows into it.
#[test]
fn totals_of_one_history_are_pinned() {
    let x25519 = json!({ "publish_group_info": true });
    let x_wing = json!({ "ciphersuite": "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519", "publish_group_info": true });
    let mut runs: Vec<_> = Protocol::ALL.iter().map(|protocol| (*protocol, "X25519", &x25519)).collect();
    // With a post-quantum ciphersuite, sessions begin with PQXDH.
    runs.push((Protocol::Pairwise, "X-Wing", &x_wing));
    let mut table = String::new();
    for (protocol, suite, group) in runs {
        let outcome = run(protocol, 14, group, &all_kinds_of_steps());
        for (name, number) in totals(&outcome) {
            table += &format!("{};{suite};{name};{number}\n", protocol.name());
        }
    }
    let pinned = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/baselines_totals.csv")).unwrap();
    let changed: Vec<_> = table.lines().filter(|row| !pinned.lines().any(|known| known == *row)).collect();
    assert!(changed.is_empty(), "{changed:#?}");
    assert_eq!(table, pinned);
}

#[test]
fn combiner_counts_updates_from_the_last_full_commit() {
    let mut steps = vec![create(16)];
    steps.extend((0..25).map(|_| update(3)));
    steps.push(json!({ "join": { "who": "m17" } }));
    steps.extend((0..101).map(|_| update(4)));
    let group = json!({ "publish_group_info": true });
    let (mls, combined) =
        (run(Protocol::Mls, 17, &group, &json!(steps)), run(Protocol::AmortizedPqCombiner, 17, &group, &json!(steps)));
    let sizes = |outcome: &RunOutcome| outcome.costs.iter().filter_map(|entry| entry.bytes.commit).collect::<Vec<_>>();
    let is_full: Vec<_> = sizes(&mls).iter().zip(sizes(&combined)).map(|(mls, combined)| *mls < combined).collect();
    let full: Vec<_> = is_full.iter().enumerate().filter(|(_, full)| **full).map(|(number, _)| number).collect();
    // The creation, the external commit, and the fiftieth and the hundredth update after it.
    assert_eq!(full, [0, 26, 76, 126]);
}

#[test]
fn sender_key_of_a_member_that_rejoins_is_not_trusted_with_old_keys() {
    let group = json!({ "publish_group_info": true });
    let steps = json!([create(4), send(1, "a"), { "rejoin": { "who": "m2" } }, send(1, "b")]);
    let outcome = run(Protocol::SenderKeys, 4, &group, &steps);
    let made: u64 = outcome.figures.costs.values().map(|counts| counts.signature_keys).sum();
    assert_eq!(made, 2, "a rejoin is a removal, so the sender makes a new key");
}

#[test]
fn newcomer_that_has_spoken_gets_the_sender_key_in_its_session() {
    let add = json!({ "add": { "by": "m1", "who": "m4" } });
    let steps = json!([create(3), send(1, "a"), add, send(4, "b"), send(1, "c"), send(1, "d")]);
    let outcome = run(Protocol::SenderKeys, 4, &json!({}), &steps);
    // a: keys for two. b: keys for three, in new sessions. c: the key for m4, whose session m4 began.
    let keys = 5 * PREKEY_MESSAGE + MESSAGE;
    assert_eq!(traffic(&outcome).0, keys + 4 * SENDER_KEY_MESSAGE);
    // The calls of senders: three of them distribute a key, and all four send a message.
    assert_eq!(outcome.figures.costs[&Operation::Send].calls, 3 + 4);
}
