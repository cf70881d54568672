//! What a device signs to show that it has its key. The service's own key is in it, so that a signature that one service
//! was given is of no use at another.

use super::{DeviceName, InvalidDeviceName};
use crate::receipt::ServicePublicKey;

const REGISTRATION_LABEL: &[u8] = b"Regrow registration 1";
const SESSION_LABEL: &[u8] = b"Regrow session 1";

/// What is signed to register a device with a key, by that key.
///
/// # Errors
/// [`InvalidDeviceName`] if the name is none.
pub fn registration(
    service: &ServicePublicKey,
    challenge: &[u8],
    device: &DeviceName,
    key: &[u8],
) -> Result<Vec<u8>, InvalidDeviceName> {
    Ok(fields(&[REGISTRATION_LABEL, &service.0, challenge, device.to_id()?.as_bytes(), key]))
}

/// What is signed to open a session, by the key that the device was registered with.
///
/// # Errors
/// [`InvalidDeviceName`] if the name is none.
pub fn session(
    service: &ServicePublicKey,
    challenge: &[u8],
    device: &DeviceName,
) -> Result<Vec<u8>, InvalidDeviceName> {
    Ok(fields(&[SESSION_LABEL, &service.0, challenge, device.to_id()?.as_bytes()]))
}

/// Each field behind its length.
fn fields(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| (field.len() as u64).to_be_bytes().into_iter().chain(field.iter().copied()))
        .collect()
}
