//! Ed25519 (RFC 8032), and ECDSA with P-256 and SHA-256 (FIPS 186-5).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature as Ed25519Signature, VerifyingKey};
use openmls_traits::types::{CryptoError, SignatureScheme};
use p256::ecdsa::{Signature as P256Signature, SigningKey as P256SigningKey, signature::Signer as _};

use super::hpke::p256_key;
use crate::{
    random::RandomSource,
    signature_key::{self, KeyPair},
};

pub(super) fn generate(alg: SignatureScheme, random: &impl RandomSource) -> Result<KeyPair, CryptoError> {
    match alg {
        SignatureScheme::ED25519 => signature_key::ed25519(random, |private| {
            let pair = Ed25519KeyPair::from_seed_unchecked(private).map_err(|_| CryptoError::CryptoLibraryError)?;
            Ok(pair.public_key().as_ref().into())
        }),
        SignatureScheme::ECDSA_SECP256R1_SHA256 => {
            signature_key::p256(random, |private| p256_key::public(private).ok())
        }
        _ => Err(CryptoError::UnsupportedSignatureScheme),
    }
}

pub(super) fn sign(alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
    match alg {
        SignatureScheme::ED25519 => {
            // AWS-LC would ignore the bytes after the seed.
            let seed: &[u8; 32] = key.try_into().map_err(|_| CryptoError::CryptoLibraryError)?;
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| CryptoError::CryptoLibraryError)?;
            let signature = pair.try_sign(data).map_err(|_| CryptoError::CryptoLibraryError)?;
            Ok(signature.as_ref().into())
        }
        SignatureScheme::ECDSA_SECP256R1_SHA256 => {
            let key: &[u8; 32] = key.try_into().map_err(|_| CryptoError::CryptoLibraryError)?;
            let key = P256SigningKey::from_bytes(key.into()).map_err(|_| CryptoError::CryptoLibraryError)?;
            let signature: P256Signature = key.sign(data);
            Ok(signature.to_der().as_bytes().into())
        }
        _ => Err(CryptoError::UnsupportedSignatureScheme),
    }
}

pub(super) fn verify(alg: SignatureScheme, data: &[u8], public: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    match alg {
        SignatureScheme::ED25519 => {
            let key = VerifyingKey::try_from(public).map_err(|_| CryptoError::CryptoLibraryError)?;
            let signature: &[u8; SIGNATURE_LENGTH] =
                signature.try_into().map_err(|_| CryptoError::CryptoLibraryError)?;
            key.verify_strict(data, &Ed25519Signature::from_bytes(signature)).map_err(|_| CryptoError::InvalidSignature)
        }
        SignatureScheme::ECDSA_SECP256R1_SHA256 => {
            let key = p256_key::uncompressed(public).ok_or(CryptoError::CryptoLibraryError)?;
            let key =
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &*key).map_err(|_| CryptoError::CryptoLibraryError)?;
            let signature = P256Signature::from_der(signature).map_err(|_| CryptoError::InvalidSignature)?;
            key.verify_sig(data, &signature.to_bytes()).map_err(|_| CryptoError::InvalidSignature)
        }
        _ => Err(CryptoError::UnsupportedSignatureScheme),
    }
}
