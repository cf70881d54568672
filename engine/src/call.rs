//! One call of the engine, as OpenMLS and the modules of this crate use it.

use std::sync::Arc;

use openmls_traits::OpenMlsProvider;

use crate::{Authenticate, layer::SharedCrypto, storage::Transaction};

/// One call of the engine: the caller's cryptography and authentication service, and the
/// transaction that collects the call's writes.
pub(crate) struct EngineCall<'s> {
    pub(crate) crypto: SharedCrypto,
    pub(crate) authority: Arc<dyn Authenticate>,
    pub(crate) records: Transaction<'s>,
}

impl<'s> EngineCall<'s> {
    /// The same call, with other cryptography.
    pub(crate) fn with_crypto<'c>(&'c self, crypto: &'c SharedCrypto) -> CallWithCrypto<'c, 's> {
        CallWithCrypto { crypto, records: &self.records }
    }
}

impl<'s> OpenMlsProvider for EngineCall<'s> {
    type CryptoProvider = SharedCrypto;
    type RandProvider = SharedCrypto;
    type StorageProvider = Transaction<'s>;

    fn storage(&self) -> &Transaction<'s> {
        &self.records
    }

    fn crypto(&self) -> &SharedCrypto {
        &self.crypto
    }

    fn rand(&self) -> &SharedCrypto {
        &self.crypto
    }
}

/// A call as OpenMLS uses it, with other cryptography.
pub(crate) struct CallWithCrypto<'c, 's> {
    crypto: &'c SharedCrypto,
    records: &'c Transaction<'s>,
}

impl<'s> OpenMlsProvider for CallWithCrypto<'_, 's> {
    type CryptoProvider = SharedCrypto;
    type RandProvider = SharedCrypto;
    type StorageProvider = Transaction<'s>;

    fn storage(&self) -> &Transaction<'s> {
        self.records
    }

    fn crypto(&self) -> &SharedCrypto {
        self.crypto
    }

    fn rand(&self) -> &SharedCrypto {
        self.crypto
    }
}
