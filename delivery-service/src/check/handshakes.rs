//! Checks the public groups of assisted mode, and that the rosters equal their members.

use std::collections::BTreeSet;

use super::{Finding, KeyReader, StoreCheck, at, at_group, group_records::Groups};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::{PublicGroups, basic_identity},
    names::GroupId,
    ordering::roster,
    store::Table,
};

pub(super) fn check(checker: &mut StoreCheck<'_>, groups: &Groups) -> Result<(), StoreError> {
    checker.each(Table::PublicGroups, |findings, key, _| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        reader.number()?;
        let group = groups.get(&id);
        if group.is_none() {
            findings.push(Finding::Dangling { location: at(Table::PublicGroups, key), missing_in: Table::Groups });
        }
        if group.is_some_and(|group| group.mode != HandshakeMode::Assisted) {
            findings.push(Finding::Contradiction { location: at(Table::PublicGroups, key), with: Table::Groups });
        }
        Some(())
    })?;
    for (id, group) in groups.iter().filter(|(_, group)| group.mode == HandshakeMode::Assisted) {
        let public_groups = PublicGroups::default();
        let members = match public_groups.group(checker.tx, id, group.epoch) {
            Ok(loaded) => loaded
                .group
                .members()
                .map(|member| basic_identity(&member.credential))
                .collect::<Result<BTreeSet<_>, _>>(),
            Err(StoreError::Corrupt(_)) => {
                checker.found(Finding::Dangling { location: at_group(id), missing_in: Table::PublicGroups });
                continue;
            }
            Err(error) => return Err(error),
        };
        // The check of the memberships finds a key that cannot be decoded.
        let Ok(roster) = roster::members(checker.tx, id) else { continue };
        if members.ok() != Some(roster) {
            checker.found(Finding::Contradiction { location: at_group(id), with: Table::Members });
        }
    }
    Ok(())
}
