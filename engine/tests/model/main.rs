//! Compares the engine with a model without cryptography, for random calls and random deliveries.
//! The model predicts the result of each call.
//!
//! `prediction` is the model, `service` orders the entries, and `world` makes the calls and
//! compares the results. The test `history` uses devices that behave well. Here the devices get
//! their messages early, late, twice, damaged or never, and lose the service's answers. A call that
//! must fail has to fail for the right reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod prediction;
mod service;
mod world;

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use regrow_engine::HandshakeMode;
use world::{NAMES, Step, Then, World};

/// The number of sequences that are tested in each handshake mode.
const CASES: u32 = 120;

fn step() -> impl Strategy<Value = Step> {
    // Selects a member by its number in seven of eight cases, otherwise any device: see
    // `World::choose`.
    let who = || 0..8 * NAMES.len();
    let other = || 0..NAMES.len();
    let then = || prop_oneof![2 => Just(Then::Hold), 1 => Just(Then::Submit), 3 => Just(Then::Settle)];
    let sent = || prop::bool::weighted(0.75);
    prop_oneof![
        12 => (who(), 1..5_usize, any::<bool>()).prop_map(|(who, n, together)| Step::Receive(who, n, together)),
        5 => (who(), Just(1000), any::<bool>()).prop_map(|(who, n, together)| Step::Receive(who, n, together)),
        8 => (who(), other(), then()).prop_map(|(by, who, then)| Step::Add(by, who, then)),
        3 => (who(), other(), then()).prop_map(|(by, who, then)| Step::Remove(by, who, then)),
        3 => (who(), any::<bool>(), then()).prop_map(|(by, key, then)| Step::Update(by, key, then)),
        6 => (who(), then()).prop_map(|(by, then)| Step::Commit(by, then)),
        4 => (who(), other(), sent()).prop_map(|(by, who, sent)| Step::ProposeAdd(by, who, sent)),
        4 => (who(), other(), sent()).prop_map(|(by, who, sent)| Step::ProposeRemove(by, who, sent)),
        4 => (who(), sent()).prop_map(|(by, sent)| Step::ProposeUpdate(by, sent)),
        1 => (who(), sent()).prop_map(|(by, sent)| Step::Leave(by, sent)),
        4 => (who(), then()).prop_map(|(by, then)| Step::Resume(by, then)),
        1 => who().prop_map(Step::Abandon),
        1 => who().prop_map(Step::Discard),
        4 => who().prop_map(Step::Submit),
        4 => who().prop_map(Step::Answer),
        1 => (who(), any::<bool>()).prop_map(|(who, confirm)| Step::Outdated(who, confirm)),
        10 => who().prop_map(Step::Send),
        6 => (who(), 0..5_usize).prop_map(|(who, ahead)| Step::Early(who, ahead)),
        5 => (who(), 0..6_usize).prop_map(|(who, back)| Step::Again(who, back)),
        2 => (who(), any::<usize>(), any::<u8>()).prop_map(|(who, at, with)| Step::Garbled(who, at, with)),
        3 => (who(), then()).prop_map(|(who, then)| Step::Join(who, then)),
        1 => who().prop_map(Step::Forget),
        1 => who().prop_map(Step::Create),
        2 => who().prop_map(Step::Reopen),
    ]
}

fn sequences(handshake: HandshakeMode, past_epochs: usize) {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (2..=NAMES.len(), 1..=NAMES.len(), prop::bool::weighted(0.2), prop::collection::vec(step(), 0..120));
    let result = runner.run(&strategy, |(devices, members, in_file, steps)| {
        let mut world = World::new(devices, members, in_file, handshake, past_epochs);
        for step in &steps {
            world.take(step);
        }
        world.finish();
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
