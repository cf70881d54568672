//! The JUnit file, under the rules of both schemas in use: Ant's `JUnit.xsd`, and `junit-10.xsd` of the
//! Jenkins plugin xUnit.
//!
//! The check has the rules for the elements and attributes that both schemas allow together. A
//! document that follows them is valid for both.

use std::fs;

use serde_json::json;

use super::{folder, long, regrow, talk};

/// An element: its name, its attributes and its children.
#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
}

/// Reads one element from the start of the text. Returns it with the text after it.
fn element(text: &str) -> (Element, &str) {
    let text = text.strip_prefix('<').unwrap_or_else(|| panic!("no element: {text}"));
    let end = text.find('>').unwrap();
    let (tag, mut rest) = (&text[..end], &text[end + 1..]);
    let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let (name, mut left) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while let Some((attribute, more)) = left.split_once("=\"") {
        let (value, after) = more.split_once('"').unwrap();
        attributes.push((attribute.trim().to_owned(), value.to_owned()));
        left = after;
    }
    assert_eq!(left.trim(), "", "{tag}");
    let mut children = Vec::new();
    if is_empty {
        return (Element { name: name.to_owned(), attributes, children }, rest);
    }
    loop {
        rest = &rest[rest.find('<').unwrap()..];
        if let Some(after) = rest.strip_prefix("</") {
            rest = after.strip_prefix(name).and_then(|after| after.strip_prefix('>')).expect("the same name");
            break;
        }
        let (child, after) = element(rest);
        children.push(child);
        rest = after;
    }
    (Element { name: name.to_owned(), attributes, children }, rest)
}

impl Element {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()).unwrap()
    }

    /// Asserts the names of all attributes.
    fn assert_attributes(&self, expected: &[&str]) {
        let mut names: Vec<_> = self.attributes.iter().map(|(name, _)| name.as_str()).collect();
        let mut expected = expected.to_vec();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", self.name);
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.matches('.').count() < 2
}

/// Asserts that a document is valid for both schemas.
#[track_caller]
pub(super) fn assert_valid(document: &str) {
    let text = document.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let (root, rest) = element(text);
    assert_eq!((root.name.as_str(), rest), ("testsuites", "\n"));
    root.assert_attributes(&[]);
    for (number, suite) in root.children.iter().enumerate() {
        assert_eq!(suite.name, "testsuite");
        let counts = ["tests", "failures", "errors"];
        suite.assert_attributes(&[&["name", "package", "id", "hostname", "timestamp", "time"], &counts[..]].concat());
        assert_eq!(suite.attribute("id"), number.to_string());
        assert!(is_decimal(suite.attribute("time")));
        let timestamp = suite.attribute("timestamp").as_bytes();
        assert!(timestamp.len() == 19 && timestamp[10] == b'T' && timestamp[16] == b':', "no time zone");
        let names: Vec<_> = suite.children.iter().map(|child| child.name.as_str()).collect();
        let [first, cases @ .., out, err] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!((*first, *out, *err), ("properties", "system-out", "system-err"));
        assert!(cases.iter().all(|name| *name == "testcase"), "{names:?}");
        let (mut failures, mut errors) = (0, 0);
        for case in suite.children.iter().filter(|child| child.name == "testcase") {
            case.assert_attributes(&["name", "classname", "time"]);
            assert!(is_decimal(case.attribute("time")));
            assert!(case.children.len() <= 1, "Ant's schema allows one result");
            for problem in &case.children {
                problem.assert_attributes(&["type", "message"]);
                assert!(problem.children.is_empty());
                match problem.name.as_str() {
                    "failure" => failures += 1,
                    "error" => errors += 1,
                    other => panic!("{other}"),
                }
            }
        }
        let counted = [cases.len(), failures, errors].map(|count: usize| count.to_string());
        assert_eq!(counts.map(|count| suite.attribute(count)), counted.each_ref().map(String::as_str));
    }
}

#[test]
fn every_kind_of_result_is_valid_for_both_schemas() {
    let mut fails = talk();
    fails.push(json!({ "expect": { "who": "bob", "cannot_read": "m1" } }));
    let folder = folder(&[
        ("a.json", "passes & <is> fine", talk()),
        ("b.json", "fails", fails),
        ("c.json", "slow", long()),
        ("d.json", "nothing expected", talk()[..2].to_vec()),
    ]);
    fs::write(folder.path().join("e.json"), r#"{ "regrow": 1 }"#).unwrap();
    regrow(&["run", "--junit", "r.xml", "--timeout", "1s", "."], folder.path());
    let document = fs::read_to_string(folder.path().join("r.xml")).unwrap();
    assert_valid(&document);
    assert_eq!(document.matches("<failure type=\"expectation\"").count(), 1, "{document}");
    assert_eq!(document.matches("<failure type=\"timeout\"").count(), 1, "{document}");
    assert_eq!(document.matches("<error type=\"unusable\"").count(), 1, "{document}");
    assert!(document.contains("warning   the scenario has no `expect`"), "{document}");
}
