//! Groups: their records, their group infos, and what they have counted.

use std::collections::BTreeMap;

use super::{Checker, Finding, Names, Parts, group_records::Groups, log::Logs, place, place_of_group};
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
    checker: &mut Checker<'_>,
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
                checker.found(Finding::BrokenChain(place_of_group(id)));
            }
        }
    }
    removed(checker, groups)?;
    group_infos(checker, groups, counts)?;
    last_commits(checker, groups)
}

fn count(checker: &mut Checker<'_>, id: &GroupId, table: Table, recorded: u64, counted: u64) {
    if recorded != counted {
        checker.found(Finding::Miscounted { place: place_of_group(id), table, recorded, counted });
    }
}

/// Those who were removed from a group, as many as it has counted.
fn removed(checker: &mut Checker<'_>, groups: &Groups) -> Result<(), StoreError> {
    let mut counts: BTreeMap<GroupId, u64> = BTreeMap::new();
    checker.each(Table::Removed, |findings, key, _| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        parts.name()?;
        parts.end()?;
        if !groups.contains_key(&id) {
            findings.push(Finding::Dangling { place: place(Table::Removed, key), missing_in: Table::Groups });
        }
        *counts.entry(id).or_default() += 1;
        Some(())
    })?;
    for (id, group) in groups {
        count(checker, id, Table::Removed, group.removed, counts.get(id).copied().unwrap_or(0));
    }
    Ok(())
}

fn group_infos(checker: &mut Checker<'_>, groups: &Groups, counts: &mut TallyCounts) -> Result<(), StoreError> {
    for (id, group) in groups {
        for (parity, kept) in group.group_infos() {
            Tally::Bytes(kept.sender.user()).recount(counts, kept.size);
            let group_info = Key::group(id).then(parity);
            checker.needs(Table::Groups, Key::group(id).as_bytes(), Table::GroupInfos, group_info.as_bytes())?;
        }
    }
    let any_size = Limits { max_body_bytes: usize::MAX, ..Limits::default() };
    checker.each(Table::GroupInfos, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        let parity = parts.number()?;
        parts.end()?;
        let group_info = wire::group_info(value, &any_size).ok()?;
        let missing = || place(Table::GroupInfos, key);
        let Some(group) = groups.get(&id) else {
            findings.push(Finding::Dangling { place: missing(), missing_in: Table::Groups });
            return Some(());
        };
        let is_counted = group.group_infos().any(|kept| kept.0 == parity && kept.1.size == value.len() as u64);
        // That of the epoch before may be any, for the last commit may have been taken back.
        let is_right = if parity == group.epoch.0 % 2 {
            let needs_tree = group.mode == HandshakeMode::Opaque;
            wire::is_of(&group_info, &id, group.epoch) && (wire::has_tree(&group_info) || !needs_tree)
        } else {
            group_info.group_id().as_slice() == id.as_bytes()
        };
        if !is_right || !is_counted {
            findings.push(Finding::Contradiction { place: missing(), with: Table::Groups });
        }
        Some(())
    })
}

/// What it takes to take back a commit, and who has asked for it.
fn last_commits(checker: &mut Checker<'_>, groups: &Groups) -> Result<(), StoreError> {
    let mut reportable = Names::new();
    checker.each(Table::LastCommits, |findings, key, value| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        parts.end()?;
        let last: LastCommit = key::decode(Table::LastCommits, value).ok()?;
        let here = || place(Table::LastCommits, key);
        match groups.get(&id) {
            None => findings.push(Finding::Dangling { place: here(), missing_in: Table::Groups }),
            Some(group) if !last.leads_to(group) => {
                findings.push(Finding::Contradiction { place: here(), with: Table::Groups });
            }
            Some(_) => {}
        }
        reportable.insert(id);
        Some(())
    })?;
    let mut members = Vec::new();
    checker.each(Table::Reports, |findings, key, _| {
        let mut parts = Parts(key);
        let id = GroupId::new(parts.name()?).ok()?;
        let device = DeviceId::from_identity(parts.name()?).ok()?;
        parts.end()?;
        if !reportable.contains(&id) {
            findings.push(Finding::Dangling { place: place(Table::Reports, key), missing_in: Table::LastCommits });
        }
        members.push((key.to_vec(), member_key(&id, &device)));
        Some(())
    })?;
    for (key, member) in members {
        checker.needs(Table::Reports, &key, Table::Members, member.as_bytes())?;
    }
    Ok(())
}
