//! HKDF (RFC 5869) and HMAC (RFC 2104).

use ::hmac::{Hmac, KeyInit as _, Mac as _};
use hkdf::Hkdf;
use openmls_traits::types::HashType;
use sha2::{Sha256, Sha384, Sha512};

pub(super) fn extract(hash: HashType, salt: &[u8], ikm: &[u8]) -> Vec<u8> {
    match hash {
        HashType::Sha2_256 => Hkdf::<Sha256>::extract(Some(salt), ikm).0.to_vec(),
        HashType::Sha2_384 => Hkdf::<Sha384>::extract(Some(salt), ikm).0.to_vec(),
        HashType::Sha2_512 => Hkdf::<Sha512>::extract(Some(salt), ikm).0.to_vec(),
    }
}

/// Returns nothing if `prk` is shorter than a hash, or `length` is more than 255 hashes.
pub(super) fn expand(hash: HashType, prk: &[u8], info: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut okm = vec![0; length];
    match hash {
        HashType::Sha2_256 => Hkdf::<Sha256>::from_prk(prk).ok()?.expand(info, &mut okm).ok()?,
        HashType::Sha2_384 => Hkdf::<Sha384>::from_prk(prk).ok()?.expand(info, &mut okm).ok()?,
        HashType::Sha2_512 => Hkdf::<Sha512>::from_prk(prk).ok()?.expand(info, &mut okm).ok()?,
    }
    Some(okm)
}

/// Returns nothing if the key is unusable, which no length is.
pub(super) fn hmac(hash: HashType, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    Some(match hash {
        HashType::Sha2_256 => {
            Hmac::<Sha256>::new_from_slice(key).ok()?.chain_update(message).finalize().into_bytes().to_vec()
        }
        HashType::Sha2_384 => {
            Hmac::<Sha384>::new_from_slice(key).ok()?.chain_update(message).finalize().into_bytes().to_vec()
        }
        HashType::Sha2_512 => {
            Hmac::<Sha512>::new_from_slice(key).ok()?.chain_update(message).finalize().into_bytes().to_vec()
        }
    })
}
