//! Signatures that are verified together, on all cores.
//!
//! OpenMLS verifies the leaves of a new member's tree one after the other (RFC 9420, 12.4.3.1), and
//! a tree of a thousand leaves takes a device half a tenth of a second. The signatures do not
//! depend on each other.

use std::sync::{Arc, Mutex, PoisonError};

use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    types::{CryptoError, SignatureScheme},
};
use rayon::prelude::*;

use crate::{
    layer::{Layer, Layered, SharedCrypto},
    provider::CryptoProvider,
};

/// The number of signatures from which several cores are faster. To wake the threads takes as long
/// as to verify two signatures.
const FEW: usize = 16;

/// Runs an operation, and verifies all its signatures. The operation gets a provider that only
/// notes a signature and calls it valid. Afterwards this function verifies the noted signatures in
/// parallel.
///
/// The operation must change nothing but its result and the call's transaction, because its inputs
/// are not verified yet. A call that fails drops both.
///
/// # Errors
/// The error that `invalid` makes if a signature is not valid. Otherwise the error of the
/// operation.
pub(crate) fn verified_together<T, E>(
    crypto: &SharedCrypto,
    operation: impl FnOnce(&SharedCrypto) -> Result<T, E>,
    invalid: impl FnOnce() -> E,
) -> Result<T, E> {
    let noting = Arc::new(Layered(NotingSignatures { within: crypto.0.clone(), noted: Mutex::default() }));
    let result = operation(&Layered(noting.clone()));
    let noted = std::mem::take(&mut *noting.0.noted.lock().unwrap_or_else(PoisonError::into_inner));
    // Every signature is verified, so the number of verifications does not depend on the threads.
    let is_valid = |signature: &NotedSignature| signature.is_valid(crypto);
    let verdicts: Vec<bool> = match noted.len() {
        ..FEW => noted.iter().map(is_valid).collect(),
        FEW.. => noted.par_iter().map(is_valid).collect(),
    };
    // An error that the operation found in unauthentic bytes says nothing about their sender.
    if verdicts.contains(&false) { Err(invalid()) } else { result }
}

/// A provider that notes signatures in place of verifying them.
struct NotingSignatures {
    within: Arc<dyn CryptoProvider>,
    noted: Mutex<Vec<NotedSignature>>,
}

struct NotedSignature {
    scheme: SignatureScheme,
    data: Vec<u8>,
    key: Vec<u8>,
    signature: Vec<u8>,
}

impl NotedSignature {
    fn is_valid(&self, crypto: &SharedCrypto) -> bool {
        crypto.verify_signature(self.scheme, &self.data, &self.key, &self.signature).is_ok()
    }
}

impl Layer for NotingSignatures {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.within
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let noted =
            NotedSignature { scheme: alg, data: data.to_vec(), key: pk.to_vec(), signature: signature.to_vec() };
        self.noted.lock().map_err(|_| CryptoError::CryptoLibraryError)?.push(noted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_crypto;

    const SCHEME: SignatureScheme = SignatureScheme::ED25519;

    /// Verifies a text and its signature, for each of these texts. The key has signed "yes".
    fn verify(texts: &[&[u8]]) -> Result<usize, &'static str> {
        let crypto: SharedCrypto = Layered(default_crypto());
        let (private, public) = crypto.signature_key_gen(SCHEME).unwrap();
        let signature = crypto.sign(SCHEME, b"yes", &private).unwrap();
        let operation = |crypto: &SharedCrypto| {
            for text in texts {
                crypto.verify_signature(SCHEME, text, &public, &signature).map_err(|_| "refused at once")?;
            }
            Ok(texts.len())
        };
        verified_together(&crypto, operation, || "refused")
    }

    #[test]
    fn a_result_needs_every_signature() {
        assert_eq!(verify(&[]), Ok(0));
        assert_eq!(verify(&[b"yes"]), Ok(1));
        assert_eq!(verify(&[&b"yes"[..]; 100]), Ok(100));
        assert_eq!(verify(&[b"no"]), Err("refused"));
        for place in [0, 50, 99] {
            let mut texts = [&b"yes"[..]; 100];
            texts[place] = b"no";
            assert_eq!(verify(&texts), Err("refused"), "{place}");
        }
    }

    #[test]
    fn a_wrong_signature_comes_before_an_error_of_the_operation() {
        let crypto: SharedCrypto = Layered(default_crypto());
        let fails = |crypto: &SharedCrypto| {
            crypto.verify_signature(SCHEME, b"no", &[1; 32], &[1; 64]).map_err(|_| "refused at once")?;
            Err::<(), _>("of the operation")
        };

        assert_eq!(verified_together(&crypto, fails, || "refused"), Err("refused"));
        assert_eq!(verified_together(&crypto, |_| Err::<(), _>("alone"), || "refused"), Err("alone"));
    }
}
