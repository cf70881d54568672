//! Checks the policies of members, and expectations about due work, group data and verified members.

use std::collections::BTreeSet;

use super::Check;
use crate::scenario::{
    fields::{At, shown},
    format::{Expect, Fidelity, Place, Scenario},
};

impl Check<'_, '_, '_> {
    /// Notes policies of unknown members, and second policies of one member.
    pub(super) fn policies(&mut self, scenario: &Scenario) {
        if scenario.fidelity == Fidelity::Model {
            self.policies_of_the_model(scenario);
        }
        let mut seen = BTreeSet::new();
        for (index, policy) in scenario.policies.iter().enumerate() {
            for name in &policy.who {
                let problem = if !self.members.contains(name.as_str()) {
                    self.complete.members.then(|| self.unknown_member(name))
                } else {
                    (!seen.insert(name)).then(|| {
                        format!("`{}` has a policy already; a member has one policy of its own", shown(name.as_str()))
                    })
                };
                if let Some(problem) = problem {
                    self.note_at(&format!("policies[{index}].who"), &problem);
                }
            }
        }
    }

    /// Notes the settings that the cost model does not have.
    fn policies_of_the_model(&mut self, scenario: &Scenario) {
        let policy = &scenario.group.policy;
        let given = [
            ("policies", !scenario.policies.is_empty()),
            ("group.send_ratchet_tree", policy.send_ratchet_tree == Some(false)),
            ("group.key_packages", policy.key_packages.is_some()),
        ];
        for (path, _) in given.into_iter().filter(|(_, given)| *given) {
            self.note_at(path, "the cost model has no such setting; set `fidelity` to `real`");
        }
    }

    /// Notes a problem with a field outside of the steps.
    fn note_at(&mut self, path: &str, problem: &str) {
        let at = At { json: self.root.json.locate(path), path: path.to_owned() };
        self.reader.note(&at, problem);
    }

    pub(super) fn trust(&mut self, place: &Place, expect: &Expect) {
        if let Some(verified) = &expect.verified {
            self.member(place, "expect.verified.by", &verified.by);
            self.members(place, "expect.verified.who", &verified.who);
        }
    }

    pub(super) fn due(&mut self, place: &Place, expect: &Expect) {
        let Some(due) = &expect.due else { return };
        self.members(place, "expect.due.who", &due.who);
        self.members(place, "expect.due.inactive", due.inactive.as_deref().unwrap_or_default());
    }
}
