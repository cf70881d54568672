//! The results of a sweep: complete, the same for each start, and never lost.

use std::fs::{self, File};

use serde_json::Value;

use super::{folder_with, regrow, results, run, sweep, text};

#[test]
fn tables_have_the_same_bytes_with_any_number_of_threads() {
    let (one, other) = (folder_with(&sweep()), folder_with(&sweep()));
    for (folder, jobs) in [(&one, "1"), (&other, "3")] {
        let output = run(folder.path(), &["-j", jobs]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "8 runs, 0 failed; results in out\n");
    }
    assert_eq!(results(one.path()), results(other.path()));
}

#[test]
fn every_run_and_entry_has_its_row_in_the_order_of_the_grid() {
    let folder = folder_with(&sweep());
    run(folder.path(), &[]);
    let mut runs = csv::Reader::from_path(folder.path().join("out/runs.csv")).unwrap();
    let keys: Vec<_> = runs.records().map(|row| row.unwrap().iter().take(4).collect::<Vec<_>>().join(" ")).collect();
    let expected = ["3 none", "3 <some> & more", "5 none", "5 <some> & more"];
    let expected: Vec<_> = expected.iter().flat_map(|key| [1, 2].map(|seed| format!("{key} {seed} passed"))).collect();
    assert_eq!(keys, expected);

    // The total of a run is the sum over the rows of its entries.
    let mut runs = csv::Reader::from_path(folder.path().join("out/runs.csv")).unwrap();
    let column = |table: &mut csv::Reader<File>, name: &str| {
        table.headers().unwrap().iter().position(|column| column == name).unwrap()
    };
    let total = column(&mut runs, "delivered_bytes");
    let totals: u64 = runs.records().map(|row| row.unwrap()[total].parse::<u64>().unwrap()).sum();
    let mut epochs = csv::Reader::from_path(folder.path().join("out/epochs.csv")).unwrap();
    let bytes = column(&mut epochs, "delivered_bytes");
    let sum: u64 = epochs.records().map(|row| row.unwrap()[bytes].parse::<u64>().unwrap()).sum();
    assert_eq!(totals, sum);
}

