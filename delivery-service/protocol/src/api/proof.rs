//! What a device signs to show that it has its key. The service's own key is in it, so that a signature that one service
//! was given is of no use at another.

use crate::{identity::DeviceId, receipt::ServicePublicKey};

const REGISTRATION_LABEL: &[u8] = b"Regrow registration 1";
const SESSION_LABEL: &[u8] = b"Regrow session 1";

/// What is signed to register a device with a key, by that key.
pub fn registration(service: &ServicePublicKey, challenge: &[u8], device: &DeviceId, key: &[u8]) -> Vec<u8> {
    fields(&[REGISTRATION_LABEL, &service.0, challenge, &device.to_identity(), key])
}

/// What is signed to open a session, by the key that the device was registered with.
pub fn session(service: &ServicePublicKey, challenge: &[u8], device: &DeviceId) -> Vec<u8> {
    fields(&[SESSION_LABEL, &service.0, challenge, &device.to_identity()])
}

/// Each field behind its length.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| (field.len() as u64).to_be_bytes().into_iter().chain(field.iter().copied()))
        .collect()
}
