//! The bytes that a device signs to prove that it has its key.
//!
//! The bytes contain the service's own key. So a signature for one service is not valid at another
//! service.

use crate::{identity::DeviceId, receipt::ServicePublicKey};

const REGISTRATION_LABEL: &[u8] = b"Regrow registration 1";
const SESSION_LABEL: &[u8] = b"Regrow session 1";

/// Returns the bytes that a device signs with its key to register that key.
pub fn registration(service: &ServicePublicKey, challenge: &[u8], device: &DeviceId, key: &[u8]) -> Vec<u8> {
    fields(&[REGISTRATION_LABEL, &service.0, challenge, &device.to_identity(), key])
}

/// Returns the bytes that a device signs with its registered key to open a session.
pub fn session(service: &ServicePublicKey, challenge: &[u8], device: &DeviceId) -> Vec<u8> {
    fields(&[SESSION_LABEL, &service.0, challenge, &device.to_identity()])
}

/// Concatenates the fields, each after its length.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| (field.len() as u64).to_be_bytes().into_iter().chain(field.iter().copied()))
        .collect()
}