#[test]
fn second_start_does_only_the_missing_runs() {
    let folder = folder_with(&sweep());
    run(folder.path(), &[]);
    let complete = results(folder.path());
    let runs = folder.path().join("out/runs");
    let files: Vec<_> = fs::read_dir(&runs).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 8);
    // As after an interruption: three results are missing, and one is only half written.
    for file in &files[..3] {
        fs::remove_file(file).unwrap();
    }
    fs::write(runs.join("half.tmp"), "{").unwrap();
    let output = run(folder.path(), &[]);
    assert!(text(&output.stderr).contains("are 8 runs, 5 of them finished before\n"), "{}", text(&output.stderr));
    assert_eq!(results(folder.path()), complete);
    assert!(!runs.join("half.tmp").exists());
    let manifest: Value = serde_json::from_slice(&fs::read(folder.path().join("out/manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["runs"], &manifest["reused"]), (&8.into(), &5.into()));
}

#[test]
fn a_changed_sweep_does_not_reuse_results_of_other_scenarios() {
    let folder = folder_with(&sweep());
    run(folder.path(), &[]);
    let mut changed = sweep();
    changed["base"]["steps"][2]["send"]["size"] = 100.into();
    changed["seeds"] = serde_json::json!([2, 3]);
    fs::write(folder.path().join("s.sweep.json"), changed.to_string()).unwrap();
    let output = run(folder.path(), &[]);
    assert!(text(&output.stderr).contains("are 8 runs\n"), "{}", text(&output.stderr));
}

/// A hundred thousand runs, of which at most two are done for the estimate.
#[test]
fn a_long_sweep_starts_only_with_yes() {
    let mut long = sweep();
    long["base"]["steps"][1] = serde_json::json!({ "repeat": { "times": 40, "steps": [{ "update": { "by": "m1" } }, { "update": { "by": "m2" } }] } });
    long["axes"] = serde_json::json!([{ "path": "group.padding", "values": [0] }]);
    long["seeds"] = 100_000.into();
    long.as_object_mut().unwrap().remove("plots");
    let folder = folder_with(&long);
    let output = run(folder.path(), &["-j", "1"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("more than an hour; start it with `regrow sweep s.sweep.json --yes`\n"), "{told}");
    let done = fs::read_dir(folder.path().join("out/runs")).unwrap().count();
    assert!((1..=2).contains(&done), "{done}");
}

#[test]
fn a_folder_that_another_process_uses_is_refused() {
    let folder = folder_with(&sweep());
    fs::create_dir(folder.path().join("out")).unwrap();
    let lock = File::create(folder.path().join("out/lock")).unwrap();
    lock.try_lock().unwrap();
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("regrow: another process writes to out; "), "{}", text(&output.stderr));
}

#[test]
fn a_failed_run_is_in_the_table_and_not_in_the_summary() {
    let mut sweep = sweep();
    sweep["base"]["steps"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({ "expect": { "members": ["m1", "m2", "m3"] } }));
    let folder = folder_with(&sweep);
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "8 runs, 4 failed; results in out\n");
    let runs = fs::read_to_string(folder.path().join("out/runs.csv")).unwrap();
    assert_eq!(runs.matches(",failed,\"step 4: expected that the members are m1, m2, m3; ").count(), 4, "{runs}");
    let summary = fs::read_to_string(folder.path().join("out/summary.csv")).unwrap();
    assert!(summary.contains("\n3,none,") && !summary.contains("\n5,none,"), "{summary}");
}

#[test]
fn plots_are_escaped_and_the_page_has_all_of_them() {
    let folder = folder_with(&sweep());
    run(folder.path(), &[]);
    let plot = fs::read_to_string(folder.path().join("out/plots/bytes.svg")).unwrap();
    assert!(plot.contains("&lt;some&gt; &amp; more") && !plot.contains("<some>"), "{plot}");
    let output = regrow(&["report", "out", "--html", "page.html"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg ").count(), 5);
    assert!(!page.contains("<some>") && page.contains("commit_bytes/commits"));
}

#[test]
fn page_of_an_unfinished_sweep_is_an_error() {
    let folder = folder_with(&sweep());
    let output = regrow(&["report", "out", "--html", "page.html"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("regrow: out/manifest.json: "), "{}", text(&output.stderr));
}

#[test]
fn thefts_have_figures_that_follow_from_the_seed() {
    let mut sweep = sweep();
    sweep["thefts"] = serde_json::json!({ "count": 2 });
    sweep["plots"] = serde_json::json!([
        { "name": "frontier", "kind": "frontier", "x": "uploaded_bytes", "y": "exposed_messages", "label": "padding" }
    ]);
    let (one, other) = (folder_with(&sweep), folder_with(&sweep));
    let runs = [one, other].map(|folder| {
        assert_eq!(run(folder.path(), &[]).status.code(), Some(0));
        fs::read_to_string(folder.path().join("out/runs.csv")).unwrap()
    });
    assert_eq!(runs[0], runs[1]);
    let header: Vec<_> = runs[0].lines().next().unwrap().split(',').collect();
    let thefts = header.iter().position(|column| *column == "thefts").unwrap();
    assert!(runs[0].lines().skip(1).all(|row| row.split(',').nth(thefts) == Some("2")), "{}", runs[0]);
}

/// A calibration with a time of one second for each signature.
fn one_second_for_each_signature() -> serde_json::Value {
    let unit = serde_json::json!({
        "hpke_seal": 0.0, "hpke_open": 0.0, "hpke_export": 0.0, "key_pair": 0.0, "signature_key": 0.0,
        "signature": 1.0, "verification": 0.0, "kdf": 0.0, "mac": 0.0, "aead_seal": {}, "aead_open": {},
        "hash_call": 0.0, "hash_byte": 0.0, "random_byte": 0.0
    });
    serde_json::json!({
        "regrow_calibration": 1,
        "program": { "version": "0", "sha256": "" },
        "machine": { "cores": 1, "os": "x", "arch": "y" },
        "measured": "",
        "providers": [{ "provider": "p", "ciphersuites": { "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519": unit } }]
    })
}

#[test]
fn predicted_times_are_counts_times_unit_times() {
    let folder = folder_with(&sweep());
    fs::write(folder.path().join("regrow-calibration.json"), one_second_for_each_signature().to_string()).unwrap();
    run(folder.path(), &[]);
    let column = |file: &str, name: &str| -> Vec<f64> {
        let mut table = csv::Reader::from_path(folder.path().join("out").join(file)).unwrap();
        let index = table.headers().unwrap().iter().position(|column| column == name).unwrap();
        table.records().map(|row| row.unwrap()[index].parse().unwrap()).collect()
    };
    let signatures = column("runs.csv", "committer_signatures");
    assert!(signatures.iter().all(|count| *count > 0.0));
    assert_eq!(column("times.csv", "committer_predicted_s"), signatures);
    assert!(column("times.csv", "receiver_predicted_s").iter().all(|seconds| *seconds == 0.0));
}

/// The number of circles in a plot, and the number of texts with this content.
fn circles_and_texts(plot: &str, content: &str) -> (usize, usize) {
    (plot.matches("<circle ").count(), plot.matches(&format!(">{content}</text>")).count())
}

#[test]
fn a_frontier_has_a_panel_for_each_figure() {
    let mut sweep = sweep();
    sweep["thefts"] = serde_json::json!({ "count": 2 });
    sweep["plots"] = serde_json::json!([
        { "name": "one", "kind": "frontier", "x": "public_key_operations", "y": "exposed_messages", "label": "padding" },
        { "name": "two", "kind": "frontier", "x": "public_key_operations", "y": ["exposed_messages", "exposed_time_s"], "label": "padding" }
    ]);
    let folder = folder_with(&sweep);
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    let plot = |name: &str| fs::read_to_string(folder.path().join(format!("out/plots/{name}.svg"))).unwrap();
    let (one, two) = (plot("one"), plot("two"));
    assert_eq!(circles_and_texts(&one, "exposed messages"), (4, 1));
    assert_eq!(circles_and_texts(&two, "exposed messages"), (8, 1));
    assert_eq!(circles_and_texts(&two, "exposed time (seconds)"), (8, 1));
    // The panels have one horizontal axis.
    assert_eq!(circles_and_texts(&two, "public key operations"), (8, 1));
    assert!(two.starts_with(&one[..one.find("height").unwrap()]), "the upper panel is where the only one would be");
}

#[test]
fn a_frontier_of_predicted_seconds_is_drawn_beside_the_tables_of_every_machine() {
    let mut sweep = sweep();
    sweep["plots"] = serde_json::json!([
        { "name": "cpu", "kind": "frontier", "x": "predicted_s", "y": "members_at_end", "label": "padding" }
    ]);
    let folder = folder_with(&sweep);
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let told = "the plot `cpu` needs the times of this machine; run `regrow calibrate`, and sweep again\n";
    assert!(text(&output.stderr).ends_with(told), "{}", text(&output.stderr));
    assert!(!folder.path().join("out/plots").exists() && !folder.path().join("out/times").exists());
    assert_eq!(regrow(&["report", "out", "--html", "page.html"], folder.path()).status.code(), Some(0));
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg ").count(), 0);

    fs::write(folder.path().join("regrow-calibration.json"), one_second_for_each_signature().to_string()).unwrap();
    let output = run(folder.path(), &[]);
    assert!(!text(&output.stderr).contains("calibrate"), "{}", text(&output.stderr));
    let plot = fs::read_to_string(folder.path().join("out/times/cpu.svg")).unwrap();
    assert_eq!(circles_and_texts(&plot, "predicted time of all devices (CPU seconds)"), (4, 1));
    assert!(!folder.path().join("out/plots").exists());
    assert_eq!(regrow(&["report", "out", "--html", "page.html"], folder.path()).status.code(), Some(0));
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg ").count(), 1);
}
