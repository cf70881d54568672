//! HMAC-SHA256 (RFC 2104) over fields. Each field follows its length, so two different lists of
//! fields never give the same bytes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The block size of SHA-256. HMAC pads a shorter key with zeros up to this size.
const BLOCK: usize = 64;

/// Returns a MAC over `fields`. The first field names the purpose of the MAC.
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
