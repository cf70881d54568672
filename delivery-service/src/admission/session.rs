//! Sessions. A device that has proved its key acts under a session's token until the session ends.

use std::ops::ControlFlow;

use super::{
    TokenHash,
    deadline::{self, AdmissionDeadline},
};
use crate::{
    devices,
    error::StoreError,
    names::{DeviceId, Timestamp},
    store::{
        Table, Transaction,
        identity::Identity,
        key::{Key, number_in},
    },
};

/// The maximum number of sessions of one device. One more session ends the session that would end
/// first. A device that has lost its token opens another session, and a device that opens sessions
/// without end must not fill the store.
const MAX_PER_DEVICE: usize = 16;

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The hash of its token.
    pub token: TokenHash,
    /// The device.
    pub device: DeviceId,
    /// The time at which the session expires.
    pub expires: Timestamp,
}

fn key_of(device: &DeviceId, token: &TokenHash) -> Key {
    Key::device(device).then_last(&token.0)
}

/// Opens a session. Returns the sessions that ended because of it; `None` if the device is not
/// registered any more.
pub(crate) fn open(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    token: &TokenHash,
    expires: Timestamp,
) -> Result<Option<Vec<TokenHash>>, StoreError> {
    if devices::key_of(tx, device)?.is_none() {
        return Ok(None);
    }
    let mut open = of_device(tx, device)?;
    open.sort_by_key(|session| session.expires);
    let ended: Vec<_> = open.iter().rev().skip(MAX_PER_DEVICE - 1).map(|session| session.token).collect();
    for token in &ended {
        close(tx, device, token)?;
    }
    tx.put(Table::Sessions, key_of(device, token).as_bytes(), &expires.0.to_be_bytes())?;
    let session = StoredSession { token: *token, device: device.clone(), expires };
    deadline::remember(tx, expires, token, &AdmissionDeadline::Session(Identity(session.device)))?;
    Ok(Some(ended))
}

/// Ends a session. Returns true if there was one.
pub(crate) fn close(tx: &mut dyn Transaction, device: &DeviceId, token: &TokenHash) -> Result<bool, StoreError> {
    tx.delete(Table::Sessions, key_of(device, token).as_bytes())
}

/// Ends all sessions of a device, and returns them.
pub(crate) fn close_all(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Vec<TokenHash>, StoreError> {
    let tokens: Vec<_> = of_device(tx, device)?.into_iter().map(|session| session.token).collect();
    for token in &tokens {
        close(tx, device, token)?;
    }
    Ok(tokens)
}

/// Returns the sessions of a device.
pub(crate) fn of_device(tx: &mut dyn Transaction, device: &DeviceId) -> Result<Vec<StoredSession>, StoreError> {
    let range = Key::device(device).everything_below();
    let mut sessions = Vec::new();
    tx.scan(Table::Sessions, &range.start..&range.end, &mut |key, value| {
        sessions.push(decode(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sessions)
}

/// Returns all sessions that end after `now`.
pub(crate) fn all(tx: &mut dyn Transaction, now: Timestamp) -> Result<Vec<StoredSession>, StoreError> {
    let mut sessions = Vec::new();
    // Keys begin with the length of a name, and no name is that long.
    tx.scan(Table::Sessions, &[]..&[u8::MAX], &mut |key, value| {
        let session = decode(key, value)?;
        if session.expires > now {
            sessions.push(session);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sessions)
}

fn decode(key: &[u8], value: &[u8]) -> Result<StoredSession, StoreError> {
    let corrupt = || StoreError::Corrupt(Table::Sessions);
    let (device, token) = key.split_last_chunk().ok_or_else(corrupt)?;
    let device = device.get(Key::NAME_PREFIX..).and_then(|name| DeviceId::from_identity(name).ok());
    let device = device.ok_or_else(corrupt)?;
    Ok(StoredSession { token: TokenHash(*token), device, expires: Timestamp(number_in(Table::Sessions, value, 0)?) })
}

/// Ends a session that has expired.
pub(crate) fn expire(tx: &mut dyn Transaction, device: &DeviceId, token: &TokenHash) -> Result<(), StoreError> {
    close(tx, device, token).map(drop)
}
