//! OpenMLS without the engine.

use openmls_memory_storage::MemoryStorage;
use openmls_traits::OpenMlsProvider;

use crate::DefaultCrypto;

/// This build's cryptography and OpenMLS's storage in memory. Tests and benchmarks use OpenMLS with
/// it, beside the engine.
#[derive(Default)]
pub struct MemoryProvider {
    crypto: DefaultCrypto,
    storage: MemoryStorage,
}

impl OpenMlsProvider for MemoryProvider {
    type CryptoProvider = DefaultCrypto;
    type RandProvider = DefaultCrypto;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &DefaultCrypto {
        &self.crypto
    }

    fn rand(&self) -> &DefaultCrypto {
        &self.crypto
    }
}
