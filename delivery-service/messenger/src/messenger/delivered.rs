//! The texts of a group that the application was told and that their senders may send again.
//!
//! When a commit is taken back, the senders of the texts of the void epoch send them again (`docs/decisions/0069`). A device
//! that has told such a text already knows it by its identifier. The table is a part of the group's record: the step that
//! moves the cursor past a text keeps the text's identifier as well.

use std::collections::{BTreeMap, VecDeque};

use regrow_engine::{DeviceId, MessageId};
use serde::{Deserialize, Serialize};

use crate::envelope::TextId;

/// The number of texts that are remembered of a group, of all senders together. At less than 120 bytes each, the table is not
/// larger than the receipts beside it. The application is told a text twice that was crowded out, and no text is lost.
const TEXTS_REMEMBERED: usize = 128;

/// The texts that may be sent again.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivered {
    /// The epoch that the last commit has made.
    epoch: u64,
    /// The texts of each sender, the latest at the end. One sender's identifiers say nothing of another's texts.
    texts: BTreeMap<DeviceId, VecDeque<Known>>,
}

/// A text that the application was told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: TextId,
    /// The identifier of the message that the application was told. After a crash that message may be told again, and another
    /// message with the same text may not.
    #[serde(with = "serde_bytes")]
    message: [u8; 32],
    /// The epoch of the last message with this text.
    epoch: u64,
    /// Whether that epoch was taken back: the sender is expected to send the text again.
    void: bool,
}

impl Delivered {
    /// Whether the application is to be told the message. An earlier message may have brought the sender's text already.
    pub(super) fn admits(&mut self, sender: &DeviceId, id: TextId, message: MessageId, epoch: u64) -> bool {
        let message = *message.as_bytes();
        let texts = self.texts.entry(sender.clone()).or_default();
        if let Some(known) = texts.iter_mut().find(|known| known.id == id) {
            let is_told_again = known.message == message;
            if !is_told_again {
                (known.epoch, known.void) = (epoch, false);
            }
            return is_told_again;
        }
        texts.push_back(Known { id, message, epoch, void: false });
        self.limit(sender);
        true
    }

    /// Makes room at the cost of the sender that takes up most of it: a hostile member crowds out its own texts.
    fn limit(&mut self, latest: &DeviceId) {
        if self.len() > TEXTS_REMEMBERED {
            let most = self.texts.iter_mut().max_by_key(|(sender, texts)| (texts.len(), *sender == latest));
            most.into_iter().for_each(|(_, texts)| _ = texts.pop_front());
        }
    }

    /// A commit has made this epoch.
    pub(super) fn enter(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// All epochs after this one were taken back.
    pub(super) fn void_after(&mut self, restored: u64) {
        self.texts.values_mut().flatten().filter(|known| known.epoch > restored).for_each(|known| known.void = true);
    }

    /// The application has kept all that it was told. Texts of former epochs are forgotten, which cannot be taken back any more,
    /// and texts of void epochs stay. Returns whether something was forgotten.
    ///
    /// Not before: after a crash, the messages that the application has not kept are told again in the same way.
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
    use crate::envelope::Nonce;

    fn device(user: &str) -> DeviceId {
        DeviceId::new(user, "phone").expect("a short name")
    }

    fn id(number: u64) -> TextId {
        TextId::of(Nonce([7; 16]), &number.to_be_bytes())
    }

    fn message(name: &str) -> MessageId {
        MessageId::of(name.as_bytes())
    }

    #[test]
    fn a_text_that_is_sent_again_is_not_told_again() {
        let (mut delivered, alice) = (Delivered::default(), device("alice"));
        delivered.enter(2);
        assert!(delivered.admits(&alice, id(1), message("first"), 2));
        delivered.void_after(1);
        delivered.enter(3);
        delivered.settle();
        assert!(!delivered.admits(&alice, id(1), message("second"), 3));
        assert!(!delivered.admits(&alice, id(1), message("second"), 3), "nor after a crash");
        delivered.void_after(2);
        delivered.enter(4);
        delivered.settle();
        assert!(!delivered.admits(&alice, id(1), message("third"), 4), "nor if that one is taken back as well");
    }

    #[test]
    fn a_message_that_comes_again_after_a_crash_is_told_again() {
        let (mut delivered, alice) = (Delivered::default(), device("alice"));
        for _ in 0..3 {
            assert!(delivered.admits(&alice, id(1), message("first"), 0));
        }
        assert_eq!(delivered.len(), 1);
    }

    #[test]
    fn one_member_suppresses_no_text_of_another() {
        let mut delivered = Delivered::default();
        assert!(delivered.admits(&device("mallory"), id(1), message("hers"), 0));
        delivered.void_after(0);
        assert!(delivered.admits(&device("alice"), id(1), message("mine"), 0));
    }

    #[test]
    fn texts_of_former_epochs_are_forgotten_once_the_application_has_them() {
        let (mut delivered, alice) = (Delivered::default(), device("alice"));
        assert!(delivered.admits(&alice, id(1), message("first"), 0));
        assert!(!delivered.settle(), "its epoch can still be taken back");
        delivered.enter(1);
        assert!(delivered.admits(&alice, id(2), message("second"), 1));
        // Read with the commit, and told again after a crash.
        assert!(!delivered.admits(&alice, id(1), message("third"), 0));
        assert_eq!(delivered.len(), 2);
        assert!(delivered.settle());
        assert_eq!(delivered.len(), 1);
    }

    #[test]
    fn a_flood_crowds_out_the_texts_of_its_sender_alone() {
        let (mut delivered, alice, bob) = (Delivered::default(), device("alice"), device("bob"));
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
    fn a_full_table_is_as_small_as_it_says() {
        let mut delivered = Delivered::default();
        for number in 0..TEXTS_REMEMBERED as u64 {
            delivered.admits(&device("alice"), id(number), message("text"), u64::MAX);
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&delivered, &mut bytes).expect("it can be written");
        assert!(bytes.len() < 120 * TEXTS_REMEMBERED, "{}", bytes.len());
        assert_eq!(ciborium::from_reader::<Delivered, _>(&bytes[..]).expect("it can be read"), delivered);
    }
}
