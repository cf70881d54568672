//! X-Wing (draft-connolly-cfrg-xwing-kem-06), a KEM for HPKE: ML-KEM-768 and X25519 together, from
//! libcrux.
//!
//! The shared secret stays secret while one of the two problems is hard. The random bytes of an
//! encapsulation come from outside, as those of all operations of this crate. A private key is the
//! seed of 32 bytes from which both private keys follow (5.2 of the draft).

use hpke_rs_crypto::error::Error;
use libcrux_kem::{Algorithm, Ct, PrivateKey, PublicKey};

/// The number of random bytes of an encapsulation: 32 for each of the two KEMs (5.4).
pub(crate) const RANDOM_BYTES: usize = 64;

/// The length of a public key: 1,184 bytes of ML-KEM-768, and 32 of X25519.
const PUBLIC_KEY_BYTES: usize = 1216;

const X_WING: Algorithm = Algorithm::XWingKemDraft06;

/// Returns the public key and the private key of this seed (5.2.1).
pub(crate) fn key_pair(seed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (private, public) = libcrux_kem::key_gen_derand(X_WING, seed).map_err(|_| Error::KemInvalidSecretKey)?;
    Ok((public.encode(), private.encode()))
}

/// Returns a shared secret, and the ciphertext from which the holder of `public` gets it (5.4).
pub(crate) fn encapsulate(public: &[u8], random: &[u8; RANDOM_BYTES]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    // libcrux panics if the key is shorter.
    if public.len() != PUBLIC_KEY_BYTES {
        return Err(Error::KemInvalidPublicKey);
    }
    let public = PublicKey::decode(X_WING, public).map_err(|_| Error::KemInvalidPublicKey)?;
    let (secret, ciphertext) = public.encapsulate_derand(random).map_err(|_| Error::KemInvalidPublicKey)?;
    Ok((secret.encode(), ciphertext.encode()))
}

/// Returns the shared secret in a ciphertext (5.5).
pub(crate) fn decapsulate(ciphertext: &[u8], private: &[u8]) -> Result<Vec<u8>, Error> {
    let ciphertext = Ct::decode(X_WING, ciphertext).map_err(|_| Error::KemInvalidCiphertext)?;
    let private = PrivateKey::decode(X_WING, private).map_err(|_| Error::KemInvalidSecretKey)?;
    let secret = ciphertext.decapsulate(&private).map_err(|_| Error::KemInvalidCiphertext)?;
    Ok(secret.encode())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

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
