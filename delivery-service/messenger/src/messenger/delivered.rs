//! The texts of a group that the application has received and that their senders may send again.
//!
//! When the service takes back a commit, the senders of the texts of the void epoch send them again
//! (`docs/decisions/0069`). A device that has delivered such a text recognizes it by its
//! identifier. The table is a part of the group's record: the write that moves the cursor past a
//! text stores the text's identifier as well.

use std::collections::{BTreeMap, VecDeque};

use regrow_engine::{DeviceId, MessageId};
use serde::{Deserialize, Serialize};

use crate::envelope::TextId;

/// The largest number of texts in the table of a group, of all senders together.
///
/// At less than 120 bytes each, the table is not larger than the receipts beside it. A text that
/// was pushed out may reach the application twice; no text is lost.
const TEXTS_REMEMBERED: usize = 128;

/// The texts that may be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeliveredTexts {
    /// The epoch that began with the last commit.
    epoch: u64,
    /// The texts of each sender, the latest at the end. One sender's identifiers say nothing about
    /// another's texts.
    texts: BTreeMap<DeviceId, VecDeque<DeliveredText>>,
}

/// A text that the application has received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeliveredText {
    id: TextId,
    /// The identifier of the message that the application has received. After a crash that message
    /// may be delivered again, and another message with the same text may not.
    #[serde(with = "serde_bytes")]
    message: [u8; 32],
    /// The epoch of the last message with this text.
    epoch: u64,
    /// True if the service took that epoch back: the sender is expected to send the text again.
    void: bool,
}

impl DeliveredTexts {
    /// Returns true if the application has to receive the message. It does not if an earlier
    /// message has brought the same text of this sender.
    pub(super) fn admits(&mut self, sender: &DeviceId, id: TextId, message: MessageId, epoch: u64) -> bool {
        let message = *message.as_bytes();
        let texts = self.texts.entry(sender.clone()).or_default();
        if let Some(known) = texts.iter_mut().find(|known| known.id == id) {
            let is_repetition = known.message == message;
            if !is_repetition {
                (known.epoch, known.void) = (epoch, false);
            }
            return is_repetition;
        }
        texts.push_back(DeliveredText { id, message, epoch, void: false });
        self.limit(sender);
        true
    }

    /// Makes room at the cost of the sender with the most texts: a hostile member pushes out its
    /// own.
    fn limit(&mut self, latest: &DeviceId) {
        if self.len() > TEXTS_REMEMBERED {
            let most = self.texts.iter_mut().max_by_key(|(sender, texts)| (texts.len(), *sender == latest));
            most.into_iter().for_each(|(_, texts)| _ = texts.pop_front());
        }
    }

    /// Enters the epoch of a commit.
    pub(super) fn enter(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Marks the texts of all epochs after this one as void: the service took those epochs back.
    pub(super) fn void_after(&mut self, restored: u64) {
        self.texts.values_mut().flatten().filter(|known| known.epoch > restored).for_each(|known| known.void = true);
    }

    /// Forgets the texts of former epochs, which the service cannot take back any more. Texts of
    /// void epochs stay. Returns true if a text was forgotten.
    ///
    /// The caller waits until the application has stored its events: after a crash, the messages
    /// that it has not stored are delivered again.
    pub(super) fn settle(&mut self) -> bool {
        let (before, epoch) = (self.len(), self.epoch);
        self.texts.values_mut().for_each(|texts| texts.retain(|known| known.void || known.epoch >= epoch));
        self.texts.retain(|_, texts| !texts.is_empty());
        self.len() < before
    }

    fn len(&self) -> usize {
        self.texts.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::TextNonce;

    fn device(user: &str) -> DeviceId {
        DeviceId::new(user, "phone").expect("a short name")
    }

    fn id(number: u64) -> TextId {
        TextId::of(TextNonce([7; 16]), &number.to_be_bytes())
    }

    fn message(name: &str) -> MessageId {
        MessageId::of(name.as_bytes())
    }

    #[test]
    fn a_repeated_text_is_delivered_once() {
        let (mut delivered, alice) = (DeliveredTexts::default(), device("alice"));
        delivered.enter(2);
        assert!(delivered.admits(&alice, id(1), message("first"), 2));
        delivered.void_after(1);
        delivered.enter(3);
        delivered.settle();
        assert!(!delivered.admits(&alice, id(1), message("second"), 3));
        assert!(!delivered.admits(&alice, id(1), message("second"), 3), "the same after a crash");
        delivered.void_after(2);
        delivered.enter(4);
        delivered.settle();
        assert!(!delivered.admits(&alice, id(1), message("third"), 4), "the second epoch is void as well");
    }

    #[test]
    fn the_same_message_is_delivered_again_after_a_crash() {
        let (mut delivered, alice) = (DeliveredTexts::default(), device("alice"));
        for _ in 0..3 {
            assert!(delivered.admits(&alice, id(1), message("first"), 0));
        }
        assert_eq!(delivered.len(), 1);
    }

    #[test]
    fn one_member_suppresses_no_text_of_another() {
        let mut delivered = DeliveredTexts::default();
        assert!(delivered.admits(&device("mallory"), id(1), message("hers"), 0));
        delivered.void_after(0);
        assert!(delivered.admits(&device("alice"), id(1), message("mine"), 0));
    }

    #[test]
    fn stored_texts_of_former_epochs_are_forgotten() {
        let (mut delivered, alice) = (DeliveredTexts::default(), device("alice"));
        assert!(delivered.admits(&alice, id(1), message("first"), 0));
        assert!(!delivered.settle(), "the service can still take its epoch back");
        delivered.enter(1);
        assert!(delivered.admits(&alice, id(2), message("second"), 1));
        // The device has read this message with the commit, and delivers it again after a crash.
        assert!(!delivered.admits(&alice, id(1), message("third"), 0));
        assert_eq!(delivered.len(), 2);
        assert!(delivered.settle());
        assert_eq!(delivered.len(), 1);
    }

    #[test]
    fn a_flood_pushes_out_only_its_sender() {
        let (mut delivered, alice, bob) = (DeliveredTexts::default(), device("alice"), device("bob"));
        for number in 0..20 {
            assert!(delivered.admits(&alice, id(number), message("first"), 1));
        }
        delivered.void_after(0);
        for number in 0..1000 {
            delivered.admits(&device("mallory"), id(number), message("flood"), 1);
            assert!(delivered.len() <= TEXTS_REMEMBERED);
        }
        assert!(delivered.admits(&bob, id(0), message("bob's"), 1));
        for number in 0..20 {
            assert!(!delivered.admits(&alice, id(number), message("again"), 2), "{number}");
        }
    }

    #[test]
    fn a_full_table_has_less_than_120_bytes_each() {
        let mut delivered = DeliveredTexts::default();
        for number in 0..TEXTS_REMEMBERED as u64 {
            delivered.admits(&device("alice"), id(number), message("text"), u64::MAX);
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&delivered, &mut bytes).expect("the table is encoded");
        assert!(bytes.len() < 120 * TEXTS_REMEMBERED, "{}", bytes.len());
        assert_eq!(ciborium::from_reader::<DeliveredTexts, _>(&bytes[..]).expect("the table is decoded"), delivered);
    }
}
