//! The state of the device list lanes, and the verification of a page of a list.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use regrow_engine::{Client, DeviceId, GroupId, UserId};

use super::{
    app_data,
    records::{KnownList, ListIntent},
};
use crate::{
    api::DeviceListPage,
    device_list::{DeviceList, ListEntry},
    error::Error,
    receipt::ServicePublicKey,
};

/// The interval at which the device reads its own user's list. It also reads the list when it comes
/// online and when it has joined a group.
const READ_EVERY: Duration = Duration::from_secs(60 * 60);

/// The state of the device list lanes in memory.
pub(super) struct ListLane {
    /// The time of the next read of the own list, by the monotonic clock.
    pub(super) read_at: Duration,
    /// Other users whose lists are to be read, because members have added devices of them to
    /// groups.
    pub(super) to_read: BTreeMap<UserId, BTreeSet<(GroupId, DeviceId)>>,
    /// The pending changes of the own list, in order.
    pub(super) intents: VecDeque<ListIntent>,
    /// True if the own list may lack a change by this device.
    pub(super) to_write: bool,
    /// True if the application knows that this device is not on the list.
    pub(super) told_unlisted: bool,
}

impl ListLane {
    /// The lane as an earlier process has left it.
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            read_at: Duration::ZERO,
            to_read: BTreeMap::new(),
            intents: app_data::list_intents(client)?,
            to_write: true,
            told_unlisted: false,
        })
    }

    /// Reads the own list soon: the list or this device's signature key may have changed.
    pub(super) fn look_again(&mut self) {
        (self.read_at, self.to_write) = (Duration::ZERO, true);
    }

    /// The own list was read, to its end if it is usable.
    pub(super) fn own_list_read(&mut self, now: Duration, is_usable: bool) {
        self.read_at = now.saturating_add(READ_EVERY);
        self.to_write |= is_usable;
    }

    /// The time until the next read of the own list.
    pub(super) fn due_in(&self, now: Duration) -> Duration {
        self.read_at.saturating_sub(now)
    }
}

/// The result of reading a part of a list.
pub(super) enum ListReading {
    /// The list has more entries.
    Partly,
    /// The list was read to its end.
    Whole(KnownList),
    /// The list is unusable, for this reason. The application was told.
    Unusable(String),
}

/// Appends the entries of a page. Fails with the contradiction between the page and the list, if
/// there is one.
pub(super) fn extend(list: &mut DeviceList, service: &ServicePublicKey, page: &DeviceListPage) -> Result<(), String> {
    for entry in &page.entries {
        let entry = ListEntry::decode(&entry.0).map_err(|error| error.to_string())?;
        list.append(service, &entry).map_err(|error| error.to_string())?;
    }
    let (number, head) = (list.number(), list.head());
    if number > page.number {
        return Err(format!("it has {} entries, and had {number} before", page.number));
    }
    if number == page.number && page.head.0 != head.0 {
        return Err(format!("entry {number} is another entry than before"));
    }
    if number < page.number && page.entries.is_empty() {
        return Err(format!("it lacks the entries after entry {number}"));
    }
    Ok(())
}
