//! The primitives of HPKE (RFC 9180) for `hpke-rs`.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use hpke_rs_crypto::{
    HpkeCrypto,
    error::Error,
    types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm},
};
use openmls_traits::types::{AeadType, HashType};

use super::{aead, kdf};
use crate::hpke::Draws;

/// AWS-LC as `hpke-rs` needs it.
#[derive(Debug)]
pub struct AwsLcHpke;

impl HpkeCrypto for AwsLcHpke {
    type HpkePrng = Draws;

    fn prng() -> Draws {
        Draws::without_key_material()
    }

    fn name() -> String {
        "AWS-LC".to_owned()
    }

    fn supports_kdf(_alg: KdfAlgorithm) -> Result<(), Error> {
        Ok(())
    }

    fn supports_kem(alg: KemAlgorithm) -> Result<(), Error> {
        match alg {
            KemAlgorithm::DhKem25519 | KemAlgorithm::DhKemP256 => Ok(()),
            _ => Err(Error::UnknownKemAlgorithm),
        }
    }

    fn supports_aead(_alg: AeadAlgorithm) -> Result<(), Error> {
        Ok(())
    }

    fn kdf_extract(alg: KdfAlgorithm, salt: &[u8], ikm: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(kdf::extract(hash(alg), salt, ikm))
    }

    fn kdf_expand(alg: KdfAlgorithm, prk: &[u8], info: &[u8], output_size: usize) -> Result<Vec<u8>, Error> {
        kdf::expand(hash(alg), prk, info, output_size).ok_or(Error::HpkeInvalidOutputLength)
    }

    fn dh(alg: KemAlgorithm, pk: &[u8], sk: &[u8]) -> Result<Vec<u8>, Error> {
        match alg {
            KemAlgorithm::DhKem25519 => x25519::agree(pk, sk),
            KemAlgorithm::DhKemP256 => p256_key::agree(pk, sk),
            _ => Err(Error::UnknownKemAlgorithm),
        }
    }

    fn secret_to_public(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        match alg {
            KemAlgorithm::DhKem25519 => x25519::public(sk),
            KemAlgorithm::DhKemP256 => p256_key::public(sk),
            _ => Err(Error::UnsupportedKemOperation),
        }
    }

    fn dh_validate_sk(alg: KemAlgorithm, sk: &[u8]) -> Result<Vec<u8>, Error> {
        match alg {
            KemAlgorithm::DhKemP256 => p256_key::private(sk).map(|_| sk.into()),
            _ => Err(Error::UnknownKemAlgorithm),
        }
    }

    fn kem_key_gen(_alg: KemAlgorithm, _prng: &mut Draws) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn kem_key_gen_derand(_alg: KemAlgorithm, _seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn kem_encaps(_alg: KemAlgorithm, _pk_r: &[u8], _prng: &mut Draws) -> Result<(Vec<u8>, Vec<u8>), Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn kem_decaps(_alg: KemAlgorithm, _ct: &[u8], _sk_r: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::UnsupportedKemOperation)
    }

    fn aead_seal(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        let key = aead_key(alg, key)?;
        aead::seal(&key, nonce, aad, msg).ok_or(Error::AeadInvalidNonce)
    }

    fn aead_open(alg: AeadAlgorithm, key: &[u8], nonce: &[u8], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Error> {
        let key = aead_key(alg, key)?;
        aead::open(&key, nonce, aad, msg).ok_or(Error::AeadOpenError)
    }
}

fn hash(alg: KdfAlgorithm) -> HashType {
    match alg {
        KdfAlgorithm::HkdfSha256 => HashType::Sha2_256,
        KdfAlgorithm::HkdfSha384 => HashType::Sha2_384,
        KdfAlgorithm::HkdfSha512 => HashType::Sha2_512,
    }
}

fn aead_key(alg: AeadAlgorithm, key: &[u8]) -> Result<aws_lc_rs::aead::LessSafeKey, Error> {
    let alg = match alg {
        AeadAlgorithm::Aes128Gcm => AeadType::Aes128Gcm,
        AeadAlgorithm::Aes256Gcm => AeadType::Aes256Gcm,
        AeadAlgorithm::ChaCha20Poly1305 => AeadType::ChaCha20Poly1305,
        AeadAlgorithm::HpkeExport => return Err(Error::UnknownAeadAlgorithm),
    };
    aead::key(alg, key).ok_or_else(|| Error::CryptoLibraryError("the AEAD key has a wrong length".to_owned()))
}

/// Diffie-Hellman on Curve25519 (RFC 7748).
mod x25519 {
    use super::{Error, PrivateKey, UnparsedPublicKey, X25519, agreement};

