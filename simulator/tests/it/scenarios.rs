//! The published scenarios pass, and the scenarios that should fail do so for their reason.

use std::thread;

use crate::common::{published, run, run_on_threads, stem, told};
use regrow_simulator::report::Failure;

/// The scenario that takes as long as all others together. It has its own test, which runs in
/// parallel to the others.
const LARGE: &str = "hundred_members";

#[test]
fn every_published_scenario_passes() {
    let files = published("");
    assert!(files.len() >= 16, "only {} scenarios", files.len());
    for (path, scenario) in files.iter().filter(|(path, _)| stem(path) != LARGE) {
        let run = run(scenario);
        run.assert_passed(&stem(path));
        assert_eq!(run.outcome.figures.unordered_commits, 0, "{path:?} is not reproducible");
    }
}

/// The transcript is the same on any number of threads, as `determinism.rs` tests for all others.
/// This test needs only the two runs that it makes anyway.
#[test]
fn a_hundred_members_come_and_go() {
    let files = published("");
    let (_, scenario) = files.iter().find(|(path, _)| stem(path) == LARGE).unwrap();
    let runs = thread::scope(|scope| {
        let threads = [1, 4].map(|threads| scope.spawn(move || run_on_threads(threads, scenario)));
        threads.map(|thread| thread.join().unwrap())
    });
    for run in &runs {
        run.assert_passed(LARGE);
        let figures = &run.outcome.figures;
        assert_eq!((figures.members, figures.epochs, figures.messages), (100, 28, 18));
    }
    assert_eq!(runs[0].hash, runs[1].hash);
}

#[test]
fn every_published_scenario_says_why_it_matters() {
    for (path, scenario) in published("").iter().chain(&published("failing")) {
        let about = scenario.about.as_deref().unwrap_or_default();
        assert!(about.ends_with('.') && about.contains(' '), "{path:?}: {about:?}");
    }
}

#[test]
fn failing_scenarios_fail_for_their_reason() {
    let expected = [
        (
            "another_member_is_no_cure",
            vec![
                (
                    "step 5 (line 11)",
                    "the thief of stolen cannot read m1",
                    "the stolen bytes lead to its key: group group: epoch encryption keys -> private key",
                ),
                (
                    "step 5 (line 11)",
                    "stolen has healed within 1 epoch",
                    "the thief still has secrets of the present epoch",
                ),
            ],
        ),
        ("newcomer_reads_history", vec![("step 5 (line 11)", "carol has read m1", "carol has not")]),
        (
            "offline_beyond_retention",
            vec![
                (
                    "step 6 (line 13)",
                    "bob is in epoch 2, like the service",
                    "bob is in epoch 1: the delivery service has deleted entries that bob had not read. Its retention \
                     time is 30d, and bob was offline for 40d; let bob `rejoin`, or set the `retention` of the \
                     scenario's `service` to more than 40d",
                ),
                ("step 6 (line 13)", "all online members hold the same epoch authenticator", "there are 2 states: "),
            ],
        ),
        (
            "update_over_its_budget",
            vec![(
                "step 3 (line 10)",
                "each commit of step 2 (line 9) has at most 1500 bytes",
                "the commit of m2 has 2916 bytes",
            )],
        ),
    ];
    let files = published("failing");
    assert_eq!(
        files.iter().map(|(path, _)| stem(path)).collect::<Vec<_>>(),
        expected.each_ref().map(|(name, _)| *name)
    );
    for ((path, scenario), (_, expected)) in files.iter().zip(expected) {
        let run = run(scenario);
        let failures = &run.outcome.failures;
        let is = |failure: &Failure, (place, expected, seen): &(&str, &str, &str)| {
            let at = failure.place.as_ref().map(ToString::to_string);
            at.as_deref() == Some(place) && failure.expected == *expected && failure.seen.starts_with(seen)
        };
        let same =
            failures.len() == expected.len() && failures.iter().zip(&expected).all(|(one, other)| is(one, other));
        assert!(same, "{path:?}:\n{}", told(failures));
        assert!(run.outcome.failures.iter().all(|failure| !failure.events.is_empty()), "{path:?} tells no events");
    }
}
