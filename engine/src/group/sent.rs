//! Which messages this device has made in the present epoch: what comes back and is not among them was made by another state
//! of the device.
//!
//! That a message is of this device's leaf is said by its sender data (RFC 9420, 6.3.2), the one part of an own message that
//! can still be decrypted, and nothing else of it is authenticated then. So it is the sender data by which an own message is
//! known again: a service that changes the rest of one makes none that is new.

use tls_codec::{DeserializeBytes as _, TlsDeserializeBytes, TlsSize, VLBytes};

use super::GroupState;
use crate::{
    error::Error,
    provider::Call,
    storage::{Kind, StorageError},
};

/// The wire format of a PrivateMessage (RFC 9420, 6).
const PRIVATE_MESSAGE: u16 = 2;

/// An MLSMessage with a PrivateMessage in it (RFC 9420, 6 and 6.3).
#[derive(TlsDeserializeBytes, TlsSize)]
struct Sealed {
    _version: u16,
    _wire_format: u16,
    _group_id: VLBytes,
    _epoch: u64,
    _content_type: u8,
    _authenticated_data: VLBytes,
    encrypted_sender_data: VLBytes,
    _ciphertext: VLBytes,
}

/// The encrypted sender data of a message that is known to be well-formed; [`None`] if it is a PublicMessage.
fn sender_data(message: &[u8]) -> Option<VLBytes> {
    let wire_format = message.get(2..4)?;
    if wire_format != PRIVATE_MESSAGE.to_be_bytes() {
        return None;
    }
    Some(Sealed::tls_deserialize_exact_bytes(message).ok()?.encrypted_sender_data)
}

impl GroupState {
    /// This device has made the message, in the present epoch. (A PublicMessage bears a signature: it needs no record.)
    pub(crate) fn note_sent(&self, call: &Call<'_>, message: &[u8]) -> Result<(), Error> {
        match sender_data(message) {
            Some(sender_data) => Ok(call.records.put(key(call, &sender_data), Kind::Sent, &())?),
            None => Ok(()),
        }
    }

    /// Whether this device has made that message, in the present epoch.
    pub(crate) fn has_sent(&self, call: &Call<'_>, message: &[u8]) -> Result<bool, StorageError> {
        match sender_data(message) {
            Some(sender_data) => Ok(call.records.get::<()>(&key(call, &sender_data), Kind::Sent)?.is_some()),
            None => Ok(false),
        }
    }

    /// The epoch has ended: what was made in it is of no account any more.
    pub(crate) fn forget_sent(&self, call: &Call<'_>) -> Result<(), StorageError> {
        call.records.delete_all(&call.records.scope().key(Kind::Sent))
    }
}

fn key(call: &Call<'_>, sender_data: &VLBytes) -> Vec<u8> {
    call.records.scope().item(Kind::Sent, sender_data.as_slice())
}
