//! The syntaxes of scenario files: JSON with comments and trailing commas, and YAML. A mistake has
//! its place and its remedy in each of them.

use std::fs;

use proptest::{prelude::*, sample::Index};
use regrow_simulator::scenario::{FileProblem, Position, Scenario, load, read, read_yaml};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    actions,
    program::{regrow, text},
    published, run,
};

fn in_file(name: &str, text: &str) -> Result<Scenario, Vec<FileProblem>> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    load(&file).map_err(|unusable| unusable.problems)
}

#[track_caller]
fn assert_told(name: &str, text: &str, line: u32, column: u32, told: &str) {
    let problems = in_file(name, text).unwrap_err();
    assert_eq!(problems[0].position, Some(Position { line, column }), "{problems:?}");
    assert!(problems[0].to_string().contains(told), "{problems:?}");
}

const COMMENTED: &str = r#"// A comment before everything.
{
  "regrow": 1, /* é */ "name": "commented",
  "members": ["alice", "bob",], // two
  "steps": [
    { "create": { "by": "alice", "with": "bob", } },
    /* { "wait": "1s" }, */
    { "send": { "by": "bob", "id": "m1", "text": "// no comment, /* neither */" } },
  ],
}
"#;

const YAML: &str = "\
regrow: 1
name: written as YAML   # a comment
members: [alice, bob]
steps:
- create: { by: alice, with: bob }
- send:
    by: bob
    id: m1
    text: 'no: field'
- wait: 90s
- expect: { who: alice, reads: m1 }
";

/// A file with a mistake in place of a text that it contains.
#[track_caller]
fn with_mistake(file: &str, old: &str, new: &str) -> String {
    assert!(file.contains(old), "{old}");
    file.replace(old, new)
}

#[test]
fn comments_and_trailing_commas_are_read() {
    for name in ["a.json", "a.jsonc"] {
        run(&in_file(name, COMMENTED).unwrap()).assert_passed(name);
    }
}

#[test]
fn yaml_is_read() {
    for name in ["a.yaml", "a.yml"] {
        let scenario = in_file(name, YAML).unwrap();
        run(&scenario).assert_passed(name);
        let places: Vec<_> = scenario.expand().map(|step| step.place.to_string()).collect();
        assert_eq!(places, ["step 1 (line 5)", "step 2 (line 6)", "step 3 (line 10)", "step 4 (line 11)"]);
    }
}

#[test]
fn mistakes_in_commented_json_have_their_place_and_remedy() {
    let told = |old, new, line, column, problem| {
        assert_told("a.jsonc", &with_mistake(COMMENTED, old, new), line, column, problem);
    };
    told("\"regrow\": 1, /* é */ \"name\"", "\"regrow\": 1, /* é */ \"nmae\"", 2, 1, "field `name` is missing");
    told("\"name\": \"commented\"", "\"name\": 7", 3, 32, "name: expected a text, found a number");
    told("neither */", "neither */\"", 8, 80, "this is not JSON: expected `,` or `}`");
    told("/* { \"wait\": \"1s\" }, */", "/* { \"wait\": \"1s\" },", 8, 84, "this is not JSON");
    told("  ],\n}\n", "  ],\n}\n/* the end", 11, 1, "this comment has no end; add `*/`");
    told("\"bob\",]", "\"bob\",,]", 4, 30, "this is not JSON");
    assert_told("a.json", "[,]", 1, 2, "this is not JSON: expected value");
    assert_told("a.json", "// nothing\n", 1, 1, "the file is empty");
}

