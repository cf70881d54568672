//! The page of `regrow run --html`.

mod browser;

use std::fs;

use regrow_simulator::{
    cost::{EntryKind, TreeShape},
    oracle::Tree,
    report::{
        RunOptions, RunOutcome, RunRecord, Transcript,
        record::{Reading, StepRecord},
    },
    scenario::{GroupName, Scenario},
    world,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{program::regrow, published, scenario, stem};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// Texts that would break out of their place in a page that does not escape them.
const HOSTILE: [&str; 4] = [
    "<script>document.title='owned'</script>",
    "\"onfocus=alert(1)\u{a0}autofocus='",
    "</title></style></script><img/src=x/onerror=alert(2)>",
    "&lt;\u{202e}<!--",
];

/// Writes the page of these files into a folder, and returns its text.
#[track_caller]
fn page(folder: &TempDir, paths: &[&str], status: i32) -> String {
    let output = regrow(&[&["run", "--html", "page.html"], paths].concat(), folder.path());
    assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(folder.path().join("page.html")).unwrap()
}

/// A file with a scenario, in a new folder.
fn folder_with(scenario: &Value) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.json"), scenario.to_string()).unwrap();
    folder
}

fn file(name: &str) -> String {
    format!("{SCENARIOS}/{name}.json")
}

/// A scenario whose every name is hostile.
fn hostile() -> Value {
    let [one, two, three, four] = HOSTILE.map(|text| text.replace(char::is_whitespace, ""));
    json!({
        "regrow": 1, "name": HOSTILE[2], "about": HOSTILE.join(" - "), "members": [one, two, three],
        "steps": [
            { "create": { "by": one, "with": [two, three] } },
            { "offline": { "who": three } },
            { "send": { "by": two, "id": four, "text": format!("\u{1b}[31m{}", HOSTILE.join("\n")) } },
            { "compromise": { "who": three, "id": one } },
            { "impersonate": { "compromise": one, "action": "send", "id": two } },
            { "update": { "by": one } },
            { "expect": { "compromise": one, "cannot_read": four } }
        ]
    })
}

fn run(scenario: &Scenario, record: bool) -> (RunOutcome, String) {
    let mut transcript = Transcript::new(&scenario.name, false);
    let options = RunOptions { record, costs: record, ..RunOptions::default() };
    let outcome = world::run(scenario, &options, &mut transcript);
    (outcome, transcript.finish().unwrap().hash)
}

fn record(scenario: &Scenario) -> RunRecord {
    *run(scenario, true).0.record.unwrap()
}

