//! The step `key_packages`: renewal, number, last-resort key packages, lifetimes and withdrawal.

use std::time::Duration;

use regrow_simulator::{
    report::{RunOptions, Transcript},
    scenario::{Action, KeyPackageChange, KeyPackagePublication, Scenario, Step, read, write},
    world::run_in,
};
use serde_json::{Value, json};

use crate::{
    common::{
        Run, assert_published_pass, program, published as published_scenarios, root, run, scenario, scenario_with, stem,
    },
    mutations::{Keeps, RecordKind, When},
};

/// The numbers of one-time key packages that a member has published, each time.
fn published(run: &Run, of: &str) -> Vec<u64> {
    let events = run.events("key_packages").filter(|event| event["of"] == of);
    events.map(|event| event["count"].as_u64().unwrap()).collect()
}

fn key_packages(change: Value) -> Value {
    let mut fields = json!({ "who": "bob" });
    fields.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "key_packages": fields })
}

fn add_and_remove() -> [Value; 2] {
    [json!({ "add": { "by": "alice", "who": "bob" } }), json!({ "remove": { "by": "alice", "who": "bob" } })]
}

fn of_two(steps: impl IntoIterator<Item = Value>) -> Scenario {
    let create = json!({ "create": { "by": "alice" } });
    let steps: Vec<_> = std::iter::once(create).chain(steps).collect();
    scenario(&["alice", "bob"], &steps)
}

#[test]
fn published_scenarios_pass_and_say_why_they_matter() {
    for (path, run) in assert_published_pass("key_packages", 7) {
        assert_eq!(run.outcome.warnings, [], "{}", stem(&path));
    }
}

#[test]
fn each_form_is_read_and_written() {
    let change = |value: Value| {
        let text = of_two([key_packages(value)]);
        let items = |scenario: &Scenario| scenario.expand().map(|step| step.item).collect::<Vec<_>>();
        assert_eq!(items(&read(&write(&text)).unwrap()), items(&text));
        let Some(Step::Do(Action::KeyPackages { change, .. })) = text.expand().last().map(|step| step.item) else {
            panic!("another step")
        };
        change
    };
    let publication = |publication| KeyPackageChange::Publish(publication);
    let plain = KeyPackagePublication::default();
    assert_eq!(change(json!({ "renew": true })), KeyPackageChange::RENEWAL);
    assert_eq!(change(json!({ "withdraw": true })), KeyPackageChange::Withdraw);
    assert_eq!(change(json!({ "count": 3 })), publication(KeyPackagePublication { count: Some(3), ..plain }));
    let last_resort = KeyPackagePublication { last_resort: Some(true), ..plain };
    assert_eq!(
        change(json!({ "count": 0, "last_resort": true })).clone(),
        publication(KeyPackagePublication { count: Some(0), ..last_resort })
    );
    let day = Some(Duration::from_secs(86_400));
    let all = KeyPackagePublication { renew: true, count: Some(0), lifetime: day, ..last_resort };
    let value = json!({ "renew": true, "count": 0, "last_resort": true, "lifetime": "1d" });
    assert_eq!(change(value), publication(all));
}

#[test]
fn contradictions_are_told_with_their_place() {
    for (change, field, problem) in [
        (json!({}), "", "the change is missing: add `renew`, `count`, `last_resort` or `withdraw`"),
        (json!({ "lifetime": "1d" }), "", "the change is missing"),
        (json!({ "renew": false }), ".renew", "only true is allowed here"),
        (json!({ "withdraw": true, "renew": true }), ".renew", "`withdraw` publishes nothing"),
        (json!({ "withdraw": true, "count": 1 }), ".count", "to replace all, use `renew` with `count`"),
        (json!({ "withdraw": true, "last_resort": false }), ".last_resort", "leave this out"),
        (json!({ "withdraw": true, "lifetime": "1d" }), ".lifetime", "leave this out"),
        (json!({ "count": 201 }), ".count", "expected a number from 0 to 200"),
        (json!({ "count": 0 }), ".count", "the step publishes nothing: `count` is at least 1 here"),
        (json!({ "count": 1, "last_resort": false }), ".last_resort", "only a renewal takes"),
        (json!({ "last_resort": false }), ".last_resort", "only a renewal takes"),
        (json!({ "renew": true, "count": 0, "last_resort": false }), ".count", "use `withdraw`"),
        (json!({ "count": 1, "lifetime": "401d" }), ".lifetime", "for at most 400 days"),
        (json!({ "counts": 1 }), ".counts", "did you mean `count`?"),
    ] {
        let steps = json!([key_packages(change.clone())]);
        let file = json!({ "regrow": 1, "name": "a test", "members": ["alice", "bob"], "steps": steps });
        let problems = read(&file.to_string()).unwrap_err();
        let place = format!("steps[0].key_packages{field}");
        let found = problems.iter().any(|it| it.field == place && it.problem.contains(problem));
        assert!(found, "{change}: {problems:?}");
    }
}

