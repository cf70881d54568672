//! Writes the step `service`, the settings of the service, and the expectations on evidence.

use super::{LineFields, duration, text};
use crate::scenario::{
    MemberName,
    format::{ClockJump, EvidenceExpectation, Finders, ServiceFault, ServiceSettings},
};

pub(super) fn settings(settings: &ServiceSettings) -> String {
    let mut fields = LineFields::default();
    if let Some(time) = settings.retention {
        fields.text("retention", &duration(time));
    }
    fields.object()
}

/// The one field of a step `service`.
pub(super) fn fault(fields: &mut LineFields, fault: &ServiceFault) {
    let name = fault.name();
    match fault {
        ServiceFault::Restart => fields.add(name, true),
        ServiceFault::Kill(point) => fields.text(name, point.as_str()),
        ServiceFault::LoseReply(who) | ServiceFault::Release(who) => names(fields, name, who),
        ServiceFault::DiskFull(full) => fields.add(name, full),
        ServiceFault::Retention(time) => fields.text(name, &duration(*time)),
        ServiceFault::Clock(ClockJump { back, by }) => {
            fields.text(name, &format!("{}{}", if *back { '-' } else { '+' }, duration(*by)));
        }
        ServiceFault::Withhold { from, entries } => {
            let mut inner = LineFields::default();
            names(&mut inner, "from", from);
            if let Some(entries) = entries {
                inner.add("entries", entries);
            }
            fields.add(name, inner.object());
        }
        ServiceFault::Reorder { to, entries } => {
            let mut inner = LineFields::default();
            names(&mut inner, "to", to);
            inner.add("entries", entries);
            fields.add(name, inner.object());
        }
        ServiceFault::Equivocate { to } => {
            let mut inner = LineFields::default();
            names(&mut inner, "to", to);
            fields.add(name, inner.object());
        }
        ServiceFault::FalseRoster { to, add, hide } => {
            let mut inner = LineFields::default();
            for (field, who) in [("to", to), ("add", add), ("hide", hide)] {
                if !who.is_empty() {
                    names(&mut inner, field, who);
                }
            }
            fields.add(name, inner.object());
        }
    }
}

/// One field of an `expect`.
pub(super) fn evidence(fields: &mut LineFields, expected: &EvidenceExpectation) {
    let Some(Finders { by, within }) = &expected.found else {
        fields.add(expected.what.field(), false);
        return;
    };
    let mut inner = LineFields::default();
    names(&mut inner, "by", by);
    if let Some(epochs) = within {
        inner.add("within", epochs);
    }
    fields.add(expected.what.field(), inner.object());
}

pub(super) fn names(fields: &mut LineFields, name: &str, who: &[MemberName]) {
    match who {
        [one] => fields.text(name, one.as_str()),
        several => {
            let several: Vec<_> = several.iter().map(|name| text(name.as_str())).collect();
            fields.add(name, format_args!("[{}]", several.join(", ")));
        }
    }
}
