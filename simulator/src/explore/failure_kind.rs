//! Compares failures. Two failures are of the same kind if the same expectation failed, for any
//! member and at any time.

use std::collections::BTreeSet;

use crate::{
    report::Failure,
    scenario::{Action, Scenario, Step},
};

/// The text that replaces a name or a number.
const SOMETHING: &str = "…";

/// The kind of a failure: the expectation in words, without names and numbers. If a step failed,
/// its error code is a part of the kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureKind {
    words: String,
    /// True if a step failed.
    of_a_step: bool,
}

impl FailureKind {
    /// Returns the kinds of a scenario's failures, in their order.
    #[must_use]
    pub fn of_all(scenario: &Scenario, failures: &[Failure]) -> Vec<Self> {
        let names = names(scenario);
        failures.iter().map(|failure| Self::of(&names, failure)).collect()
    }

    fn of(names: &BTreeSet<String>, failure: &Failure) -> Self {
        let words: Vec<_> = failure.expected.split(' ').map(|word| without_names(word, names)).collect();
        let words = words.join(" ") + &failure.code.map(|code| format!(" ({code})")).unwrap_or_default();
        Self { words, of_a_step: failure.code.is_some() }
    }

    /// True if the scenario itself can be the reason for such a failure, because it contains a step
    /// that cannot be done.
    pub(super) fn may_be_the_scenarios(&self) -> bool {
        self.of_a_step
    }

    /// The kind, in words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.words
    }
}

/// All names that the scenario defines: of members, groups, messages and thefts.
fn names(scenario: &Scenario) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = scenario.members.iter().map(ToString::to_string).collect();
    for step in scenario.written_steps() {
        let actions = match step.item {
            Step::Do(action) => vec![action],
            Step::Race(contenders) => contenders.into_iter().map(|contender| contender.item).collect(),
        };
        for action in actions {
            names.extend(action.message_ids().map(ToString::to_string));
            names.extend(action.parts().0.map(ToString::to_string));
            if let Action::Compromise { id, .. } = &action {
                names.insert(id.to_string());
            }
        }
    }
    names
}

/// Replaces a name or a number in a word. Punctuation and a possessive `'s` stay.
fn without_names(word: &str, names: &BTreeSet<String>) -> String {
    let name = word.trim_end_matches([',', '.', ':', ';', '?']);
    let ending = &word[name.len()..];
    let (name, possessive) = match name.strip_suffix("'s") {
        Some(name) => (name, "'s"),
        None => (name, ""),
    };
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || names.contains(name) { format!("{SOMETHING}{possessive}{ending}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FailCode, read};

    fn kind(expected: &str, code: Option<FailCode>) -> String {
        let text = r#"{ "regrow": 1, "name": "n", "members": ["alice", "bob"], "steps": [
            { "create": { "by": "alice", "with": "bob" } }, { "send": { "by": "alice", "id": "m1" } } ] }"#;
        let failure = Failure { code, ..Failure::new(None, expected, "no, 17") };
        FailureKind::of_all(&read(text).unwrap(), &[failure]).remove(0).words
    }

    #[test]
    fn names_and_numbers_make_no_difference() {
        assert_eq!(
            kind("alice: delivery of the commit 12: the device processes it", None),
            "…: delivery of the commit …: the device processes it"
        );
        assert_eq!(kind("bob's process dies at `during_write`", None), "…'s process dies at `during_write`");
        assert_eq!(kind("the thief of x reads m1", None), "the thief of x reads …");
    }

    #[test]
    fn error_code_of_a_failed_step_makes_a_difference() {
        let rejected = kind("the step succeeds", Some(FailCode::Rejected));
        assert_eq!(rejected, "the step succeeds (rejected)");
        assert_ne!(rejected, kind("the step succeeds", Some(FailCode::Stale)));
    }
}