#[test]
fn member_keeps_the_number_that_its_steps_give() {
    let run = run(&of_two(
        [key_packages(json!({ "renew": true, "count": 1 }))]
            .into_iter()
            .chain(add_and_remove())
            .chain([key_packages(json!({ "count": 3 }))])
            .chain(add_and_remove())
            .chain([key_packages(json!({ "renew": true }))])
            .chain(add_and_remove()),
    ));
    run.assert_passed("bob replaces each used key package");
    assert_eq!(published(&run, "bob"), [2, 1, 1, 3, 1, 2, 1]);
}

#[test]
fn withdrawal_lasts_until_the_next_publication() {
    let fails = || json!({ "expect": { "fails": "no_key_package" } });
    let [add, remove] = add_and_remove();
    let steps = [
        key_packages(json!({ "withdraw": true })),
        json!({ "wait": "1d" }),
        json!({ "offline": { "who": "bob" } }),
        json!({ "online": { "who": "bob" } }),
        add.clone(),
        fails(),
        key_packages(json!({ "last_resort": true })),
        add.clone(),
        remove,
        key_packages(json!({ "withdraw": true })),
        add.clone(),
        fails(),
        key_packages(json!({ "renew": true })),
        add,
    ];
    let run = run(&of_two(steps));
    run.assert_passed("no key package, then the last-resort one");
    assert_eq!(published(&run, "bob"), [2, 0, 2, 1], "the last one replaces the used one");
    assert_eq!(run.count("key_packages_withdrawn"), 2);
}

#[test]
fn failed_addition_says_why_there_is_no_key_package() {
    let told = |steps: Vec<Value>| {
        let failures = run(&of_two(steps)).outcome.failures;
        failures[0].seen.clone()
    };
    let [add, remove] = add_and_remove();
    let withdrawn = told(vec![key_packages(json!({ "withdraw": true })), add.clone()]);
    assert!(
        withdrawn.contains("bob publishes none; a step `key_packages` with `count` or `renew` publishes some"),
        "{withdrawn}"
    );
    let one = key_packages(json!({ "renew": true, "count": 1 }));
    let offline = json!({ "offline": { "who": "bob" } });
    let used = told(vec![one, offline, add.clone(), remove, add]);
    assert!(used.contains("all are used or expired, and bob publishes new ones when it is connected"), "{used}");
}

/// The lifetime is that of the step's key packages only. Key packages that the member makes later
/// have the lifetime of its policy.
#[test]
fn lifetime_is_that_of_the_new_key_packages() {
    let [add, remove] = add_and_remove();
    let steps = |wait: &str| {
        [
            key_packages(json!({ "renew": true, "count": 2, "lifetime": "1h" })),
            add.clone(),
            remove.clone(),
            json!({ "offline": { "who": "bob" } }),
            json!({ "wait": wait }),
            add.clone(),
            remove.clone(),
            add.clone(),
            json!({ "expect": { "fails": "no_key_package" } }),
        ]
    };
    run(&of_two(steps("2h"))).assert_passed("one has expired, and its replacement has not");
    assert!(!run(&of_two(steps("59m"))).passed(), "none has expired");
}

/// A connected member replaces a last-resort key package that has expired, and not a used one.
#[test]
fn expired_last_resort_is_replaced() {
    let [add, remove] = add_and_remove();
    let run = run(&of_two([
        key_packages(json!({ "renew": true, "count": 0, "last_resort": true, "lifetime": "1d" })),
        add.clone(),
        remove.clone(),
        add.clone(),
        remove,
        json!({ "wait": "1d" }),
        add,
    ]));
    run.assert_passed("there is a last-resort key package all the time");
    assert_eq!(run.events("key_packages").filter(|event| event["last_resort"] == true).count(), 2);
}

