//! The command `regrow new`: each starter runs as it is, and no file is overwritten.

use std::fs;

use regrow_simulator::starters::STARTERS;
use tempfile::TempDir;

use crate::common::program::{regrow, text};

#[test]
fn list_has_every_starter_with_its_question() {
    let folder = TempDir::new().unwrap();
    let output = regrow(&["new"], folder.path());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(STARTERS.len(), 10);
    for starter in STARTERS {
        assert!(out.lines().any(|line| line.starts_with(starter.name) && line.ends_with(starter.question)), "{out}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a list writes nothing");
}

#[test]
fn every_starter_passes_strictly() {
    let folder = TempDir::new().unwrap();
    for starter in STARTERS {
        let output = regrow(&["new", starter.name], folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let file = format!("{}.jsonc", starter.name);
        assert_eq!(fs::read_to_string(folder.path().join(&file)).unwrap(), starter.text);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), STARTERS.len(), "no temporary file is left");
    let output = regrow(&["run", "--strict", "."], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("\n10 passed, 0 failed, 0 unusable"), "{}", text(&output.stdout));
}

#[test]
fn a_file_or_a_folder_can_be_named_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    for (path, file) in [("mine.json", "mine.json"), ("sub", "sub/two-admins.jsonc")] {
        let output = regrow(&["new", "two-admins", path], folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with(&format!("{file} is written.")), "{}", text(&output.stdout));
        fs::write(folder.path().join(file), "mine").unwrap();
        let output = regrow(&["new", "two-admins", path], folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(&format!("{file} exists already")), "{}", text(&output.stderr));
        assert_eq!(fs::read_to_string(folder.path().join(file)).unwrap(), "mine");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn wrong_names_and_folders_are_reported() {
    let folder = TempDir::new().unwrap();
    let error = |arguments: &[&str]| {
        let output = regrow(arguments, folder.path());
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    assert!(error(&["new", "two-admin"]).contains("unknown starter `two-admin`; did you mean `two-admins`?"));
    assert!(error(&["new", "two-admins", "a.yaml"]).contains("a starter is JSON with comments"));
    assert!(error(&["new", "two-admins", "no/folder/a.json"]).contains("cannot write no/folder/a.json: name a file"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn the_file_has_ordinary_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    fs::write(folder.path().join("ordinary"), "").unwrap();
    assert_eq!(regrow(&["new", "lost-laptop"], folder.path()).status.code(), Some(0));
    assert_eq!(mode("lost-laptop.jsonc"), mode("ordinary"));
}
