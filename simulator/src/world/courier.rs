//! What the scenario does to deliveries of application messages: held back, lost, repeated.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::{Delivery, MemberName, MessageId};

/// What becomes of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Twice,
    Held,
    Dropped,
}

/// For whom something is done: for these, or for everyone.
#[derive(Default)]
struct Scope {
    everyone: bool,
    some: BTreeSet<MemberName>,
}

impl Scope {
    fn add(&mut self, to: &Option<Vec<MemberName>>) {
        match to {
            None => self.everyone = true,
            Some(names) => self.some.extend(names.iter().cloned()),
        }
    }

    fn has(&self, name: &MemberName) -> bool {
        self.everyone || self.some.contains(name)
    }
}

/// The rules in force. They concern deliveries that have not happened yet.
#[derive(Default)]
pub(super) struct Courier {
    held: BTreeMap<MessageId, Scope>,
    dropped: BTreeMap<MessageId, Scope>,
    doubled: BTreeMap<MessageId, Scope>,
}

impl Courier {
    pub(super) fn hold(&mut self, what: &Delivery) {
        self.held.entry(what.id.clone()).or_default().add(&what.to);
    }

    pub(super) fn drop(&mut self, what: &Delivery) {
        self.dropped.entry(what.id.clone()).or_default().add(&what.to);
    }

    pub(super) fn double(&mut self, what: &Delivery) {
        self.doubled.entry(what.id.clone()).or_default().add(&what.to);
    }

    /// Lets go of what is held, for some of the members or for all of them.
    pub(super) fn release(&mut self, what: &Delivery, everyone: &[MemberName]) {
        let Some(scope) = self.held.get_mut(&what.id) else { return };
        match &what.to {
            None => *scope = Scope::default(),
            Some(names) => {
                if std::mem::take(&mut scope.everyone) {
                    scope.some = everyone.iter().cloned().collect();
                }
                scope.some.retain(|name| !names.contains(name));
            }
        }
    }

    pub(super) fn fate(&self, id: &MessageId, to: &MemberName) -> Fate {
        let has = |rules: &BTreeMap<MessageId, Scope>| rules.get(id).is_some_and(|scope| scope.has(to));
        if has(&self.dropped) {
            Fate::Dropped
        } else if has(&self.held) {
            Fate::Held
        } else if has(&self.doubled) {
            Fate::Twice
        } else {
            Fate::Delivered
        }
    }
}
