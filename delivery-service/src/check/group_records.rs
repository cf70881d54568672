//! The records of groups, and the marks of groups that were ended.

use std::collections::BTreeMap;

use super::{Checker, Finding, Names, Parts, place};
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

/// Every group that can be understood.
pub(super) fn load(checker: &mut Checker<'_>) -> Result<Groups, StoreError> {
    let mut groups = Groups::new();
    checker.each(Table::Groups, |_, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        parts.end()?;
        groups.insert(id, key::decode(Table::Groups, value).ok()?);
        Some(())
    })?;
    Ok(groups)
}

/// The names of the groups that were ended.
pub(super) fn ended(checker: &mut Checker<'_>, groups: &Groups, counts: &mut TallyCounts) -> Result<Names, StoreError> {
    let mut ended = Names::new();
    checker.each(Table::EndedGroups, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        parts.end()?;
        let Identity(by) = key::decode(Table::EndedGroups, value).ok()?;
        Tally::EndedGroups(by.user()).recount(counts, 1);
        if groups.contains_key(&id) {
            findings.push(Finding::Contradiction { place: place(Table::EndedGroups, key), with: Table::Groups });
        }
        ended.insert(id);
        Some(())
    })?;
    Ok(ended)
}
