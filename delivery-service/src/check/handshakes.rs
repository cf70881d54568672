//! The public groups that assisted mode follows, and whether the rosters are theirs.

use std::collections::BTreeSet;

use super::{Checker, Finding, Parts, group_records::Groups, place, place_of_group};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::{PublicGroups, basic_identity},
    names::GroupId,
    ordering::roster,
    store::Table,
};

pub(super) fn check(checker: &mut Checker<'_>, groups: &Groups) -> Result<(), StoreError> {
    checker.each(Table::PublicGroups, |findings, key, _| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        parts.number()?;
        let group = groups.get(&id);
        if group.is_none() {
            findings.push(Finding::Dangling { place: place(Table::PublicGroups, key), missing_in: Table::Groups });
        }
        if group.is_some_and(|group| group.mode != HandshakeMode::Assisted) {
            findings.push(Finding::Contradiction { place: place(Table::PublicGroups, key), with: Table::Groups });
        }
        Some(())
    })?;
    for (id, group) in groups.iter().filter(|(_, group)| group.mode == HandshakeMode::Assisted) {
        let public_groups = PublicGroups::default();
        let members = match public_groups.group(checker.tx, id, group.epoch) {
            Ok(following) => following
                .group
                .members()
                .map(|member| basic_identity(&member.credential))
                .collect::<Result<BTreeSet<_>, _>>(),
            Err(StoreError::Corrupt(_)) => {
                checker.found(Finding::Dangling { place: place_of_group(id), missing_in: Table::PublicGroups });
                continue;
            }
            Err(error) => return Err(error),
        };
        // A key that cannot be understood is found where members are.
        let Ok(roster) = roster::members(checker.tx, id) else { continue };
        if members.ok() != Some(roster) {
            checker.found(Finding::Contradiction { place: place_of_group(id), with: Table::Members });
        }
    }
    Ok(())
}
