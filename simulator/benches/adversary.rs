//! Measures the cost of finding the messages that a thief can read: `cargo bench -p
//! regrow-simulator --bench adversary`.
//!
//! Each group is played three times: without a theft, with one theft at the end, and with twenty
//! thefts. With one theft, all calls are recorded, and one closure is computed. Otherwise the
//! scenarios are equal. Therefore the differences are the costs of the recording and of the
//! closures (with their oracle and their replay).

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use regrow_simulator::{
    report::{RunOptions, Transcript},
    scenario::read,
    world,
};

/// The numbers of members, epochs and messages: first each of them grows alone, then all together.
const GROUPS: [(u32, u32, u32); 8] = [
    (10, 50, 250),
    (20, 50, 250),
    (50, 50, 250),
    (100, 50, 250),
    (50, 100, 250),
    (50, 50, 500),
    (50, 50, 1000),
    (100, 200, 1000),
];

/// The number of thefts in the third run, and the longest time that they may add.
const THEFTS: u32 = 20;
const LONGEST: Duration = Duration::from_secs(60);

fn main() {
    // `cargo test --all-targets` runs this program, too, and wants no measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!(
        "| members | epochs | messages | plain (s) | recorded (s) | recorded/plain | 20 thefts (s) | each theft (ms) | peak (MB) |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (members, epochs, messages) in GROUPS {
        let plain = play(members, epochs, messages, 0);
        let recorded = play(members, epochs, messages, 1);
        let stolen = play(members, epochs, messages, THEFTS);
        let each = stolen.saturating_sub(recorded).as_secs_f64() * 1000.0 / f64::from(THEFTS - 1);
        println!(
            "| {members} | {epochs} | {messages} | {:.2} | {:.2} | {:.2} | {:.2} | {each:.0} | {} |",
            plain.as_secs_f64(),
            recorded.as_secs_f64(),
            recorded.as_secs_f64() / plain.as_secs_f64(),
            stolen.as_secs_f64(),
            peak().map_or("?".to_owned(), |peak| (peak >> 20).to_string()),
        );
        assert!(stolen.saturating_sub(plain) <= LONGEST, "the closures take longer than {LONGEST:?}");
    }
}

/// The run time of a scenario. Members update in turn, and others send between the commits.
fn play(members: u32, epochs: u32, messages: u32, thefts: u32) -> Duration {
    let mut steps = String::new();
    for epoch in 1..epochs {
        let by = epoch % members + 1;
        write!(steps, r#", {{ "update": {{ "by": "m{by}" }} }}"#).unwrap();
        for message in messages * epoch / epochs..messages * (epoch + 1) / epochs {
            let by = (message * 7 + epoch) % members + 1;
            write!(steps, r#", {{ "send": {{ "by": "m{by}", "id": "t{message}" }} }}"#).unwrap();
        }
        // The last theft comes after the last epoch's messages, so that one theft has all calls
        // recorded.
        for theft in (0..thefts).filter(|theft| (theft + 1) * (epochs - 1) / thefts == epoch) {
            let who = theft * 3 % members + 1;
            write!(steps, r#", {{ "compromise": {{ "who": "m{who}", "id": "s{theft}" }} }}"#).unwrap();
        }
    }
    let others: Vec<_> = (2..=members).map(|member| format!(r#""m{member}""#)).collect();
    let text = format!(
        r#"{{ "regrow": 1, "name": "bench", "seed": 1, "members": {{ "prefix": "m", "count": {members} }},
             "steps": [ {{ "create": {{ "by": "m1", "with": [{}] }} }} {steps} ] }}"#,
        others.join(", ")
    );
    let scenario = read(&text).unwrap();
    let mut transcript = Transcript::new(&scenario.name, false);
    let start = Instant::now();
    let outcome = world::run(&scenario, &RunOptions::default(), &mut transcript);
    let time = start.elapsed();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(outcome.figures.compromises.len(), thefts as usize);
    time
}

/// The most memory that the process has had, if the system reports it.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
