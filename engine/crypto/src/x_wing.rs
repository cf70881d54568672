//! X-Wing (draft-connolly-cfrg-xwing-kem-06), a KEM for HPKE: ML-KEM-768 from libcrux and X25519 from
//! the primitives of a provider, together.
//!
//! The shared secret stays secret while one of the two problems is hard. The random bytes of an
//! encapsulation come from outside, as those of all operations of this crate. A private key is the
//! seed of 32 bytes from which both private keys follow (5.2 of the draft).

use hpke_rs_crypto::{HpkeCrypto, error::Error, types::KemAlgorithm};
use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768KeyPair, MlKem768PublicKey};
use libcrux_sha3::{sha256 as sha3_256, shake256};
use zeroize::Zeroizing;

/// The number of random bytes of an encapsulation: 32 for each of the two KEMs (5.4).
pub(crate) const RANDOM_BYTES: usize = 64;

/// The lengths of a public key and of a ciphertext of ML-KEM-768 (FIPS 203, 8).
const ML_KEM_PUBLIC_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;

/// The label of the combiner (5.3), a drawing of an X-Wing.
const LABEL: &[u8; 6] = br"\.//^\";

const X25519: KemAlgorithm = KemAlgorithm::DhKem25519;

/// The two key pairs that follow from a seed (5.2).
struct Keys {
    ml_kem: MlKem768KeyPair,
    x25519_private: Zeroizing<[u8; 32]>,
    x25519_public: Vec<u8>,
}

impl Keys {
    fn from_seed<C: HpkeCrypto>(seed: &[u8]) -> Result<Self, Error> {
        let seed: &[u8; 32] = seed.try_into().map_err(|_| Error::KemInvalidSecretKey)?;
        let expanded = Zeroizing::new(shake256::<96>(seed));
        let (mut of_ml_kem, mut x25519_private) = ([0; 64], Zeroizing::new([0; 32]));
        of_ml_kem.copy_from_slice(&expanded[..64]);
        x25519_private.copy_from_slice(&expanded[64..]);
        let x25519_public = C::secret_to_public(X25519, &*x25519_private)?;
        Ok(Self { ml_kem: mlkem768::generate_key_pair(of_ml_kem), x25519_private, x25519_public })
    }
}

/// Returns the public key and the private key of this seed (5.2.1).
pub(crate) fn key_pair<C: HpkeCrypto>(seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let keys = Keys::from_seed::<C>(seed)?;
    Ok(([keys.ml_kem.pk(), &keys.x25519_public[..]].concat(), seed.to_vec()))
}

/// Returns a shared secret, and the ciphertext from which the holder of `public` gets it (5.4).
pub(crate) fn encapsulate<C: HpkeCrypto>(
    public: &[u8],
    random: &[u8; RANDOM_BYTES],
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (of_ml_kem, x25519) = public.split_at_checked(ML_KEM_PUBLIC_KEY).ok_or(Error::KemInvalidPublicKey)?;
    let of_ml_kem: &[u8; ML_KEM_PUBLIC_KEY] = of_ml_kem.try_into().map_err(|_| Error::KemInvalidPublicKey)?;
    let of_ml_kem = MlKem768PublicKey::from(of_ml_kem);
    if !mlkem768::validate_public_key(&of_ml_kem) {
        return Err(Error::KemInvalidPublicKey);
    }
    let (mut message, mut ephemeral) = ([0; 32], Zeroizing::new([0; 32]));
    message.copy_from_slice(&random[..32]);
    ephemeral.copy_from_slice(&random[32..]);
    let (ciphertext, secret) = mlkem768::encapsulate(&of_ml_kem, message);
    let sent = C::secret_to_public(X25519, &*ephemeral)?;
    let agreed = C::dh(X25519, x25519, &*ephemeral)?;
    Ok((combined(&secret, &agreed, &sent, x25519), [ciphertext.as_slice(), &sent[..]].concat()))
}