    /// Refuses a shared secret of zeros (RFC 9180, 7.1.4).
    pub(super) fn agree(pk: &[u8], sk: &[u8]) -> Result<Vec<u8>, Error> {
        let sk = private(sk)?;
        // AWS-LC would also accept keys in DER, which are longer.
        if pk.len() != 32 {
            return Err(Error::KemInvalidPublicKey);
        }
        agreement::agree(&sk, UnparsedPublicKey::new(&X25519, pk), Error::KemInvalidPublicKey, |secret| {
            Ok(secret.to_vec())
        })
    }

    pub(super) fn public(sk: &[u8]) -> Result<Vec<u8>, Error> {
        let public = private(sk)?.compute_public_key().map_err(|_| Error::KemInvalidSecretKey)?;
        Ok(public.as_ref().into())
    }

    fn private(sk: &[u8]) -> Result<PrivateKey, Error> {
        PrivateKey::from_private_key(&X25519, sk).map_err(|_| Error::KemInvalidSecretKey)
    }
}

/// P-256 (FIPS 186-5; SEC 1).
pub(super) mod p256_key {
    use std::borrow::Cow;

    use aws_lc_rs::agreement::ECDH_P256;
    use p256::{SecretKey, elliptic_curve::sec1::ToEncodedPoint as _};

    use zeroize::Zeroizing;

    use super::{Error, PrivateKey, UnparsedPublicKey, agreement};
    use crate::primitives::PRIVATE_KEY_BYTES;

    /// The length of an uncompressed point, and its first byte (SEC 1, 2.3.3).
    const UNCOMPRESSED: (usize, u8) = (65, 4);

    /// Returns the x-coordinate of the shared point (RFC 9180, 4.1).
    pub(in super::super) fn agree(pk: &[u8], sk: &[u8]) -> Result<Vec<u8>, Error> {
        let sk = private(sk)?;
        let pk = uncompressed(pk).ok_or(Error::KemInvalidPublicKey)?;
        agreement::agree(&sk, UnparsedPublicKey::new(&ECDH_P256, &*pk), Error::KemInvalidPublicKey, |secret| {
            Ok(secret.to_vec())
        })
    }

    /// Returns the public key as an uncompressed point.
    pub(in super::super) fn public(sk: &[u8]) -> Result<Vec<u8>, Error> {
        let public = private(sk)?.compute_public_key().map_err(|_| Error::KemInvalidSecretKey)?;
        Ok(public.as_ref().into())
    }

    /// `p256` decides about private keys, so that both providers accept the same ones.
    pub(super) fn private(sk: &[u8]) -> Result<PrivateKey, Error> {
        let key = SecretKey::from_slice(sk).map_err(|_| Error::KemInvalidSecretKey)?;
        // `p256` accepts keys without their leading zeros.
        let padded = (sk.len() != PRIVATE_KEY_BYTES).then(|| Zeroizing::new(key.to_bytes().to_vec()));
        PrivateKey::from_private_key(&ECDH_P256, padded.as_deref().map_or(sk, Vec::as_slice))
            .map_err(|_| Error::KemInvalidSecretKey)
    }

    /// Returns a public key as an uncompressed point, which RFC 9420 demands. `p256` decides about
    /// other forms, so that both providers accept the same ones. The caller checks that the point
    /// is on the curve.
    pub(in super::super) fn uncompressed(pk: &[u8]) -> Option<Cow<'_, [u8]>> {
        if (pk.len(), pk.first().copied()?) == UNCOMPRESSED {
            return Some(pk.into());
        }
        let key = p256::PublicKey::from_sec1_bytes(pk).ok()?;
        Some(key.to_encoded_point(false).as_bytes().to_vec().into())
    }
}
