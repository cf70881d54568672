//! The costs of each handshake and welcome: `regrow run --costs`.

mod oracle;

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::{published, scenario, scenario_with, stem};
use regrow_simulator::{
    cost::Operation,
    report::{
        RunOptions, RunOutcome, Transcript,
        costs::{CostTable, columns},
    },
    scenario::Scenario,
    world,
};
use serde_json::{Value, json};

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A run with its costs as CSV.
struct CostRun {
    outcome: RunOutcome,
    hash: String,
    csv: String,
}

/// A line of the file, by the names of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row(BTreeMap<String, String>);

impl Row {
    #[track_caller]
    fn text(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("no column {column}"))
    }

    #[track_caller]
    fn number(&self, column: &str) -> u64 {
        self.text(column).parse().unwrap_or_else(|_| panic!("{column}: {:?}", self.0))
    }

    #[track_caller]
    fn numbers<const N: usize>(&self, columns: [&str; N]) -> [u64; N] {
        columns.map(|column| self.number(column))
    }

    fn is_commit(&self) -> bool {
        ["commit", "external_commit"].contains(&self.text("kind"))
    }
}

fn run(scenario: &Scenario, costs: bool) -> CostRun {
    let mut transcript = Transcript::new(&scenario.name, false);
    let mut outcome = world::run(scenario, &RunOptions { costs, ..RunOptions::default() }, &mut transcript);
    let mut csv = Vec::new();
    let mut table = CostTable::begin(&mut csv).unwrap();
    table.write(Path::new("a.json"), &scenario.name, scenario.seed, &std::mem::take(&mut outcome.costs)).unwrap();
    table.finish().unwrap();
    CostRun { outcome, hash: transcript.finish().unwrap().hash, csv: String::from_utf8(csv).unwrap() }
}

impl CostRun {
    #[track_caller]
    fn rows(&self) -> Vec<Row> {
        assert!(self.outcome.failures.is_empty(), "{:?}", self.outcome.failures);
        self.all_rows()
    }

    fn all_rows(&self) -> Vec<Row> {
        let mut reader = csv::Reader::from_reader(self.csv.as_bytes());
        reader.deserialize().map(|row| Row(row.unwrap())).collect()
    }
}

#[track_caller]
fn rows(scenario: &Scenario) -> Vec<Row> {
    run(scenario, true).rows()
}

fn create() -> Value {
    json!({ "create": { "by": "a", "with": &EIGHT[1..] } })
}

fn update(by: &str) -> Value {
    json!({ "update": { "by": by } })
}

#[test]
fn update_in_a_full_tree_costs_one_seal_per_level_and_one_open_per_receiver() {
    // The creation fills the path of a. These updates fill the other parents of eight leaves.
    let steps = [create(), update("c"), update("e"), update("g"), update("a")];
    let rows = rows(&scenario(&EIGHT, &steps));
    let last = rows.last().unwrap();
    assert_eq!((last.text("kind"), last.text("who"), last.number("epoch")), ("commit", "a", 4));
    let tree = ["members", "leaves", "blank_leaves", "blank_parents", "unmerged_leaves"];
    assert_eq!(last.numbers(tree), [8, 8, 0, 0, 0]);
    assert_eq!(last.numbers(["filtered_path_length", "copath_resolution_sum", "copath_resolution_max"]), [3, 3, 1]);
    // A signature for the leaf, and one for the commit.
    assert_eq!(last.numbers(["committer_hpke_seals", "committer_hpke_opens", "committer_signatures"]), [3, 0, 2]);
    assert_eq!(last.number("receivers"), 7);
    for part in ["min", "mean", "max"] {
        assert_eq!(last.number(&format!("receiver_hpke_opens_{part}")), 1);
        assert_eq!(last.number(&format!("receiver_verifications_{part}")), 2);
        assert_eq!(last.number(&format!("receiver_hpke_seals_{part}")), 0);
        assert_eq!(last.text(&format!("joiner_hpke_opens_{part}")), "");
    }
    assert_eq!(last.number("joiners"), 0);
}

