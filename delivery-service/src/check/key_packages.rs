//! Checks the key packages: the stored ones, the hashes of all uploaded ones, their owners and
//! their deadlines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, KeyReader, StoreCheck, at};
use crate::{
    error::StoreError,
    handshake::wire::{self, Hash, KeyPackageRef},
    names::DeviceId,
    ordering::key_package::{ExpiringKeyPackage, StoredKeyPackage},
    store::{
        Table,
        identity::Identity,
        key::{self, Key},
    },
};

/// The deadlines, with the device, the hash and the reference of each.
type Deadlines = BTreeMap<Vec<u8>, (DeviceId, Hash, KeyPackageRef)>;

pub(super) fn check(checker: &mut StoreCheck<'_>, end: u64) -> Result<(), StoreError> {
    let mut deadlines = Deadlines::new();
    checker.each(Table::KeyPackageDeadlines, |_, key, value| {
        let mut reader = KeyReader(key);
        reader.number()?;
        reader.number()?;
        reader.end()?;
        let ExpiringKeyPackage { device, hash, reference } = key::decode(Table::KeyPackageDeadlines, value).ok()?;
        deadlines.insert(key.to_vec(), (device, hash, reference));
        Some(())
    })?;
    let mut seen = BTreeSet::new();
    let expiring: BTreeSet<_> = deadlines.values().map(|(device, hash, _)| (device, *hash)).collect();
    checker.each(Table::KeyPackagesSeen, |findings, key, _| {
        let mut reader = KeyReader(key);
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        let hash: Hash = reader.rest().try_into().ok()?;
        if !expiring.contains(&(&device, hash)) {
            findings.push(Finding::Dangling {
                location: at(Table::KeyPackagesSeen, key),
                missing_in: Table::KeyPackageDeadlines,
            });
        }
        seen.insert(key.to_vec());
        Some(())
    })?;
    let owners = owners(checker, &deadlines)?;
    for table in [Table::KeyPackages, Table::LastResorts] {
        checker.each(table, |findings, key, value| {
            let mut reader = KeyReader(key);
            let device = DeviceId::from_identity(reader.name()?).ok()?;
            let number = reader.number()?;
            reader.end()?;
            let StoredKeyPackage { not_after, reference: stored, bytes, .. } = key::decode(table, value).ok()?;
            let hash = wire::hash(&bytes);
            if number == 0 || number > end {
                findings.push(Finding::Contradiction { location: at(table, key), with: Table::Counters });
            }
            if !seen.contains(Key::device(&device).then_last(&hash).as_bytes()) {
                findings.push(Finding::Dangling { location: at(table, key), missing_in: Table::KeyPackagesSeen });
            }
            match deadlines.get(Key::number(not_after.0).then(number).as_bytes()) {
                None => findings
                    .push(Finding::Dangling { location: at(table, key), missing_in: Table::KeyPackageDeadlines }),
                Some((owner, expected, _)) if (owner, *expected) != (&device, hash) => {
                    findings.push(Finding::Contradiction { location: at(table, key), with: Table::KeyPackageDeadlines })
                }
                Some((_, _, reference)) if *reference != stored => {
                    findings.push(Finding::Contradiction { location: at(table, key), with: Table::KeyPackageDeadlines })
                }
                Some((_, _, reference)) if owners.get(reference) != Some(&device) => {
                    findings.push(Finding::Dangling { location: at(table, key), missing_in: Table::KeyPackageOwners })
                }
                Some(_) => {}
            }
            Some(())
        })?;
    }
    Ok(())
}

/// Checks the owners, and returns the owner of each key package by its reference.
fn owners(
    checker: &mut StoreCheck<'_>,
    deadlines: &Deadlines,
) -> Result<BTreeMap<KeyPackageRef, DeviceId>, StoreError> {
    let expiring: BTreeSet<_> =
        deadlines.values().map(|(device, _, reference)| (reference.as_slice(), device)).collect();
    let mut owners = BTreeMap::new();
    checker.each(Table::KeyPackageOwners, |findings, key, value| {
        let Identity(device) = key::decode(Table::KeyPackageOwners, value).ok()?;
        if !expiring.contains(&(key, &device)) {
            findings.push(Finding::Dangling {
                location: at(Table::KeyPackageOwners, key),
                missing_in: Table::KeyPackageDeadlines,
            });
        }
        owners.insert(key.to_vec(), device);
        Some(())
    })?;
    Ok(owners)
}
