//! A device's stream: the entries that the device may read, across all of its groups, in the order
//! in which the service has accepted them.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    log,
    log_entry::LogEntry,
    membership::{self, Membership},
    welcome,
};
use crate::{
    Delivery, DeliveryKind,
    error::StoreError,
    names::{Cursor, DeviceId},
    store::{
        Table, Transaction,
        key::{self, Key, number_in},
    },
};

/// The maximum number of bytes that one read collects, whatever its limit: 1 MiB, because a slow
/// reader holds a page of this size. The entries that do not fit come with the next read; a single
/// entry always fits.
pub(crate) const MAX_READ_BYTES: usize = 1024 * 1024;

/// Returns the first `limit` entries after `after` that the device may read and has not
/// acknowledged. The cost grows with the number of groups that have such entries, and not with all
/// groups of the device.
pub(crate) fn read(
    tx: &mut dyn Transaction,
    device: &DeviceId,
    after: Cursor,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut page = CollectedPage { deliveries: BTreeMap::new(), bytes: 0, limit, end: Cursor(u64::MAX) };
    for membership in membership::waiting(tx, device)? {
        let first = membership.unread.max(after.next());
        if membership.by_welcome && first <= membership.from {
            collect_welcome(tx, &membership, &mut page)?;
            collect(tx, &membership, membership.from.next(), &mut page)?;
        } else {
            collect(tx, &membership, first, &mut page)?;
        }
    }
    Ok(page.deliveries.into_values().collect())
}

/// Returns true if there are entries that the device has not acknowledged.
pub(crate) fn has_unread(tx: &mut dyn Transaction, device: &DeviceId) -> Result<bool, StoreError> {
    for membership in membership::waiting(tx, device)? {
        if log::has_entry_from(tx, &membership.group, membership.unread)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The entries collected so far. They are always the first of all entries that the read has looked
/// at, without a gap.
struct CollectedPage {
    deliveries: BTreeMap<Cursor, Delivery>,
    bytes: usize,
    limit: usize,
    /// The first entry that did not fit. All later entries belong to the next page, however small
    /// they are.
    end: Cursor,
}

impl CollectedPage {
    fn is_over_full(&self) -> bool {
        self.deliveries.len() > 1 && (self.deliveries.len() > self.limit || self.bytes > MAX_READ_BYTES)
    }

    /// Adds a delivery, and drops the deliveries at the end that no longer fit.
    fn add(&mut self, delivery: Delivery) {
        self.bytes += delivery.bytes.len();
        self.deliveries.insert(delivery.cursor, delivery);
        while self.is_over_full()
            && let Some((dropped, delivery)) = self.deliveries.pop_last()
        {
            self.bytes -= delivery.bytes.len();
            self.end = dropped;
        }
    }
}

/// Adds the welcome of the entry that added the device.
fn collect_welcome(
    tx: &mut dyn Transaction,
    membership: &Membership,
    page: &mut CollectedPage,
) -> Result<(), StoreError> {
    if membership.from >= page.end {
        return Ok(());
    }
    let key = Key::group(&membership.group).then(membership.from.0);
    let Some(value) = tx.get(Table::Log, key.as_bytes())? else {
        return Ok(());
    };
    let welcome = welcome::load(tx, &membership.group, membership.from, &membership.device)?;
    let entry: LogEntry<'_> = key::decode(Table::Log, &value)?;
    page.add(Delivery {
        cursor: membership.from,
        group: membership.group.clone(),
        kind: DeliveryKind::Welcome,
        receipt: entry.receipt.of(&membership.group),
        sender: entry.sender.into_owned(),
        time: entry.time,
        bytes: welcome,
    });
    Ok(())
}

/// Adds the entries of one membership from `first` on, as far as they fit.
fn collect(
    tx: &mut dyn Transaction,
    membership: &Membership,
    first: Cursor,
    page: &mut CollectedPage,
) -> Result<(), StoreError> {
    let group = Key::group(&membership.group);
    let from = group.clone().then(membership.from.max(first).0);
    let end = match membership.until {
        Some(until) => group.clone().then(until.next().0).as_bytes().to_vec(),
        None => group.everything_below().end,
    };
    tx.scan(Table::Log, from.as_bytes()..&end, &mut |key, value| {
        let cursor = Cursor(number_in(Table::Log, key, group.as_bytes().len())?);
        if cursor >= page.end {
            return Ok(ControlFlow::Break(()));
        }
        let entry: LogEntry<'_> = key::decode(Table::Log, value)?;
        page.add(Delivery {
            cursor,
            group: membership.group.clone(),
            kind: entry.kind.into(),
            receipt: entry.receipt.of(&membership.group),
            sender: entry.sender.into_owned(),
            time: entry.time,
            bytes: entry.bytes.into_owned(),
        });
        Ok(ControlFlow::Continue(()))
    })
}
