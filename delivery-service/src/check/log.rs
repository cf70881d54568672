//! Checks the log of each group: its hash chain, receipts, welcomes, remembered outcomes and
//! deadlines.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, KeyReader, StoreCheck, at,
    group_records::{self, Groups},
};
use crate::{
    error::StoreError,
    handshake::wire,
    names::{Epoch, GroupId, Sequence},
    ordering::{
        log_entry::{EntryKind, LogEntry},
        remembered::{ExpiringOutcome, RememberedOutcome},
        tally::{Tally, TallyCounts},
        welcome,
    },
    receipt::{ChainHash, ChainedEntry, ServicePublicKey},
    store::{
        Table,
        key::{self, Key},
    },
};

/// The contents of the log of a group.
#[derive(Default)]
pub(super) struct GroupLog {
    /// The entries by their cursors, with true if the entry is a commit.
    pub(super) entries: BTreeMap<u64, bool>,
    /// The bytes of the entries, with their welcomes.
    pub(super) bytes: u64,
    pub(super) last: Option<LastEntry>,
}

/// The last entry.
pub(super) struct LastEntry {
    pub(super) sequence: Sequence,
    pub(super) epoch: Epoch,
    pub(super) head: ChainHash,
}

pub(super) type Logs = BTreeMap<GroupId, GroupLog>;

/// Checks every log, and returns the contents of the logs.
pub(super) fn check(
    checker: &mut StoreCheck<'_>,
    groups: &Groups,
    service: Option<&ServicePublicKey>,
    end: u64,
    counts: &mut TallyCounts,
) -> Result<Logs, StoreError> {
    let deadlines = deadlines(checker, groups, end, counts)?;
    let mut logs = Logs::new();
    checker.each(Table::Log, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        let cursor = reader.number()?;
        reader.end()?;
        let here = || at(Table::Log, key);
        if !groups.contains_key(&id) {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::Groups });
        }
        if cursor == 0 || cursor > end {
            findings.push(Finding::Contradiction { location: here(), with: Table::Counters });
        }
        if !deadlines.contains(&(cursor, id.clone())) {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::Deadlines });
        }
        // An entry that cannot be decoded still counts as an entry.
        let log = logs.entry(id.clone()).or_default();
        log.entries.insert(cursor, false);
        let entry: LogEntry<'_> = key::decode(Table::Log, value).ok()?;
        log.entries.insert(cursor, entry.kind == EntryKind::Commit);
        log.bytes += entry.size;
        Tally::Bytes(entry.sender.user()).recount(counts, entry.size);
        let receipt = entry.receipt.clone().of(&id);
        if service.is_some_and(|service| receipt.verify(service).is_err()) {
            findings.push(Finding::ForgedReceipt(here()));
        }
        if let Some(last) = &log.last {
            let follows = receipt.sequence.0 == last.sequence.0 + 1;
            let chained = ChainedEntry {
                kind: entry.kind.into(),
                sequence: receipt.sequence,
                epoch: receipt.epoch,
                sender: &entry.sender,
                time: entry.time,
                bytes: &entry.bytes,
            };
            let is_broken = follows && last.head.then(&id, &chained) != receipt.head;
            if is_broken || receipt.sequence <= last.sequence {
                findings.push(Finding::BrokenChain(here()));
            }
        }
        log.last = Some(LastEntry { sequence: receipt.sequence, epoch: receipt.epoch, head: receipt.head });
        Some(())
    })?;
    welcomes(checker, &logs)?;
    remembered(checker, groups, service)?;
    Ok(logs)
}

