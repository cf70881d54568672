//! The book: every link leads to a page and a heading, and every page and decision is listed.

use std::{collections::BTreeSet, fs, path::PathBuf};

use regrow_simulator::scenario::{read, read_yaml};
use serde_json::{Value, json};

use crate::common::{root, run};

/// A Markdown page: its text without code blocks.
struct Page {
    path: PathBuf,
    text: String,
}

/// Returns the Markdown files of a folder, without those of folders below it.
fn pages(folder: &str) -> Vec<Page> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = without_code(&fs::read_to_string(&path).unwrap());
            pages.push(Page { path, text });
        }
    }
    assert!(!pages.is_empty(), "{folder} has no pages");
    pages
}

fn book() -> Vec<Page> {
    ["", "docs", "docs/decisions"].into_iter().flat_map(pages).collect()
}

fn without_code(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the targets of the links in a text, without those that lead out of the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.match_indices("](").map(|(at, _)| &text[at + 2..]);
    let targets = targets.map(|rest| &rest[..rest.find(')').expect("a link has an end")]);
    targets.filter(|target| !target.contains("://")).collect()
}

/// Returns the anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().chars();
        let kept = letters.filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut count = 0;
    for page in book() {
        for link in links(&page.text) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            let is_good = target.exists()
                && (anchor.is_empty()
                    || anchors(&without_code(&fs::read_to_string(&target).unwrap())).contains(anchor));
            if !is_good {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(count > 200, "only {count} links found");
}

#[test]
fn the_summary_lists_every_page_by_its_title() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<_> = links(&summary).into_iter().collect();
    for (folder, prefix) in [("docs", ""), ("docs/decisions", "decisions/")] {
        for page in pages(folder) {
            let name = page.path.file_name().unwrap().to_str().unwrap();
            assert!(
                name == "SUMMARY.md" || listed.contains(&*format!("{prefix}{name}")),
                "{name} is not in the summary"
            );
        }
    }
}

#[test]
fn the_index_of_decisions_has_each_title_status_and_date() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let rows: BTreeSet<_> = index.lines().filter(|line| line.starts_with("| ")).collect();
    for page in pages("docs/decisions") {
        let name = page.path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let title = page.text.lines().next().unwrap().strip_prefix("# ").expect("a title");
        let (number, title) = title.split_once(". ").expect("a number");
        let field = |name: &str| {
            let prefix = format!("- {name}: ");
            page.text
                .lines()
                .find_map(|line| line.strip_prefix(&prefix))
                .unwrap_or_else(|| panic!("{title}: no {name}"))
        };
        let row = format!("| {number} | [{title}]({name}) | {} | {} |", field("Status"), field("Date"));
        assert!(rows.contains(&*row), "the index lacks this row:\n{row}");
    }
}

/// A scenario around an example, which is a scenario, a step, or a list of steps.
fn scenario_around(example: &str) -> String {
    let value: Value =
        serde_json::from_str(&format!("[{example}]")).unwrap_or_else(|error| panic!("{error}: {example}"));
    let steps = match value {
        Value::Array(values) if values.len() == 1 && values[0].get("regrow").is_some() => return example.to_owned(),
        Value::Array(values) => match values.as_slice() {
            [Value::Array(steps)] => steps.clone(),
            steps => steps.to_vec(),
        },
        value => vec![value],
    };
    let creates = |step: &Value| step.get("create").is_some() || step.pointer("/churn/initial").is_some();
    let mut all = Vec::new();
    if !creates(&steps[0]) {
        all.push(json!({ "create": { "by": "alice", "with": ["bob", "carol"] } }));
    }
    // A history of months has no need for real devices.
    let fidelity = if example.contains("churn") { "model" } else { "real" };
    let names = ["alice", "bob", "carol"].into_iter().map(str::to_owned);
    let members: Vec<_> = names.chain((1..=200).map(|number| format!("m{number}"))).collect();
    all.extend(steps);
    json!({ "regrow": 1, "name": "example", "fidelity": fidelity, "members": members, "steps": all }).to_string()
}

#[test]
fn every_example_of_the_scenario_format_passes() {
    let page = fs::read_to_string(root().join("docs/scenario-format.md")).unwrap();
    let examples: Vec<_> = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 3, "{examples:?}");
    for example in page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let scenario = read_yaml(example).unwrap_or_else(|problems| panic!("{example}: {problems:?}"));
        run(&scenario).assert_passed(example);
    }
    for example in examples {
        let scenario = read(&scenario_around(example)).unwrap_or_else(|problems| panic!("{example}: {problems:?}"));
        run(&scenario).assert_passed(example);
    }
}
