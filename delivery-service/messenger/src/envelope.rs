//! What an application message carries inside the encryption: the text, and before it the latest receipt that its sender
//! has of the group, so that members compare what the service has told them (`docs/decisions/0031`).

use regrow_engine::GroupId;
use zeroize::Zeroizing;

use crate::{
    names::{Epoch, Sequence},
    receipt::{ChainHash, Receipt},
};

/// The version of the envelope, its first byte.
const VERSION: u8 = 1;
/// No receipt follows.
const WITHOUT: u8 = 0;
/// A receipt follows.
const WITH: u8 = 1;
/// A receipt's length: sequence, epoch, head and signature. The group is the one that the message is of.
const RECEIPT_BYTES: usize = 8 + 8 + 32 + 64;

/// What was in an envelope.
pub(super) struct Opened {
    /// What the sender was told last. Whether the service has signed it is still to be checked.
    pub(super) receipt: Option<Receipt>,
    pub(super) text: Zeroizing<Vec<u8>>,
}

/// The text with its sender's latest receipt.
pub(super) fn seal(receipt: Option<&Receipt>, text: &[u8]) -> Zeroizing<Vec<u8>> {
    // As large as it will be, so that no copy of the text is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 + RECEIPT_BYTES + text.len()));
    match receipt {
        None => bytes.extend_from_slice(&[VERSION, WITHOUT]),
        Some(Receipt { sequence, epoch, head, signature, .. }) => {
            bytes.extend_from_slice(&[VERSION, WITH]);
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
    let text = |text: &[u8]| Zeroizing::new(text.to_vec());
    match (version, with) {
        (VERSION, WITHOUT) => Some(Opened { receipt: None, text: text(rest) }),
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
            Some(Opened { receipt: Some(receipt), text: text(rest) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::ServiceKey;

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
            let sealed = seal(receipt.as_ref(), text);
            let opened = open(&group(), &sealed).expect("an envelope");
            assert_eq!((opened.receipt, &opened.text[..]), (receipt, text));
        }
    }

    #[test]
    fn a_receipt_of_one_group_is_none_of_another() {
        let opened = open(&GroupId::new("other").unwrap(), &seal(Some(&receipt()), b"hi")).expect("an envelope");
        let service = ServiceKey::from_seed(&[1; 32]).public();
        assert!(opened.receipt.expect("it has one").verify(&service).is_err());
    }

    #[test]
    fn what_is_no_envelope_is_not_opened() {
        let whole = seal(Some(&receipt()), b"");
        for length in 0..whole.len() {
            assert!(open(&group(), &whole[..length]).is_none(), "{length}");
        }
        assert!(open(&group(), &[2, 0, b'h']).is_none());
        assert!(open(&group(), &[1, 2, b'h']).is_none());
        assert!(open(&group(), b"hello").is_none());
    }
}
