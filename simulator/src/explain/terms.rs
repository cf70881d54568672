//! The meaning of a word at its first use. The words are those of the glossary.

use std::{collections::BTreeSet, fmt::Display};

/// The words that an explanation uses, each with its meaning.
const MEANINGS: &[(&str, &str)] = &[
    ("commit", "a message that changes a group and begins its next epoch"),
    ("commit secret", "the fresh secret that a commit adds to the next epoch"),
    ("delivery service", "the service that orders and routes messages"),
    ("encryption secret", "the secret from which all message keys of an epoch follow"),
    ("epoch", "a state of the group between two commits, with keys of its own"),
    ("epoch authenticator", "a value that two members have in common only if they are in the same state of the group"),
    ("epoch secret", "the secret from which all keys of an epoch follow"),
    ("external commit", "a commit by which a device joins from outside, without a welcome"),
    ("generation", "the number of a key in a sender's ratchet, from 0 in each epoch"),
    ("group info", "the public description of an epoch, for devices that join"),
    ("init secret", "the secret that an epoch passes on to the next one"),
    ("joiner secret", "the secret that begins an epoch; a welcome contains it"),
    ("key package", "keys of a device with which others add it to a group"),
    ("leaf", "the place of one member in the ratchet tree, the tree of the members' public keys"),
    ("path secret", "a fresh secret in a commit, from which the keys of one node and of all nodes above it follow"),
    ("pending commit", "a commit that the delivery service has not ordered yet"),
    ("proposal", "a change that a member proposes and a commit carries out"),
    ("ratchet", "a chain of keys, one for each message of one sender"),
    ("signature key", "the key with which a device signs; others know the device by it"),
    ("thief", "somebody with a copy of a device's state, and with all traffic"),
    ("update path", "new keys from the committer's leaf to the root of the ratchet tree"),
    ("welcome", "the message with which added devices join"),
];

/// The words that the reader has seen.
#[derive(Default)]
pub(super) struct Terms {
    seen: BTreeSet<&'static str>,
}

impl Terms {
    /// The text for a word. At the first use, the meaning of the word follows in parentheses.
    pub(super) fn first(&mut self, word: &'static str, text: impl Display) -> String {
        match self.note(word) {
            Some(meaning) => format!("{text} ({meaning})"),
            None => text.to_string(),
        }
    }

    /// The word, with its meaning at the first use.
    pub(super) fn word(&mut self, word: &'static str) -> String {
        self.first(word, word)
    }

    /// The meaning of a word at its first use.
    pub(super) fn note(&mut self, word: &'static str) -> Option<&'static str> {
        let meaning = MEANINGS.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        meaning.filter(|_| self.seen.insert(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_comes_once() {
        let mut terms = Terms::default();
        assert_eq!(
            terms.first("epoch", "epoch 3"),
            "epoch 3 (a state of the group between two commits, with keys of its own)"
        );
        assert_eq!(terms.first("epoch", "epoch 4"), "epoch 4");
        assert_eq!(terms.word("no such word"), "no such word");
    }

    #[test]
    fn every_word_is_in_the_glossary() {
        let glossary = include_str!("../../../docs/glossary.md").to_lowercase();
        for (word, _) in MEANINGS {
            assert!(glossary.contains(&format!("\n| {word} |")), "{word} is not in docs/glossary.md");
        }
    }
}
