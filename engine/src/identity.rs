//! The identity of a device: its credential and its signature key.
//!
//! A credential contains the device's name. A signature key proves which device sent a message.
//! The authentication service decides if the key belongs to the name. People who compare keys out
//! of band check that too (RFC 9750, 3.2 and 6.3).

use std::fmt;

use openmls::{
    credentials::{BasicCredential, Credential, CredentialWithKey},
    prelude::{KeyPackage, LeafNode},
};
use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use regrow_protocol::{DeviceId, InvalidName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Refusal, error::Error, layer::SharedCrypto};

/// Returns the credential with the device's name.
pub(crate) fn credential_of(device: &DeviceId) -> Credential {
    BasicCredential::new(device.to_identity()).into()
}

/// Returns the device that a credential names.
pub(crate) fn device_of_credential(credential: &Credential) -> Result<DeviceId, Refusal> {
    let basic =
        BasicCredential::try_from(credential.clone()).map_err(|_| Refusal::Credential(InvalidName::Encoding))?;
    DeviceId::from_identity(basic.identity()).map_err(Refusal::Credential)
}

/// Returns the device of a leaf.
pub(crate) fn device_of_leaf(leaf: &LeafNode) -> Result<DeviceId, Refusal> {
    device_of_credential(leaf.credential())
}

/// Returns the device that the key package would add.
pub(crate) fn device_of_key_package(key_package: &KeyPackage) -> Result<DeviceId, Refusal> {
    device_of_leaf(key_package.leaf_node())
}

/// The public part of a device's signature key. Other devices verify its messages and its leaf
/// with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignaturePublicKey(pub(crate) Vec<u8>);

impl SignaturePublicKey {
    pub(crate) fn of(leaf: &LeafNode) -> Self {
        Self(leaf.signature_key().as_slice().to_vec())
    }

    /// Returns the key's bytes, as in a leaf node (RFC 9420, 5.1.1).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SignaturePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignaturePublicKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A signature key pair of this device, in the stored form.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignatureKey {
    scheme: u16,
    private: Zeroizing<Vec<u8>>,
    public: SignaturePublicKey,
}

impl SignatureKey {
    pub(crate) fn generate(crypto: &SharedCrypto, scheme: SignatureScheme) -> Result<Self, Error> {
        let (private, public) = crypto.signature_key_gen(scheme).map_err(Error::Crypto)?;
        Ok(Self { scheme: scheme as u16, private: Zeroizing::new(private), public: SignaturePublicKey(public) })
    }

    pub(crate) fn public(&self) -> &SignaturePublicKey {
        &self.public
    }

    pub(crate) fn credential(&self, device: &DeviceId) -> CredentialWithKey {
        CredentialWithKey { credential: credential_of(device), signature_key: self.public.0.as_slice().into() }
    }

    /// True if the key belongs to that signature algorithm.
    pub(crate) fn is_of(&self, scheme: SignatureScheme) -> bool {
        self.scheme == scheme as u16
    }

    /// Returns a signer with this key, which signs with the caller's cryptography.
    pub(crate) fn signer<'a>(&'a self, crypto: &'a SharedCrypto) -> Result<DeviceSigner<'a>, Error> {
        let scheme = SignatureScheme::try_from(self.scheme)
            .map_err(|_| Error::Crypto(openmls_traits::types::CryptoError::UnsupportedSignatureScheme))?;
        Ok(DeviceSigner { key: self, scheme, crypto })
    }
}

/// Signs for the device with the caller's cryptography.
pub(crate) struct DeviceSigner<'a> {
    key: &'a SignatureKey,
    scheme: SignatureScheme,
    crypto: &'a SharedCrypto,
}

impl Signer for DeviceSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.crypto.sign(self.scheme, payload, &self.key.private).map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
