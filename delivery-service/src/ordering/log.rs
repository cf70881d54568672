//! The logs of the groups. Each group has one log. The cursors of all logs come from one counter,
//! so that the entries of all groups have one order.

use std::{
    borrow::Cow,
    ops::{ControlFlow, Range},
};

use super::{
    OrderingContext, Submitted,
    group::Group,
    log_entry::{EntryKind, LogEntry},
    tally::Tally,
    welcome,
};
use crate::{
    error::StoreError,
    limits::Limits,
    names::{Cursor, GroupId, Sequence},
    receipt::{ChainedEntry, Receipt},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

pub(crate) const CURSOR: &str = "cursor";

/// Returns the cursor of the last entry of all groups.
pub(crate) fn end(tx: &mut dyn Transaction) -> Result<Cursor, StoreError> {
    key::last_count(tx, CURSOR).map(Cursor)
}

/// Appends an entry, extends the hash chain by it and counts it in `group`, which the caller saves.
/// `group` is in the epoch after the entry. `welcome` is the number of bytes of the welcome that
/// comes with the entry. A full log loses its oldest entries.
pub(crate) fn append(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    group: &mut Group,
    kind: EntryKind,
    welcome: usize,
) -> Result<(Cursor, Receipt), StoreError> {
    let Submitted { group: id, sender, bytes } = submitted;
    let size = (bytes.len() + welcome) as u64;
    let is_full = |group: &Group| {
        let Limits { max_queue_length, max_queue_bytes, .. } = *context.limits;
        group.queued >= max_queue_length || group.bytes.saturating_add(size) > max_queue_bytes
    };
    while group.queued > 0 && is_full(group) {
        let oldest = oldest(tx, id)?.ok_or(StoreError::Corrupt(Table::Log))?;
        forget(tx, id, group, oldest)?;
    }
    group.sequence = Sequence(group.sequence.0 + 1);
    group.queued += 1;
    group.bytes += size;
    Tally::Bytes(sender.user()).add(tx, size)?;
    let (sequence, epoch, time) = (group.sequence, group.epoch, context.now);
    group.head = group.head.then(id, &ChainedEntry { kind: kind.into(), sequence, epoch, sender, time, bytes });
    let receipt = context.key.sign(id, sequence, epoch, group.head);
    let cursor = Cursor(key::count_up(tx, CURSOR)?);
    let (sender, receipt_of, bytes) = (Cow::Borrowed(sender), (&receipt).into(), Cow::Borrowed(bytes));
    let entry = LogEntry { kind, sender, time, receipt: receipt_of, size, bytes };
    key::put(tx, Table::Log, &Key::group(id).then(cursor.0), &entry)?;
    Ok((cursor, receipt))
}

/// Returns true if the group's log has an entry at `from` or after it.
pub(crate) fn has_entry_from(tx: &mut dyn Transaction, id: &GroupId, from: Cursor) -> Result<bool, StoreError> {
    let prefix = Key::group(id);
    let (from, end) = (prefix.clone().then(from.0), prefix.everything_below().end);
    let mut found = false;
    tx.scan(Table::Log, from.as_bytes()..&end, &mut |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Returns the cursor of the oldest entry in the group's log.
pub(crate) fn oldest(tx: &mut dyn Transaction, id: &GroupId) -> Result<Option<Cursor>, StoreError> {
    let prefix = Key::group(id);
    key::first(tx, Table::Log, &prefix)?
        .map(|key| key::number_in(Table::Log, &key, prefix.as_bytes().len()).map(Cursor))
        .transpose()
}

/// Deletes one entry, if the log still has it, and its welcome. The caller saves `group`. Returns
/// true if the log had the entry.
pub(crate) fn forget(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    cursor: Cursor,
) -> Result<bool, StoreError> {
    let key = Key::group(id).then(cursor.0);
    let Some(value) = tx.get(Table::Log, key.as_bytes())? else {
        return Ok(false);
    };
    let LogEntry { sender, size, .. } = key::decode(Table::Log, &value)?;
    tx.delete(Table::Log, key.as_bytes())?;
    welcome::delete(tx, id, cursor)?;
    group.queued = group.queued.saturating_sub(1);
    group.bytes = group.bytes.saturating_sub(size);
    Tally::Bytes(sender.user()).subtract(tx, size)?;
    Ok(true)
}

/// Deletes the commits and proposals from `from` on. The caller saves `group`.
pub(crate) fn forget_handshakes(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    from: Cursor,
) -> Result<(), StoreError> {
    let prefix = Key::group(id);
    let (from, end) = (prefix.clone().then(from.0), prefix.everything_below().end);
    let mut cursors = Vec::new();
    tx.scan(Table::Log, from.as_bytes()..&end, &mut |key, value| {
        if key::decode::<LogEntry<'_>>(Table::Log, value)?.kind != EntryKind::Message {
            cursors.push(Cursor(key::number_in(Table::Log, key, prefix.as_bytes().len())?));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for cursor in cursors {
        forget(tx, id, group, cursor)?;
    }
    Ok(())
}

/// Deletes the entries in a range. The caller saves `group`. Returns the number of deleted entries.
pub(crate) fn forget_range(
    tx: &mut dyn Transaction,
    id: &GroupId,
    group: &mut Group,
    range: Range<Cursor>,
) -> Result<u64, StoreError> {
    let prefix = Key::group(id);
    let (from, to) = (prefix.clone().then(range.start.0), prefix.clone().then(range.end.0));
    let mut cursors = Vec::new();
    tx.scan(Table::Log, from.as_bytes()..to.as_bytes(), &mut |key, _| {
        cursors.push(Cursor(key::number_in(Table::Log, key, prefix.as_bytes().len())?));
        Ok(ControlFlow::Continue(()))
    })?;
    for cursor in &cursors {
        forget(tx, id, group, *cursor)?;
    }
    Ok(cursors.len() as u64)
}
