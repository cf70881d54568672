//! The messages that this device has created in the current epoch. If an own message comes back
//! that is not among them, another state of the device has created it.
//!
//! The sender data (RFC 9420, 6.3.2) says that a message comes from this device's leaf. It is the
//! only part of an own message that this device can still decrypt, and nothing else of the message
//! is authenticated then. Therefore the engine recognizes an own message by its encrypted sender
//! data. If the service changes the rest of the message, the message still does not look new.

use tls_codec::{DeserializeBytes as _, TlsDeserializeBytes, TlsSize, VLBytes};

use super::GroupState;
use crate::{
    call::EngineCall,
    error::Error,
    storage::{RecordKind, StorageError},
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

/// Returns the encrypted sender data of a well-formed message; [`None`] if it is a PublicMessage.
fn sender_data(message: &[u8]) -> Option<VLBytes> {
    let wire_format = message.get(2..4)?;
    if wire_format != PRIVATE_MESSAGE.to_be_bytes() {
        return None;
    }
    Some(Sealed::tls_deserialize_exact_bytes(message).ok()?.encrypted_sender_data)
}

impl GroupState {
    /// Records that this device has created the message in the current epoch. (A PublicMessage
    /// needs no record, because it has a signature.)
    pub(crate) fn note_sent(&self, call: &EngineCall<'_>, message: &[u8]) -> Result<(), Error> {
        match sender_data(message) {
            Some(sender_data) => Ok(call.records.put(key(call, &sender_data), RecordKind::Sent, &())?),
            None => Ok(()),
        }
    }

    /// True if this device has created that message in the current epoch.
    pub(crate) fn has_sent(&self, call: &EngineCall<'_>, message: &[u8]) -> Result<bool, StorageError> {
        match sender_data(message) {
            Some(sender_data) => Ok(call.records.get::<()>(&key(call, &sender_data), RecordKind::Sent)?.is_some()),
            None => Ok(false),
        }
    }

    /// Deletes the records of the ended epoch's messages.
    pub(crate) fn forget_sent(&self, call: &EngineCall<'_>) -> Result<(), StorageError> {
        call.records.delete_all(&call.records.scope().key(RecordKind::Sent))
    }
}

fn key(call: &EngineCall<'_>, sender_data: &VLBytes) -> Vec<u8> {
    call.records.scope().item(RecordKind::Sent, sender_data.as_slice())
}
