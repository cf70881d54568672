//! Layers over a crypto provider: a layer changes or observes a few operations and passes on all
//! others.

use std::{fmt, sync::Arc};

use openmls_traits::{
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;

use crate::provider::CryptoProvider;

/// Makes a layer a crypto provider: `Layered(layer)` is a [`CryptoProvider`].
#[derive(Clone)]
pub struct Layered<L>(pub L);

impl<L> fmt::Debug for Layered<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layered(..)")
    }
}

/// Declares OpenMLS's operations once. For each operation the macro generates a default method of
/// `Layer`, which passes the call on. It also generates the method of `OpenMlsCrypto`, which calls
/// the layer.
macro_rules! operations {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $output:ty;)*) => {
        /// A layer over a crypto provider. By default every method passes the call on to the inner
        /// provider, which [`within`](Self::within) returns. A layer overrides only some methods.
        /// The methods have the same meaning as the methods with the same names of
        /// [`OpenMlsCrypto`], and as [`CryptoProvider::random_bytes`].
        ///
        /// ```
        /// # use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
        /// use openmls_traits::types::{CryptoError, SignatureScheme};
        /// use regrow_engine::{CryptoProvider, Layer, Layered, default_crypto};
        ///
        /// /// Counts signatures.
        /// struct Counting(Arc<dyn CryptoProvider>, AtomicUsize);
        ///
        /// impl Layer for Counting {
        ///     fn within(&self) -> &dyn CryptoProvider {
        ///         &*self.0
        ///     }
        ///
        ///     fn sign(
        ///         &self,
        ///         alg: SignatureScheme,
        ///         data: &[u8],
        ///         key: &[u8],
        ///     ) -> Result<Vec<u8>, CryptoError> {
        ///         self.1.fetch_add(1, Ordering::Relaxed);
        ///         self.within().sign(alg, data, key)
        ///     }
        /// }
        ///
        /// let counting = Counting(default_crypto(), AtomicUsize::new(0));
        /// let crypto: Arc<dyn CryptoProvider> = Arc::new(Layered(counting));
        /// ```
        pub trait Layer: Send + Sync {
            /// Returns the inner provider, which computes all operations that the layer does not
            /// override.
            fn within(&self) -> &dyn CryptoProvider;

            /// Returns `len` random bytes.
            #[allow(missing_docs, clippy::missing_errors_doc)]
            fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
                self.within().random_bytes(len)
            }

            $(
                #[allow(missing_docs, clippy::missing_errors_doc)]
                fn $name(&self $(, $argument: $type)*) -> $output {
                    self.within().$name($($argument),*)
                }
            )*
        }

        impl<L: Layer> OpenMlsCrypto for Layered<L> {
            $(
                fn $name(&self $(, $argument: $type)*) -> $output {
                    self.0.$name($($argument),*)
                }
            )*
        }
    };
}

operations! {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError>;
    fn supported_ciphersuites(&self) -> Vec<Ciphersuite>;
    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError>;
    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError>;
    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError>;
    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError>;
    fn aead_encrypt(
        &self, alg: AeadType, key: &[u8], data: &[u8], nonce: &[u8], aad: &[u8]
    ) -> Result<Vec<u8>, CryptoError>;
    fn aead_decrypt(
        &self, alg: AeadType, key: &[u8], ct_tag: &[u8], nonce: &[u8], aad: &[u8]
    ) -> Result<Vec<u8>, CryptoError>;
    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError>;
    fn verify_signature(
        &self, alg: SignatureScheme, data: &[u8], pk: &[u8], signature: &[u8]
    ) -> Result<(), CryptoError>;
    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError>;
    fn hpke_seal(
        &self, config: HpkeConfig, pk_r: &[u8], info: &[u8], aad: &[u8], ptxt: &[u8]
    ) -> Result<HpkeCiphertext, CryptoError>;
    fn hpke_open(
        &self, config: HpkeConfig, input: &HpkeCiphertext, sk_r: &[u8], info: &[u8], aad: &[u8]
    ) -> Result<Vec<u8>, CryptoError>;
    fn hpke_setup_sender_and_export(
        &self, config: HpkeConfig, pk_r: &[u8], info: &[u8], exporter_context: &[u8], exporter_length: usize
    ) -> Result<(KemOutput, ExporterSecret), CryptoError>;
    fn hpke_setup_receiver_and_export(
        &self, config: HpkeConfig, enc: &[u8], sk_r: &[u8], info: &[u8], exporter_context: &[u8], exporter_length: usize
    ) -> Result<ExporterSecret, CryptoError>;
    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError>;
}

impl<L: Layer> CryptoProvider for Layered<L> {
    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.0.random_bytes(len)
    }
}

impl<L: Layer> OpenMlsRand for Layered<L> {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        self.random_vec(N)?.try_into().map_err(|_| CryptoError::InsufficientRandomness)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        self.0.random_bytes(len)
    }
}

/// The caller's cryptography, as a type that OpenMLS's generics accept.
///
/// It is a pointer and not a type parameter, so OpenMLS is compiled only once, in this crate.
/// Also, [`crate::Client`] needs no type parameters that every signature of an application would
/// have to repeat.
pub(crate) type SharedCrypto = Layered<Arc<dyn CryptoProvider>>;

impl Layer for Arc<dyn CryptoProvider> {
    fn within(&self) -> &dyn CryptoProvider {
        &**self
    }
}
