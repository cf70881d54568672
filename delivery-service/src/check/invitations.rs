//! Invitations with their deadlines, and blocked users.

use std::collections::BTreeSet;

use super::{Checker, Finding, Parts, place};
use crate::{
    error::StoreError,
    names::UserId,
    ordering::{membership::Membership, tally::TallyCounts},
    store::Table,
};

pub(super) fn check(checker: &mut Checker<'_>, counts: &mut TallyCounts) -> Result<(), StoreError> {
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
        let mut parts = Parts(key);
        parts.number()?;
        parts.number()?;
        parts.name()?;
        parts.end()?;
        if !deadlines.contains(&(key.to_vec(), value.to_vec())) {
            let place = place(Table::InvitationDeadlines, key);
            findings.push(Finding::Dangling { place, missing_in: Table::Memberships });
        }
        Some(())
    })?;
    checker.each(Table::Blocks, |_, key, _| {
        let mut parts = Parts(key);
        for _ in 0..2 {
            UserId::from_normal(str::from_utf8(parts.name()?).ok()?).ok()?;
        }
        parts.end()
    })
}
