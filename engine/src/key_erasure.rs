//! Erases private keys that this device no longer needs: of key packages, and its signature keys.

use openmls::prelude::MlsMessageOut;

use crate::{
    KeyPackageBytes,
    error::Error,
    group::record::member_states,
    key_package::{bundles, use_until},
    names::Timestamp,
    signature_keys::DeviceRecord,
    storage::{RecordKind, RecordScope, Transaction},
};

/// Erases the expired key packages, and returns their number.
pub(crate) fn expire_key_packages(records: &Transaction<'_>, now: Timestamp) -> Result<usize, Error> {
    let mut expired = 0;
    for (key, bundle) in bundles(records)? {
        let until = use_until(bundle.key_package());
        if until.map_or(true, |until| until <= now) {
            records.delete(key);
            expired += 1;
        }
    }
    sweep_signature_keys(records)?;
    Ok(expired)
}

/// Erases these key packages.
pub(crate) fn discard_key_packages(records: &Transaction<'_>, key_packages: &[KeyPackageBytes]) -> Result<(), Error> {
    let internal = |detail: String| Error::Internal { action: "encode a key package", detail };
    for (key, bundle) in bundles(records)? {
        let message = MlsMessageOut::from(bundle.key_package().clone()).to_bytes();
        let message = KeyPackageBytes::new(message.map_err(|e| internal(e.to_string()))?);
        if key_packages.contains(&message) {
            records.delete(key);
        }
    }
    sweep_signature_keys(records)
}

/// Erases the signature keys that neither the device, nor a group, nor a key package uses any
/// more.
pub(crate) fn sweep_signature_keys(records: &Transaction<'_>) -> Result<(), Error> {
    let all = RecordScope::Device.key(RecordKind::SignatureKey);
    let stored = records.keys(&all)?;
    if stored.len() < 2 {
        return Ok(());
    }
    let mut used = vec![DeviceRecord::load(records)?.signature_key.0];
    for (_, bundle) in bundles(records)? {
        used.push(bundle.key_package().leaf_node().signature_key().as_slice().to_vec());
    }
    for (_, membership) in member_states(records)? {
        used.extend(membership.signature_keys().map(|key| key.0.clone()));
    }
    for name in stored {
        if !used.iter().any(|key| name[all.len()..] == key[..]) {
            records.delete(name);
        }
    }
    Ok(())
}
