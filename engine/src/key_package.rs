//! Key packages (RFC 9420, 10): creates those of this device, and verifies those of other devices.

use openmls::{
    credentials::CredentialWithKey,
    prelude::{
        Capabilities, CredentialType, Extension, ExtensionType, Extensions, KeyPackage, KeyPackageBundle,
        MlsMessageBodyIn, MlsMessageOut, ProtocolVersion, UnknownExtension,
    },
};
use openmls_traits::crypto::OpenMlsCrypto as _;
use regrow_protocol::profile::{MAX_LIFETIME_SECONDS, USE_PERIOD_EXTENSION, UsePeriod};

use crate::{
    DeviceId, Policy, Refusal,
    call::EngineCall,
    error::Error,
    group::data_extension,
    identity::device_of_leaf,
    layer::SharedCrypto,
    mls_message::{other_kind, parse},
    names::Timestamp,
    signature_keys::{self, DeviceRecord},
    storage::{RecordKind, RecordScope, Transaction},
    verified_together::verified_together,
};

/// A key package (RFC 9420, 10), as an MLSMessage. A device publishes it so that others can add
/// the device to groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPackageBytes(Vec<u8>);

impl KeyPackageBytes {
    /// Wraps any bytes. The engine verifies them when it uses them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to publish.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to publish.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Returns the capabilities for a leaf of this device: exactly the capabilities of the
/// cryptography in use (RFC 9420, 7.2).
pub(crate) fn capabilities(crypto: &SharedCrypto) -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&crypto.supported_ciphersuites()),
        Some(&[
            ExtensionType::LastResort,
            data_extension::extension_type(),
            ExtensionType::Unknown(USE_PERIOD_EXTENSION),
        ]),
        None,
        Some(&[CredentialType::Basic]),
    )
}

/// Creates and stores a key package of this device.
pub(crate) fn generate(
    call: &EngineCall<'_>,
    device: &DeviceId,
    policy: &Policy,
    last_resort: bool,
    now: Timestamp,
) -> Result<KeyPackageBytes, Error> {
    let internal = |detail: String| Error::Internal { action: "make a key package", detail };
    let key = signature_keys::get(&call.records, DeviceRecord::load(&call.records)?.signature_key.as_bytes())?;
    let credential: CredentialWithKey = key.credential(device);
    let period = UsePeriod { made: now, until: Timestamp(now.0.saturating_add(policy.key_package_lifetime)) };
    let extension = Extension::Unknown(USE_PERIOD_EXTENSION, UnknownExtension(period.to_bytes().to_vec()));
    let mut builder = KeyPackage::builder()
        .key_package_lifetime(policy.lifetime(now))
        .leaf_node_capabilities(capabilities(&call.crypto))
        .key_package_extensions(Extensions::single(extension).map_err(|e| internal(e.to_string()))?);
    if last_resort {
        builder = builder.mark_as_last_resort();
    }
    let bundle = builder
        .build(policy.ciphersuite, call, &key.signer(&call.crypto)?, credential)
        .map_err(|e| internal(e.to_string()))?;
    let message: MlsMessageOut = bundle.into_key_package().into();
    message.to_bytes().map(KeyPackageBytes).map_err(|e| internal(e.to_string()))
}

/// Decodes and verifies another device's key package for use at the time `now` (RFC 9420, 10.1),
/// in a group of its ciphersuite.
pub(crate) fn verify(crypto: &SharedCrypto, bytes: &KeyPackageBytes, now: Timestamp) -> Result<KeyPackage, Error> {
    let MlsMessageBodyIn::KeyPackage(key_package) = parse(&bytes.0, "a key package")? else {
        return Err(other_kind("a key package"));
    };
    let key_package = key_package
        .validate(crypto, ProtocolVersion::Mls10)
        .map_err(|e| Error::Invalid { detail: format!("the key package is not valid: {e}") })?;
    let until = use_until(&key_package)?;
    if now.0 < key_package.life_time().not_before() || until <= now {
        return Err(lifetime_refused(&key_package).into());
    }
    device_of_leaf(key_package.leaf_node())?;
    Ok(key_package)
}

/// As [`verify`], for several key packages, whose signatures are verified in parallel.
pub(crate) fn verify_all(
    crypto: &SharedCrypto,
    key_packages: &[KeyPackageBytes],
    now: Timestamp,
) -> Result<Vec<KeyPackage>, Error> {
    let each = |crypto: &SharedCrypto| key_packages.iter().map(|bytes| verify(crypto, bytes, now)).collect();
    let invalid = || Error::Invalid { detail: "a key package is not valid: a signature in it is wrong".to_owned() };
    verified_together(crypto, each, invalid)
}

/// Returns the first moment at which the key package is no longer usable.
///
/// All members use the same limits (RFC 9420, 7.2, requires a maximum), so no two members judge a
/// commit differently. Only the adding device checks whether the moment has come, because it may
/// come before a member reads the commit.
///
/// # Errors
/// [`Refusal::Lifetime`] if the key package would be usable for too long.
pub(crate) fn use_until(key_package: &KeyPackage) -> Result<Timestamp, Refusal> {
    let lifetime = key_package.life_time();
    let (not_before, not_after) = (Timestamp(lifetime.not_before()), Timestamp(lifetime.not_after()));
    match key_package.extensions().unknown(USE_PERIOD_EXTENSION) {
        Some(UnknownExtension(content)) => UsePeriod::read(content)
            .filter(|period| period.is_acceptable(not_before, not_after))
            .map(|period| period.until),
        None => {
            let length = not_after.0.checked_sub(not_before.0);
            length.is_some_and(|length| length <= MAX_LIFETIME_SECONDS).then_some(not_after)
        }
    }
    .ok_or_else(|| lifetime_refused(key_package))
}

fn lifetime_refused(key_package: &KeyPackage) -> Refusal {
    let lifetime = key_package.life_time();
    let period = key_package.extensions().unknown(USE_PERIOD_EXTENSION);
    let until = period.and_then(|UnknownExtension(content)| UsePeriod::read(content)).map(|period| period.until.0);
    Refusal::Lifetime { not_before: lifetime.not_before(), until: until.unwrap_or(lifetime.not_after()) }
}

/// Returns the number of key packages whose private keys are on the device.
pub(crate) fn count(records: &Transaction<'_>) -> Result<usize, Error> {
    Ok(records.keys(&RecordScope::Device.key(RecordKind::KeyPackage))?.len())
}

/// Returns the stored key packages of this device with their record keys.
pub(crate) fn bundles(records: &Transaction<'_>) -> Result<Vec<(Vec<u8>, KeyPackageBundle)>, Error> {
    let mut bundles = Vec::new();
    for key in records.keys(&RecordScope::Device.key(RecordKind::KeyPackage))? {
        if let Some(bundle) = records.get(&key, RecordKind::KeyPackage)? {
            bundles.push((key, bundle));
        }
    }
    Ok(bundles)
}
