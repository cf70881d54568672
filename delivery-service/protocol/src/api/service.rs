//! What the service says of itself.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// `GET /v1/service`, for everybody
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceInfo {
    /// The version of its software.
    pub version: String,
    /// The key that it signs receipts with, and that goes into what devices sign (Ed25519, 32 bytes).
    pub key: Bytes,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
}
