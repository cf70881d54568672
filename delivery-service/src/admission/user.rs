//! The records of a user. The user may ask for them, and an operator may remove the user.

use serde::Serialize;

use super::{TokenHash, device, device_list, invitation, session, wake_up};
use crate::{
    devices,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp, UserId},
    ordering::{block, key_package, membership},
    store::Transaction,
};

/// A removed user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedUser {
    /// The devices that were removed with the user.
    pub devices: Vec<DeviceId>,
    /// The sessions that ended.
    pub sessions: Vec<TokenHash>,
}

/// All records of a user that are under the user's name. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRecords {
    /// The user's name.
    pub user: UserId,
    /// The user's devices, with the removed ones.
    pub devices: Vec<DeviceRecords>,
    /// The number of entries in the user's signed list of devices.
    pub device_list_entries: u64,
    /// The expiry times of the invitations for further devices.
    pub invitations: Vec<u64>,
    /// The users that the user has blocked.
    pub blocked: Vec<UserId>,
}

/// The records of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceRecords {
    /// The device's name among the user's.
    pub device: String,
    /// The time at which it was registered.
    pub registered: u64,
    /// True if the device was removed. Its name stays taken.
    pub removed: bool,
    /// The public key that opens the device's sessions (Ed25519), in hexadecimal digits. A removed
    /// device has none.
    pub key: Option<String>,
    /// The expiry times of its open sessions.
    pub sessions: Vec<u64>,
    /// The address that the server calls when something waits for the device.
    pub wake_up: Option<String>,
    /// The number of key packages that can still be handed out.
    pub key_packages: usize,
    /// True if the device has a last-resort key package.
    pub last_resort: bool,
    /// The memberships that the device has not read to the end.
    pub memberships: Vec<MembershipRecord>,
}

/// The record of one membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MembershipRecord {
    /// The group's identifier.
    pub group: GroupId,
    /// The cursor of the entry that began the membership.
    pub from: u64,
    /// The cursor of the entry that ended the membership, if one has.
    pub until: Option<u64>,
    /// True if the device was invited and has not accepted the group.
    pub invited: bool,
}

/// Removes all devices of a user, the user's invitations and the user's blocks. Returns `None` if
/// the user has no device.
pub(crate) fn remove(tx: &mut dyn Transaction, user: &UserId) -> Result<Option<RemovedUser>, StoreError> {
    let mut removed = RemovedUser { devices: Vec::new(), sessions: Vec::new() };
    for device in devices::of_user(tx, user)? {
        removed.sessions.extend(device::remove(tx, &device)?.unwrap_or_default());
        removed.devices.push(device);
    }
    invitation::revoke_all(tx, user)?;
    for blocked in block::list(tx, user)? {
        block::remove(tx, user, &blocked)?;
    }
    Ok(if removed.devices.is_empty() { None } else { Some(removed) })
}

/// Collects the records of a user. Returns `None` if the user never had a device.
pub(crate) fn records(
    tx: &mut dyn Transaction,
    user: &UserId,
    now: Timestamp,
) -> Result<Option<UserRecords>, StoreError> {
    let mut devices = Vec::new();
    for device in devices::ever_of(tx, user)? {
        devices.extend(records_of_device(tx, &device, now)?);
    }
    if devices.is_empty() {
        return Ok(None);
    }
    let invitations = invitation::all(tx, now)?.into_iter().filter(|invitation| invitation.user.as_ref() == Some(user));
    let invitations = invitations.map(|invitation| invitation.expires.0).collect();
    let device_list_entries = device_list::load(tx, user)?.map_or(0, |list| list.number());
    let blocked = block::list(tx, user)?;
    Ok(Some(UserRecords { user: user.clone(), devices, device_list_entries, invitations, blocked }))
}

fn records_of_device(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    now: Timestamp,
) -> Result<Option<DeviceRecords>, StoreError> {
    let Some(devices::RegisteredDevice { key, registered, .. }) = devices::load(tx, device)? else {
        return Ok(None);
    };
    let sessions = session::of_device(tx, device)?.into_iter().map(|session| session.expires.0).collect();
    let key_packages = key_package::left(tx, device, now)?;
    let memberships = membership::of_device(tx, device)?.into_iter().map(|membership| MembershipRecord {
        group: membership.group,
        from: membership.from.0,
        until: membership.until.map(|until| until.0),
        invited: membership.invitation.is_some(),
    });
    Ok(Some(DeviceRecords {
        device: device.device().to_owned(),
        registered: registered.0,
        removed: key.is_none(),
        key: key.map(|key| key.0.iter().map(|byte| format!("{byte:02x}")).collect()),
        sessions,
        wake_up: wake_up::of(tx, device)?,
        key_packages: key_packages.left,
        last_resort: key_packages.last_resort,
        memberships: memberships.collect(),
    }))
}
