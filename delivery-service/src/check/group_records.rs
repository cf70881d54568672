//! Checks the records of groups, and the marks of ended groups.

use std::collections::BTreeMap;

use super::{Finding, GroupNames, KeyReader, StoreCheck, at};
use crate::{
    error::StoreError,
    names::GroupId,
    ordering::{
        group::Group,
        tally::{Tally, TallyCounts},
    },
    store::{Table, identity::Identity, key},
};

pub(super) type Groups = BTreeMap<GroupId, Group>;

/// Returns every group whose record can be decoded.
pub(super) fn load(checker: &mut StoreCheck<'_>) -> Result<Groups, StoreError> {
    let mut groups = Groups::new();
    checker.each(Table::Groups, |_, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        reader.end()?;
        groups.insert(id, key::decode(Table::Groups, value).ok()?);
        Some(())
    })?;
    Ok(groups)
}

/// Checks the marks of ended groups and returns the names of the groups.
pub(super) fn ended(
    checker: &mut StoreCheck<'_>,
    groups: &Groups,
    counts: &mut TallyCounts,
) -> Result<GroupNames, StoreError> {
    let mut ended = GroupNames::new();
    checker.each(Table::EndedGroups, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        reader.end()?;
        let Identity(by) = key::decode(Table::EndedGroups, value).ok()?;
        Tally::EndedGroups(by.user()).recount(counts, 1);
        if groups.contains_key(&id) {
            findings.push(Finding::Contradiction { location: at(Table::EndedGroups, key), with: Table::Groups });
        }
        ended.insert(id);
        Some(())
    })?;
    Ok(ended)
}
