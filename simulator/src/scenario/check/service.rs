//! Checks the faults of the delivery service: names exist, and a lie begins before it ends.

use super::Check;
use crate::scenario::{
    fields::At,
    fields::shown,
    format::Action,
    format::{Expect, Fidelity, Place, Scenario, ServiceFault, ServiceSettings, Step},
};

impl Check<'_, '_, '_> {
    pub(super) fn service_settings(&mut self, scenario: &Scenario) {
        if scenario.fidelity == Fidelity::Model && scenario.service != ServiceSettings::default() {
            let path = "service";
            let at = At { json: self.root.json.locate(path), path: path.to_owned() };
            self.reader.note(&at, "the cost model has no delivery service; set `fidelity` to `real`");
        }
        self.steals = scenario.written_steps().any(|step| matches!(step.item, Step::Do(Action::Compromise { .. })));
    }

    pub(super) fn service_fault(&mut self, place: &Place, fault: &ServiceFault) {
        for (field, names) in fault.names() {
            let dot = if field.is_empty() { "" } else { "." };
            self.members(place, &format!("service.{}{dot}{field}", fault.name()), names);
        }
        if !fault.lied_to().is_empty() {
            self.any_group(place, &format!("service.{}", fault.name()));
        }
        match fault {
            ServiceFault::Equivocate { to } => {
                if !self.second_history.is_empty() && self.complete.steps {
                    self.note(place, "service.equivocate", |_| {
                        "the service has two histories already; `release` all members of the second one first"
                            .to_owned()
                    });
                }
                if self.steals {
                    self.note(place, "service.equivocate", |_| {
                        "a scenario with a `compromise` has one history: the oracle cannot follow two".to_owned()
                    });
                }
                self.second_history.extend(to.iter().cloned());
            }
            ServiceFault::Release(who) => {
                for (index, name) in who.iter().enumerate() {
                    if !self.lied_to.contains(name) && self.complete.steps {
                        self.note(place, &format!("service.release[{index}]"), |_| {
                            format!(
                                "the service does not lie to `{}`, so there is nothing to release",
                                shown(name.as_str())
                            )
                        });
                    }
                    self.lied_to.remove(name);
                    self.second_history.remove(name);
                }
            }
            _ => {
                for name in fault.lied_to() {
                    if self.lied_to.contains(name) && self.complete.steps {
                        let field = format!("service.{}", fault.name());
                        self.note(place, &field, |_| {
                            let name = shown(name.as_str());
                            format!("the service lies to `{name}` already; `release` it first")
                        });
                    }
                }
            }
        }
        self.lied_to.extend(fault.lied_to().iter().cloned());
    }

    pub(super) fn evidence(&mut self, place: &Place, expect: &Expect) {
        for expected in &expect.evidence {
            if let Some(found) = &expected.found {
                self.members(place, &format!("expect.{}.by", expected.what.field()), &found.by);
            }
        }
        self.members(place, "expect.cut_off", &expect.cut_off);
    }
}
