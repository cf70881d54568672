//! Who a device is: the credential it shows and the signature key that stands behind it.
//!
//! A credential says a name, a signature key proves whose messages these are. Whether the key belongs to the name is
//! for the authentication service and for people who compare keys out of band (RFC 9750, 3.2 and 6.3).

use std::fmt;

use openmls::{
    credentials::{BasicCredential, Credential, CredentialWithKey},
    prelude::LeafNode,
};
use openmls_traits::{
    crypto::OpenMlsCrypto as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use serde::{Deserialize, Serialize};
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsSerialize, TlsSize, TlsVarInt, VLBytes};
use zeroize::Zeroizing;

use crate::{
    error::{Error, InvalidName, Refusal},
    provider::SharedCrypto,
};

/// The longest name of a user or a device, in bytes. It is in every leaf of every tree that the device is in.
pub const MAX_NAME_BYTES: usize = 255;

/// The version of the identity's encoding, its first byte.
const IDENTITY_VERSION: u8 = 1;

/// One client of one user: what a basic credential (RFC 9420, 5.3) names.
///
/// The identity in the credential is the byte 1 (the version of this encoding) and then the user's and the device's
/// name, each in UTF-8 behind its length as RFC 9420, 2.1.2 encodes it.
///
/// ```
/// use regrow_engine::DeviceId;
///
/// let phone = DeviceId::new("alice", "phone")?;
/// assert_eq!(phone.to_string(), "alice/phone");
/// assert_eq!(DeviceId::from_identity(&phone.to_identity())?, phone);
/// # Ok::<(), regrow_engine::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId {
    user: String,
    device: String,
}

#[derive(TlsSerialize, TlsSize)]
struct EncodedIdentity {
    version: u8,
    user: VLBytes,
    device: VLBytes,
}

impl DeviceId {
    /// The device of that name of the user of that name.
    ///
    /// # Errors
    /// [`InvalidName`] if a name is empty or longer than [`MAX_NAME_BYTES`].
    pub fn new(user: impl Into<String>, device: impl Into<String>) -> Result<Self, InvalidName> {
        let (user, device) = (user.into(), device.into());
        for name in [&user, &device] {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(InvalidName::Length { bytes: name.len() });
            }
        }
        Ok(Self { user, device })
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The device's name among that user's.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The identity that stands in the device's credential.
    pub fn to_identity(&self) -> Vec<u8> {
        let encoded = EncodedIdentity {
            version: IDENTITY_VERSION,
            user: self.user.as_bytes().into(),
            device: self.device.as_bytes().into(),
        };
        // Writing to memory fails only beyond 2^30 bytes; `new` admits 255.
        encoded.tls_serialize_detached().unwrap_or_default()
    }

    /// Reads what [`to_identity`](Self::to_identity) wrote.
    ///
    /// # Errors
    /// [`InvalidName`] if the bytes are not such an identity.
    pub fn from_identity(identity: &[u8]) -> Result<Self, InvalidName> {
        let (&version, rest) = identity.split_first().ok_or(InvalidName::Encoding)?;
        if version != IDENTITY_VERSION {
            return Err(InvalidName::Version { version });
        }
        let (user, rest) = read_name(rest)?;
        let (device, rest) = read_name(rest)?;
        let id = Self::new(user, device)?;
        // One device, one encoding: identities are compared as bytes.
        if !rest.is_empty() || id.to_identity() != identity {
            return Err(InvalidName::Encoding);
        }
        Ok(id)
    }

    pub(crate) fn to_credential(&self) -> Credential {
        BasicCredential::new(self.to_identity()).into()
    }

    pub(crate) fn from_credential(credential: &Credential) -> Result<Self, Refusal> {
        let basic =
            BasicCredential::try_from(credential.clone()).map_err(|_| Refusal::Credential(InvalidName::Encoding))?;
        Self::from_identity(basic.identity()).map_err(Refusal::Credential)
    }

    pub(crate) fn from_leaf(leaf: &LeafNode) -> Result<Self, Refusal> {
        Self::from_credential(leaf.credential())
    }
}

/// The name at the beginning, and what comes after it.
///
/// (`tls_codec::VLBytes` panics in debug builds when the bytes end too early.)
fn read_name(bytes: &[u8]) -> Result<(&str, &[u8]), InvalidName> {
    let (length, rest) = TlsVarInt::tls_deserialize_bytes(bytes).map_err(|_| InvalidName::Encoding)?;
    let length = usize::try_from(length.value()).map_err(|_| InvalidName::Encoding)?;
    let (name, rest) = rest.split_at_checked(length).ok_or(InvalidName::Encoding)?;
    Ok((str::from_utf8(name).map_err(|_| InvalidName::Encoding)?, rest))
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.device)
    }
}

/// The public half of a device's signature key: what peers verify its messages and its leaf with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignaturePublicKey(pub(crate) Vec<u8>);

impl SignaturePublicKey {
    pub(crate) fn of(leaf: &LeafNode) -> Self {
        Self(leaf.signature_key().as_slice().to_vec())
    }

    /// The key's bytes, as they stand in a leaf node (RFC 9420, 5.1.1).
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

/// A signature key pair of this device, as it is stored.
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
        CredentialWithKey { credential: device.to_credential(), signature_key: self.public.0.as_slice().into() }
    }

    /// This key at work: it signs with the caller's cryptography.
    pub(crate) fn signer<'a>(&'a self, crypto: &'a SharedCrypto) -> Result<DeviceSigner<'a>, Error> {
        let scheme = SignatureScheme::try_from(self.scheme)
            .map_err(|_| Error::Crypto(openmls_traits::types::CryptoError::UnsupportedSignatureScheme))?;
        Ok(DeviceSigner { key: self, scheme, crypto })
    }
}

/// Signs for the device, by way of the caller's cryptography.
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