#[test]
fn page_has_steps_trees_exposure_and_costs() {
    let folder = TempDir::new().unwrap();
    let page = page(&folder, &[&file("offline_device_keeps_old_keys")], 0);
    for part in ["s1-steps", "s1-trees", "s1-exposure", "s1-costs", "s1-epoch-0", "s1-epoch-3", "s1-step-11"] {
        assert!(page.contains(&format!(r#"id="{part}""#)), "{part}");
    }
    for text in [
        "an offline phone keeps the keys of unread messages",
        "offline_device_keeps_old_keys.json --seed 0",
        "knows 2 of 5 private keys and all secrets of the epoch.",
        "<title>node 3: key pair since epoch 2; known to alice, bob, carol; known to thief A</title>",
        "carol, leaf 2: key pair since epoch 1; entered this epoch only in step 9; known to thief A",
        "The group has healed after 1 epoch",
        "private key, of carol making key packages",
        "The thief does not know",
        "<figcaption>Commit bytes per epoch</figcaption>",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn failed_and_unusable_files_are_on_the_page() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bad.json"), r#"{"regrow": 1, "nmae": "<b>"}"#).unwrap();
    let failing = file("failing/newcomer_reads_history");
    let page = page(&folder, &[&failing, "bad.json", &file("leave")], 2);
    assert!(page.contains("3 scenarios: 1 passed, 1 failed, 1 unusable."));
    assert!(page.contains(r##"Failed at <a href="#s1-step-4">step 5</a>, line 11 of the file"##));
    assert!(page.contains("<dd><bdi>carol has read m1</bdi></dd>") && page.contains("<bdi>carol has not</bdi>"));
    assert!(page.contains("did you mean `name`?"));
    assert!(page.contains(r#"<details class="section" id="s1" open>"#), "a failed scenario is open");
    assert!(page.contains(r#"<details class="section" id="s3">"#), "a passed scenario is closed");
}

#[test]
fn hostile_texts_are_escaped_everywhere() {
    let folder = folder_with(&hostile());
    let page = page(&folder, &["a.json"], 1);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
    for forbidden in ["<img", "\"onfocus", "\u{1b}", "<!--"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.matches("&lt;script&gt;document.title='owned'&lt;/script&gt;").count() > 20);
}

#[test]
fn page_asks_for_nothing_from_elsewhere() {
    let folder = folder_with(&hostile());
    let page = page(&folder, &["a.json"], 1);
    assert!(page.contains(r#"content="default-src 'none'; style-src 'sha256-"#));
    for forbidden in ["http:", "https:", "url(", "@import", "<link", "<iframe", " src=", "style=", "import("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn same_files_give_the_same_page() {
    let folder = TempDir::new().unwrap();
    let files = ["forged_message", "lost_race", "failing/newcomer_reads_history"].map(file);
    let page = |jobs| page(&folder, &["-j", jobs, &files[0], &files[1], &files[2]], 1);
    let first = page("1");
    assert_eq!(page("1"), first);
    assert_eq!(page("3"), first);
}

/// The published scenarios, without the large ones.
fn small_scenarios() -> impl Iterator<Item = (String, Scenario)> {
    let all = [published(""), published("failing"), published("groups")].concat().into_iter();
    all.map(|(path, scenario)| (stem(&path), scenario)).filter(|(_, scenario)| scenario.members.len() < 50)
}

#[test]
fn record_changes_no_result() {
    for (name, scenario) in small_scenarios() {
        let ((plain, hash), (recorded, hash_of_recorded)) = (run(&scenario, false), run(&scenario, true));
        assert_eq!(
            (plain.failures, plain.figures, hash),
            (recorded.failures, recorded.figures, hash_of_recorded),
            "{name}"
        );
        assert!(plain.record.is_none());
    }
}

/// The oracle knows the tree from the facts, and the costs have it from the engine's bytes.
#[test]
fn recorded_trees_have_the_shape_of_the_engines_trees() {
    let mut compared = 0;
    for (name, scenario) in small_scenarios() {
        let outcome = run(&scenario, true).0;
        let record = outcome.record.unwrap();
        for entry in &outcome.costs {
            let epoch = match entry.kind {
                EntryKind::Create => 0,
                EntryKind::Commit | EntryKind::ExternalCommit => entry.epoch as usize + 1,
                EntryKind::Proposal | EntryKind::Welcome => continue,
            };
            let Some(shape) = entry.tree else { continue };
            assert_eq!(shape_of(&record.groups[&entry.group][epoch].tree, shape.bytes), shape, "{name}, epoch {epoch}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

/// The shape of a symbolic tree, which has no bytes.
fn shape_of(tree: &Tree, bytes: u64) -> TreeShape {
    let members = tree.leaves().iter().flatten().count() as u64;
    let blank_parents = tree.parents().iter().filter(|parent| parent.is_none()).count() as u64;
    let unmerged = tree.parents().iter().flatten().map(|parent| parent.unmerged.len() as u64).sum();
    TreeShape { members, leaves: tree.leaves().len() as u64, blank_parents, unmerged_leaves: unmerged, bytes }
}

#[test]
fn record_has_the_result_of_each_thief_for_each_message() {
    for (name, scenario) in small_scenarios() {
        let outcome = run(&scenario, true).0;
        let record = outcome.record.unwrap();
        assert_eq!(record.thieves.len(), outcome.figures.compromises.len(), "{name}");
        for (thief, figures) in record.thieves.iter().zip(&outcome.figures.compromises) {
            let read = thief.messages.iter().filter(|reading| matches!(reading, Reading::Read { .. })).count() as u64;
            assert_eq!(read, figures.exposed_before + figures.exposed_after, "{name}");
            assert_eq!(thief.messages.len(), record.messages.len(), "{name}");
        }
    }
}

#[test]
fn steps_have_the_state_after_them() {
    let record = record(&scenario(
        &["alice", "bob"],
        &[
            json!({ "wait": "90s" }),
            json!({ "create": { "by": "alice", "with": "bob" } }),
            json!({ "offline": { "who": "bob" } }),
            json!({ "update": { "by": "alice" } }),
            json!({ "online": { "who": "bob" } }),
        ],
    ));
    let epoch = |step: &StepRecord| step.epochs.get(&GroupName::default()).copied();
    let states = record.steps.iter().map(|step| (step.time, epoch(step), step.offline.len()));
    let expected = [(90, None, 0), (90, Some(1), 0), (90, Some(1), 1), (90, Some(2), 1), (90, Some(2), 0)];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    assert_eq!(record.steps[0].text, r#"{ "wait": "90s" }"#);
    let epochs = &record.groups[&GroupName::default()];
    let entered = |who: &str| epochs.iter().map(|epoch| epoch.entered.get(who).copied()).collect::<Vec<_>>();
    assert_eq!(entered("alice"), [Some(1), Some(1), Some(3)]);
    assert_eq!(entered("bob"), [None, Some(1), Some(4)]);
}

#[test]
fn long_runs_are_cut_with_a_reason() {
    let folder = folder_with(&json!({
        "regrow": 1, "name": "long", "members": ["alice", "bob"],
        "steps": [
            { "create": { "by": "alice", "with": "bob" } },
            { "repeat": { "times": 60, "steps": [{ "update": { "by": "alice" } }] } },
            { "repeat": { "times": 700, "steps": [{ "wait": "1s" }] } }
        ]
    }));
    let page = page(&folder, &["a.json"], 0);
    assert!(page.contains("The page draws 48 of 62 epochs"), "epochs");
    assert!(page.contains("Left out: 44 to 57."), "the first and the last epochs stay");
    assert!(page.contains("The table has the first 300 and the last 300 of 761 steps"), "steps");
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn large_tree_is_described_instead_of_drawn() {
    let members: Vec<String> = (1..=130).map(|number| format!("m{number}")).collect();
    let folder = folder_with(&json!({
        "regrow": 1, "name": "large", "members": members,
        "steps": [{ "create": { "by": "m1", "with": members[1..] } }]
    }));
    let page = page(&folder, &["a.json"], 0);
    assert!(page.contains("The tree has 256 leaf positions and 130 members."), "{page}");
    assert!(page.contains("<bdi>m13</bdi> and 117 more"), "the list of added members is short");
}

#[test]
fn scenario_with_a_blank_name_has_a_link() {
    let text = json!({ "regrow": 1, "name": " ", "members": ["a"], "steps": [{ "create": { "by": "a" } }] });
    let folder = folder_with(&text);
    assert!(page(&folder, &["a.json"], 0).contains("(a scenario without a name)"));
}

#[test]
fn each_group_has_its_own_trees_messages_and_costs() {
    let folder = TempDir::new().unwrap();
    let page = page(&folder, &[&file("groups/two_groups_and_one_stolen_device")], 0);
    for text in [
        "2 groups, 3 members, 4 commits, 5 messages, 3 of them exposed",
        r#"<details class="group" id="s1-group-1" open><summary>Group <strong><bdi>family</bdi></strong>: 1 member, 3 epochs"#,
        r#"<details class="group" id="s1-group-2"><summary>Group <strong><bdi>team</bdi></strong>: 3 members, 3 epochs"#,
        r##"<a href="#s1-group-2">Group <bdi>team</bdi></a>"##,
        r#"aria-label="Ratchet tree of the group team by epoch""#,
        r#"id="s1-group-1-epoch-2""#,
        // The state after the first update of the team.
        r##"<a href="#s1-group-1-epoch-1"><bdi>family</bdi> 1</a><br><a href="#s1-group-2-epoch-2"><bdi>team</bdi> 2</a>"##,
        ", in epoch 1 of the group <bdi>family</bdi>, in epoch 1 of the group <bdi>team</bdi>.",
        "<strong>The group <bdi>family</bdi> has healed after 1 epoch</strong>. ",
        "<strong>The group <bdi>team</bdi> has healed after 1 epoch</strong>.",
        "The thief does not know the commit secret of epoch 2.",
        "<h4>Group <bdi>team</bdi></h4>",
        "<td><bdi>family</bdi></td>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains(r#"id="s1-epoch-0""#), "each epoch belongs to a group");
}

/// Every link on the page leads to an element of the page.
#[test]
fn links_lead_to_a_place_on_the_page() {
    let folder = TempDir::new().unwrap();
    let files = ["groups/weeks_away_in_two_groups", "groups/new_device_is_linked", "update_heals"].map(file);
    let page = page(&folder, &[&files[0], &files[1], &files[2]], 0);
    let targets: Vec<_> = page.split(r##"href="#"##).skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(targets.len() > 100, "{}", targets.len());
    for target in targets {
        assert!(page.contains(&format!(r#"id="{target}""#)), "{target}");
    }
}

#[test]
fn many_groups_share_the_number_of_trees() {
    let groups: Vec<String> = (1..=15).map(|number| format!("g{number}")).collect();
    let mut steps: Vec<_> = groups.iter().map(|group| json!({ "create": { "by": "alice", "group": group } })).collect();
    steps.push(json!({ "repeat": { "times": 9, "steps": [{ "update": { "by": "alice", "group": "g1" } }] } }));
    let folder = folder_with(&json!({ "regrow": 1, "name": "many", "members": ["alice"], "steps": steps }));
    let page = page(&folder, &["a.json"], 0);
    assert!(page.contains("The page draws the trees of the first 12 groups"), "{page}");
    assert!(page.contains("Left out: 3 groups."));
    assert!(page.contains("The page draws 4 of 10 epochs"), "48 trees for 12 groups");
    assert_eq!(page.matches(r#"<details class="group""#).count(), 12);
    assert!(page.contains(r#"<span class="left-out">9 more groups</span>"#), "beside a step");
}
