//! Information about the service.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// The description of the service, which needs no session. `GET /v1/service`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceInfo {
    /// The version of the service's software.
    pub version: String,
    /// The public key of the service (Ed25519, 32 bytes). The service signs receipts with it. The
    /// bytes that a device signs for a [proof](super::proof) contain it.
    pub key: Bytes,
    /// The largest size of a request body, in bytes.
    pub max_body_bytes: usize,
}
