//! What was in a handshake that came encrypted (RFC 9420, 6.3): OpenMLS opens it, and keeps most of it to itself.

use std::sync::{Arc, Mutex, PoisonError};

use openmls_traits::{
    OpenMlsProvider,
    types::{AeadType, CryptoError},
};
use zeroize::Zeroizing;

use crate::{
    layer::{Layer, Layered},
    provider::{Call, CryptoProvider, SharedCrypto},
    storage::Transaction,
};

/// The call, as OpenMLS sees it while it processes one message.
pub(crate) struct Opening<'c, 's> {
    call: &'c Call<'s>,
    crypto: SharedCrypto,
    opened: Option<Arc<Opened>>,
}

/// Cryptography that remembers what it has decrypted last.
struct Opened {
    crypto: Arc<dyn CryptoProvider>,
    last: Mutex<Zeroizing<Vec<u8>>>,
}

impl<'c, 's> Opening<'c, 's> {
    /// Of a message whose content is to be kept, or not: no text of the application's is to be in memory for longer than it has to.
    pub(crate) fn new(call: &'c Call<'s>, keep: bool) -> Self {
        let opened = keep.then(|| Arc::new(Opened { crypto: Arc::clone(&call.crypto.0), last: Mutex::default() }));
        let crypto = match &opened {
            Some(opened) => Layered(Arc::new(Layered(Arc::clone(opened))) as Arc<dyn CryptoProvider>),
            None => call.crypto.clone(),
        };
        Self { call, crypto, opened }
    }

    /// The content of the message, if it is kept. (Before it, OpenMLS opens the sender data, which lead to its key.)
    pub(crate) fn content(&self) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.opened.as_ref()?;
        Some(std::mem::take(&mut *opened.last.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<'s> OpenMlsProvider for Opening<'_, 's> {
    type CryptoProvider = SharedCrypto;
    type RandProvider = SharedCrypto;
    type StorageProvider = Transaction<'s>;

    fn storage(&self) -> &Transaction<'s> {
        &self.call.records
    }

    fn crypto(&self) -> &SharedCrypto {
        &self.crypto
    }

    fn rand(&self) -> &SharedCrypto {
        &self.crypto
    }
}

impl Layer for Arc<Opened> {
    fn within(&self) -> &dyn CryptoProvider {
        &*self.crypto
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let opened = self.crypto.aead_decrypt(alg, key, ct_tag, nonce, aad)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::new(opened.clone());
        Ok(opened)
    }
}
