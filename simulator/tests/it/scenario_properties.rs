//! The reader of scenarios never panics, for any text. It reads each scenario as it was written.

use std::{fs, path::PathBuf, time::Duration};

use proptest::{prelude::*, sample::Index};
use regrow_simulator::{
    churn::Decimal,
    scenario::{
        Action, Answer, BackupId, ClockChange, ClockJump, ClockOffset, CompromiseId, CrashPoint, Delivery,
        DueExpectation, DueRotation, Evidence, EvidenceExpectation, Expect, FileProblem, Finders, GroupName,
        KeyPackageChange, KeyPackagePublication, KillPoint, MAX_PROBLEMS, MemberName, MessageBody, MessageId,
        NetworkChange, Proposal, ReadingExpectation, ServiceFault, Step, TheftScope, ThiefAction, UserName, read,
    },
};
use serde_json::{Value, json};

const MEMBERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Two devices of one more user, for the steps about backups.
const PHONE: &str = "erin/phone";
const TABLET: &str = "erin/tablet";

fn published(file: Index) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    fs::read_to_string(file.get(&files)).unwrap()
}

/// Checks the properties that the problems of every text have.
fn assert_sound(text: &str, problems: &[FileProblem]) {
    assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS);
    assert!(problems.is_sorted_by_key(|problem| problem.position));
    for problem in problems {
        let position = problem.position.unwrap();
        let line = text.split('\n').nth(position.line as usize - 1).unwrap();
        assert!((position.column as usize) <= line.chars().count() + 1, "{problem} in {line:?}");
        assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
    }
}

fn name() -> impl Strategy<Value = MemberName> {
    prop::sample::select(&MEMBERS[..]).prop_map(MemberName::new)
}

fn names() -> impl Strategy<Value = Vec<MemberName>> {
    prop::sample::subsequence(&MEMBERS[..], 1..=4).prop_map(|names| names.into_iter().map(MemberName::new).collect())
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop::option::of(names()).prop_map(|to| Delivery { id: MessageId::new("m0"), to })
}

/// Any step except `send`, `compromise` and `expect`, whose ids depend on other steps.
fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (name(), names()).prop_map(|(by, who)| Action::Add { by, who }),
        (name(), names()).prop_map(|(by, who)| Action::Remove { by, who }),
        (name(), name(), any::<bool>()).prop_map(|(by, who, adds)| {
            let who = UserName::new(who.as_str());
            if adds { Action::AddUser { by, who } } else { Action::RemoveUser { by, who } }
        }),
        Just(Action::LostDevice { by: MemberName::new(MEMBERS[0]), who: MemberName::new(MEMBERS[1]) }),
        (name(), any::<bool>()).prop_map(|(by, signature_key)| Action::Update { by, signature_key }),
        names().prop_map(|who| Action::Leave { who }),
        (
            name(),
            prop_oneof![names().prop_map(Proposal::Add), names().prop_map(Proposal::Remove), Just(Proposal::Update)]
        )
            .prop_map(|(by, what)| Action::Propose { by, what }),
        name().prop_map(|by| Action::Commit { by }),
        names().prop_map(|who| Action::Join { who }),
        names().prop_map(|who| Action::Rejoin { who }),
        names().prop_map(|who| Action::Offline { who }),
        names().prop_map(|who| Action::Online { who }),
        (names(), key_packages()).prop_map(|(who, change)| Action::KeyPackages { who, change }),
        delivery().prop_map(Action::Hold),
        delivery().prop_map(Action::Release),
        delivery().prop_map(Action::Drop),
        delivery().prop_map(Action::Duplicate),
        (name(), prop::sample::select(&CRASH_POINTS[..])).prop_map(|(who, at)| Action::Crash { who, at }),
        prop::sample::select(&[ThiefAction::Send, ThiefAction::Commit, ThiefAction::Rejoin][..])
            .prop_map(|act| Action::Impersonate { compromise: CompromiseId::new("stolen"), act, id: None }),
        network().prop_map(Action::Network),
        (names(), any::<bool>(), 0_u64..100_000, prop::option::of(share())).prop_map(|(who, behind, seconds, rate)| {
            let offset = ClockOffset { behind: behind && seconds > 0, by: Duration::from_secs(seconds) };
            Action::Clock { who, change: ClockChange { offset: Some(offset), rate } }
        }),
        service_fault().prop_map(Action::Service),
        prop::sample::subsequence(&MEMBERS[..], 2..=4)
            .prop_map(|who| Action::Compare { who: who.into_iter().map(MemberName::new).collect() }),
        names().prop_map(|who| Action::Lock { who }),
        (names(), any::<bool>()).prop_map(|(who, wrong_key)| Action::Unlock { who, wrong_key }),
        (name(), names()).prop_map(|(by, who)| Action::Verify { by, who }),
        any::<bool>().prop_map(|wrong_passphrase| Action::Restore {
            who: MemberName::new(TABLET),
            from: BackupId::new("monday"),
            wrong_passphrase,
        }),
        (names(), names(), prop::sample::select(&[Answer::Accept, Answer::Refuse][..]))
            .prop_map(|(who, of, answer)| Action::Authenticate { who, of, answer }),
        (name(), "\\PC{0,20}").prop_map(|(by, data)| Action::SetData { by, data }),
        names().prop_map(|who| Action::Upkeep { who }),
        (1_u64..1_000_000).prop_map(|seconds| Action::Wait(Duration::from_secs(seconds))),
    ]
}

