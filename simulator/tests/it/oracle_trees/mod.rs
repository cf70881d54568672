//! The oracle has the same trees, keys and ratchets as real engine clients, after any operations.
//!
//! Clients of the engine perform each sequence of operations, and the oracle is told everything.
//! After every operation, the test compares the clients' records with the oracle's secrets: nodes
//! of the ratchet tree, resolutions, unmerged leaves, private keys, and secret trees with their
//! ratchets. For every commit, it also compares the keys to which the path secrets are sealed.

mod commit;
mod compare;
mod recorder;
mod step;
mod stored;
mod thief;
mod walk;

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};
use step::{CommitEnding, Settings, WalkStep};
use walk::Walk;

/// The number of sequences, unless `REGROW_ORACLE_SEQUENCES` sets another number.
const SEQUENCES: u32 = 10_000;

/// The number of threads.
const THREADS: u32 = 4;

fn ending() -> impl Strategy<Value = CommitEnding> {
    prop_oneof![
        4 => Just(CommitEnding::Ordered),
        4 => Just(CommitEnding::Confirmed),
        1 => Just(CommitEnding::Waits),
        1 => Just(CommitEnding::Discarded),
    ]
}

fn step() -> impl Strategy<Value = WalkStep> {
    let (by, who, yes) = (any::<u8>(), any::<u8>(), any::<bool>());
    prop_oneof![
        4 => (by, ending()).prop_map(|(by, ending)| WalkStep::Update { by, ending }),
        4 => (by, yes, yes, ending())
            .prop_map(|(by, two, last_resort, ending)| WalkStep::Add { by, two, last_resort, ending }),
        3 => (by, who, ending()).prop_map(|(by, who, ending)| WalkStep::Remove { by, who, ending }),
        3 => (by, ending()).prop_map(|(by, ending)| WalkStep::Commit { by, ending }),
        2 => (by, who, yes).prop_map(|(first, second, removal)| WalkStep::Race { first, second, removal }),
        1 => (by, yes).prop_map(|(by, last_resort)| WalkStep::ProposeAdd { by, last_resort }),
        1 => (by, who).prop_map(|(by, who)| WalkStep::ProposeRemove { by, who }),
        3 => (by, prop::bool::weighted(0.1)).prop_map(|(by, lost)| WalkStep::ProposeUpdate { by, lost }),
        1 => by.prop_map(|by| WalkStep::Leave { by }),
        2 => (who, ending()).prop_map(|(who, ending)| WalkStep::Join { who, ending }),
        2 => (who, yes, ending()).prop_map(|(who, forget, ending)| WalkStep::Rejoin { who, forget, ending }),
        2 => by.prop_map(|by| WalkStep::Submit { by }),
        6 => (by, 1..=4u8, any::<u8>(), any::<[u32; 3]>()).prop_map(|(by, count, lost, [one, two, three])| {
            WalkStep::Send { by, count, lost: lost & (lost >> 3), held_by: one & two, dropped_by: one & two & three }
        }),
        1 => by.prop_map(|by| WalkStep::Release { by }),
        1 => who.prop_map(|who| WalkStep::Sleep { who }),
        1 => who.prop_map(|who| WalkStep::Wake { who }),
        1 => who.prop_map(|who| WalkStep::Expire { who }),
        1 => who.prop_map(|who| WalkStep::Steal { who }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let members = prop_oneof![4 => 1..=2usize, 5 => 3..=4usize, 1 => 5..=8usize];
    (any::<u64>(), members, 0..3usize, 0..4u32, any::<bool>()).prop_map(
        |(seed, members, past_epochs, out_of_order, opaque)| Settings {
            seed,
            members,
            past_epochs,
            out_of_order,
            opaque,
        },
    )
}

fn sequences(thread: u32) {
    let cases = std::env::var("REGROW_ORACLE_SEQUENCES").map_or(SEQUENCES, |number| number.parse().unwrap());
    let config = Config {
        cases: cases / THREADS,
        rng_seed: RngSeed::Fixed(9420 + u64::from(thread)),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    // Each sequence has a theft, early or late. After each step, a member sends a message to all.
    let strategy = (settings(), prop::collection::vec(step(), 1..5), any::<[u8; 3]>());
    let result = TestRunner::new(config).run(&strategy, |(settings, steps, [moment, who, by])| {
        let mut walk = Walk::new(settings);
        walk.compare_touched();
        let moment = moment as usize % steps.len();
        for (number, step) in steps.into_iter().enumerate() {
            if number == moment {
                walk.step(WalkStep::Steal { who });
            }
            walk.step(step);
            walk.step(WalkStep::Send {
                by: by.wrapping_add(number as u8),
                count: 1,
                lost: 0,
                held_by: 0,
                dropped_by: 0,
            });
            walk.compare_touched();
        }
        walk.compare_thieves();
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn oracle_holds_the_same_secrets_as_the_clients() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || sequences(thread))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
