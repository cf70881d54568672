//! Splits welcomes (RFC 9420, 12.4.3.1). The store has the part that all joiners need once, and the
//! secrets of each joiner in a record of their own. A welcome for a thousand devices has a thousand
//! secrets, and each device can open one of them.

use std::{collections::BTreeMap, ops::ControlFlow};

use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::{
    error::StoreError,
    handshake::wire::KeyPackageRef,
    names::{Cursor, DeviceId, GroupId},
    outcome::RejectReason,
    store::{Table, Transaction, key::Key},
};

/// The devices that own the key packages, by the references of the key packages.
pub(crate) type Owners = BTreeMap<KeyPackageRef, DeviceId>;

/// A welcome, as an MLSMessage (RFC 9420, 6).
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct Welcome {
    version: u16,
    wire_format: u16,
    cipher_suite: u16,
    secrets: Vec<EncryptedSecrets>,
    encrypted_group_info: VLBytes,
}

/// The EncryptedGroupSecrets of one joiner.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
struct EncryptedSecrets {
    new_member: VLBytes,
    kem_output: VLBytes,
    ciphertext: VLBytes,
}

impl Welcome {
    /// Decodes a welcome that OpenMLS has decoded before.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RejectReason> {
        Self::tls_deserialize_exact_bytes(bytes).map_err(|_| RejectReason::Malformed)
    }

    fn write(&self) -> Result<Vec<u8>, StoreError> {
        self.tls_serialize_detached().map_err(|_| StoreError::Corrupt(Table::Welcomes))
    }

    /// Returns the references of the key packages that the welcome is for, in the order of the
    /// welcome.
    pub(crate) fn references(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secrets| secrets.new_member.as_slice())
    }
}

fn shared_key(group: &GroupId, cursor: Cursor) -> Key {
    Key::group(group).then(cursor.0)
}

/// Returns the key of the secrets of that device.
fn key_of(group: &GroupId, cursor: Cursor, device: &DeviceId) -> Key {
    shared_key(group, cursor).then_device(device)
}

/// Splits and stores the welcome that came with the commit at `cursor`. `owners` has the devices
/// that own its key packages. `tree` is the ratchet tree of the epoch that the welcome leads into,
/// unless the welcome has it.
pub(crate) fn save(
    tx: &mut dyn Transaction,
    group: &GroupId,
    cursor: Cursor,
    welcome: &Welcome,
    owners: &Owners,
    tree: Option<&[u8]>,
) -> Result<(), StoreError> {
    let shared = Welcome { secrets: Vec::new(), ..welcome.clone() };
    tx.put(Table::Welcomes, shared_key(group, cursor).as_bytes(), &shared.write()?)?;
    for secrets in &welcome.secrets {
        let corrupt = || StoreError::Corrupt(Table::WelcomeSecrets);
        let owner = owners.get(secrets.new_member.as_slice()).ok_or_else(corrupt)?;
        let bytes = secrets.tls_serialize_detached().map_err(|_| corrupt())?;
        tx.put(Table::WelcomeSecrets, key_of(group, cursor, owner).as_bytes(), &bytes)?;
    }
    tree.map_or(Ok(()), |tree| tx.put(Table::WelcomeTrees, shared_key(group, cursor).as_bytes(), tree))
}

/// Returns the welcome that came with the commit at `cursor`, with the secrets of this device
/// alone.
pub(crate) fn load(
    tx: &mut dyn Transaction,
    group: &GroupId,
    cursor: Cursor,
    device: &DeviceId,
) -> Result<Vec<u8>, StoreError> {
    let corrupt = || StoreError::Corrupt(Table::Welcomes);
    let shared = tx.get(Table::Welcomes, shared_key(group, cursor).as_bytes())?.ok_or_else(corrupt)?;
    let shared = Welcome::read(&shared).map_err(|_| corrupt())?;
    let corrupt = || StoreError::Corrupt(Table::WelcomeSecrets);
    let secrets = tx.get(Table::WelcomeSecrets, key_of(group, cursor, device).as_bytes())?.ok_or_else(corrupt)?;
    let secrets = EncryptedSecrets::tls_deserialize_exact_bytes(&secrets).map_err(|_| corrupt())?;
    Welcome { secrets: vec![secrets], ..shared }.write()
}

/// Returns the ratchet tree that is stored beside the welcome of the commit at `cursor`, if there
/// is one.
pub(crate) fn tree(tx: &mut dyn Transaction, group: &GroupId, cursor: Cursor) -> Result<Option<Vec<u8>>, StoreError> {
    tx.get(Table::WelcomeTrees, shared_key(group, cursor).as_bytes())
}

/// Returns true if [`save`] has written these bytes for all joiners.
pub(crate) fn is_shared(bytes: &[u8]) -> bool {
    Welcome::read(bytes).is_ok_and(|welcome| welcome.secrets.is_empty())
}

/// Returns true if [`save`] has written these bytes for one joiner.
pub(crate) fn is_secrets(bytes: &[u8]) -> bool {
    EncryptedSecrets::tls_deserialize_exact_bytes(bytes).is_ok()
}

/// Deletes the welcome that came with the commit at `cursor`, if there is one.
pub(crate) fn delete(tx: &mut dyn Transaction, group: &GroupId, cursor: Cursor) -> Result<(), StoreError> {
    let key = shared_key(group, cursor);
    if !tx.delete(Table::Welcomes, key.as_bytes())? {
        return Ok(());
    }
    tx.delete(Table::WelcomeTrees, key.as_bytes())?;
    let range = key.everything_below();
    let mut keys = Vec::new();
    tx.scan(Table::WelcomeSecrets, &range.start..&range.end, &mut |key, _| {
        keys.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    keys.iter().try_for_each(|key| tx.delete(Table::WelcomeSecrets, key).map(drop))
}
