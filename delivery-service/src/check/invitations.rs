//! Checks the invitations to groups with their deadlines, and the blocked users.

use std::collections::BTreeSet;

use super::{Finding, KeyReader, StoreCheck, at};
use crate::{
    error::StoreError,
    names::UserId,
    ordering::{membership::Membership, tally::TallyCounts},
    store::Table,
};

pub(super) fn check(checker: &mut StoreCheck<'_>, counts: &mut TallyCounts) -> Result<(), StoreError> {
    let memberships: Vec<(Vec<u8>, Membership)> = checker.all(Table::Memberships)?;
    let mut deadlines = BTreeSet::new();
    for (key, membership) in &memberships {
        membership.recount(counts);
        if let Some(deadline) = membership.deadline_key() {
            checker.needs(Table::Memberships, key, Table::InvitationDeadlines, deadline.as_bytes())?;
            deadlines.insert((deadline.as_bytes().to_vec(), key.clone()));
        }
    }
    checker.each(Table::InvitationDeadlines, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.number()?;
        reader.number()?;
        reader.name()?;
        reader.end()?;
        if !deadlines.contains(&(key.to_vec(), value.to_vec())) {
            let location = at(Table::InvitationDeadlines, key);
            findings.push(Finding::Dangling { location, missing_in: Table::Memberships });
        }
        Some(())
    })?;
    checker.each(Table::Blocks, |_, key, _| {
        let mut reader = KeyReader(key);
        for _ in 0..2 {
            UserId::from_normal(str::from_utf8(reader.name()?).ok()?).ok()?;
        }
        reader.end()
    })
}
