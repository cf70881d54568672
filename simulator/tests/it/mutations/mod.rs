//! Tests the checks: a search finds each planted fault within a limited number of scenarios.
//! Without a fault, it finds nothing in the same scenarios.
//!
//! The tests plant faults from outside, in the parts on which a world is built. The tested code is
//! the code that ships.

mod backups;
mod clients;
mod crypto;
mod network;
mod service;
mod stores;

use regrow_simulator::{
    explore::{FailedScenario, FailureKind, Plan, SearchControl, Size, Weights, search},
    report::{RunOptions, RunOutcome, Transcript},
    scenario::{Scenario, write},
    world::{
        fault_injection::{EarlyEntry, FaultInjection, NoFaults},
        run_in,
    },
};

use clients::Forgets;
use crypto::{IgnoresCommitSecrets, Repeats, StandingRatchets, WrongPathSecretsInWelcomes};
use network::Inbox;
use service::AnswersBeforeTheCommit;
pub(crate) use service::Service;
use stores::Rereads;
pub(crate) use stores::{Keeps, RecordKind, When};

/// The largest number of scenarios that a search may need to find a fault.
const MOST: u64 = 40;

/// A plan with steps of all kinds but faults of the service, in small groups.
fn everything() -> Plan {
    let weights = r#"{
        "compromise": 12, "crash": 8, "hold": 6, "release": 8, "race": 8, "network": 0, "clock": 0, "service": 0,
        "commit": 8, "impersonate": 4, "lock": 0, "unlock": 0, "verify": 0, "set_data": 0, "authenticate": 0, "upkeep": 0,
        "group": 0, "user": 0, "key_packages": 0
    }"#;
    plan(9420, Size { members: 4, steps: 16 }, weights)
}

/// A plan for two members that often get new keys and are often stolen from. A secret that is kept
/// too long becomes visible in a theft.
fn thefts() -> Plan {
    let weights = r#"{
        "update": 30, "compromise": 25, "send": 25, "propose": 15, "commit": 15, "rejoin": 3, "add": 3, "remove": 1,
        "join": 1, "leave": 0, "offline": 0, "online": 0, "hold": 0, "release": 0, "drop": 0, "duplicate": 0, "race": 0,
        "crash": 0, "wait": 0, "network": 0, "clock": 0, "service": 0, "impersonate": 4,
        "lock": 0, "unlock": 0, "verify": 0, "set_data": 0, "authenticate": 0, "upkeep": 0,
        "group": 0, "user": 0, "key_packages": 0
    }"#;
    plan(2, Size { members: 2, steps: 30 }, weights)
}

/// A plan with bad connections, held handshakes and wrong clocks.
fn networks() -> Plan {
    let weights = r#"{
        "network": 25, "clock": 8, "hold": 15, "release": 10, "drop": 5, "duplicate": 5, "update": 20, "wait": 10,
        "compromise": 2, "impersonate": 0, "service": 0, "commit": 8,
        "lock": 0, "unlock": 0, "verify": 0, "set_data": 0, "authenticate": 0, "upkeep": 0,
        "group": 0, "user": 0, "key_packages": 0
    }"#;
    plan(600, Size { members: 4, steps: 16 }, weights)
}

/// A plan with several groups, and with users that have several devices.
fn groups() -> Plan {
    let weights = r#"{ "group": 60, "user": 30, "network": 0, "clock": 0, "service": 0, "hold": 0, "release": 0,
        "key_packages": 0 }"#;
    plan(19, Size { members: 5, steps: 24 }, weights)
}

/// A plan in which members are often away for some time.
fn absences() -> Plan {
    let weights = r#"{
        "offline": 25, "online": 15, "wait": 25, "send": 25, "network": 0, "clock": 0, "service": 0, "compromise": 0,
        "group": 0, "user": 0, "key_packages": 0
    }"#;
    plan(30, Size { members: 4, steps: 16 }, weights)
}

/// A plan in which the service often fails, and lies in the end.
fn service_faults() -> Plan {
    let weights = r#"{
        "network": 0, "clock": 0, "service": 40, "compromise": 0, "impersonate": 0, "hold": 0, "release": 0, "drop": 0, "duplicate": 0,
        "commit": 8, "lock": 0, "unlock": 0, "verify": 0, "set_data": 0, "authenticate": 0, "upkeep": 0,
        "group": 0, "user": 0, "key_packages": 0
    }"#;
    plan(9750, Size { members: 4, steps: 16 }, weights)
}

