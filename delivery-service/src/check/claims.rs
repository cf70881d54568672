//! Checks the claims. Each has a record under its target device, and a deadline.

use std::collections::BTreeSet;

use super::{Finding, KeyReader, StoreCheck, at};
use crate::{
    error::StoreError,
    ordering::{claim::Claim, tally::TallyCounts},
    store::Table,
};

pub(super) fn check(checker: &mut StoreCheck<'_>, end: u64, counts: &mut TallyCounts) -> Result<(), StoreError> {
    let claims: Vec<(Vec<u8>, Claim)> = checker.all(Table::Claims)?;
    let (mut targets, mut deadlines) = (BTreeSet::new(), BTreeSet::new());
    for (key, claim) in &claims {
        if claim.key().as_bytes() != key {
            checker.found(Finding::Unreadable(at(Table::Claims, key.clone())));
            continue;
        }
        if claim.number == 0 || claim.number > end {
            checker.found(Finding::Contradiction { location: at(Table::Claims, key.clone()), with: Table::Counters });
        }
        let (target, deadline) = (claim.target_key(), claim.deadline_key());
        checker.needs(Table::Claims, key, Table::ClaimTargets, target.as_bytes())?;
        checker.needs(Table::Claims, key, Table::ClaimDeadlines, deadline.as_bytes())?;
        targets.insert((target.as_bytes().to_vec(), key.clone()));
        deadlines.insert((deadline.as_bytes().to_vec(), key.clone()));
        claim.recount(counts);
    }
    checker.each(Table::ClaimTargets, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.name()?;
        reader.name()?;
        reader.number()?;
        reader.end()?;
        if !targets.contains(&(key.to_vec(), value.to_vec())) {
            findings.push(Finding::Dangling { location: at(Table::ClaimTargets, key), missing_in: Table::Claims });
        }
        Some(())
    })?;
    checker.each(Table::ClaimDeadlines, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.number()?;
        reader.number()?;
        reader.end()?;
        if !deadlines.contains(&(key.to_vec(), value.to_vec())) {
            findings.push(Finding::Dangling { location: at(Table::ClaimDeadlines, key), missing_in: Table::Claims });
        }
        Some(())
    })
}
