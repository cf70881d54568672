//! Cryptography that is used in the wrong way: layers between the engine and its provider.

use std::sync::{Arc, Mutex, MutexGuard};

use openmls_traits::types::{CryptoError, HashType, HpkeCiphertext, HpkeConfig};
use regrow_engine::{CryptoProvider, Layer, Layered};
use regrow_simulator::world::fault_injection::FaultInjection;
use tls_codec::SecretVLBytes;

/// The label of a KDFLabel or of an EncryptContext (RFC 9420, 5.1.3, 8).
fn has_label(info: &[u8], label: &str) -> bool {
    let label = format!("MLS 1.0 {label}");
    info.windows(label.len()).any(|window| window == label.as_bytes())
}

/// Devices draw a value once that each commit should draw afresh, and use it again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// The first path secret of a path (RFC 9420, 7.4).
    PathSecret,
    /// The key pair of the leaf.
    LeafKey,
}

impl FaultInjection for Repeats {
    fn crypto(&self, _: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Layered(Repeating { crypto, what: *self, state: Mutex::default() }))
    }
}

struct Repeating {
    crypto: Arc<dyn CryptoProvider>,
    what: Repeats,
    state: Mutex<Drawn>,
}

#[derive(Default)]
struct Drawn {
    /// The last random bytes.
    last: Vec<u8>,
    /// The secret with which the present path should begin.
    path: Vec<u8>,
    /// True if a path has begun and its leaf comes next.
    leaf_is_next: bool,
    /// The value that was drawn first, and is used again.
    first: Option<Vec<u8>>,
}

impl Repeating {
    fn state(&self) -> MutexGuard<'_, Drawn> {
        self.state.lock().unwrap()
    }

    /// The bytes, with the first path secret in place of the present one.
    fn again(&self, bytes: &[u8]) -> Vec<u8> {
        let state = self.state();
        let mut bytes = bytes.to_vec();
        if let (Repeats::PathSecret, Some(first)) = (self.what, &state.first)
            && let Some(at) = bytes.windows(first.len()).position(|window| window == state.path)
        {
            bytes[at..at + first.len()].copy_from_slice(first);
        }
        bytes
    }
}

impl Layer for Repeating {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.crypto
    }

    fn random_bytes(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let drawn = self.crypto.random_bytes(len)?;
        let mut state = self.state();
        state.last.clone_from(&drawn);
        if std::mem::take(&mut state.leaf_is_next) && self.what == Repeats::LeafKey {
            return Ok(state.first.get_or_insert(drawn).clone());
        }
        Ok(drawn)
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        {
            let mut state = self.state();
            if has_label(info, "path") && state.last == prk {
                state.path = prk.to_vec();
                state.leaf_is_next = true;
                if self.what == Repeats::PathSecret {
                    state.first.get_or_insert(prk.to_vec());
                }
            }
        }
        self.crypto.hkdf_expand(hash, &self.again(prk), info, len)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        self.crypto.hpke_seal(config, pk_r, info, aad, &self.again(ptxt))
    }
}

/// Epochs follow only from the init secret, and not from the path of a commit (RFC 9420, 8).
pub struct IgnoresCommitSecrets;

impl FaultInjection for IgnoresCommitSecrets {
    fn crypto(&self, _: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Layered(Pathless(crypto)))
    }
}

struct Pathless(Arc<dyn CryptoProvider>);

impl Layer for Pathless {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.0
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        // The other extraction is that of the PSKs. Its secret is zero anyway.
        self.0.hkdf_extract(hash, salt, &vec![0; ikm.len()])
    }
}

/// The ratchets of the secret tree do not advance: every key of an epoch follows from the same
/// secret (RFC 9420, 9.1).
pub struct StandingRatchets;

impl FaultInjection for StandingRatchets {
    fn crypto(&self, _: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Layered(Standing(crypto)))
    }
}

struct Standing(Arc<dyn CryptoProvider>);

impl Layer for Standing {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.0
    }

    fn hkdf_expand(&self, hash: HashType, prk: &[u8], info: &[u8], len: usize) -> Result<SecretVLBytes, CryptoError> {
        match has_label(info, "secret") {
            true => Ok(prk.to_vec().into()),
            false => self.0.hkdf_expand(hash, prk, info, len),
        }
    }
}

/// A welcome contains another path secret than the one from which the joiner's part of the tree was
/// made (RFC 9420, 12.4.3.1).
pub struct WrongPathSecretsInWelcomes;

impl FaultInjection for WrongPathSecretsInWelcomes {
    fn crypto(&self, _: &str, crypto: Arc<dyn CryptoProvider>) -> Arc<dyn CryptoProvider> {
        Arc::new(Layered(Misleading(crypto)))
    }
}

struct Misleading(Arc<dyn CryptoProvider>);

impl Layer for Misleading {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.0
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        let mut ptxt = ptxt.to_vec();
        // GroupSecrets: the joiner secret with its length, a byte that says if there is a path
        // secret, and the path secret with its length.
        let path_secret = ptxt.first().map_or(0, |joiner_secret| usize::from(*joiner_secret) + 3);
        if has_label(info, "Welcome")
            && let Some(byte) = ptxt.get_mut(path_secret)
        {
            *byte ^= 1;
        }
        self.0.hpke_seal(config, pk_r, info, aad, &ptxt)
    }
}
