//! The delivery rules of a scenario: messages and handshakes that are held, dropped or repeated.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::{Delivery, MemberName, MessageId};

/// The rule that applies to one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryRule {
    /// The message arrives once.
    Deliver,
    /// The message arrives twice.
    Repeat,
    Hold,
    Drop,
}

/// The members that a rule concerns: these, or everyone.
#[derive(Default)]
struct Recipients {
    everyone: bool,
    some: BTreeSet<MemberName>,
}

impl Recipients {
    fn add(&mut self, to: &Option<Vec<MemberName>>) {
        match to {
            None => self.everyone = true,
            Some(names) => self.some.extend(names.iter().cloned()),
        }
    }

    fn contains(&self, name: &MemberName) -> bool {
        self.everyone || self.some.contains(name)
    }
}

/// The rules in force. They concern deliveries that have not happened yet.
#[derive(Default)]
pub(super) struct DeliveryRules {
    held: BTreeMap<MessageId, Recipients>,
    dropped: BTreeMap<MessageId, Recipients>,
    repeated: BTreeMap<MessageId, Recipients>,
}

impl DeliveryRules {
    pub(super) fn hold(&mut self, what: &Delivery) {
        self.held.entry(what.id.clone()).or_default().add(&what.to);
    }

    pub(super) fn drop(&mut self, what: &Delivery) {
        self.dropped.entry(what.id.clone()).or_default().add(&what.to);
    }

    pub(super) fn repeat(&mut self, what: &Delivery) {
        self.repeated.entry(what.id.clone()).or_default().add(&what.to);
    }

    /// Releases a held message, for some of the members or for all of them.
    pub(super) fn release(&mut self, what: &Delivery, everyone: impl Iterator<Item = MemberName>) {
        let Some(recipients) = self.held.get_mut(&what.id) else { return };
        match &what.to {
            None => *recipients = Recipients::default(),
            Some(names) => {
                if std::mem::take(&mut recipients.everyone) {
                    recipients.some = everyone.collect();
                }
                recipients.some.retain(|name| !names.contains(name));
            }
        }
    }

    /// The rule for the delivery of a message to a member.
    pub(super) fn rule(&self, id: &MessageId, to: &MemberName) -> DeliveryRule {
        let applies =
            |rules: &BTreeMap<MessageId, Recipients>| rules.get(id).is_some_and(|recipients| recipients.contains(to));
        if applies(&self.dropped) {
            DeliveryRule::Drop
        } else if applies(&self.held) {
            DeliveryRule::Hold
        } else if applies(&self.repeated) {
            DeliveryRule::Repeat
        } else {
            DeliveryRule::Deliver
        }
    }
}
