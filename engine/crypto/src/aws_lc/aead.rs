//! Authenticated encryption: AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use openmls_traits::types::AeadType;

/// Returns a key, or nothing if the length is wrong.
pub(super) fn key(alg: AeadType, key: &[u8]) -> Option<LessSafeKey> {
    let alg = match alg {
        AeadType::Aes128Gcm => &AES_128_GCM,
        AeadType::Aes256Gcm => &AES_256_GCM,
        AeadType::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    };
    UnboundKey::new(alg, key).ok().map(LessSafeKey::new)
}

/// Encrypts a plaintext, and appends the tag. Returns nothing if the length of nonce or
/// plaintext is wrong.
pub(super) fn seal(key: &LessSafeKey, nonce: &[u8], aad: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Vec::with_capacity(plaintext.len() + key.algorithm().tag_len());
    bytes.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut bytes).ok()?;
    Some(bytes)
}

/// Decrypts a ciphertext with its tag. Returns nothing if it is not authentic.
pub(super) fn open(key: &LessSafeKey, nonce: &[u8], aad: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = ciphertext.to_vec();
    let length = key.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