/// Changes of key packages that publish something, or withdraw all.
fn key_packages() -> impl Strategy<Value = KeyPackageChange> {
    let lifetime = prop::option::of((1_u64..1_000_000).prop_map(Duration::from_secs));
    let parts = (any::<bool>(), prop::option::of(1_u32..=200), any::<bool>(), lifetime);
    let publication = parts.prop_map(|(renew, count, last_resort, lifetime)| {
        let last_resort = (last_resort || (!renew && count.is_none())).then_some(true);
        KeyPackageChange::Publish(KeyPackagePublication { renew, count, last_resort, lifetime })
    });
    prop_oneof![Just(KeyPackageChange::Withdraw), Just(KeyPackageChange::RENEWAL), publication]
}

/// Faults that may come in any order.
fn service_fault() -> impl Strategy<Value = ServiceFault> {
    let points = [KillPoint::BeforeWrite, KillPoint::WithinTransaction, KillPoint::AfterWrite];
    let seconds = || (1_u64..1_000_000).prop_map(Duration::from_secs);
    prop_oneof![
        Just(ServiceFault::Restart),
        prop::sample::select(points.to_vec()).prop_map(ServiceFault::Kill),
        names().prop_map(ServiceFault::LoseReply),
        any::<bool>().prop_map(ServiceFault::DiskFull),
        seconds().prop_map(ServiceFault::Retention),
        (any::<bool>(), seconds()).prop_map(|(back, by)| ServiceFault::Clock(ClockJump { back, by })),
    ]
}

const CRASH_POINTS: [CrashPoint; 4] =
    [CrashPoint::BeforeSubmit, CrashPoint::AfterSubmit, CrashPoint::BeforeConfirm, CrashPoint::DuringWrite];

fn share() -> impl Strategy<Value = Decimal> {
    (1000_u32..900_000).prop_map(|millionths| Decimal::parse(&format!("0.{millionths:06}")).unwrap())
}

fn network() -> impl Strategy<Value = NetworkChange> {
    let times = (prop::option::of(0_u32..600_000), prop::option::of(0_u32..600_000));
    let shares = (prop::option::of(share()), prop::option::of(share()), prop::option::of(share()));
    let change = (prop::option::of(names()), times, shares).prop_map(|(who, times, shares)| {
        let ((latency_ms, jitter_ms), (loss, duplicate, reorder)) = (times, shares);
        NetworkChange { who, heal: true, latency_ms, jitter_ms, loss, duplicate, reorder, partition: None }
    });
    let sides = Just(vec![vec![MemberName::new(MEMBERS[0])], vec![MemberName::new(MEMBERS[1])]]);
    let partition = sides.prop_map(|sides| NetworkChange { partition: Some(sides), ..NetworkChange::default() });
    prop_oneof![change, partition]
}