/// Returns the shared secret in a ciphertext (5.5).
pub(crate) fn decapsulate<C: HpkeCrypto>(ciphertext: &[u8], private: &[u8]) -> Result<Vec<u8>, Error> {
    let (of_ml_kem, sent) = ciphertext.split_at_checked(ML_KEM_CIPHERTEXT).ok_or(Error::KemInvalidCiphertext)?;
    let of_ml_kem: &[u8; ML_KEM_CIPHERTEXT] = of_ml_kem.try_into().map_err(|_| Error::KemInvalidCiphertext)?;
    let keys = Keys::from_seed::<C>(private)?;
    let agreed = C::dh(X25519, sent, &*keys.x25519_private)?;
    let secret = mlkem768::decapsulate(keys.ml_kem.private_key(), &MlKem768Ciphertext::from(of_ml_kem));
    Ok(combined(&secret, &agreed, sent, &keys.x25519_public))
}

/// The combiner (5.3) of both shared secrets, the ephemeral key and the receiver's key of X25519.
fn combined(ml_kem: &[u8], x25519: &[u8], sent: &[u8], public: &[u8]) -> Vec<u8> {
    let input = Zeroizing::new([ml_kem, x25519, sent, public, LABEL].concat());
    sha3_256(&input).to_vec()
}

#[cfg(test)]
#[cfg(feature = "aws-lc")]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::aws_lc::AwsLcHpke;

    fn key_pair(seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        super::key_pair::<AwsLcHpke>(seed)
    }

    fn encapsulate(public: &[u8], random: &[u8; RANDOM_BYTES]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        super::encapsulate::<AwsLcHpke>(public, random)
    }

    fn decapsulate(ciphertext: &[u8], private: &[u8]) -> Result<Vec<u8>, Error> {
        super::decapsulate::<AwsLcHpke>(ciphertext, private)
    }

    fn field(vector: &Value, name: &str) -> Vec<u8> {
        hex::decode(vector[name].as_str().unwrap()).unwrap()
    }

    /// The test vectors of the draft, appendix C.
    #[test]
    fn test_vectors_are_met() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../tests/x_wing.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let (public, private) = key_pair(&field(&vector, "seed")).unwrap();
            assert_eq!((&public, &private), (&field(&vector, "pk"), &field(&vector, "sk")));

            let random = field(&vector, "eseed").try_into().unwrap();
            let sent = encapsulate(&public, &random).unwrap();
            assert_eq!(sent, (field(&vector, "ss"), field(&vector, "ct")));
            assert_eq!(decapsulate(&sent.1, &private).unwrap(), field(&vector, "ss"));
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let (public, private) = key_pair(&[1; 32]).unwrap();
        let (_, ciphertext) = encapsulate(&public, &[2; RANDOM_BYTES]).unwrap();
        for length in [0, 1, 31, 33, 1183, 1184, 1215] {
            assert!(encapsulate(&public[..length], &[2; RANDOM_BYTES]).is_err(), "{length}");
        }
        assert!(encapsulate(&[&public[..], &[0]].concat(), &[2; RANDOM_BYTES]).is_err());
        for length in [0, 1087, 1119] {
            assert!(decapsulate(&ciphertext[..length], &private).is_err(), "{length}");
        }
        assert!(decapsulate(&[&ciphertext[..], &[0]].concat(), &private).is_err());
        for wrong in [&private[..31], &[3; 33]] {
            assert!(decapsulate(&ciphertext, wrong).is_err());
            assert!(key_pair(wrong).is_err());
        }
    }

    /// Each coefficient of an ML-KEM key has to be below the modulus (FIPS 203, 7.2).
    #[test]
    fn public_key_with_a_coefficient_out_of_range_is_refused() {
        let (mut public, _) = key_pair(&[1; 32]).unwrap();
        public[..2].fill(0xff);

        assert!(encapsulate(&public, &[2; RANDOM_BYTES]).is_err());
    }
}