/// Checks the deadlines of entries and remembered outcomes. Returns the cursor and the group of
/// each.
fn deadlines(
    checker: &mut StoreCheck<'_>,
    groups: &Groups,
    end: u64,
    counts: &mut TallyCounts,
) -> Result<BTreeSet<(u64, GroupId)>, StoreError> {
    let mut deadlines = BTreeSet::new();
    let mut outcomes = Vec::new();
    let ended = group_records::ended(checker, groups, counts)?;
    checker.each(Table::Deadlines, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.number()?;
        let cursor = reader.number()?;
        reader.end()?;
        let ExpiringOutcome { group, hash } = key::decode(Table::Deadlines, value).ok()?;
        if cursor > end {
            findings.push(Finding::Contradiction { location: at(Table::Deadlines, key), with: Table::Counters });
        }
        // The entries of an ended group were deleted before their deadline.
        if ended.contains(&group) {
            return Some(());
        }
        if !groups.contains_key(&group) {
            findings.push(Finding::Dangling { location: at(Table::Deadlines, key), missing_in: Table::Groups });
        }
        outcomes.push((key.to_vec(), Key::group(&group).then_last(&hash)));
        deadlines.insert((cursor, group));
        Some(())
    })?;
    for (key, outcome) in &outcomes {
        checker.needs(Table::Deadlines, key, Table::RememberedOutcomes, outcome.as_bytes())?;
    }
    let expiring: BTreeSet<_> = outcomes.iter().map(|(_, outcome)| outcome.as_bytes()).collect();
    checker.each(Table::RememberedOutcomes, |findings, key, _| {
        if !expiring.contains(key) {
            findings
                .push(Finding::Dangling { location: at(Table::RememberedOutcomes, key), missing_in: Table::Deadlines });
        }
        Some(())
    })?;
    Ok(deadlines)
}

/// Checks the welcomes: the shared part of each, and the part of each joiner.
fn welcomes(checker: &mut StoreCheck<'_>, logs: &Logs) -> Result<(), StoreError> {
    let mut shared = BTreeSet::new();
    checker.each(Table::Welcomes, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        let cursor = reader.number()?;
        reader.end()?;
        let here = || at(Table::Welcomes, key);
        match logs.get(&id).and_then(|log| log.entries.get(&cursor)) {
            None => findings.push(Finding::Dangling { location: here(), missing_in: Table::Log }),
            Some(false) => findings.push(Finding::Contradiction { location: here(), with: Table::Log }),
            Some(true) => {}
        }
        shared.insert(key.to_vec());
        welcome::is_shared(value).then_some(())
    })?;
    checker.each(Table::WelcomeTrees, |findings, key, value| {
        if !shared.contains(key) {
            findings.push(Finding::Dangling { location: at(Table::WelcomeTrees, key), missing_in: Table::Welcomes });
        }
        wire::is_ratchet_tree(value).then_some(())
    })?;
    checker.each(Table::WelcomeSecrets, |findings, key, value| {
        let mut reader = KeyReader(key);
        reader.name()?;
        reader.number()?;
        let welcome = key.len() - reader.0.len();
        reader.name()?;
        reader.end()?;
        if !shared.contains(key.get(..welcome)?) {
            findings.push(Finding::Dangling { location: at(Table::WelcomeSecrets, key), missing_in: Table::Welcomes });
        }
        welcome::is_secrets(value).then_some(())
    })
}

fn remembered(
    checker: &mut StoreCheck<'_>,
    groups: &Groups,
    service: Option<&ServicePublicKey>,
) -> Result<(), StoreError> {
    checker.each(Table::RememberedOutcomes, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        let here = || at(Table::RememberedOutcomes, key);
        if reader.rest().len() != size_of::<crate::handshake::wire::Hash>() {
            return None;
        }
        let outcome: RememberedOutcome = key::decode(Table::RememberedOutcomes, value).ok()?;
        let receipt = outcome.receipt.of(&id);
        if service.is_some_and(|service| receipt.verify(service).is_err()) {
            findings.push(Finding::ForgedReceipt(here()));
        }
        match groups.get(&id) {
            None => findings.push(Finding::Dangling { location: here(), missing_in: Table::Groups }),
            Some(group) if receipt.sequence > group.sequence => {
                findings.push(Finding::Contradiction { location: here(), with: Table::Groups });
            }
            Some(_) => {}
        }
        Some(())
    })
}