fn body() -> impl Strategy<Value = MessageBody> {
    prop_oneof![(0_u32..1000).prop_map(MessageBody::Size), "\\PC{0,20}".prop_map(MessageBody::Text)]
}

fn expect() -> impl Strategy<Value = Expect> {
    let asked = [any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>()];
    let read = (any::<bool>(), 0_u64..9, names(), asked);
    let reading = read.prop_map(|(member, epochs, who, [healed, accepted, detected])| {
        let (reads, cannot_read) = (vec![MessageId::new("m0")], Vec::new());
        if member {
            ReadingExpectation::Member { who, reads, cannot_read }
        } else {
            let compromise = CompromiseId::new("stolen");
            let (reads, cannot_read) = (cannot_read, reads);
            let heals_within = Some(epochs);
            ReadingExpectation::Thief { compromise, reads, cannot_read, healed, heals_within, accepted, detected }
        }
    });
    (prop::option::of(any::<u64>()), prop::option::of(names()), any::<bool>(), reading, evidence(), cut_off(), due())
        .prop_map(|(epoch, members, converged, reading, evidence, cut_off, due)| Expect {
            epoch,
            members,
            converged,
            reading: Some(reading),
            exactly: None,
            evidence,
            cut_off,
            due,
            data: None,
            verified: None,
            events: Vec::new(),
            costs: None,
            fails: None,
            bound: None,
        })
}

fn due() -> impl Strategy<Value = Option<DueExpectation>> {
    let rotation = prop::sample::select(&[DueRotation::Nothing, DueRotation::Keys, DueRotation::SignatureKey][..]);
    let work = (names(), rotation, prop::option::of(names()), prop::option::of(0_u32..9));
    prop::option::of(work.prop_map(|(who, rotation, inactive, key_packages)| DueExpectation {
        who,
        rotation: Some(rotation),
        inactive,
        key_packages,
    }))
}

fn cut_off() -> impl Strategy<Value = Vec<MemberName>> {
    prop::option::of(names()).prop_map(Option::unwrap_or_default)
}

/// Each kind of evidence at most once, in the order of a file.
fn evidence() -> impl Strategy<Value = Vec<EvidenceExpectation>> {
    let found = || prop::option::of((names(), prop::option::of(0_u64..9)));
    prop::sample::subsequence(Evidence::ALL.to_vec(), 0..=3).prop_flat_map(move |kinds| {
        let expected = kinds.into_iter().map(|what| {
            found().prop_map(move |found| {
                let found = found.map(|(by, within)| Finders { by, within });
                EvidenceExpectation { what, found }
            })
        });
        expected.collect::<Vec<_>>()
    })
}

/// Steps in which every name and id exists.
fn actions() -> impl Strategy<Value = Vec<Action>> {
    let group = prop::option::of(prop::sample::select(&["other", "group"][..])).prop_map(|it| it.map(GroupName::new));
    let rest = (action(), group).prop_map(|(action, group)| match action.submitters() {
        [] => action,
        _ => action.in_group(group),
    });
    let rest = prop::collection::vec(rest, 0..12);
    (prop::collection::vec(body(), 0..4), rest, prop::collection::vec(expect(), 0..3)).prop_map(
        |(bodies, rest, expects)| {
            let (alice, stolen) = (|| MemberName::new("alice"), || CompromiseId::new("stolen"));
            let send = |id: &str, body| Action::Send { by: alice(), id: MessageId::new(id), body };
            let mut actions = vec![
                Action::Create { by: alice(), with: vec![MemberName::new("bob")] },
                Action::Create { by: alice(), with: Vec::new() }.in_group(Some(GroupName::new("other"))),
                Action::Hold(Delivery { id: MessageId::new("m0"), to: None }),
                send("m0", MessageBody::Size(32)),
                Action::Compromise { who: alice(), id: stolen(), scope: TheftScope::Device },
                Action::Backup { who: MemberName::new(PHONE), id: BackupId::new("monday") },
                Action::Impersonate {
                    compromise: stolen(),
                    act: ThiefAction::Send,
                    id: Some(MessageId::new("forged")),
                },
            ];
            actions.extend(bodies.into_iter().enumerate().map(|(n, body)| send(&format!("m{}", n + 1), body)));
            actions.extend(rest);
            actions.extend(expects.into_iter().map(|expect| Action::Expect(Box::new(expect))));
            actions
        },
    )
}

