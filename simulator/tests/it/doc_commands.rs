//! The commands in the book: their outputs are those that the pages show.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::common::{
    program::{regrow, text},
    root,
};

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
}

/// The fenced blocks of a page, in their order.
fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(language) => {
                is_inside = true;
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// Runs a command of the book in a folder, and returns its output.
fn output_of(command: &str, folder: &Path) -> String {
    let words = command.strip_prefix("cargo run --release -- ").or_else(|| command.strip_prefix("regrow "));
    let words = words.unwrap_or_else(|| panic!("{command} does not run regrow"));
    let output = regrow(&words.split(' ').collect::<Vec<_>>(), folder);
    assert!(output.stderr.is_empty(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    without_duration(&text(&output.stdout))
}

/// The text without the duration of a run.
fn without_duration(text: &str) -> String {
    let line = |line: &str| match line.split_once(" unusable in ") {
        Some((counts, _)) => format!("{counts} unusable in … s\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn page_about_explanations_shows_the_real_output() {
    let blocks = blocks("explain.md");
    let [command, output] = &blocks[..] else { panic!("not one command and its output") };
    assert_eq!((&*command.language, &*output.language), ("sh", "text"));
    let real = output_of(command.text.trim(), &root());
    assert_eq!(real, without_duration(&output.text), "docs/explain.md is out of date");
}

/// The tutorial: its commands run one after the other in an empty folder, and its changes of the file
/// are made as it says.
#[test]
fn tutorial_is_true() {
    let folder = TempDir::new().unwrap();
    let blocks = blocks("first-scenario.md");
    let mut blocks = blocks.iter();
    let mut commands = 0;
    while let Some(block) = blocks.next() {
        match &*block.language {
            // The installation.
            "console" => {}
            "sh" => {
                let output = blocks.next().unwrap();
                assert_eq!(output.language, "text", "after {}", block.text);
                let real = output_of(block.text.trim(), folder.path());
                assert_eq!(real, without_duration(&output.text), "after {}", block.text);
                commands += 1;
            }
            "json" => {
                let file = folder.path().join("stolen-phone.jsonc");
                let text = fs::read_to_string(&file).unwrap();
                assert_eq!(text.matches(&block.text).count(), 1, "{}", block.text);
                fs::write(file, text.replace(&block.text, &blocks.next().unwrap().text)).unwrap();
            }
            other => panic!("a block of the language {other:?}"),
        }
    }
    assert_eq!(commands, 7);
}
