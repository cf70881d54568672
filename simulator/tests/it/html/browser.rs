//! Opens pages in headless Chromium: the script runs without an error, tables sort, trees step and
//! light up.
//!
//! Where Chromium is not installed, the tests are skipped. If the environment variable
//! `REGROW_REQUIRE_CHROMIUM` is set, they fail instead.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use super::{file, folder_with, hostile, page};

/// Reports errors of the page's script. It runs before that script.
const BEFORE: &str = "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));</script>";

/// Functions for the scripts that use a page as a reader would. They write a line for each
/// observation.
const OBSERVE: &str = include_str!("observe.js");

/// Uses the page of one group.
const USE: &str = include_str!("drive.js");

/// Uses the page of several groups.
const USE_GROUPS: &str = include_str!("drive_groups.js");

/// Opens a file in Chromium, and returns the document after its scripts have run. [`None`] if there
/// is no Chromium.
fn open(page: &Path) -> Option<Output> {
    let profile = TempDir::new().unwrap();
    let url = format!("file://{}", page.display());
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", &url])
        .output();
    match output {
        // `timeout` ends with this status if it does not find the program.
        Ok(output) if output.status.code() != Some(127) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output)
        }
        _ => {
            assert!(env::var_os("REGROW_REQUIRE_CHROMIUM").is_none(), "chromium is not installed");
            println!("skipped, because chromium is not installed");
            None
        }
    }
}

/// The lines of observations after a copy of the page was used. The copy has no security policy,
/// because the policy forbids the script that uses it.
fn driven(folder: &TempDir, page: &str, script: &str) -> Option<Vec<String>> {
    let (before, rest) = page.split_once("<meta http-equiv").unwrap();
    let (_, after) = rest.split_once('>').unwrap();
    let copy = folder.path().join("driven.html");
    fs::write(&copy, format!("{before}{BEFORE}{after}<script>{OBSERVE}</script><script>{script}</script>")).unwrap();
    let dom = String::from_utf8(open(&copy)?.stdout).unwrap();
    let (_, observed) = dom.split_once(r#"<pre id="observed">"#).expect("the page was used");
    let (observed, _) = observed.split_once("</pre>").unwrap();
    Some(observed.lines().map(str::to_owned).collect())
}

#[test]
fn script_runs_under_the_security_policy() {
    let folder = TempDir::new().unwrap();
    page(&folder, &[&file("offline_device_keeps_old_keys"), &file("leave")], 0);
    let Some(output) = open(&folder.path().join("page.html")) else { return };
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(dom.contains(r#"<html lang="en" class="js">"#), "the script did not run:\n{log}");
    assert!(!log.contains("CONSOLE"), "{log}");
}

#[test]
fn tables_sort_and_trees_step_and_light_up() {
    let folder = TempDir::new().unwrap();
    let page = page(&folder, &[&file("offline_device_keeps_old_keys")], 0);
    let Some(observed) = driven(&folder, &page, USE) else { return };
    let expected = [
        "errors: none",
        "scripts: 2, images: 0, handlers: 0",
        "sequence at first: 0 1 1 3 6",
        "sequence upwards: 0 1 1 3 6, aria-sort ascending",
        "sequence downwards: 6 3 1 1 0, aria-sort descending",
        "sequence again: 0 1 1 3 6, aria-sort null",
        "commit bytes downwards: 1,061 600 483 - -",
        "shown: s1-epoch-2",
        "after the right arrow: s1-epoch-3, the last: true",
        "after two left arrows: s1-epoch-1",
        "after a link: s1-epoch-0",
        "after a fragment: s1-epoch-2",
        "carol: carol knows the private keys of the nodes 3, 4.",
        "lit: 3 4",
        "alice: alice knows the private keys of the nodes 0, 1, 3.",
        "thief: Thief A knows the private keys of the nodes 3, 4.",
        "after it: nothing is lit",
        "circles in circles: 0",
    ];
    assert_eq!(observed, expected, "\n{}", observed.join("\n"));
}

#[test]
fn hostile_page_has_no_foreign_elements() {
    let folder = folder_with(&hostile());
    let page = page(&folder, &["a.json"], 1);
    let Some(observed) = driven(&folder, &page, USE) else { return };
    assert_eq!(observed[..2], ["errors: none", "scripts: 2, images: 0, handlers: 0"], "{}", observed.join("\n"));
}

#[test]
fn reader_opens_a_group_and_steps_through_its_trees() {
    let folder = TempDir::new().unwrap();
    let page = page(&folder, &[&file("groups/two_groups_and_one_stolen_device")], 0);
    let Some(observed) = driven(&folder, &page, USE_GROUPS) else { return };
    let expected = [
        "errors: none",
        "scripts: 2, images: 0, handlers: 0",
        "open at first: s1-group-1",
        "shown at first: s1-group-1-epoch-1",
        "after the right arrow: s1-group-1-epoch-2",
        "open after a link: s1-group-1 s1-group-2",
        "shown after a link: s1-group-1-epoch-2 s1-group-2-epoch-1",
        "bob in the team: bob knows the private keys of the nodes 1, 2, 3.",
        "open after a fragment: s1-group-1 s1-group-2",
        "shown after a fragment: s1-group-1-epoch-2 s1-group-2-epoch-2",
        "after the left arrow with one closed group: s1-group-2-epoch-1",
    ];
    assert_eq!(observed, expected, "\n{}", observed.join("\n"));
}
