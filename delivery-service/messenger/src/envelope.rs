//! The envelope of a text, inside the encryption. It carries the text, the text's identifier, and the latest receipt that the
//! sender has of the group.
//!
//! Members compare the receipts, which shows a service that tells two histories (`docs/decisions/0031`). They compare the
//! identifiers, so that they read a text once that its sender had to send twice (`docs/decisions/0069`).

use regrow_engine::GroupId;
use serde::{Deserialize, Serialize};
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
/// A receipt's length: sequence, epoch, head and signature. The group is the one that the message is of.
const RECEIPT_BYTES: usize = 8 + 8 + 32 + 64;
/// An identifier's length: random ones of this length never meet.
const TEXT_ID_BYTES: usize = 16;

/// A text's identifier. The sender draws it once, and puts it into each envelope of the text. It names a text among those
/// of its sender alone: nothing keeps a hostile member from repeating another member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TextId(#[serde(with = "serde_bytes")] pub(super) [u8; TEXT_ID_BYTES]);

impl TextId {
    /// A new identifier, of the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub(super) fn generate() -> Result<Self, Error> {
        let mut id = [0; TEXT_ID_BYTES];
        getrandom::fill(&mut id).map_err(|_| Error::Randomness)?;
        Ok(Self(id))
    }
}

/// The content of an envelope.
pub(super) struct Opened {
    /// The text's identifier, as the sender has chosen it.
    pub(super) id: TextId,
    /// The sender's latest receipt. Its signature is still to be verified.
    pub(super) receipt: Option<Receipt>,
    pub(super) text: Zeroizing<Vec<u8>>,
}

/// The text with its identifier and its sender's latest receipt.
pub(super) fn seal(id: TextId, receipt: Option<&Receipt>, text: &[u8]) -> Zeroizing<Vec<u8>> {
    // As large as it will be, so that no copy of the text is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 + TEXT_ID_BYTES + RECEIPT_BYTES + text.len()));
    bytes.extend_from_slice(&[VERSION, if receipt.is_some() { WITH } else { WITHOUT }]);
    bytes.extend_from_slice(&id.0);
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

/// What [`seal`] has put together; [`None`] if it is something else.
pub(super) fn open(group: &GroupId, bytes: &[u8]) -> Option<Opened> {
    let (&[version, with], rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (id, text) = (TextId(*id), |text: &[u8]| Zeroizing::new(text.to_vec()));
    match (version, with) {
        (VERSION, WITHOUT) => Some(Opened { id, receipt: None, text: text(rest) }),
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
            Some(Opened { id, receipt: Some(receipt), text: text(rest) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::ServiceKey;

    const ID: TextId = TextId([9; TEXT_ID_BYTES]);

    fn group() -> GroupId {
        GroupId::new("room").unwrap()
    }

    fn receipt() -> Receipt {
        let key = ServiceKey::from_seed(&[1; 32]);
        key.sign(&group(), Sequence(3), Epoch(2), ChainHash([7; 32]))
    }

    #[test]
    fn what_was_sealed_is_opened() {
        for (receipt, text) in [(None, &b""[..]), (None, b"hi"), (Some(receipt()), b""), (Some(receipt()), b"hi")] {
            let sealed = seal(ID, receipt.as_ref(), text);
            let opened = open(&group(), &sealed).expect("an envelope");
            assert_eq!((opened.id, opened.receipt, &opened.text[..]), (ID, receipt, text));
        }
    }

    #[test]
    fn a_receipt_of_one_group_is_none_of_another() {
        let opened = open(&GroupId::new("other").unwrap(), &seal(ID, Some(&receipt()), b"hi")).expect("an envelope");
        let service = ServiceKey::from_seed(&[1; 32]).public();
        assert!(opened.receipt.expect("it has one").verify(&service).is_err());
    }

    #[test]
    fn what_is_no_envelope_is_not_opened() {
        for whole in [seal(ID, Some(&receipt()), b""), seal(ID, None, b"")] {
            for length in 0..whole.len() {
                assert!(open(&group(), &whole[..length]).is_none(), "{length}");
            }
        }
        assert!(open(&group(), b"hello").is_none());
    }

    #[test]
    fn an_envelope_of_another_version_or_kind_is_not_opened() {
        let sealed = seal(ID, None, b"hi");
        assert!(open(&group(), &sealed).is_some());
        for (place, byte) in [(0, 1), (0, 3), (1, 2)] {
            let mut changed = sealed.clone();
            changed[place] = byte;
            assert!(open(&group(), &changed).is_none(), "byte {place} is {byte}");
        }
    }

    #[test]
    fn two_texts_have_two_identifiers() {
        assert_ne!(TextId::generate().expect("randomness"), TextId::generate().expect("randomness"));
    }
}