/// A renewal does not take the keys of a welcome away that was made before it.
#[test]
fn held_welcome_can_be_opened_after_the_renewal() {
    for last_resort in [true, false] {
        for change in [json!({ "renew": true }), json!({ "withdraw": true })] {
            let run = run(&of_two([
                key_packages(json!({ "renew": true, "count": 1 - u32::from(last_resort), "last_resort": last_resort })),
                json!({ "hold": { "id": "invitation", "for": "bob" } }),
                json!({ "add": { "by": "alice", "who": "bob", "id": "invitation" } }),
                key_packages(change),
                json!({ "wait": "1d" }),
                json!({ "release": { "id": "invitation" } }),
                json!({ "send": { "by": "alice", "id": "hello" } }),
                json!({ "expect": { "who": "bob", "reads": "hello", "converged": true } }),
            ]));
            run.assert_passed("bob joins with the old key package");
        }
    }
}

/// The records of a stolen device show that the private keys are gone.
#[test]
fn renewal_erases_the_old_private_keys() {
    let records = |changes: Vec<Value>| {
        let steps = [key_packages(json!({ "renew": true, "count": 5, "last_resort": true }))]
            .into_iter()
            .chain(changes)
            .chain([json!({ "compromise": { "who": "bob", "id": "stolen" } })]);
        let run = run(&of_two(steps));
        run.assert_passed("nothing is exposed");
        run.events("compromised").next().unwrap()["records"].as_u64().unwrap()
    };
    let all = records(vec![]);
    assert_eq!(records(vec![key_packages(json!({ "withdraw": true }))]), all - 6);
    assert_eq!(records(vec![key_packages(json!({ "renew": true, "count": 2 }))]), all - 3, "also a last-resort one");
    let none = json!({ "renew": true, "count": 2, "last_resort": false });
    assert_eq!(records(vec![key_packages(none)]), all - 4);
}

#[test]
fn change_needs_a_connection() {
    for change in [json!({ "withdraw": true }), json!({ "count": 1 })] {
        let steps = [json!({ "offline": { "who": "bob" } }), key_packages(change)];
        let failures = run(&of_two(steps)).outcome.failures;
        assert!(failures[0].seen.contains("bob is offline"), "{}", failures[0].seen);
    }
}

/// The checks of every run find a device that keeps the keys of a renewed last-resort key package.
#[test]
fn kept_keys_of_a_renewed_key_package_are_found() {
    let [add, _] = add_and_remove();
    let scenario = of_two([
        key_packages(json!({ "renew": true, "count": 0, "last_resort": true })),
        add,
        json!({ "send": { "by": "alice", "id": "after_joining" } }),
        key_packages(json!({ "withdraw": true })),
        json!({ "compromise": { "who": "bob", "id": "copied" } }),
    ]);
    run(&scenario).assert_passed("the device has erased the keys");
    let fault = Keeps(RecordKind::KeyPackage, When::WithinEpoch);
    let failures = run_in(&scenario, &RunOptions::default(), &mut Transcript::new("a test", false), &fault).failures;
    let found = failures.iter().any(|it| it.expected.contains("cannot be read, by RFC 9420"));
    assert!(found, "{failures:?}");
}

/// A stolen key package: its number, true for a last-resort one, and for each opened welcome the epoch
/// and if it was made after the theft.
type Stolen = (u32, bool, Vec<(u64, bool)>);

/// The stolen key packages of the only thief that open welcomes.
fn stolen(run: &Run) -> Vec<Stolen> {
    let told = run.thief().key_packages.iter().map(|stolen| {
        let opens = stolen.opens.iter().map(|welcome| (welcome.epoch, welcome.after_theft));
        (stolen.number, stolen.last_resort, opens.collect())
    });
    told.collect()
}

#[test]
fn stolen_key_packages_that_open_welcomes_are_counted() {
    let steal = json!({ "compromise": { "who": "bob", "id": "copied" } });
    let [add, remove] = add_and_remove();
    let renew = key_packages(json!({ "renew": true, "count": 1, "last_resort": true }));
    let before = run(&of_two([renew.clone(), add.clone(), steal.clone()]));
    assert_eq!(stolen(&before), [], "the welcome has used the key package");
    let again = run(&of_two([steal.clone(), add.clone(), remove.clone(), add.clone(), remove.clone(), add.clone()]));
    assert_eq!(stolen(&again), [(1, false, vec![(1, true)]), (2, false, vec![(3, true)])], "the third one is new");
    let last = run(&of_two([
        key_packages(json!({ "renew": true, "count": 0, "last_resort": true })),
        add.clone(),
        remove.clone(),
        steal.clone(),
        add.clone(),
        remove.clone(),
        renew,
        add.clone(),
    ]));
    assert_eq!(stolen(&last), [(3, true, vec![(1, false), (3, true)])]);
    let away = json!({ "offline": { "who": "bob" } });
    let on_its_way = run(&of_two([away, add, steal, remove]));
    assert_eq!(stolen(&on_its_way), [(1, false, vec![(1, false)])]);
    for run in [before, again, last, on_its_way] {
        run.assert_passed("the oracle and the adversary agree");
    }
}

