#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::Path};

use super::*;
use crate::{
    report::{RunOptions, Transcript},
    scenario::{self, Scenario},
    world::{fault_injection::NoFaults, service_under_test::Endpoint, state::World},
};

/// Plays a scenario in a world with this limit, and gives the world at its end to `look`. Returns
/// the transcript's hash.
#[track_caller]
fn play(scenario: &Scenario, loaded_groups: LoadedGroups, look: impl FnOnce(&World<'_>)) -> String {
    let mut transcript = Transcript::new("n", false);
    let endpoint = Endpoint::local(&NoFaults, None).unwrap();
    let mut world = World::new(
        scenario,
        &RunOptions { seed: Some(1), ..RunOptions::default() },
        &mut transcript,
        &NoFaults,
        endpoint,
        None,
    )
    .unwrap();
    world.loaded_groups = loaded_groups;
    assert_eq!(world.play_and_check(scenario), []);
    look(&world);
    drop(world);
    transcript.finish().unwrap().hash
}

/// One commit adds all members, two of them update, and the last one sends.
fn updates(members: usize) -> Scenario {
    let names: Vec<_> = (2..=members).map(|member| format!("m{member}")).collect();
    let text = serde_json::json!({
        "regrow": 1, "name": "n", "members": { "prefix": "m", "count": members },
        "steps": [
            { "create": { "by": "m1", "with": names } },
            { "update": { "by": "m1" } },
            { "update": { "by": names[members - 2] } },
            { "send": { "by": names[members - 2], "id": "m" } },
        ],
    });
    scenario::read(&text.to_string()).unwrap()
}

/// The number of leaves in all trees that devices have in memory.
fn loaded_leaves(world: &World<'_>) -> usize {
    world.devices.iter().map(|device| device.client.loaded_groups() * world.service.member_count()).sum()
}

/// The bytes that the records of all devices take in memory.
fn stored_bytes(world: &World<'_>) -> usize {
    let records = world.devices.iter().flat_map(|device| device.stored_values());
    records.flat_map(|value| value.allocations()).collect::<BTreeMap<_, _>>().into_values().sum()
}

#[test]
fn a_thousand_members_keep_their_group() {
    let limit = LoadedGroups::default();
    assert_eq!([0, 1_000, 2_000, 10_000].map(|members| limit.devices(members)), [1_000_000, 1_000, 500, 100]);
}

#[test]
fn decoded_trees_stay_below_the_limit_in_a_group_of_any_size() {
    for members in [20, 80] {
        play(&updates(members), LoadedGroups::at_most(400), |world| {
            assert_eq!(loaded_leaves(world), 400, "with {members} members");
        });
    }
}

/// The tree of 240 members has more than 60 kB.
#[test]
fn stored_bytes_grow_with_the_members_and_not_with_their_square() {
    let bytes_of_each = [60, 240].map(|members| {
        let mut bytes = 0;
        play(&updates(members), LoadedGroups::at_most(0), |world| bytes = stored_bytes(world));
        bytes / members
    });
    assert!(bytes_of_each[1] < 2 * bytes_of_each[0], "bytes of each member: {bytes_of_each:?}");
}

#[test]
fn dropping_all_groups_changes_no_transcript() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") && !path.ends_with("hundred_members.json") {
            let scenario = scenario::load(&path).unwrap();
            let hash = |limit| play(&scenario, limit, |_| ());
            assert_eq!(hash(LoadedGroups::at_most(0)), hash(LoadedGroups::default()), "{}", path.display());
        }
    }
}
