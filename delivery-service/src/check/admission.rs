//! Checks the devices, their sessions, their wake-up addresses, and the invitations to register.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, KeyReader, StoreCheck, at};
use crate::{
    admission::{deadline::AdmissionDeadline, invitation::RegistrationInvitation},
    devices::RegisteredDevice,
    error::StoreError,
    names::{DeviceId, UserId},
    ordering::tally::{Tally, TallyCounts},
    store::{
        Table,
        key::{self, Key},
    },
};

/// The devices that the service knows or knew, with true if the device is registered now.
pub(super) type KnownDevices = BTreeMap<DeviceId, bool>;

pub(super) fn check(checker: &mut StoreCheck<'_>, counts: &mut TallyCounts) -> Result<KnownDevices, StoreError> {
    let (mut devices, mut users) = (KnownDevices::new(), Vec::new());
    checker.each(Table::Devices, |_, key, value| {
        let mut reader = KeyReader(key);
        let id = DeviceId::from_identity(reader.name()?).ok()?;
        reader.end()?;
        let device: RegisteredDevice = key::decode(Table::Devices, value).ok()?;
        users.push((key.to_vec(), Key::user(&device.user).then_device(&id)));
        devices.insert(id, device.key.is_some());
        Some(())
    })?;
    for (key, user) in &users {
        checker.needs(Table::Devices, key, Table::Users, user.as_bytes())?;
    }
    let right: BTreeSet<_> = users.iter().map(|(_, user)| user.as_bytes()).collect();
    checker.each(Table::Users, |findings, key, _| {
        let mut reader = KeyReader(key);
        let (_, device) = (
            str::from_utf8(reader.name()?).ok().and_then(|name| UserId::from_normal(name).ok())?,
            DeviceId::from_identity(reader.name()?).ok()?,
        );
        reader.end()?;
        let here = || at(Table::Users, key);
        if !devices.contains_key(&device) {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::Devices });
        } else if !right.contains(key) {
            findings.push(Finding::Contradiction { location: here(), with: Table::Devices });
        }
        Some(())
    })?;
    present(checker, &devices, counts)?;
    tokens(checker, &devices)?;
    wake_ups(checker, &devices)?;
    Ok(devices)
}

/// Checks the wake-up addresses of devices.
fn wake_ups(checker: &mut StoreCheck<'_>, devices: &KnownDevices) -> Result<(), StoreError> {
    checker.each(Table::WakeUps, |findings, key, address| {
        let mut reader = KeyReader(key);
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        reader.end()?;
        str::from_utf8(address).ok()?;
        if devices.get(&device) != Some(&true) {
            findings.push(Finding::Dangling { location: at(Table::WakeUps, key), missing_in: Table::Devices });
        }
        Some(())
    })
}

/// Checks the devices that users have now.
fn present(checker: &mut StoreCheck<'_>, devices: &KnownDevices, counts: &mut TallyCounts) -> Result<(), StoreError> {
    for (device, _) in devices.iter().filter(|(_, is_there)| **is_there) {
        let key = Key::device(device);
        let present = Key::user(device.user()).then_device(device);
        checker.needs(Table::Devices, key.as_bytes(), Table::UserDevices, present.as_bytes())?;
        Tally::Devices(device.user()).recount(counts, 1);
    }
    checker.each(Table::UserDevices, |findings, key, _| {
        let mut reader = KeyReader(key);
        reader.name()?;
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        reader.end()?;
        if devices.get(&device) != Some(&true) {
            findings.push(Finding::Dangling { location: at(Table::UserDevices, key), missing_in: Table::Devices });
        }
        Some(())
    })
}

/// Checks the sessions and invitations, each of which has a deadline.
fn tokens(checker: &mut StoreCheck<'_>, devices: &KnownDevices) -> Result<(), StoreError> {
    let mut deadlines = BTreeSet::new();
    checker.each(Table::AdmissionDeadlines, |_, key, value| {
        let mut reader = KeyReader(key);
        reader.number()?;
        let _: [u8; 32] = reader.rest().try_into().ok()?;
        let _: AdmissionDeadline = key::decode(Table::AdmissionDeadlines, value).ok()?;
        deadlines.insert(key.to_vec());
        Some(())
    })?;
    checker.each(Table::Sessions, |findings, key, value| {
        let mut reader = KeyReader(key);
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        let token: [u8; 32] = reader.rest().try_into().ok()?;
        let expires = u64::from_be_bytes(value.try_into().ok()?);
        let here = || at(Table::Sessions, key);
        if devices.get(&device) != Some(&true) {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::Devices });
        }
        if !deadlines.contains(Key::number(expires).then_last(&token).as_bytes()) {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::AdmissionDeadlines });
        }
        Some(())
    })?;
    checker.each(Table::Invitations, |findings, key, value| {
        let token: [u8; 32] = key.try_into().ok()?;
        let invitation: RegistrationInvitation = key::decode(Table::Invitations, value).ok()?;
        if !deadlines.contains(Key::number(invitation.expires.0).then_last(&token).as_bytes()) {
            findings.push(Finding::Dangling {
                location: at(Table::Invitations, key),
                missing_in: Table::AdmissionDeadlines,
            });
        }
        Some(())
    })
}
