//! Ed25519 (RFC 8032), and ECDSA with P-256 and SHA-256 (FIPS 186-5).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature as Ed25519Signature, VerifyingKey};
use openmls_traits::types::CryptoError;
use p256::ecdsa::{Signature as P256Signature, SigningKey as P256SigningKey, signature::Signer as _};

use super::hpke::p256_key;
use crate::primitives::PrivateKey;

pub(super) fn ed25519_public(key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
    Ok(ed25519_pair(key)?.public_key().as_ref().into())
}

pub(super) fn ed25519_sign(data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
    let signature = ed25519_pair(key)?.try_sign(data).map_err(|_| CryptoError::CryptoLibraryError)?;
    Ok(signature.as_ref().into())
}

fn ed25519_pair(key: &PrivateKey) -> Result<Ed25519KeyPair, CryptoError> {
    Ed25519KeyPair::from_seed_unchecked(key).map_err(|_| CryptoError::CryptoLibraryError)
}

pub(super) fn ed25519_verify(data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = VerifyingKey::try_from(public).map_err(|_| CryptoError::CryptoLibraryError)?;
    let signature: &[u8; SIGNATURE_LENGTH] = signature.try_into().map_err(|_| CryptoError::CryptoLibraryError)?;
    key.verify_strict(data, &Ed25519Signature::from_bytes(signature)).map_err(|_| CryptoError::InvalidSignature)
}

pub(super) fn p256_sign(data: &[u8], key: &PrivateKey) -> Result<Vec<u8>, CryptoError> {
    let key = P256SigningKey::from_bytes(key.into()).map_err(|_| CryptoError::CryptoLibraryError)?;
    let signature: P256Signature = key.sign(data);
    Ok(signature.to_der().as_bytes().into())
}

pub(super) fn p256_verify(data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = p256_key::uncompressed(public).ok_or(CryptoError::CryptoLibraryError)?;
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &*key).map_err(|_| CryptoError::CryptoLibraryError)?;
    let signature = P256Signature::from_der(signature).map_err(|_| CryptoError::InvalidSignature)?;
    key.verify_sig(data, &signature.to_bytes()).map_err(|_| CryptoError::InvalidSignature)
}
