//! Logs: the chain of each, its receipts, the remembered that are remembered, and when all of it goes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checker, Finding, Parts,
    group_records::{self, Groups},
    place,
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

/// What the log of a group has.
#[derive(Default)]
pub(super) struct Log {
    /// The entries, by cursor, and whether each is a commit.
    pub(super) entries: BTreeMap<u64, bool>,
    /// Their bytes, welcomes included.
    pub(super) bytes: u64,
    pub(super) last: Option<Last>,
}

/// The last entry.
pub(super) struct Last {
    pub(super) sequence: Sequence,
    pub(super) epoch: Epoch,
    pub(super) head: ChainHash,
}

pub(super) type Logs = BTreeMap<GroupId, Log>;

/// Checks every log, and returns what is in it.
pub(super) fn check(
    checker: &mut Checker<'_>,
    groups: &Groups,
    service: Option<&ServicePublicKey>,
    end: u64,
    counts: &mut TallyCounts,
) -> Result<Logs, StoreError> {
    let deadlines = deadlines(checker, groups, end, counts)?;
    let mut logs = Logs::new();
    checker.each(Table::Log, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        let cursor = parts.number()?;
        parts.end()?;
        let here = || place(Table::Log, key);
        if !groups.contains_key(&id) {
            findings.push(Finding::Dangling { place: here(), missing_in: Table::Groups });
        }
        if cursor == 0 || cursor > end {
            findings.push(Finding::Contradiction { place: here(), with: Table::Counters });
        }
        if !deadlines.contains(&(cursor, id.clone())) {
            findings.push(Finding::Dangling { place: here(), missing_in: Table::Deadlines });
        }
        // Also of an entry that cannot be understood it is known that it is there.
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
        log.last = Some(Last { sequence: receipt.sequence, epoch: receipt.epoch, head: receipt.head });
        Some(())
    })?;
    welcomes(checker, &logs)?;
    remembered(checker, groups, service)?;
    Ok(logs)
}

/// When entries and remembered go: each entry's cursor and group.
fn deadlines(
    checker: &mut Checker<'_>,
    groups: &Groups,
    end: u64,
    counts: &mut TallyCounts,
) -> Result<BTreeSet<(u64, GroupId)>, StoreError> {
    let mut deadlines = BTreeSet::new();
    let mut dues = Vec::new();
    let ended = group_records::ended(checker, groups, counts)?;
    checker.each(Table::Deadlines, |findings, key, value| {
        let mut parts = Parts(key);
        parts.number()?;
        let cursor = parts.number()?;
        parts.end()?;
        let ExpiringOutcome { group, hash } = key::decode(Table::Deadlines, value).ok()?;
        if cursor > end {
            findings.push(Finding::Contradiction { place: place(Table::Deadlines, key), with: Table::Counters });
        }
        // The entries of a group that was ended went before their time.
        if ended.contains(&group) {
            return Some(());
        }
        if !groups.contains_key(&group) {
            findings.push(Finding::Dangling { place: place(Table::Deadlines, key), missing_in: Table::Groups });
        }
        dues.push((key.to_vec(), Key::group(&group).then_last(&hash)));
        deadlines.insert((cursor, group));
        Some(())
    })?;
    for (key, answer) in &dues {
        checker.needs(Table::Deadlines, key, Table::Answers, answer.as_bytes())?;
    }
    let to_go: BTreeSet<_> = dues.iter().map(|(_, answer)| answer.as_bytes()).collect();
    checker.each(Table::Answers, |findings, key, _| {
        if !to_go.contains(key) {
            findings.push(Finding::Dangling { place: place(Table::Answers, key), missing_in: Table::Deadlines });
        }
        Some(())
    })?;
    Ok(deadlines)
}

/// Welcomes: what is for all of their joiners, and what is for each.
fn welcomes(checker: &mut Checker<'_>, logs: &Logs) -> Result<(), StoreError> {
    let mut shared = BTreeSet::new();
    checker.each(Table::Welcomes, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        let cursor = parts.number()?;
        parts.end()?;
        let here = || place(Table::Welcomes, key);
        match logs.get(&id).and_then(|log| log.entries.get(&cursor)) {
            None => findings.push(Finding::Dangling { place: here(), missing_in: Table::Log }),
            Some(false) => findings.push(Finding::Contradiction { place: here(), with: Table::Log }),
            Some(true) => {}
        }
        shared.insert(key.to_vec());
        welcome::is_shared(value).then_some(())
    })?;
    checker.each(Table::WelcomeTrees, |findings, key, value| {
        if !shared.contains(key) {
            findings.push(Finding::Dangling { place: place(Table::WelcomeTrees, key), missing_in: Table::Welcomes });
        }
        wire::is_ratchet_tree(value).then_some(())
    })?;
    checker.each(Table::WelcomeSecrets, |findings, key, value| {
        let mut parts = Parts(key);
        parts.name()?;
        parts.number()?;
        let welcome = key.len() - parts.0.len();
        parts.name()?;
        parts.end()?;
        if !shared.contains(key.get(..welcome)?) {
            findings.push(Finding::Dangling { place: place(Table::WelcomeSecrets, key), missing_in: Table::Welcomes });
        }
        welcome::is_secrets(value).then_some(())
    })
}

fn remembered(
    checker: &mut Checker<'_>,
    groups: &Groups,
    service: Option<&ServicePublicKey>,
) -> Result<(), StoreError> {
    checker.each(Table::Answers, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        let here = || place(Table::Answers, key);
        if parts.rest().len() != size_of::<crate::handshake::wire::Hash>() {
            return None;
        }
        let answer: RememberedOutcome = key::decode(Table::Answers, value).ok()?;
        let receipt = answer.receipt.of(&id);
        if service.is_some_and(|service| receipt.verify(service).is_err()) {
            findings.push(Finding::ForgedReceipt(here()));
        }
        match groups.get(&id) {
            None => findings.push(Finding::Dangling { place: here(), missing_in: Table::Groups }),
            Some(group) if receipt.sequence > group.sequence => {
                findings.push(Finding::Contradiction { place: here(), with: Table::Groups });
            }
            Some(_) => {}
        }
        Some(())
    })
}
