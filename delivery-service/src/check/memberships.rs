//! Checks the memberships: the roster, the interval that each device reads, and the readers that
//! each log waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, KeyReader, StoreCheck, admission::KnownDevices, at, group_records::Groups, log::Logs};
use crate::{
    error::StoreError,
    names::{Cursor, DeviceId, GroupId},
    ordering::{
        membership::Membership,
        roster::{RosterEntry, member_key},
        welcome,
    },
    store::{
        Table,
        key::{self, Key},
    },
};

pub(super) fn check(
    checker: &mut StoreCheck<'_>,
    groups: &Groups,
    logs: &Logs,
    devices: &KnownDevices,
) -> Result<(), StoreError> {
    let roster = members(checker, groups)?;
    let memberships: BTreeMap<Vec<u8>, Membership> = checker.all(Table::Memberships)?.into_iter().collect();
    for (key, membership) in &memberships {
        let here = || at(Table::Memberships, key.clone());
        if membership.key().as_bytes() != key {
            checker.found(Finding::Unreadable(here()));
            continue;
        }
        if !groups.contains_key(&membership.group) {
            checker.found(Finding::Dangling { location: here(), missing_in: Table::Groups });
        }
        if membership.is_read() {
            checker.needs(Table::Memberships, key, Table::Unread, membership.unread_key().as_bytes())?;
            let log = logs.get(&membership.group);
            let has_unread = log.is_some_and(|log| log.entries.range(membership.unread.0..).next().is_some());
            if has_unread || checker.is_there(Table::Waiting, key)? {
                checker.needs(Table::Memberships, key, Table::Waiting, key)?;
            } else {
                let up_to_date = membership.up_to_date_key();
                checker.needs(Table::Memberships, key, Table::UpToDate, up_to_date.as_bytes())?;
            }
        }
        if membership.until.is_none() {
            match roster.get(&(membership.group.clone(), membership.device.clone())) {
                None => checker.found(Finding::Dangling { location: here(), missing_in: Table::Members }),
                Some(from) if *from != membership.from => {
                    checker.found(Finding::Contradiction { location: here(), with: Table::Members });
                }
                Some(_) => {}
            }
        }
        let is_welcomed = membership.by_welcome
            && logs.get(&membership.group).is_some_and(|log| log.entries.contains_key(&membership.from.0));
        if is_welcomed {
            let Membership { group, device, from, .. } = membership;
            match welcome::load(checker.tx, group, *from, device) {
                Ok(_) => {}
                Err(StoreError::Corrupt(missing_in)) => {
                    checker.found(Finding::Dangling { location: here(), missing_in })
                }
                Err(error) => return Err(error),
            }
        }
    }
    unread(checker, &memberships)?;
    up_to_date(checker, &memberships)?;
    for ((group, device), from) in &roster {
        let membership = Key::device(device).then_group(group).then(from.0);
        if !memberships.contains_key(membership.as_bytes()) && devices.get(device) != Some(&false) {
            // A device that the service has removed reads nothing, although it is still on rosters.
            let key = member_key(group, device);
            checker.found(Finding::Dangling {
                location: at(Table::Members, key.as_bytes()),
                missing_in: Table::Memberships,
            });
        }
    }
    Ok(())
}

type RosterIndex = BTreeMap<(GroupId, DeviceId), Cursor>;

fn members(checker: &mut StoreCheck<'_>, groups: &Groups) -> Result<RosterIndex, StoreError> {
    let mut roster = RosterIndex::new();
    checker.each(Table::Members, |findings, key, value| {
        let mut reader = KeyReader(key);
        let group = GroupId::new(reader.name()?).ok()?;
        reader.name()?;
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        reader.end()?;
        let RosterEntry { from, .. } = key::decode(Table::Members, value).ok()?;
        if member_key(&group, &device).as_bytes() != key {
            return None;
        }
        if !groups.contains_key(&group) {
            findings.push(Finding::Dangling { location: at(Table::Members, key), missing_in: Table::Groups });
        }
        roster.insert((group, device), from);
        Some(())
    })?;
    Ok(roster)
}

/// Checks the memberships with unacknowledged entries, and the memberships without. Each belongs to
/// a device that reads, and no membership is both.
fn up_to_date(checker: &mut StoreCheck<'_>, memberships: &BTreeMap<Vec<u8>, Membership>) -> Result<(), StoreError> {
    let mut waiting = BTreeSet::new();
    checker.each(Table::Waiting, |findings, key, _| {
        two_names_and_a_number(key)?;
        if !memberships.get(key).is_some_and(Membership::is_read) {
            findings.push(Finding::Dangling { location: at(Table::Waiting, key), missing_in: Table::Memberships });
        }
        waiting.insert(key.to_vec());
        Some(())
    })?;
    checker.each(Table::UpToDate, |findings, key, membership| {
        two_names_and_a_number(key)?;
        let here = || at(Table::UpToDate, key);
        match memberships.get(membership).filter(|membership| membership.is_read()) {
            None => findings.push(Finding::Dangling { location: here(), missing_in: Table::Memberships }),
            Some(other) if other.up_to_date_key().as_bytes() != key => {
                findings.push(Finding::Contradiction { location: here(), with: Table::Memberships });
            }
            Some(_) if waiting.contains(membership) => {
                findings.push(Finding::Contradiction { location: here(), with: Table::Waiting });
            }
            Some(_) => {}
        }
        Some(())
    })
}

/// Reads a key with a device, a group and a cursor, in either order of the names.
fn two_names_and_a_number(key: &[u8]) -> Option<()> {
    let mut reader = KeyReader(key);
    reader.name()?;
    reader.name()?;
    reader.number()?;
    reader.end()
}

/// Checks the unread records. Each refers to a membership at its first unread position.
fn unread(checker: &mut StoreCheck<'_>, memberships: &BTreeMap<Vec<u8>, Membership>) -> Result<(), StoreError> {
    checker.each(Table::Unread, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.name()?;
        reader.number()?;
        reader.name()?;
        reader.number()?;
        reader.end()?;
        let here = || at(Table::Unread, key);
        match memberships.get(value) {
            None => findings.push(Finding::Dangling { location: here(), missing_in: Table::Memberships }),
            Some(membership) if membership.unread_key().as_bytes() != key => {
                findings.push(Finding::Contradiction { location: here(), with: Table::Memberships });
            }
            Some(_) => {}
        }
        Some(())
    })
}