#[test]
fn mistakes_in_yaml_have_their_place_and_remedy() {
    let told = |old, new, line, column, problem| {
        assert_told("a.yaml", &with_mistake(YAML, old, new), line, column, problem);
    };
    told("    by: bob", "    by: bbo", 7, 9, "step 2, send.by: no member is called `bbo`; did you mean `bob`?");
    told("    id: m1", "    id: 1", 8, 9, "step 2, send.id: expected a text, found a number");
    told("    id: m1", "    id: m1\n    id: m2", 9, 5, "field `id` occurs twice in one object; the first is in line 8");
    told("- send:", "- sned:", 6, 3, "unknown step `sned`; did you mean `send`?");
    told("with: bob }", "with: bob", 6, 7, "this is not YAML");
    told("    by: bob", "     by: bob", 8, 5, "this is not YAML");
    told("name: written", "name: !text written", 2, 7, "a scenario has no YAML tags");
    told("- wait: 90s", "- wait: *time", 10, 9, "this is not YAML");
    told("- expect:", "---\n- expect:", 11, 1, "a file has one YAML document");
    assert_told("a.yaml", "# nothing\n", 1, 1, "the file is empty");
    assert_told("a.yaml", "\u{feff}regrow: 1\n", 1, 1, "byte order mark");
    assert_told("a.yaml", "- regrow\n", 1, 1, "expected an object, found a list");
}

#[test]
fn folder_has_files_of_every_syntax() {
    let folder = TempDir::new().unwrap();
    for (name, text) in
        [("a.json", COMMENTED), ("b.jsonc", COMMENTED), ("c.yaml", YAML), ("d.yml", YAML), ("e.txt", "")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let check = |path| regrow(&["check", path], folder.path());
    assert_eq!(text(&check(".").stdout), "4 usable, 0 unusable\n");
    fs::create_dir(folder.path().join("empty")).unwrap();
    let told = text(&check("empty").stderr);
    assert!(told.contains("the ending `.json`, `.jsonc`, `.yaml`, `.yml`"), "{told}");
}

/// Writes a value as YAML with a line for each field and element.
fn as_yaml(value: &Value, indent: usize) -> String {
    let space = "  ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().map(|(name, value)| format!("\n{space}{name}: {}", as_yaml(value, indent + 1))).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| format!("\n{space}- {}", as_yaml(item, indent + 1))).collect()
        }
        leaf => leaf.to_string(),
    }
}

#[test]
fn every_published_scenario_is_the_same_in_yaml() {
    for (path, scenario) in published("").into_iter().filter(|(_, scenario)| scenario.trace.is_none()) {
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let yaml = read_yaml(&as_yaml(&value, 0)).unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
        let steps = |scenario: &Scenario| -> Vec<_> { scenario.expand().map(|step| actions(step.item)).collect() };
        assert_eq!((&yaml.name, yaml.seed, &yaml.members), (&scenario.name, scenario.seed, &scenario.members));
        assert_eq!(steps(&yaml), steps(&scenario), "{}", path.display());
    }
}

/// Each problem has a place in the text.
fn assert_sound(text: &str, problems: &[FileProblem]) {
    assert!(!problems.is_empty());
    for problem in problems {
        let position = problem.position.unwrap();
        let line = text.split('\n').nth(position.line as usize - 1).unwrap_or_else(|| panic!("{problem} in {text:?}"));
        assert!((position.column as usize) <= line.chars().count() + 1, "{problem} in {line:?}");
        assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_file_is_read_or_refused_with_places(
        yaml in any::<bool>(),
        damage in prop::collection::vec((any::<Index>(), any::<Index>(), "[-\\[\\]{}\",:/*#&!'|>a-z0-9\\\\ \n\t]{0,4}"), 1..4),
    ) {
        let mut text: Vec<char> = if yaml { YAML } else { COMMENTED }.chars().collect();
        for (from, length, new) in damage {
            let from = from.index(text.len());
            let length = length.index(8).min(text.len() - from);
            text.splice(from..from + length, new.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = if yaml { read_yaml(&text) } else { read(&text) } {
            assert_sound(&text, &problems);
        }
    }
}

#[test]
fn small_yaml_file_cannot_stand_for_a_large_one() {
    let mut text = "regrow: 1\nname: bomb\nmembers: [alice]\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    let problems = read_yaml(&text).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].problem.contains("the aliases of this file stand for more than"), "{problems:?}");
    let team = json!(["alice", "bob"]);
    let shared =
        "regrow: 1\nname: n\nmembers: &team [alice, bob]\nsteps:\n- create: { by: alice }\n- offline: { who: *team }\n";
    let scenario = read_yaml(shared).unwrap();
    assert_eq!(json!(scenario.members), team);
}