#[test]
fn update_in_a_fresh_tree_is_sealed_to_each_leaf() {
    let rows = rows(&scenario(&EIGHT, &[create(), update("a"), update("c"), update("e"), update("g"), update("a")]));
    let kinds: Vec<_> = rows.iter().map(|row| row.text("kind")).collect();
    assert_eq!(kinds, ["create", "commit", "welcome", "commit", "commit", "commit", "commit", "commit"]);
    let path = ["filtered_path_length", "copath_resolution_sum", "copath_resolution_max", "committer_hpke_seals"];
    let tree = ["members", "leaves", "blank_parents"];
    assert_eq!(rows[0].numbers(tree), [1, 1, 0]);
    // The seven joiners get the secrets by the welcome, with one seal for each.
    assert_eq!(rows[1].numbers(path), [3, 0, 0, 7]);
    assert_eq!(rows[1].numbers(tree), [8, 8, 4]);
    assert_eq!(rows[2].numbers(["joiners", "joiner_hpke_opens_min", "joiner_hpke_opens_max"]), [7, 1, 1]);
    // The copath of a: the leaf of b, two leaves below node 5, and four leaves below node 11.
    assert_eq!(rows[3].numbers(path), [3, 7, 4, 7]);
    // An UpdatePathNode has a key of 33 bytes, and a list of ciphertexts of 82 bytes each. Both
    // lists of nodes have a length of two bytes, and the leaf of a is the same but for its values.
    let [fresh, full] = [3, 7].map(|row: usize| rows[row].number("update_path_bytes"));
    assert_eq!(rows[7].numbers(path), [3, 3, 1, 3]);
    assert_eq!(fresh - full, (7 - 3) * 82);
}

#[test]
fn every_commit_seals_to_its_copath_and_its_joiners() {
    let (mut commits, mut external) = (0, 0);
    for (path, scenario) in published("") {
        for row in rows(&scenario) {
            if !row.is_commit() || row.text("committer_hpke_seals").is_empty() {
                continue;
            }
            let is_external = row.text("kind") == "external_commit";
            let joiners = if is_external { 0 } else { row.number("adds") };
            let sealed = row.number("copath_resolution_sum") + joiners;
            assert_eq!(row.number("committer_hpke_seals"), sealed, "{}: {row:?}", stem(&path));
            assert_eq!(row.number("committer_hpke_exports"), u64::from(is_external), "{}: {row:?}", stem(&path));
            // A key pair for the leaf and for each node of the path. A group info has one more.
            let keys = 1 + row.number("filtered_path_length") + u64::from(!row.text("group_info_bytes").is_empty());
            assert_eq!(row.number("committer_key_pairs"), keys, "{}: {row:?}", stem(&path));
            commits += 1;
            external += u64::from(is_external);
        }
    }
    assert!(commits > 100 && external > 5, "{commits} commits, {external} of them external");
}

