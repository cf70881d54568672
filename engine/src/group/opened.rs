//! Access to the content of an encrypted handshake (RFC 9420, 6.3). OpenMLS decrypts the content
//! but does not return most of it.

use std::sync::{Arc, Mutex, PoisonError};

use openmls_traits::{
    OpenMlsProvider,
    types::{AeadType, CryptoError},
};
use zeroize::Zeroizing;

use crate::{
    call::EngineCall,
    layer::{Layer, Layered, SharedCrypto},
    provider::CryptoProvider,
    storage::Transaction,
};

/// The provider that OpenMLS gets while it processes one message of the call.
pub(crate) struct Opening<'c, 's> {
    call: &'c EngineCall<'s>,
    crypto: SharedCrypto,
    opened: Option<Arc<Opened>>,
}

/// A crypto provider that stores the result of its last decryption.
struct Opened {
    crypto: Arc<dyn CryptoProvider>,
    last: Mutex<Zeroizing<Vec<u8>>>,
}

impl<'c, 's> Opening<'c, 's> {
    /// Creates the provider for one message. If `keep` is true, it keeps the content. It must not
    /// keep an application message, because a text must not stay in memory for longer than
    /// necessary.
    pub(crate) fn new(call: &'c EngineCall<'s>, keep: bool) -> Self {
        let opened = keep.then(|| Arc::new(Opened { crypto: Arc::clone(&call.crypto.0), last: Mutex::default() }));
        let crypto = match &opened {
            Some(opened) => Layered(Arc::new(Layered(Arc::clone(opened))) as Arc<dyn CryptoProvider>),
            None => call.crypto.clone(),
        };
        Self { call, crypto, opened }
    }

    /// Returns the content of the message, if it is kept. (OpenMLS first decrypts the sender data,
    /// which leads to the content's key. So the last decryption is the content.)
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
