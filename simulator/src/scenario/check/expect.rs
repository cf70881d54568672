//! Checks the expectations.

use super::{Before, Check};
use crate::scenario::{
    fields::shown,
    format::{Expect, Place, ReadingExpectation},
    name::{GroupName, MessageId},
};

impl Check<'_, '_, '_> {
    /// Checks an expectation: it names groups, members, messages and thefts that exist, and it can hold.
    pub(super) fn expect(&mut self, index: usize, place: &Place, named_group: Option<&GroupName>, expect: &Expect) {
        let (healed, heals_within) = match &expect.reading {
            Some(ReadingExpectation::Thief { healed, heals_within, .. }) => (healed.is_some(), heals_within.is_some()),
            _ => (false, false),
        };
        match named_group {
            Some(_) => self.group(place, "expect", named_group),
            None => {
                for (asked, field) in [
                    (expect.epoch.is_some(), "expect.epoch"),
                    (expect.members.is_some(), "expect.members"),
                    (expect.converged, "expect.converged"),
                    (healed, "expect.healed"),
                    (heals_within, "expect.heals_within"),
                    (!expect.cut_off.is_empty(), "expect.cut_off"),
                    (expect.due.is_some(), "expect.due"),
                    (expect.data.is_some(), "expect.data"),
                    (expect.verified.is_some(), "expect.verified"),
                ] {
                    if asked {
                        self.group(place, field, None);
                    }
                }
            }
        }
        if named_group.is_none() {
            // Without a name, all groups count.
            for (asked, field) in [(expect.costs.is_some(), "costs"), (!expect.events.is_empty(), "events")] {
                if asked {
                    self.any_group(place, &format!("expect.{field}"));
                }
            }
        }
        for (index, event) in expect.events.iter().enumerate() {
            self.members(place, &format!("expect.events[{index}].to"), &event.to);
            self.members(place, &format!("expect.events[{index}].about"), event.about.as_deref().unwrap_or_default());
        }
        self.members(place, "expect.members", expect.members.as_deref().unwrap_or_default());
        self.evidence(place, expect);
        self.due(place, expect);
        self.trust(place, expect);
        if expect.fails.is_some() && self.complete.steps {
            let why = match self.before {
                Before::CanFail => None,
                Before::Nothing => Some("there is no step before it"),
                Before::CannotFail => Some("the step before it cannot fail"),
                Before::Race => Some("a race has no single outcome: a member that loses it tries again"),
            };
            if let Some(why) = why {
                self.note(place, "expect.fails", |_| why.to_owned());
            }
        }
        let exactly = expect.exactly.as_deref().unwrap_or_default();
        // An expectation that becomes true later can be about a later message.
        let sent_before = if expect.bound.is_some() { usize::MAX } else { index };
        match &expect.reading {
            None => {}
            Some(ReadingExpectation::Member { who, reads, cannot_read }) => {
                self.members(place, "expect.who", who);
                self.readable(sent_before, place, named_group, [reads, cannot_read, exactly]);
            }
            Some(ReadingExpectation::Thief { compromise, reads, cannot_read, accepted, detected, .. }) => {
                self.taken(index, place, "expect.compromise", compromise);
                self.readable(sent_before, place, named_group, [reads, cannot_read, exactly]);
                for (asked, field) in [(accepted, "expect.accepted"), (detected, "expect.detected")] {
                    if asked.is_some() && self.complete.steps && !self.impersonated.contains(compromise) {
                        self.note(place, field, |_| {
                            format!(
                                "nobody has acted with `{}` yet: `impersonate` comes first",
                                shown(compromise.as_str())
                            )
                        });
                    }
                }
            }
        }
    }

    /// Checks the messages of an expectation: they have to be sent before it, in the group that it
    /// names.
    fn readable(&mut self, index: usize, place: &Place, group: Option<&GroupName>, lists: [&[MessageId]; 3]) {
        let fields = ["expect.reads", "expect.cannot_read", "expect.exactly"];
        for (field, ids) in fields.into_iter().zip(lists) {
            for (number, id) in ids.iter().enumerate() {
                let name = shown(id.as_str());
                let problem = match self.messages.get(id) {
                    Some(_) if self.handshakes.contains(id) => {
                        format!("`{name}` is a handshake; only messages can be read")
                    }
                    Some(sent) if group.is_some_and(|group| *group != sent.group) => {
                        format!("`{name}` is sent in the group `{}`", shown(sent.group.as_str()))
                    }
                    Some(sent) if sent.index > index => format!("`{name}` is sent later, in {}", sent.place),
                    Some(_) => continue,
                    None => {
                        let field = self.element(place, field, number, ids.len());
                        self.is_sent(place, &field, id);
                        continue;
                    }
                };
                let field = self.element(place, field, number, ids.len());
                self.note(place, &field, |_| problem);
            }
        }
    }
}
