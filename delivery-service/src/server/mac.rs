//! HMAC-SHA256 (RFC 2104) over fields, each behind its length, so that no two lists of fields give
//! the same bytes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The block of SHA-256. HMAC fills a shorter key with zeros up to it.
const BLOCK: usize = 64;

/// A MAC over `fields`, whose first one says what the MAC is for.
pub(crate) fn mac(key: &[u8; 32], fields: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    if let Some(start) = block.first_chunk_mut() {
        *start = *key;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for field in fields {
        mac.update(&(field.len() as u64).to_be_bytes());
        mac.update(field);
    }
    mac
}
