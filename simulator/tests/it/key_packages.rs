//! The step `key_packages`: renewal, number, last-resort key packages, lifetimes and withdrawal.

use std::time::Duration;

use regrow_simulator::scenario::{Action, KeyPackageChange, KeyPackagePublication, Scenario, Step, read, write};
use serde_json::{Value, json};

use crate::common::{Run, assert_published_pass, run, scenario, stem};

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