/// A thief of the files of a storage, without their key, has no key package.
#[test]
fn stolen_files_open_no_welcome() {
    let steal = json!({ "compromise": { "who": "bob", "id": "copied", "scope": "disk" } });
    let [add, _] = add_and_remove();
    let run = run(&of_two([key_packages(json!({ "last_resort": true })), steal, add]));
    run.assert_passed("nothing is exposed");
    assert_eq!(stolen(&run), []);
}

/// Both handshake modes give the same messages to a thief of a last-resort key package.
#[test]
fn last_resort_key_package_is_reused_in_opaque_groups_too() {
    let files = published_scenarios("key_packages");
    let (_, scenario) = files.iter().find(|(path, _)| stem(path) == "stolen_last_resort_opens_every_welcome").unwrap();
    let text = write(scenario).replace("\"members\"", "\"group\": { \"handshake\": \"opaque\" },\n  \"members\"");
    let run = run(&read(&text).unwrap());
    run.assert_passed("an opaque group");
    assert_eq!(stolen(&run), [(3, true, vec![(2, true), (4, true)])]);
}

/// The terminal, the JSON result, the page and the explanation name the key package and the remedy.
#[test]
fn every_report_names_the_key_package_and_the_remedy() {
    const SEEN: &str = "the stolen last-resort key package 3 of bob opens the welcomes to epoch 2, to epoch 4 \
                        (RFC 9420, 12.4.3.1)";
    const REMEDY: &str = "renew key packages after a theft, with a step `key_packages` of bob: nobody can be added with \
                          a withdrawn one (RFC 9420, 16.8)";
    let file = "scenarios/key_packages/stolen_last_resort_opens_every_welcome.json";
    let folder = tempfile::TempDir::new().unwrap();
    let page = folder.path().join("page.html");
    let told = |arguments: &[&str]| {
        let output = program::regrow(arguments, &root());
        assert_eq!(output.status.code(), Some(0), "{}", program::text(&output.stderr));
        program::text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let terminal = told(&["run", file, "--html", page.to_str().unwrap()]);
    assert!(terminal.contains(&format!("{file}: the thief of copied note {SEEN} remedy {REMEDY}")), "{terminal}");
    let json: Value = serde_json::from_str(&told(&["run", "--json", file])).unwrap();
    let stolen = &json["figures"]["compromises"][0]["key_packages"];
    let opens = |epoch: u64| json!({ "group": null, "epoch": epoch, "after_theft": true });
    let opens = json!([opens(2), opens(4)]);
    let expected = json!({ "number": 3, "last_resort": true, "opens": opens, "seen": SEEN, "remedy": REMEDY });
    assert_eq!(stolen, &json!([expected]));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(SEEN) && page.contains(REMEDY), "the page has the note");
    let all = told(&["explain", file]);
    assert!(all.contains("With it the thief opens the welcome to epoch 4."), "{all}");
    assert!(all.contains(&format!("Note: {SEEN}. Remedy: {REMEDY}.")), "{all}");
    let way = told(&["explain", file, "--message", "second"]);
    assert!(way.contains("contains the private key of last-resort key package 3 of bob"), "{way}");
    assert!(way.contains(&format!("Remedy: {REMEDY}.")), "{way}");
}

/// A way that opens no welcome needs no new key packages.
#[test]
fn ways_without_a_welcome_have_no_remedy_about_key_packages() {
    let steps = [
        json!({ "create": { "by": "alice", "with": "bob" } }),
        json!({ "compromise": { "who": "bob", "id": "copied" } }),
        json!({ "send": { "by": "alice", "id": "m1" } }),
    ];
    let run = run(&scenario_with(json!({}), &["alice", "bob"], &steps));
    run.assert_passed("the thief is a member");
    assert_eq!(stolen(&run), []);
}