#[test]
fn bytes_of_an_entry_add_up() {
    let group = json!({ "publish_group_info": true });
    let steps = [
        create(),
        json!({ "propose": { "by": "b", "update": true } }),
        json!({ "commit": { "by": "c" } }),
        json!({ "remove": { "by": "c", "who": "d" } }),
        json!({ "add": { "by": "a", "who": "i" } }),
        json!({ "join": { "who": "j" } }),
    ];
    let members = [&EIGHT[..], &["i", "j"]].concat();
    let rows = rows(&scenario_with(group, &members, &steps));
    let kinds: Vec<_> = rows.iter().map(|row| row.text("kind")).collect();
    let expected =
        ["create", "commit", "welcome", "proposal", "commit", "commit", "commit", "welcome", "external_commit"];
    assert_eq!(kinds, expected);
    let parts = ["commit_bytes", "proposal_bytes", "welcome_bytes", "group_info_bytes"];
    for row in &rows {
        let part = |column: &&str| row.text(column).parse::<u64>().unwrap_or_default();
        assert_eq!(row.number("uploaded_bytes"), parts.iter().map(part).sum::<u64>(), "{row:?}");
        assert!(row.number("stored_bytes") >= row.number("uploaded_bytes"), "{row:?}");
    }
    let each = |column| rows.iter().map(|row| row.text(column)).collect::<Vec<_>>();
    // A removed member gets the commit that removes it. A committer gets an echo. The device that
    // joins by external commit gets only an echo.
    assert_eq!(each("deliveries"), ["0", "1", "7", "8", "8", "8", "7", "1", "9"]);
    assert_eq!(each("receivers"), ["0", "0", "0", "7", "7", "7", "6", "0", "8"]);
    assert_eq!(each("joiners"), ["0", "0", "7", "0", "0", "0", "0", "1", "0"]);
    assert_eq!(each("adds"), ["", "7", "", "0", "0", "0", "1", "", "1"]);
    assert_eq!(each("removes"), ["", "0", "", "0", "0", "1", "0", "", "0"]);
    assert_eq!(each("updates"), ["", "0", "", "1", "1", "0", "0", "", "0"]);
    for row in rows.iter().filter(|row| row.is_commit()) {
        assert_eq!(row.number("delivered_bytes"), row.number("deliveries") * row.number("commit_bytes"));
        assert!(row.number("update_path_bytes") < row.number("commit_bytes"));
        assert!(row.number("group_info_bytes") > row.number("ratchet_tree_bytes"));
    }
    assert!(rows[2].number("joiner_welcome_bytes") < rows[2].number("welcome_bytes"));
    assert_eq!(rows[7].number("joiner_welcome_bytes"), rows[7].number("welcome_bytes"));
}

#[test]
fn later_join_does_not_change_earlier_rows() {
    let steps = [create(), update("b"), json!({ "remove": { "by": "a", "who": "c" } })];
    let join = json!({ "join": { "who": "i" } });
    let members = [&EIGHT[..], &["i"]].concat();
    let no_info = json!({ "expect": { "fails": "no_group_info" } });
    for (publishes, later, added) in [(true, vec![join.clone()], 1), (false, vec![join, no_info], 0)] {
        let group = json!({ "publish_group_info": publishes });
        let all: Vec<_> = steps.iter().cloned().chain(later).collect();
        let before = rows(&scenario_with(group.clone(), &members, &steps));
        let with_join = rows(&scenario_with(group, &members, &all));
        assert_eq!(before.len(), 5);
        assert_eq!(with_join.len(), before.len() + added);
        for (before, row) in before.into_iter().zip(with_join) {
            assert_eq!(row, before);
        }
    }
}

#[test]
fn group_info_is_published_only_if_the_setting_says_so() {
    let steps = [create(), update("b")];
    let last = |group| rows(&scenario_with(group, &EIGHT, &steps)).pop().unwrap();
    let (default, off, on) =
        (last(json!({})), last(json!({ "publish_group_info": false })), last(json!({ "publish_group_info": true })));
    assert_eq!(default, off);
    assert_eq!(off.text("group_info_bytes"), "");
    assert!(on.number("group_info_bytes") > 0);
    assert!(on.number("committer_signatures") > off.number("committer_signatures"));
    assert_eq!(on.number("receiver_verifications_max"), off.number("receiver_verifications_max"));
}

#[test]
fn recording_changes_nothing_in_the_run() {
    for (path, scenario) in published("") {
        let (with, without) = (run(&scenario, true), run(&scenario, false));
        assert_eq!(with.hash, without.hash, "{}", stem(&path));
        assert_eq!(with.outcome, without.outcome, "{}", stem(&path));
        assert!(with.csv.lines().count() > 1 && without.csv.lines().count() == 1, "{}", stem(&path));
    }
}

