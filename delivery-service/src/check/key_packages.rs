//! Key packages: what waits, what was seen, and when it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Finding, Parts, place};
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

/// Deadlines: the device, the hash and the reference of each.
type Dues = BTreeMap<Vec<u8>, (DeviceId, Hash, KeyPackageRef)>;

pub(super) fn check(checker: &mut Checker<'_>, end: u64) -> Result<(), StoreError> {
    let mut dues = Dues::new();
    checker.each(Table::KeyPackageDeadlines, |_, key, value| {
        let mut parts = Parts(key);
        parts.number()?;
        parts.number()?;
        parts.end()?;
        let ExpiringKeyPackage { device, hash, reference } = key::decode(Table::KeyPackageDeadlines, value).ok()?;
        dues.insert(key.to_vec(), (device, hash, reference));
        Some(())
    })?;
    let mut seen = BTreeSet::new();
    let to_go: BTreeSet<_> = dues.values().map(|(device, hash, _)| (device, *hash)).collect();
    checker.each(Table::KeyPackagesSeen, |findings, key, _| {
        let mut parts = Parts(key);
        let device = DeviceId::from_identity(parts.name()?).ok()?;
        let hash: Hash = parts.rest().try_into().ok()?;
        if !to_go.contains(&(&device, hash)) {
            findings.push(Finding::Dangling {
                place: place(Table::KeyPackagesSeen, key),
                missing_in: Table::KeyPackageDeadlines,
            });
        }
        seen.insert(key.to_vec());
        Some(())
    })?;
    let owners = owners(checker, &dues)?;
    for table in [Table::KeyPackages, Table::LastResorts] {
        checker.each(table, |findings, key, value| {
            let mut parts = Parts(key);
            let device = DeviceId::from_identity(parts.name()?).ok()?;
            let number = parts.number()?;
            parts.end()?;
            let StoredKeyPackage { not_after, reference: stored, bytes, .. } = key::decode(table, value).ok()?;
            let hash = wire::hash(&bytes);
            if number == 0 || number > end {
                findings.push(Finding::Contradiction { place: place(table, key), with: Table::Counters });
            }
            if !seen.contains(Key::device(&device).then_last(&hash).as_bytes()) {
                findings.push(Finding::Dangling { place: place(table, key), missing_in: Table::KeyPackagesSeen });
            }
            match dues.get(Key::number(not_after.0).then(number).as_bytes()) {
                None => findings
                    .push(Finding::Dangling { place: place(table, key), missing_in: Table::KeyPackageDeadlines }),
                Some((of, due, _)) if (of, *due) != (&device, hash) => {
                    findings.push(Finding::Contradiction { place: place(table, key), with: Table::KeyPackageDeadlines })
                }
                Some((_, _, reference)) if *reference != stored => {
                    findings.push(Finding::Contradiction { place: place(table, key), with: Table::KeyPackageDeadlines })
                }
                Some((_, _, reference)) if owners.get(reference) != Some(&device) => {
                    findings.push(Finding::Dangling { place: place(table, key), missing_in: Table::KeyPackageOwners })
                }
                Some(_) => {}
            }
            Some(())
        })?;
    }
    Ok(())
}

/// Whose each key package is, by its reference.
fn owners(checker: &mut Checker<'_>, dues: &Dues) -> Result<BTreeMap<KeyPackageRef, DeviceId>, StoreError> {
    let to_go: BTreeSet<_> = dues.values().map(|(device, _, reference)| (reference.as_slice(), device)).collect();
    let mut owners = BTreeMap::new();
    checker.each(Table::KeyPackageOwners, |findings, key, value| {
        let Identity(device) = key::decode(Table::KeyPackageOwners, value).ok()?;
        if !to_go.contains(&(key, &device)) {
            findings.push(Finding::Dangling {
                place: place(Table::KeyPackageOwners, key),
                missing_in: Table::KeyPackageDeadlines,
            });
        }
        owners.insert(key.to_vec(), device);
        Some(())
    })?;
    Ok(owners)
}