fn written(action: &Action) -> Value {
    let value = match action {
        Action::InGroup { group, action } => {
            let mut value = written(action)[action.name()].take();
            value["group"] = json!(group);
            value
        }
        Action::Named { id, action: named } => {
            let mut value = written(named)[named.name()].take();
            value["id"] = json!(id);
            value
        }
        Action::Network(change) => {
            let NetworkChange { who, heal, latency_ms, jitter_ms, loss, duplicate, reorder, partition } = change;
            let mut fields = serde_json::Map::new();
            let all = [
                ("who", json!(who)),
                ("heal", json!(heal.then_some(true))),
                ("latency_ms", json!(latency_ms)),
                ("jitter_ms", json!(jitter_ms)),
                ("loss", json!(loss.map(Decimal::value))),
                ("duplicate", json!(duplicate.map(Decimal::value))),
                ("reorder", json!(reorder.map(Decimal::value))),
                ("partition", json!(partition)),
            ];
            fields
                .extend(all.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, it)| (name.to_owned(), it)));
            fields.into()
        }
        Action::Clock { who, change } => {
            let mut fields = json!({ "who": who });
            if let Some(ClockOffset { behind, by }) = change.offset {
                fields["offset"] = json!(format!("{}{}s", if behind { '-' } else { '+' }, by.as_secs()));
            }
            if let Some(rate) = change.rate {
                fields["rate"] = json!(rate.value());
            }
            fields
        }
        Action::Create { by, with } => json!({ "by": by, "with": with }),
        Action::Add { by, who } | Action::Remove { by, who } => json!({ "by": by, "who": who }),
        Action::AddUser { by, who } | Action::RemoveUser { by, who } => json!({ "by": by, "who": who }),
        Action::LinkDevice { by, who } | Action::LostDevice { by, who } => json!({ "by": by, "who": who }),
        Action::Update { by, signature_key } => json!({ "by": by, "signature_key": signature_key }),
        Action::Propose { by, what: Proposal::Add(who) } => json!({ "by": by, "add": who }),
        Action::Propose { by, what: Proposal::Remove(who) } => json!({ "by": by, "remove": who }),
        Action::Propose { by, what: Proposal::Update } => json!({ "by": by, "update": true }),
        Action::Unlock { who, wrong_key: false } => json!({ "who": who }),
        Action::Unlock { who, wrong_key: true } => json!({ "who": who, "wrong_key": true }),
        Action::Backup { who, id } => json!({ "who": who, "id": id }),
        Action::Restore { who, from, wrong_passphrase: false } => json!({ "who": who, "from": from }),
        Action::Restore { who, from, wrong_passphrase: true } => {
            json!({ "who": who, "from": from, "wrong_passphrase": true })
        }
        Action::Verify { by, who } => json!({ "by": by, "who": who }),
        Action::Authenticate { who, of, answer } => json!({ "who": who, "of": of, "answer": answer }),
        Action::SetData { by, data } => json!({ "by": by, "data": data }),
        Action::Commit { by } => json!({ "by": by }),
        Action::Leave { who }
        | Action::Join { who }
        | Action::Rejoin { who }
        | Action::Offline { who }
        | Action::Online { who }
        | Action::Lock { who }
        | Action::Upkeep { who } => json!({ "who": who }),
        Action::KeyPackages { who, change: KeyPackageChange::Withdraw } => json!({ "who": who, "withdraw": true }),
        Action::KeyPackages { who, change: KeyPackageChange::Publish(publication) } => {
            let KeyPackagePublication { renew, count, last_resort, lifetime } = publication;
            let mut fields = json!({ "who": who, "count": count, "last_resort": last_resort });
            fields["lifetime"] = json!(lifetime.map(|time| format!("{}s", time.as_secs())));
            fields["renew"] = json!(renew.then_some(true));
            fields.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            fields
        }
        Action::Send { by, id, body: MessageBody::Size(size) } => json!({ "by": by, "id": id, "size": size }),
        Action::Send { by, id, body: MessageBody::Text(text) } => json!({ "by": by, "id": id, "text": text }),
        Action::Hold(what) | Action::Release(what) | Action::Drop(what) | Action::Duplicate(what) => match &what.to {
            Some(to) => json!({ "id": what.id, "for": to }),
            None => json!({ "id": what.id }),
        },
        Action::Crash { who, at } => json!({ "who": who, "at": at }),
        Action::Compromise { who, id, scope } => json!({ "who": who, "id": id, "scope": scope }),
        Action::Impersonate { compromise, act, id: Some(id) } => {
            json!({ "compromise": compromise, "action": act, "id": id })
        }
        Action::Impersonate { compromise, act, id: None } => json!({ "compromise": compromise, "action": act }),
        Action::Service(fault) => written_fault(fault),
        Action::Compare { who } => json!({ "who": who }),
        Action::Wait(time) => json!(format!("{}s", time.as_secs())),
        Action::Expect(expect) => written_expect(expect),
    };
    json!({ action.name(): value })
}