/// A plan for three members that often change their key packages, are added again and again, and are
/// often stolen from.
fn key_packages() -> Plan {
    let weights = r#"{
        "key_packages": 40, "add": 40, "remove": 35, "compromise": 20, "send": 25, "update": 5, "propose": 3, "commit": 5,
        "leave": 0, "join": 0, "rejoin": 0, "offline": 2, "online": 4, "hold": 0, "release": 0, "drop": 0, "duplicate": 0,
        "race": 0, "crash": 0, "impersonate": 0, "wait": 0, "network": 0, "clock": 0, "service": 0,
        "lock": 0, "unlock": 0, "verify": 0, "set_data": 0, "authenticate": 0, "upkeep": 0, "group": 0, "user": 0
    }"#;
    plan(168, Size { members: 3, steps: 40 }, weights)
}

fn plan(seed: u64, size: Size, weights: &str) -> Plan {
    Plan { seed, count: MOST, size, weights: Weights::read(weights).unwrap() }
}

fn run_within(fault_injection: &dyn FaultInjection) -> impl Fn(&Scenario) -> RunOutcome + Sync + '_ {
    |scenario| {
        let mut transcript = Transcript::new(&scenario.name, false);
        run_in(scenario, &RunOptions::default(), &mut transcript, fault_injection)
    }
}

/// The first scenario of the plan that fails with the fault, in one of these ways.
#[track_caller]
fn found(fault: &dyn FaultInjection, plan: &Plan, ways: &[&str]) -> FailedScenario {
    let finding = search(plan, 1, &run_within(fault), |_| SearchControl::GoOn).finding;
    let finding = finding.unwrap_or_else(|| panic!("not found in {MOST} scenarios"));
    let kinds = FailureKind::of_all(&finding.scenario, &finding.failures);
    println!("found in scenario {}: {}", finding.number, kinds[0].as_str());
    assert!(ways.iter().any(|way| kinds[0].as_str().contains(way)), "{kinds:?}\n{}", write(&finding.scenario));
    finding
}

