//! Decoding of MLSMessages (RFC 9420, 6), the form of all bytes that devices exchange.

use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn};
use tls_codec::DeserializeBytes as _;

use crate::error::Error;

/// Decodes an MLSMessage. `expected` describes the message for the error text.
pub(crate) fn parse(bytes: &[u8], expected: &'static str) -> Result<MlsMessageBodyIn, Error> {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes)
        .map(MlsMessageIn::extract)
        .map_err(|e| Error::Malformed { expected, detail: e.to_string() })
}

/// Returns the error for an MLSMessage of another kind than expected.
pub(crate) fn other_kind(expected: &'static str) -> Error {
    Error::Malformed { expected, detail: "another kind of MLS message".into() }
}
