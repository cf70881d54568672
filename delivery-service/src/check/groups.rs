//! Checks the groups: their counts, their group infos, their removed devices and their last
//! commits.

use std::collections::BTreeMap;

use super::{Finding, GroupNames, KeyReader, StoreCheck, at, at_group, group_records::Groups, log::Logs};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::wire,
    limits::Limits,
    names::{DeviceId, GroupId},
    ordering::{
        rollback::LastCommit,
        roster::member_key,
        tally::{Tally, TallyCounts},
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
    counts: &mut TallyCounts,
) -> Result<(), StoreError> {
    let nothing = Default::default();
    for (id, group) in groups {
        let log = logs.get(id).unwrap_or(&nothing);
        count(checker, id, Table::Log, group.queued, log.entries.len() as u64);
        count(checker, id, Table::Log, group.bytes, log.bytes);
        if let Some(last) = &log.last {
            let is_last = last.sequence == group.sequence;
            if last.sequence > group.sequence || is_last && (last.head != group.head || last.epoch != group.epoch) {
                checker.found(Finding::BrokenChain(at_group(id)));
            }
        }
    }
    removed(checker, groups)?;
    group_infos(checker, groups, counts)?;
    last_commits(checker, groups)
}

fn count(checker: &mut StoreCheck<'_>, id: &GroupId, table: Table, recorded: u64, counted: u64) {
    if recorded != counted {
        checker.found(Finding::Miscounted { location: at_group(id), table, recorded, counted });
    }
}

/// Checks the removed devices of each group against the group's count.
fn removed(checker: &mut StoreCheck<'_>, groups: &Groups) -> Result<(), StoreError> {
    let mut counts: BTreeMap<GroupId, u64> = BTreeMap::new();
    checker.each(Table::Removed, |findings, key, _| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        reader.name()?;
        reader.end()?;
        if !groups.contains_key(&id) {
            findings.push(Finding::Dangling { location: at(Table::Removed, key), missing_in: Table::Groups });
        }
        *counts.entry(id).or_default() += 1;
        Some(())
    })?;
    for (id, group) in groups {
        count(checker, id, Table::Removed, group.removed, counts.get(id).copied().unwrap_or(0));
    }
    Ok(())
}

fn group_infos(checker: &mut StoreCheck<'_>, groups: &Groups, counts: &mut TallyCounts) -> Result<(), StoreError> {
    for (id, group) in groups {
        for (parity, stored) in group.group_infos() {
            Tally::Bytes(stored.sender.user()).recount(counts, stored.size);
            let group_info = Key::group(id).then(parity);
            checker.needs(Table::Groups, Key::group(id).as_bytes(), Table::GroupInfos, group_info.as_bytes())?;
        }
    }
    let any_size = Limits { max_body_bytes: usize::MAX, ..Limits::default() };
    checker.each(Table::GroupInfos, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        let parity = reader.number()?;
        reader.end()?;
        let group_info = wire::group_info(value, &any_size).ok()?;
        let here = || at(Table::GroupInfos, key);
        let Some(group) = groups.get(&id) else {
            findings.push(Finding::Dangling { location: here(), missing_in: Table::Groups });
            return Some(());
        };
        let is_counted = group.group_infos().any(|stored| stored.0 == parity && stored.1.size == value.len() as u64);
        // The group info of the epoch before may be of any epoch, because the last commit may have
        // been taken back.
        let is_right = if parity == group.epoch.0 % 2 {
            let needs_tree = group.mode == HandshakeMode::Opaque;
            wire::is_of(&group_info, &id, group.epoch) && (wire::has_tree(&group_info) || !needs_tree)
        } else {
            group_info.group_id().as_slice() == id.as_bytes()
        };
        if !is_right || !is_counted {
            findings.push(Finding::Contradiction { location: here(), with: Table::Groups });
        }
        Some(())
    })
}

/// Checks the records for a rollback of the last commit, and its reports.
fn last_commits(checker: &mut StoreCheck<'_>, groups: &Groups) -> Result<(), StoreError> {
    let mut reportable = GroupNames::new();
    checker.each(Table::LastCommits, |findings, key, value| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        reader.end()?;
        let last: LastCommit = key::decode(Table::LastCommits, value).ok()?;
        let here = || at(Table::LastCommits, key);
        match groups.get(&id) {
            None => findings.push(Finding::Dangling { location: here(), missing_in: Table::Groups }),
            Some(group) if !last.leads_to(group) => {
                findings.push(Finding::Contradiction { location: here(), with: Table::Groups });
            }
            Some(_) => {}
        }
        reportable.insert(id);
        Some(())
    })?;
    let mut members = Vec::new();
    checker.each(Table::Reports, |findings, key, _| {
        let mut reader = KeyReader(key);
        let id = GroupId::new(reader.name()?).ok()?;
        let device = DeviceId::from_identity(reader.name()?).ok()?;
        reader.end()?;
        if !reportable.contains(&id) {
            findings.push(Finding::Dangling { location: at(Table::Reports, key), missing_in: Table::LastCommits });
        }
        members.push((key.to_vec(), member_key(&id, &device)));
        Some(())
    })?;
    for (key, member) in members {
        checker.needs(Table::Reports, &key, Table::Members, member.as_bytes())?;
    }
    Ok(())
}