fn written_fault(fault: &ServiceFault) -> Value {
    let seconds = |time: &Duration| format!("{}s", time.as_secs());
    let value = match fault {
        ServiceFault::Restart => json!(true),
        ServiceFault::Kill(at) => json!(at),
        ServiceFault::LoseReply(who) => json!(who),
        ServiceFault::DiskFull(full) => json!(full),
        ServiceFault::Retention(time) => json!(seconds(time)),
        ServiceFault::Clock(ClockJump { back, by }) => {
            json!(format!("{}{}", if *back { '-' } else { '+' }, seconds(by)))
        }
        lie => panic!("{lie:?} is not drawn"),
    };
    json!({ fault.name(): value })
}

fn written_expect(expect: &Expect) -> Value {
    let mut fields = match &expect.reading {
        None => json!({}),
        Some(ReadingExpectation::Member { who, reads, cannot_read }) => {
            json!({ "who": who, "reads": reads, "cannot_read": cannot_read })
        }
        Some(ReadingExpectation::Thief {
            compromise,
            reads,
            cannot_read,
            healed,
            heals_within,
            accepted,
            detected,
        }) => json!({
            "compromise": compromise, "reads": reads, "cannot_read": cannot_read, "healed": healed,
            "heals_within": heals_within, "accepted": accepted, "detected": detected
        }),
    };
    fields["epoch"] = json!(expect.epoch);
    fields["members"] = json!(expect.members);
    fields["converged"] = json!(expect.converged.then_some(true));
    for EvidenceExpectation { what, found } in &expect.evidence {
        fields[what.field()] = match found {
            None => json!(false),
            Some(Finders { by, within: Some(within) }) => json!({ "by": by, "within": within }),
            Some(Finders { by, within: None }) => json!({ "by": by }),
        };
    }
    fields["cut_off"] = json!(expect.cut_off);
    if let Some(DueExpectation { who, rotation, inactive, key_packages }) = &expect.due {
        let rotation = rotation.map(|rotation| match rotation {
            DueRotation::Nothing => "none",
            DueRotation::Keys => "keys",
            DueRotation::SignatureKey => "signature_key",
        });
        let mut due = json!({ "who": who, "rotation": rotation, "inactive": inactive, "key_packages": key_packages });
        due.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        fields["due"] = due;
    }
    fields["fails"] = json!(expect.fails);
    // Values that are not set are left out.
    fields
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null() && value.as_array().is_none_or(|l| !l.is_empty()));
    fields
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        if let Err(problems) = read(&text) {
            assert_sound(&text, &problems);
        }
    }

    #[test]
    fn no_damaged_scenario_makes_the_reader_panic(
        file in any::<Index>(),
        damage in prop::collection::vec((any::<Index>(), any::<Index>(), "[\\[\\]{}\",:a-z0-9\\\\ \n]{0,4}"), 1..4),
    ) {
        let mut text: Vec<char> = published(file).chars().collect();
        for (from, length, new) in damage {
            let from = from.index(text.len());
            let length = length.index(8).min(text.len() - from);
            text.splice(from..from + length, new.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = read(&text) {
            assert_sound(&text, &problems);
        }
    }

    #[test]
    fn written_scenario_is_read_back(actions in actions(), seed in any::<u64>()) {
        let steps: Vec<_> = actions.iter().map(written).collect();
        let members = [&MEMBERS[..], &[PHONE, TABLET]].concat();
        let text = json!({ "regrow": 1, "name": "a name", "seed": seed, "members": members, "steps": steps });
        let scenario = read(&text.to_string()).unwrap();
        let read: Vec<_> = scenario.expand().map(|step| step.item).collect();
        prop_assert_eq!(scenario.seed, seed);
        prop_assert_eq!(read, actions.into_iter().map(Step::Do).collect::<Vec<_>>());
    }

    #[test]
    fn repeat_equals_its_expanded_turns(times in 1_u32..20) {
        let around = |steps: Vec<Value>| {
            let mut all = vec![json!({ "create": { "by": "m20", "with": "m19" } })];
            all.extend(steps);
            json!({ "regrow": 1, "name": "n", "members": { "prefix": "m", "count": 20 }, "steps": all }).to_string()
        };
        let turn = |i: &str| vec![
            json!({ "send": { "by": "m20", "id": format!("x{i}"), "text": format!("turn {i} of {i}") } }),
            json!({ "race": [{ "add": { "by": "m20", "who": format!("m{i}") } }, { "update": { "by": "m19" } }] }),
            json!({ "expect": { "who": "m20", "cannot_read": [format!("x{i}")] } }),
        ];
        let times = times.min(18);
        let repeat = json!({ "repeat": { "times": times, "steps": turn("{i}") } });
        let written_out: Vec<_> = (1..=times).flat_map(|i| turn(&i.to_string())).collect();
        let steps = |text: String| read(&text).unwrap().expand().map(|step| match step.item {
            Step::Do(action) => vec![action],
            Step::Race(contenders) => contenders.into_iter().map(|contender| contender.item).collect(),
        }).collect::<Vec<_>>();
        prop_assert_eq!(steps(around(vec![repeat])), steps(around(written_out)));
    }
}

#[test]
fn step_knows_its_number_line_and_turn() {
    let text = r#"{ "regrow": 1, "name": "n", "members": ["a", "b"], "steps": [
        { "create": { "by": "a", "with": "b" } },
        { "repeat": { "times": 2, "steps": [
            { "wait": "1s" },
            { "race": [
                { "update": { "by": "a" } },
                { "update": { "by": "b" } } ] } ] } } ] }"#;
    let steps: Vec<_> = read(text).unwrap().expand().collect();
    let places: Vec<_> = steps.iter().map(|step| step.place.to_string()).collect();
    assert_eq!(
        places,
        [
            "step 1 (line 2)",
            "step 2.1 (line 4, turn 1)",
            "step 2.2 (line 5, turn 1)",
            "step 2.1 (line 4, turn 2)",
            "step 2.2 (line 5, turn 2)"
        ]
    );
    let Step::Race(contenders) = &steps[4].item else { panic!("not a race") };
    assert_eq!(contenders[1].place.to_string(), "step 2.2.2 (line 7, turn 2)");
    assert_eq!(&*contenders[1].place.path, "steps[1].repeat.steps[1].race[1]");
}
