//! The device that a credential names.

use openmls::credentials::{BasicCredential, Credential};

use crate::{names::DeviceId, outcome::RejectReason};

/// Returns the device that a leaf belongs to.
pub(crate) fn basic_identity(credential: &Credential) -> Result<DeviceId, RejectReason> {
    let credential = BasicCredential::try_from(credential.clone()).map_err(|_| RejectReason::UnacceptableCredential)?;
    DeviceId::from_identity(credential.identity()).map_err(|_| RejectReason::UnacceptableCredential)
}
