//! The stored signature keys of this device, and the record of the device that names its current
//! key.

use serde::{Deserialize, Serialize};

use crate::{
    DeviceId, SignaturePublicKey,
    error::Error,
    identity::SignatureKey,
    storage::{RecordKind, RecordScope, Transaction},
};

/// The device's own record: its name and its current signature key.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeviceRecord {
    pub(crate) device: DeviceId,
    /// The signature key of new key packages and new groups.
    pub(crate) signature_key: SignaturePublicKey,
}

impl DeviceRecord {
    pub(crate) fn load(records: &Transaction<'_>) -> Result<Self, Error> {
        records.get(&RecordScope::Device.key(RecordKind::Device), RecordKind::Device)?.ok_or(Error::NoDevice)
    }

    pub(crate) fn store(&self, records: &Transaction<'_>) -> Result<(), Error> {
        Ok(records.put(RecordScope::Device.key(RecordKind::Device), RecordKind::Device, self)?)
    }
}

/// Stores a signature key pair of this device.
pub(crate) fn store(records: &Transaction<'_>, key: &SignatureKey) -> Result<(), Error> {
    let name = RecordScope::Device.item(RecordKind::SignatureKey, key.public().as_bytes());
    Ok(records.put(name, RecordKind::SignatureKey, key)?)
}

/// Returns the signature key pair with that public key.
pub(crate) fn get(records: &Transaction<'_>, public: &[u8]) -> Result<SignatureKey, Error> {
    find(records, public)?.ok_or_else(|| Error::Internal {
        action: "find a signature key",
        detail: "this device does not have the leaf's key".into(),
    })
}

/// Returns the signature key pair with that public key; [`None`] if this device does not have it.
pub(crate) fn find(records: &Transaction<'_>, public: &[u8]) -> Result<Option<SignatureKey>, Error> {
    Ok(records.get(&RecordScope::Device.item(RecordKind::SignatureKey, public), RecordKind::SignatureKey)?)
}

/// Sets the signature key of new key packages and new groups.
pub(crate) fn set_current(records: &Transaction<'_>, key: SignaturePublicKey) -> Result<(), Error> {
    let record = DeviceRecord { signature_key: key, ..DeviceRecord::load(records)? };
    record.store(records)
}
