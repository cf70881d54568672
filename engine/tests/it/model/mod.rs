//! Compares the engine with a model without cryptography, for random calls and random deliveries.
//! The model predicts the result of each call.
//!
//! `action` has the random actions, `prediction` is the model, and `service` orders the entries.
//! `comparison` makes the calls and compares the results; `commits` and `messages` add the calls
//! of their topics to it. The test `history` uses devices that behave well. Here the devices get
//! their messages early, late, twice, damaged or never, and lose the service's answers. A call that
//! must fail has to fail for the right reason.

mod action;
mod commits;
mod comparison;
mod messages;
mod prediction;
mod service;
mod store_location;
mod translation;

use action::{Action, CommitHandling};
use comparison::{ModelComparison, NAMES};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::HandshakeMode;

/// The number of sequences that are tested in each handshake mode.
const CASES: u32 = 120;

fn action() -> impl Strategy<Value = Action> {
    // Selects a member by its number in seven of eight cases, otherwise any device: see
    // `ModelComparison::choose`.
    let who = || 0..8 * NAMES.len();
    let other = || 0..NAMES.len();
    let then = || prop_oneof![2 => Just(CommitHandling::Hold), 1 => Just(CommitHandling::Submit), 3 => Just(CommitHandling::Settle)];
    let sent = || prop::bool::weighted(0.75);
    prop_oneof![
        12 => (who(), 1..5_usize, any::<bool>()).prop_map(|(who, n, together)| Action::Receive(who, n, together)),
        5 => (who(), Just(1000), any::<bool>()).prop_map(|(who, n, together)| Action::Receive(who, n, together)),
        8 => (who(), other(), then()).prop_map(|(by, who, then)| Action::Add(by, who, then)),
        3 => (who(), other(), then()).prop_map(|(by, who, then)| Action::Remove(by, who, then)),
        3 => (who(), any::<bool>(), then()).prop_map(|(by, key, then)| Action::Update(by, key, then)),
        6 => (who(), then()).prop_map(|(by, then)| Action::Commit(by, then)),
        4 => (who(), other(), sent()).prop_map(|(by, who, sent)| Action::ProposeAdd(by, who, sent)),
        4 => (who(), other(), sent()).prop_map(|(by, who, sent)| Action::ProposeRemove(by, who, sent)),
        4 => (who(), sent()).prop_map(|(by, sent)| Action::ProposeUpdate(by, sent)),
        1 => (who(), sent()).prop_map(|(by, sent)| Action::Leave(by, sent)),
        4 => (who(), then()).prop_map(|(by, then)| Action::Resume(by, then)),
        1 => who().prop_map(Action::Abandon),
        1 => who().prop_map(Action::Discard),
        4 => who().prop_map(Action::Submit),
        4 => who().prop_map(Action::Answer),
        1 => (who(), any::<bool>()).prop_map(|(who, confirm)| Action::Outdated(who, confirm)),
        10 => who().prop_map(Action::Send),
        6 => (who(), 0..5_usize).prop_map(|(who, ahead)| Action::Early(who, ahead)),
        5 => (who(), 0..6_usize).prop_map(|(who, back)| Action::Again(who, back)),
        2 => (who(), any::<usize>(), any::<u8>()).prop_map(|(who, at, with)| Action::Garbled(who, at, with)),
        3 => (who(), then()).prop_map(|(who, then)| Action::Join(who, then)),
        1 => who().prop_map(Action::Forget),
        1 => who().prop_map(Action::Create),
        2 => who().prop_map(Action::Reopen),
    ]
}

fn sequences(handshake: HandshakeMode, past_epochs: usize) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy =
        (2..=NAMES.len(), 1..=NAMES.len(), prop::bool::weighted(0.2), prop::collection::vec(action(), 0..120));
    let result = runner.run(&strategy, |(devices, members, in_file, actions)| {
        let mut comparison = ModelComparison::new(devices, members, in_file, handshake, past_epochs);
        for action in &actions {
            comparison.take(action);
        }
        comparison.finish();
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn assisted_groups_do_what_the_model_predicts() {
    sequences(HandshakeMode::Assisted, 0);
}

#[test]
fn opaque_groups_do_what_the_model_predicts() {
    sequences(HandshakeMode::Opaque, 2);
}
