//! Measures forward secrecy and post-compromise security, and the effect of each setting of the
//! policy. The tables of `docs/results.md` have to contain these measurements.
//!
//! `cargo test -p regrow-simulator --test it results -- --nocapture` prints the tables.

use std::fmt::Write as _;

use regrow_simulator::{
    cost::Operation,
    report::{Matrix, RunOptions, Transcript},
    scenario::{Scenario, read},
    world::{self, matrix},
};

const MEMBERS: [&str; 4] = ["ada", "ben", "cyd", "dan"];

/// The life of a group: its settings, and the frequency of updates.
#[derive(Clone)]
struct Life {
    group: &'static str,
    /// The number of rounds between two updates.
    rounds_per_update: u32,
    rounds: u32,
}

const LIFE: Life = Life { group: "{}", rounds_per_update: 2, rounds: 16 };

/// In a round, every member sends once. In every second round, ben's message reaches dan after the
/// message that ben sends in the next round. In every third round, cyd's message reaches dan two
/// rounds later. After some rounds, the next member in turn updates.
fn scenario(life: &Life) -> Scenario {
    let mut steps = vec![r#"{ "create": { "by": "ada", "with": ["ben", "cyd", "dan"] } }"#.to_owned()];
    for round in 0..life.rounds {
        for late in late(round) {
            steps.push(format!(r#"{{ "hold": {{ "id": "{late}", "for": "dan" }} }}"#));
        }
        for member in MEMBERS {
            steps.push(format!(r#"{{ "send": {{ "by": "{member}", "id": "{member}{round}" }} }}"#));
        }
        if round % 2 == 1 {
            steps.push(format!(r#"{{ "release": {{ "id": "ben{}" }} }}"#, round - 1));
        }
        if round % 3 == 2 {
            steps.push(format!(r#"{{ "release": {{ "id": "cyd{}" }} }}"#, round - 2));
        }
        if (round + 1) % life.rounds_per_update == 0 {
            let by = MEMBERS[(round / life.rounds_per_update) as usize % MEMBERS.len()];
            steps.push(format!(r#"{{ "update": {{ "by": "{by}" }} }}"#));
        }
    }
    let text = format!(
        r#"{{ "regrow": 1, "name": "a life", "seed": 1, "group": {}, "members": ["ada", "ben", "cyd", "dan"],
             "steps": [ {} ] }}"#,
        life.group,
        steps.join(", ")
    );
    read(&text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The messages of a round that reach dan late.
fn late(round: u32) -> impl Iterator<Item = String> {
    let ben = round.is_multiple_of(2).then(|| format!("ben{round}"));
    let cyd = round.is_multiple_of(3).then(|| format!("cyd{round}"));
    ben.into_iter().chain(cyd)
}

/// The measurements of one life.
struct Measured {
    late: usize,
    late_and_read: usize,
    window: Vec<u64>,
    after: Vec<u64>,
    healed: Vec<u64>,
    seals: u64,
    messages: u64,
}

fn measure(life: &Life) -> Measured {
    let scenario = scenario(life);
    let matrix: Matrix = matrix::of(&scenario, &RunOptions::default()).unwrap_or_else(|outcome| panic!("{outcome:#?}"));
    let mut transcript = Transcript::new(&scenario.name, true);
    let outcome = world::run(&scenario, &RunOptions::default(), &mut transcript);
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    let lines = String::from_utf8(transcript.finish().unwrap().lines).unwrap();
    let late: Vec<_> = (0..life.rounds).flat_map(late).map(|id| format!(r#""id":"{id}","#)).collect();
    let to_dan = lines.lines().filter(|line| line.contains(r#""event":"delivered","to":"dan","kind":"message""#));
    let tardy: Vec<_> = to_dan.filter(|line| late.iter().any(|id| line.contains(id))).collect();
    // The thefts happen in the first half of the life, so that there is time to heal.
    let group = &matrix.groups[0];
    let rows: Vec<_> = group.rows.iter().filter(|row| row.after_step < matrix.steps.len() / 2).collect();
    let unhealed = rows.iter().filter(|row| row.healed_after.is_none()).count();
    assert_eq!(unhealed, 0, "half a life is too short to heal in");
    Measured {
        late: tardy.len(),
        late_and_read: tardy.iter().filter(|line| line.contains(r#""meaning":"read""#)).count(),
        window: rows.iter().map(|row| group.fs_window(row) as u64).collect(),
        after: rows.iter().map(|row| group.exposed_after(row) as u64).collect(),
        healed: rows.iter().filter_map(|row| row.healed_after).collect(),
        seals: outcome.figures.costs.get(&Operation::Commit).map_or(0, |counts| counts.hpke_seals),
        messages: outcome.figures.messages,
    }
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len() as f64
}

fn most(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or_default()
}

fn table(setting: &str, lives: &[(&str, Life)]) -> String {
    let mut table = format!(
        "| {setting} | late messages read | FS window: mean, most | exposed after: mean, most | healed after: mean, most | HPKE encryptions per message |\n\
         | --- | --- | --- | --- | --- | --- |\n"
    );
    for (name, life) in lives {
        let it = measure(life);
        writeln!(
            table,
            "| {name} | {} of {} | {:.2}, {} | {:.1}, {} | {:.1}, {} | {:.2} |",
            it.late_and_read,
            it.late,
            mean(&it.window),
            most(&it.window),
            mean(&it.after),
            most(&it.after),
            mean(&it.healed),
            most(&it.healed),
            it.seals as f64 / it.messages as f64,
        )
        .unwrap();
    }
    table
}

fn tables() -> Vec<String> {
    let with = |group| Life { group, ..LIFE };
    vec![
        table("policy", &[("default", LIFE)]),
        table("`past_epochs`", &[("1", with(r#"{ "past_epochs": 1 }"#)), ("2", with(r#"{ "past_epochs": 2 }"#))]),
        table("`out_of_order`", &[("0", with(r#"{ "out_of_order": 0 }"#)), ("2", with(r#"{ "out_of_order": 2 }"#))]),
        table(
            "an update every",
            &[
                ("4 messages", Life { rounds_per_update: 1, rounds: 8, ..LIFE }),
                ("16 messages", Life { rounds_per_update: 4, rounds: 32, ..LIFE }),
            ],
        ),
        table(
            "other settings",
            &[
                ("`handshake` opaque", with(r#"{ "handshake": "opaque" }"#)),
                ("`padding` 256", with(r#"{ "padding": 256 }"#)),
                ("`ciphersuite` P-256", with(r#"{ "ciphersuite": "MLS_128_DHKEMP256_AES128GCM_SHA256_P256" }"#)),
            ],
        ),
    ]
}

#[test]
fn documented_results_match_the_measurements() {
    let document = include_str!("../../../docs/results.md");
    let missing: Vec<_> = tables()
        .into_iter()
        .inspect(|table| println!("{table}"))
        .filter(|table| !document.contains(table.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/results.md lacks these measurements:\n\n{}", missing.join("\n"));
}
