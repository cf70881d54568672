//! The cost model and the real engine give the same rows, column by column.

mod history;
mod signatures;

use std::{collections::BTreeMap, ops::Range, path::Path};

use rayon::prelude::*;
use regrow_simulator::{
    cost::Operation,
    model,
    report::{
        Figures, RunOptions, RunOutcome, Transcript,
        costs::{CostTable, columns},
    },
    scenario::{Scenario, read},
    world,
};
use serde_json::{Value, json};

use self::{
    history::{History, Shape},
    signatures::FixedLength,
};
use crate::common::told;

fn scenario(group: &Value, history: &History) -> Scenario {
    let file = json!({
        "regrow": 1, "name": "a history", "group": group, "members": history.devices(), "steps": history.steps,
    });
    read(&file.to_string()).unwrap_or_else(|problems| panic!("{problems:?}\n{file}"))
}

#[track_caller]
fn rows(scenario: &Scenario, outcome: &RunOutcome) -> Vec<Vec<String>> {
    assert!(outcome.failures.is_empty(), "{}", told(&outcome.failures));
    let mut csv = Vec::new();
    let mut table = CostTable::begin(&mut csv).unwrap();
    table.write(Path::new("a.json"), &scenario.name, scenario.seed, &outcome.costs).unwrap();
    table.finish().unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Runs a scenario both ways, and returns the number of epochs.
#[track_caller]
fn assert_no_residual(scenario: &Scenario, what: &str) -> u64 {
    let mut transcript = Transcript::new(&scenario.name, false);
    let options = RunOptions { costs: true, ..RunOptions::default() };
    let real = world::run_in(scenario, &options, &mut transcript, &FixedLength);
    let modelled = model::run(scenario, scenario.seed);
    let (real_rows, model_rows) = (rows(scenario, &real), rows(scenario, &modelled));
    let columns = columns();
    let mut residuals: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (row, (real, modelled)) in real_rows.iter().zip(&model_rows).enumerate() {
        for (column, (real, modelled)) in columns.iter().zip(real.iter().zip(modelled)) {
            if real != modelled && !model::EMPTY_COLUMNS.contains(&column.as_str()) {
                let kind = &real_rows[row][5];
                let first = || (0, format!("row {row} ({kind}, epoch {}): {real}, not {modelled}", real_rows[row][3]));
                residuals.entry(column).or_insert_with(first).0 += 1;
            }
        }
    }
    assert!(residuals.is_empty(), "{what}: {residuals:#?}");
    assert_eq!(real_rows.len(), model_rows.len(), "{what}");
    let figures = |outcome: &RunOutcome| {
        let Figures { members, devices, epochs, messages, message_traffic, .. } = outcome.figures.clone();
        (members, devices, epochs, messages, message_traffic)
    };
    assert_eq!(figures(&real), figures(&modelled), "{what}");
    assert_eq!(real.figures.contention, modelled.figures.contention, "{what}");
    for operation in [Operation::ReceiveCommit, Operation::ReceiveProposal, Operation::Join] {
        let costs = [&real, &modelled].map(|outcome| outcome.figures.costs.get(&operation).copied());
        assert_eq!(costs[0], costs[1], "{what}: {operation}");
    }
    real.figures.epochs
}

/// A set of settings, and the number of its histories.
struct Setting {
    ciphersuite: &'static str,
    handshake: &'static str,
    padding: u32,
    publishes_group_info: bool,
}

const X25519: &str = "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519";
const P256: &str = "MLS_128_DHKEMP256_AES128GCM_SHA256_P256";
const CHACHA20: &str = "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519";
const X_WING: &str = "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519";

const SETTINGS: [Setting; 8] = [
    Setting { ciphersuite: X25519, handshake: "assisted", padding: 128, publishes_group_info: false },
    Setting { ciphersuite: X25519, handshake: "opaque", padding: 0, publishes_group_info: true },
    Setting { ciphersuite: X25519, handshake: "opaque", padding: 100, publishes_group_info: false },
    Setting { ciphersuite: CHACHA20, handshake: "assisted", padding: 0, publishes_group_info: true },
    Setting { ciphersuite: P256, handshake: "assisted", padding: 64, publishes_group_info: true },
    Setting { ciphersuite: P256, handshake: "opaque", padding: 128, publishes_group_info: false },
    Setting { ciphersuite: X_WING, handshake: "assisted", padding: 128, publishes_group_info: false },
    Setting { ciphersuite: X_WING, handshake: "opaque", padding: 0, publishes_group_info: true },
];

/// Compares random histories of this shape, in all settings. Returns the number of epochs.
fn compare(seeds: Range<u64>, shape: impl Fn(u64) -> Shape + Sync) -> u64 {
    let both: Vec<_> = seeds.flat_map(|seed| SETTINGS.iter().map(move |setting| (seed, setting))).collect();
    both.into_par_iter()
        .map(|(seed, setting)| {
            let Setting { ciphersuite, handshake, padding, publishes_group_info } = setting;
            let group = json!({
                "ciphersuite": ciphersuite,
                "handshake": handshake,
                "padding": padding,
                "publish_group_info": publishes_group_info,
            });
            let history = History::draw(seed, Shape { external: *publishes_group_info, ..shape(seed) });
            assert_no_residual(&scenario(&group, &history), &format!("seed {seed}, {group}"))
        })
        .sum()
}

#[test]
fn ten_thousand_epochs_of_random_histories_cost_the_same_on_both() {
    let mut epochs = compare(0..26, |seed| Shape {
        devices: 6 + seed as usize % 12,
        initial: 1 + seed as usize % 6,
        epochs: 50,
        external: false,
    });
    epochs += compare(100..101, |_| Shape { devices: 80, initial: 40, epochs: 20, external: false });
    epochs += compare(200..201, |_| Shape { devices: 256, initial: 250, epochs: 3, external: false });
    assert!(epochs >= 10_000, "{epochs}");
}

/// `cargo test --release -p regrow-simulator --test it -- --ignored model` takes about twenty minutes on two cores.
#[test]
#[ignore = "a thousand real members take twenty minutes"]
fn epochs_of_a_thousand_members_cost_the_same_on_both() {
    let epochs = compare(300..301, |_| Shape { devices: 1024, initial: 1000, epochs: 20, external: false });
    assert!(epochs >= 120, "{epochs}");
}
