//! The reader of sweep files: each mistake is reported with its place, before anything runs.

use std::{fs, path::Path};

use proptest::prelude::*;
use regrow_simulator::sweep::{self, schema::SCHEMA};
use serde_json::{Value, json};

use super::{folder_with, run, sweep, text};

/// The first problem of a sweep, without the name of the file.
fn problem(sweep: &Value) -> String {
    let folder = folder_with(sweep);
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(!folder.path().join("out").exists());
    text(&output.stderr).lines().next().unwrap().trim_start_matches("s.sweep.json:").trim().to_owned()
}

/// The sweep with another value at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = sweep();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

#[track_caller]
fn assert_refused(changed: &Value, expected: &str) {
    let told = problem(changed);
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_mistake_has_its_line_its_field_and_a_suggestion() {
    let mut changed = sweep();
    changed["sedes"] = changed["seeds"].take();
    changed.as_object_mut().unwrap().remove("seeds");
    let told = problem(&changed);
    let place = told.split(": ").next().unwrap();
    assert!(place.split(':').all(|number| number.parse::<u32>().is_ok()), "{told}");
    let folder = folder_with(&changed);
    let all = text(&run(folder.path(), &[]).stderr);
    assert!(all.contains(": sedes: unknown field `sedes`; did you mean `seeds`?\n"), "{all}");
    assert!(all.contains(": seeds: field `seeds` is missing\n"), "{all}");
}

#[test]
fn axes_are_checked() {
    assert_refused(
        &with("/axes/0/paths/0", json!("members..count")),
        "axes, item 1, paths, item 1: `members..count` is not a path",
    );
    assert_refused(
        &with("/axes/0/values", json!([3, 3])),
        "axes, item 1, values, item 2: `3` occurs twice in one axis",
    );
    assert_refused(&with("/axes/0/values", json!([1.5])), "expected a whole number, without fraction or exponent");
    assert_refused(&with("/axes/1/name", json!("members")), "two axes have the name `members`");
    let set = json!({ "members": { "prefix": "m", "count": 4 } });
    assert_refused(&with("/axes/1/choices/0/set", set), "this axis and the axis `members` both set `members`");
    let range = json!({ "path": "group.padding", "range": { "from": 1, "to": 10, "points": 9, "scale": "log" } });
    assert_refused(&with("/axes/1", range), "9 points on this scale round to 7 different numbers");
    let range = json!({ "path": "group.padding", "range": { "from": 0, "to": 4, "points": 3, "scale": "log" } });
    assert_refused(&with("/axes/1", range), "a range on a log scale begins at 1 or above");
    assert_refused(&with("/seeds", json!([7, 7])), "seeds, item 2: the seed 7 occurs twice");
    assert_refused(&with("/seeds", json!(100_000)), "a sweep has at most 100000 runs, found 400000");
}

#[test]
fn plots_are_checked_against_axes_and_figures() {
    assert_refused(
        &with("/plots/0/x", json!("member")),
        "plots, item 1, x: unknown axis `member`; did you mean `members`?",
    );
    assert_refused(&with("/plots/0/x", json!("padding")), "the axis `padding` has values that are no numbers");
    assert_refused(
        &with("/plots/0/y", json!("commit_byte")),
        "unknown figure `commit_byte`; did you mean `commit_bytes`?",
    );
    assert_refused(
        &with("/plots/0/name", json!("../x")),
        "plots, item 1, name: a plot's name has at most 100 characters",
    );
    assert_refused(&with("/plots/1/only", json!({})), "the plot would mix the values of the axis `padding`");
    assert_refused(&with("/plots/2/y", json!("who")), "plots, item 3, y: unknown column `who`");
    assert_refused(&with("/plots/4/y", json!("exposed_messages")), "only a sweep with `thefts` has the figure");
    assert_refused(&with("/plots/4/y", json!("exposed_time_s")), "only a sweep with `thefts` has the figure");
    assert_refused(
        &with("/plots/4/y", json!(["commits", "commit"])),
        "plots, item 5, y, item 2: unknown figure `commit`",
    );
    assert_refused(&with("/plots/4/y", json!([])), "plots, item 5, y: `y` has at least one element");
    let four = json!(["commits", "epochs", "entries", "adds"]);
    assert_refused(&with("/plots/4/y", four), "plots, item 5, y: `y` has at most 3 elements, found 4");
    assert_refused(&with("/plots/4/x", json!("predicted")), "plots, item 5, x: unknown figure `predicted`");
    assert_refused(&with("/plots/0/y", json!("predicted_s")), "plots, item 1, y: unknown figure `predicted_s`");
    let mut labelled = with("/plots/4/y", json!(["commits", "epochs"]));
    labelled["plots"][4]["y_label"] = json!("both");
    assert_refused(&labelled, "plots, item 5, y_label: a plot with panels has no `y_label`");
}

#[test]
fn an_unusable_point_is_named_before_any_run() {
    let told = problem(&with("/axes/0/values", json!([3, 20_000_000])));
    assert!(told.starts_with("members.count: expected a number from 1 to "), "{told}");
    assert!(told.ends_with("(at the point members = 20000000, padding = none)"), "{told}");
    let told = problem(&with("/axes/1/choices/0/set", json!({ "steps[7].update": {} })));
    assert!(
        told.starts_with("step 8, update: `steps[7]` does not exist in the base: the list has 3 elements"),
        "{told}"
    );
    let told = problem(&with("/axes/1/choices/0/set", json!({ "group.paddng": 1 })));
    assert!(told.contains("unknown field `paddng`; did you mean `padding`?"), "{told}");
}

#[test]
fn base_is_a_file_or_a_scenario_and_its_mistakes_have_their_place() {
    assert_refused(&with("/base/steps/2/send/by", json!("m9")), "base, step 3, send.by: no member is called `m9`");
    let mut in_a_file = sweep();
    let mut base = in_a_file["base"].take();
    in_a_file["base"] = json!("base.json");
    let folder = folder_with(&in_a_file);
    fs::write(folder.path().join("base.json"), base.to_string()).unwrap();
    assert_eq!(run(folder.path(), &[]).status.code(), Some(0));
    base["members"] = json!([]);
    fs::write(folder.path().join("base.json"), base.to_string()).unwrap();
    let output = run(folder.path(), &[]);
    assert!(text(&output.stderr).starts_with("base.json:1:"), "{}", text(&output.stderr));
}

#[test]
fn published_sweeps_are_usable_and_fit_the_schema() {
    let schema = jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    assert!(schema.is_valid(&sweep()));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/sweeps");
    let files = [folder.join("papers"), folder].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(".sweep.json")).collect();
    assert!(files.len() >= 11, "only {} sweeps", files.len());
    for file in files {
        let document = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let told: Vec<_> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(told.is_empty(), "{}: {told:?}", file.display());
        let sweep = sweep::load(&file).unwrap();
        sweep::Plan::of(&sweep, &file).unwrap();
    }
}

/// Values that fit nowhere, or nearly.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_\\[\\].0-9]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,6}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The reader never panics, and refuses every document that the schema refuses.
    #[test]
    fn reader_and_schema_agree_that_a_document_is_malformed(field in 0_usize..16, value in any_value()) {
        let pointers = [
            "/regrow_sweep", "/name", "/base", "/axes", "/axes/0", "/axes/0/name", "/axes/0/paths", "/axes/0/values",
            "/axes/1/choices", "/axes/1/choices/0/set", "/axes/1/choices/0/label", "/seeds", "/plots", "/plots/0",
            "/plots/0/kind", "/plots/1/only",
        ];
        let document = with(pointers[field], value);
        let folder = folder_with(&document);
        let usable = sweep::load(&folder.path().join("s.sweep.json")).is_ok();
        let schema = jsonschema::draft202012::new(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
        prop_assert!(schema.is_valid(&document) || !usable, "{}", document);
    }
}