#[test]
fn same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let steps = [
        create(),
        json!({ "race": [update("a"), update("b"), json!({ "propose": { "by": "c", "remove": "d" } })] }),
        json!({ "crash": { "who": "b", "at": "during_write" } }),
        json!({ "remove": { "by": "b", "who": "h" } }),
        json!({ "add": { "by": "a", "who": "h" } }),
    ];
    let scenario = scenario(&EIGHT, &steps);
    let [one, four] = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&scenario, true).csv)
    });
    assert_eq!(one, four);
    assert!(one.lines().count() > 6, "{one}");
}

#[test]
fn lost_commit_has_no_row_and_burdens_no_other_row() {
    let contenders = ["a", "b", "c"].map(update);
    let run = run(&scenario(&EIGHT, &[create(), json!({ "race": contenders })]), true);
    let rows: Vec<_> = run.rows().into_iter().filter(Row::is_commit).skip(1).collect();
    assert_eq!(rows.len(), 3);
    for row in &rows {
        assert_eq!(row.number("committer_hpke_seals"), row.number("copath_resolution_sum"), "{row:?}");
        assert_eq!(row.number("committer_signatures"), 2);
    }
    // The first commit of the group also signs a group info for the welcome. Then all three made a
    // commit, and each of the two that lost made one more.
    let made = run.outcome.figures.costs[&Operation::Commit].signatures;
    assert_eq!(made, 3 + 2 * 5);
}

#[test]
fn crash_leaves_the_costs_of_an_entry_as_they_are() {
    let remove = json!({ "remove": { "by": "b", "who": "h" } });
    let row = |steps: &[Value]| rows(&scenario(&EIGHT, steps)).pop().unwrap();
    let whole = row(&[create(), remove.clone()]);
    // A device that starts again draws other keys. The service's records of other keys may have
    // other lengths, so the stored bytes are not compared.
    let same = [
        "sequence",
        "epoch",
        "copath_resolution_sum",
        "commit_bytes",
        "update_path_bytes",
        "uploaded_bytes",
        "deliveries",
        "delivered_bytes",
        "receivers",
        "committer_hpke_seals",
        "committer_key_pairs",
        "committer_signatures",
        "committer_kdf",
        "receiver_hpke_opens_min",
        "receiver_hashed_bytes_max",
        "receiver_kdf_max",
    ];
    for at in ["before_submit", "after_submit", "before_confirm", "during_write"] {
        let crashed = row(&[create(), json!({ "crash": { "who": "b", "at": at } }), remove.clone()]);
        assert_eq!(crashed.numbers(same), whole.numbers(same), "{at}");
    }
    let receiver = row(&[create(), json!({ "crash": { "who": "c", "at": "during_write" } }), remove]);
    assert_eq!(receiver.numbers(same), whole.numbers(same));
}

/// The names in the first cells of a page's tables. A `*` stands for each count of the table below
/// the heading "Counts".
fn documented(page: &str) -> Vec<String> {
    let (before, after) = page.split_once("\n## Counts\n").unwrap();
    let (counts, patterns) = after.split_once("\n## Roles\n").unwrap();
    let names = |text: &str| -> Vec<Vec<String>> {
        let cells = text.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
        cells.map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()).collect()
    };
    let counts: Vec<_> = names(counts).concat();
    let mut columns = names(before).concat();
    for patterns in names(patterns) {
        match patterns.iter().any(|pattern| pattern.contains('*')) {
            true => columns.extend(
                counts.iter().flat_map(|count| patterns.iter().map(move |pattern| pattern.replace('*', count))),
            ),
            false => columns.extend(patterns),
        }
    }
    columns
}

#[test]
fn header_has_the_documented_columns() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/entry-costs.md");
    let documented = documented(&fs::read_to_string(page).unwrap());
    assert_eq!(columns(), documented);
    let first = run(&scenario(&["a"], &[json!({ "create": { "by": "a" } })]), true).csv;
    // The file comes after the columns of an entry.
    assert_eq!(first.lines().next().unwrap(), documented.join(",") + ",file");
}
