//! The envelope of a text, inside the encryption: the text, its nonce, and the sender's latest
//! receipt of the group.
//!
//! Members compare the receipts, which convicts a service with two histories
//! (`docs/decisions/0031`). The text's identifier follows from nonce and text. By the identifiers,
//! members read a text once that its sender had to send twice (`docs/decisions/0069`).

use regrow_engine::GroupId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    names::{Epoch, Sequence},
    receipt::{ChainHash, Receipt},
};

/// The version of the envelope, its first byte.
const VERSION: u8 = 2;
/// No receipt follows.
const WITHOUT: u8 = 0;
/// A receipt follows.
const WITH: u8 = 1;
/// A receipt's length: sequence, epoch, head and signature. The message determines the group.
const RECEIPT_BYTES: usize = 8 + 8 + 32 + 64;
/// A nonce's length. A random nonce of this length is unique, and nobody guesses it.
const NONCE_BYTES: usize = 16;

/// A text's nonce. The sender draws it once, and puts it into each envelope of the text.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TextNonce(#[serde(with = "serde_bytes")] pub(super) [u8; NONCE_BYTES]);

impl TextNonce {
    /// Draws a new nonce from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub(super) fn generate() -> Result<Self, Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| Error::Randomness)?;
        Ok(Self(nonce))
    }
}

/// A text's identifier: SHA-256 of the nonce and the text.
///
/// Another text under the same nonce has another identifier. Without the nonce, the identifier says
/// nothing about the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TextId(#[serde(with = "serde_bytes")] [u8; 32]);

impl TextId {
    /// The identifier of a text.
    pub(super) fn of(nonce: TextNonce, text: &[u8]) -> Self {
        Self(Sha256::new().chain_update(nonce.0).chain_update(text).finalize().into())
    }
}

/// The content of an envelope.
pub(super) struct OpenedEnvelope {
    pub(super) id: TextId,
    /// The sender's latest receipt. The caller verifies its signature.
    pub(super) receipt: Option<Receipt>,
    pub(super) text: Zeroizing<Vec<u8>>,
}

/// Puts a text, its nonce and the sender's latest receipt into an envelope.
pub(super) fn seal(nonce: TextNonce, receipt: Option<&Receipt>, text: &[u8]) -> Zeroizing<Vec<u8>> {
    // The final capacity, so that growing leaves no copy of the text behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 + NONCE_BYTES + RECEIPT_BYTES + text.len()));
    bytes.extend_from_slice(&[VERSION, if receipt.is_some() { WITH } else { WITHOUT }]);
    bytes.extend_from_slice(&nonce.0);
    match receipt {
        None => {}
        Some(Receipt { sequence, epoch, head, signature, .. }) => {
            bytes.extend_from_slice(&sequence.0.to_be_bytes());
            bytes.extend_from_slice(&epoch.0.to_be_bytes());
            bytes.extend_from_slice(&head.0);
            bytes.extend_from_slice(signature);
        }
    }
    bytes.extend_from_slice(text);
    bytes
}

/// Takes an envelope of [`seal`] apart. [`None`] if the bytes are no envelope.
pub(super) fn open(group: &GroupId, bytes: &[u8]) -> Option<OpenedEnvelope> {
    let (&[version, with], rest) = bytes.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let opened = |receipt, text: &[u8]| OpenedEnvelope {
        id: TextId::of(TextNonce(*nonce), text),
        receipt,
        text: Zeroizing::new(text.to_vec()),
    };
    match (version, with) {
        (VERSION, WITHOUT) => Some(opened(None, rest)),
        (VERSION, WITH) => {
            let (sequence, rest) = rest.split_first_chunk()?;
            let (epoch, rest) = rest.split_first_chunk()?;
            let (head, rest) = rest.split_first_chunk()?;
            let (signature, rest) = rest.split_first_chunk()?;
            let receipt = Receipt {
                group: group.clone(),
                sequence: Sequence(u64::from_be_bytes(*sequence)),
                epoch: Epoch(u64::from_be_bytes(*epoch)),
                head: ChainHash(*head),
                signature: *signature,
            };
            Some(opened(Some(receipt), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::ServiceKey;

    const NONCE: TextNonce = TextNonce([9; NONCE_BYTES]);

    fn group() -> GroupId {
        GroupId::new("room").unwrap()
    }

    fn receipt() -> Receipt {
        let key = ServiceKey::from_seed(&[1; 32]);
        key.sign(&group(), Sequence(3), Epoch(2), ChainHash([7; 32]))
    }

    #[test]
    fn a_sealed_envelope_is_opened() {
        for (receipt, text) in [(None, &b""[..]), (None, b"hi"), (Some(receipt()), b""), (Some(receipt()), b"hi")] {
            let sealed = seal(NONCE, receipt.as_ref(), text);
            let opened = open(&group(), &sealed).expect("an envelope");
            assert_eq!((opened.id, opened.receipt, &opened.text[..]), (TextId::of(NONCE, text), receipt, text));
        }
    }

    #[test]
    fn a_receipt_is_invalid_in_another_group() {
        let opened = open(&GroupId::new("other").unwrap(), &seal(NONCE, Some(&receipt()), b"hi")).expect("an envelope");
        let service = ServiceKey::from_seed(&[1; 32]).public();
        assert!(opened.receipt.expect("it has one").verify(&service).is_err());
    }

    #[test]
    fn other_bytes_are_not_opened() {
        for whole in [seal(NONCE, Some(&receipt()), b""), seal(NONCE, None, b"")] {
            for length in 0..whole.len() {
                assert!(open(&group(), &whole[..length]).is_none(), "{length}");
            }
        }
        assert!(open(&group(), b"hello").is_none());
    }

    #[test]
    fn an_envelope_of_another_version_or_kind_is_not_opened() {
        let sealed = seal(NONCE, None, b"hi");
        assert!(open(&group(), &sealed).is_some());
        for (place, byte) in [(0, 1), (0, 3), (1, 2)] {
            let mut changed = sealed.clone();
            changed[place] = byte;
            assert!(open(&group(), &changed).is_none(), "byte {place} is {byte}");
        }
    }

    #[test]
    fn two_texts_have_two_identifiers() {
        let [first, second] = [(); 2].map(|()| TextNonce::generate().expect("randomness"));
        assert_ne!(TextId::of(first, b"hi"), TextId::of(second, b"hi"));
        assert_ne!(TextId::of(first, b"hi"), TextId::of(first, b"ho"), "the sender does not choose an identifier");
    }
}
