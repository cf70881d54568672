//! The cost model and the real engine give the same rows, column by column.

mod history;

use std::collections::BTreeMap;

use regrow_simulator::{
    model,
    report::{
        RunOptions, RunOutcome, Transcript,
        costs::{CostTable, columns},
    },
    scenario::{Scenario, read},
    world,
};
use serde_json::{Value, json};

use self::history::{History, Shape};
use crate::common::told;

/// The columns that the model does not have: the format of the service's store is the service's
/// own.
const NOT_MODELLED: [&str; 1] = ["stored_bytes"];

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
    table.write(&scenario.name, scenario.seed, &outcome.costs).unwrap();
    table.flush().unwrap();
    drop(table);
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Runs a scenario both ways, and returns the number of epochs.
#[track_caller]
fn assert_no_residual(scenario: &Scenario, what: &str) -> u64 {
    let mut transcript = Transcript::new(&scenario.name, false);
    let options = RunOptions { costs: true, ..RunOptions::default() };
    let real = world::run(scenario, &options, &mut transcript);
    let modelled = model::run(scenario, scenario.seed);
    let (real_rows, model_rows) = (rows(scenario, &real), rows(scenario, &modelled));
    let columns = columns();
    let mut residuals: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (row, (real, modelled)) in real_rows.iter().zip(&model_rows).enumerate() {
        for (column, (real, modelled)) in columns.iter().zip(real.iter().zip(modelled)) {
            if real != modelled && !NOT_MODELLED.contains(&column.as_str()) {
                let kind = &real_rows[row][5];
                let first = || (0, format!("row {row} ({kind}, epoch {}): {real}, not {modelled}", real_rows[row][3]));
                residuals.entry(column).or_insert_with(first).0 += 1;
            }
        }
    }
    assert!(residuals.is_empty(), "{what}: {residuals:#?}");
    assert_eq!(real_rows.len(), model_rows.len(), "{what}");
    let figures = |outcome: &RunOutcome| (outcome.figures.members, outcome.figures.epochs, outcome.figures.messages);
    assert_eq!(figures(&real), figures(&modelled), "{what}");
    real.figures.epochs
}

#[test]
fn rows_of_random_histories_are_those_of_the_engine() {
    let mut epochs = 0;
    for seed in 0..8_u64 {
        for (handshake, padding, external) in [("assisted", 128, false), ("assisted", 0, true), ("opaque", 64, true)] {
            let group = json!({ "handshake": handshake, "padding": padding, "publish_group_info": external });
            let shape = Shape { devices: 24, initial: 1 + seed as usize * 2, epochs: 25, external };
            let history = History::draw(seed, shape);
            epochs += assert_no_residual(&scenario(&group, &history), &format!("seed {seed}, {group}"));
        }
    }
    assert!(epochs >= 500, "{epochs}");
}