macro_rules! found_within {
    ($($(#[$comment:meta])* $name:ident: $fault:expr, $plan:ident, $ways:expr;)*) => {$(
        $(#[$comment])*
        #[test]
        fn $name() {
            found(&$fault, &$plan(), &$ways);
        }
    )*};
}

#[test]
fn nothing_is_found_without_a_fault() {
    for plan in [everything(), thefts(), networks(), absences(), service_faults(), groups(), key_packages()] {
        let finding = search(&plan, 1, &run_within(&NoFaults), |_| SearchControl::GoOn).finding;
        let finding = finding.map(|finding| (write(&finding.scenario), finding.failures));
        assert!(finding.is_none(), "{finding:#?}");
    }
}

/// The report of a run that has panicked.
const PANIC: &str = "the run comes to an end";

/// The report of a thief that reads a message that it should not read.
const EXPOSED: [&str; 1] = ["cannot be read, by RFC"];

found_within! {
    used_message_key_kept: Keeps(RecordKind::MessageSecrets, When::WithinEpoch), thefts, EXPOSED;
    one_past_epoch_too_many: Keeps(RecordKind::MessageSecrets, When::EpochEnds), thefts, EXPOSED;
    init_secret_kept: Keeps(RecordKind::EpochSecrets, When::EpochEnds), thefts, EXPOSED;
    pending_commit_kept: Keeps(RecordKind::GroupState, When::Always), everything, EXPOSED;
    keys_of_the_path_kept_after_an_update: Keeps(RecordKind::EpochKeys, When::EpochEnds), thefts, EXPOSED;
    key_of_an_update_proposal_kept: Keeps(RecordKind::EncryptionKey, When::Always), thefts, EXPOSED;
    keys_of_a_used_key_package_kept: Keeps(RecordKind::KeyPackage, When::Always), thefts, EXPOSED;
    message_can_be_read_twice: Rereads, thefts, ["possible by RFC", EXPOSED[0]];

    commit_without_its_path: IgnoresCommitSecrets, everything, EXPOSED;
    ratchet_that_stands_still: StandingRatchets, everything, EXPOSED;
    /// The delivery service finds that the keys are in the tree already; in an opaque group, it
    /// finds those of an external commit.
    path_secret_repeated: Repeats::PathSecret, everything, ["the step succeeds (rejected)"];
    /// The committer finds that two nodes have the same key. In debug builds, an assertion finds
    /// it.
    leaf_key_repeated: Repeats::LeafKey, everything, [PANIC, "the step succeeds (invalid_message)"];
    wrong_path_secret_in_a_welcome: WrongPathSecretsInWelcomes, everything, ["the step succeeds", "the device processes it"];

    two_commits_for_one_epoch: Service::TwoCommitsForOneEpoch, everything, ["the step succeeds", "one epoch"];
    stream_of_a_removed_member_left_open: Service::OpenStreams, everything, ["the device processes it"];
    key_package_handed_out_twice: Service::KeyPackagesTwice, everything, ["the step succeeds", "the device processes it"];
    /// The owner has erased the private key, so it cannot join.
    withdrawn_key_package_handed_out: Service::WithdrawnStay, key_packages,
        ["the step succeeds", "the device processes it", "like the service"];
    welcome_lost: Service::LostWelcomes, everything, ["the step succeeds"];
    entry_lost: Service::LostEntries, everything, ["every message of its membership", "the device processes it"];
    /// A device does not keep what comes before a commit that it lacks.
    early_entry_skipped: Inbox(EarlyEntry::IsSkipped), networks,
        ["like the service", "every message of its membership", "the step succeeds"];
    /// A device processes entries in the order of their arrival.
    early_entry_processed_at_once: Inbox(EarlyEntry::IsProcessed), networks,
        ["the step succeeds", "the device processes it", "the device ignores it", "the device reads it"];
    /// The answer is lost, so the device submits the same bytes again.
    outcomes_forgotten: Service::ForgottenAnswers, networks,
        ["the service repeats its outcome", "each message once", "the step succeeds", "the device"];
    answer_forgotten: Service::ForgottenAnswers, service_faults, ["the same bytes get the same answer"];
    answers_forgotten_on_restart: Service::ForgetsOnRestart, service_faults, ["the same bytes get the same answer"];
    answer_before_the_commit: AnswersBeforeTheCommit::default(), service_faults, [
        "the step succeeds", "like the service", "every message of its membership", "finds nothing against", "one epoch",
        "the device processes it"
    ];
    client_that_compares_no_receipts: Forgets::Receipts, service_faults, ["has found an equivocation"];
    client_that_compares_no_rosters: Forgets::Rosters, service_faults, ["has found a false roster"];
    group_infos_that_stay: Service::StaleGroupInfos, everything, ["the step succeeds (stale)"];
    removed_members_stay_in_the_roster: Service::RemovedStayInTheRoster, everything,
        ["see the same members", "like the service"];
    entries_that_expire_at_once: Service::ExpiresAtOnce, absences,
        ["every message of its membership", "like the service", "the step succeeds"];
    part_of_a_welcome_lost: Service::LostWelcomeSecrets, everything, ["the step succeeds (rejected)"];
    readers_forgotten: Service::ForgottenReaders, everything, ["the step succeeds", "like the service"];
    used_message_key_kept_in_several_groups: Keeps(RecordKind::MessageSecrets, When::WithinEpoch), groups, EXPOSED;
    welcome_lost_in_several_groups: Service::LostWelcomes, groups, ["the step succeeds"];
}

/// The found scenario is shrunk, and the shrunk scenario still fails in the same way.
#[test]
fn found_fault_is_shrunk() {
    let fault = Service::OpenStreams;
    let finding = found(&fault, &everything(), &["the device processes it"]);
    let shrunk = finding.shrink(&run_within(&fault));
    let failures = run_within(&fault)(&shrunk.scenario).failures;
    let kinds = |scenario, failures| FailureKind::of_all(scenario, failures);
    assert!(kinds(&shrunk.scenario, &failures).contains(&kinds(&finding.scenario, &finding.failures)[0]));
    assert!(shrunk.scenario.expanded_len() <= 5, "{}", write(&shrunk.scenario));
    assert!(run_within(&NoFaults)(&shrunk.scenario).failures.is_empty());
}
