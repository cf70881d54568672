//! The signed lists of users' devices: read before a device is added, and written by this device for its own user.
//!
//! The state that follows from a list is kept in the store, so that a service cannot show another list later. Changes of
//! the own list are kept as intents until the service has taken them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use regrow_engine::{Client, DeviceId, GroupId, UserId};
use serde_bytes::ByteBuf;

use super::{
    Event, Intent,
    answers::decided,
    kept::{self, Changes, KnownList, ListIntent},
    machine::Machine,
    request::Request,
};
use crate::{
    api::{Code, DeviceListHead, DeviceListPage},
    device_list::{DeviceCard, DeviceKey, DeviceList, ListChange, ListEntry, ListedKeys},
    error::{ConnectionError, Error},
    receipt::ServicePublicKey,
    transport_key::TransportKey,
};

/// How often the own list is read, beside when the device comes online or has joined a group.
const READ_EVERY: Duration = Duration::from_secs(60 * 60);

/// The state of the lists in memory.
pub(super) struct DeviceLists {
    /// When the own list is read next, by the monotonic clock.
    read_at: Duration,
    /// Other users whose lists are to be read, because devices of theirs were added to groups.
    to_read: BTreeMap<UserId, BTreeSet<(GroupId, DeviceId)>>,
    /// The changes of the own list that are still to be made, in order.
    intents: VecDeque<ListIntent>,
    /// Whether the own list may lack a change by this device.
    to_write: bool,
    /// The application was told that this device is not on the list.
    told_unlisted: bool,
}

impl DeviceLists {
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            read_at: Duration::ZERO,
            to_read: BTreeMap::new(),
            intents: kept::list_intents(client)?,
            to_write: true,
            told_unlisted: false,
        })
    }

    /// The own list may have changed, or this device's signature key has.
    pub(super) fn look_again(&mut self) {
        (self.read_at, self.to_write) = (Duration::ZERO, true);
    }

    /// The time until the own list is read.
    pub(super) fn due_in(&self, now: Duration) -> Duration {
        self.read_at.saturating_sub(now)
    }
}

/// What was read of a list.
pub(super) enum Reading {
    /// There are more entries to read.
    Partly,
    /// The list was read to the end.
    Whole(KnownList),
    /// The list cannot be used, for this reason. The application was told.
    Unusable(String),
}

impl Machine {
    /// The request that reads on in a user's list.
    pub(super) fn read_device_list(&self, user: &UserId) -> Result<Request, Error> {
        Ok(Request::DeviceList(user.clone(), self.last_entry_read(user)?))
    }

    /// The number of the last entry that was read of a user's list. 0 if none was.
    pub(super) fn last_entry_read(&self, user: &UserId) -> Result<u64, Error> {
        Ok(kept::device_list(&self.client, user)?.map_or(0, |known| known.list.number()))
    }

    /// The next request about this user's list: to read it, or to append to it.
    pub(super) fn next_for_own_list(&mut self) -> Result<Option<Request>, Error> {
        let own = self.device().user().clone();
        if self.lists.read_at <= self.monotonic() {
            return self.read_device_list(&own).map(Some);
        }
        if !self.lists.to_write {
            return Ok(None);
        }
        let request = self.next_change()?;
        self.lists.to_write = request.is_some();
        Ok(request)
    }

    /// The next request about another user's list.
    pub(super) fn next_list_to_read(&self, is_ready: impl Fn(&UserId) -> bool) -> Result<Option<Request>, Error> {
        let next = self.lists.to_read.keys().find(|user| is_ready(user));
        next.map(|user| self.read_device_list(user)).transpose()
    }

    /// The next change of the own list, which was just read.
    fn next_change(&mut self) -> Result<Option<Request>, Error> {
        let own = self.device().clone();
        let known = kept::device_list(&self.client, own.user())?;
        let list = known.map_or_else(|| DeviceList::new(own.user().clone()), |known| known.list);
        if list.number() == 0 {
            return Ok(Some(self.appending(&list, ListChange::Begin(self.own_card()?.keys))?));
        }
        while let Some(intent) = self.lists.intents.front().cloned() {
            match self.step_of(&intent, &list)? {
                Some(request) => return Ok(Some(request)),
                None => self.intent_is_done()?,
            }
        }
        let keys = self.own_card()?.keys;
        match list.get(&own) {
            Some(listed) if listed.signature_key == keys.signature_key => Ok(None),
            Some(_) => self.appending(&list, ListChange::SetSignatureKey(keys.signature_key)).map(Some),
            None => {
                if !std::mem::replace(&mut self.lists.told_unlisted, true) {
                    let card = self.own_card()?;
                    self.ready.push_back(Event::Unlisted { card });
                }
                Ok(None)
            }
        }
    }

    /// The request that an intent needs. [`None`] if it has happened, or is refused.
    fn step_of(&mut self, intent: &ListIntent, list: &DeviceList) -> Result<Option<Request>, Error> {
        let is_listed = list.get(self.device()).is_some();
        match intent {
            ListIntent::Link(text) => {
                let Ok(card) = text.parse::<DeviceCard>() else { return Ok(None) };
                if list.get(&card.device).is_some_and(|listed| *listed == card.keys) {
                    self.linked(&card.device)?;
                    return Ok(None);
                }
                if !is_listed {
                    let cause = Arc::new(Error::Unlisted { device: self.device().clone() });
                    self.ready.push_back(Event::NotLinked { device: card.device, cause });
                    return Ok(None);
                }
                self.appending(list, ListChange::Add(card)).map(Some)
            }
            ListIntent::Remove(device) if list.was_removed(device) => {
                self.ready.push_back(Event::DeviceRemoved { device: device.clone() });
                Ok(None)
            }
            ListIntent::Remove(device) if is_listed && list.get(device).is_some() => {
                self.appending(list, ListChange::Remove(device.clone())).map(Some)
            }
            // It was registered, and nobody has linked it.
            ListIntent::Remove(device) => Ok(Some(Request::RemoveDevice(device.clone()))),
            ListIntent::BeginAnew if is_listed => Ok(None),
            ListIntent::BeginAnew => self.appending(list, ListChange::Begin(self.own_card()?.keys)).map(Some),
        }
    }

    /// The request that appends a change by this device.
    fn appending(&self, list: &DeviceList, change: ListChange) -> Result<Request, Error> {
        let account = kept::account(&self.client)?.ok_or(Error::NotRegistered)?;
        let key = TransportKey::from_seed(&account.seed);
        let entry = list.entry(&self.service, self.device(), change, |bytes| key.sign(bytes));
        Ok(Request::AppendToDeviceList(self.device().user().clone(), Box::new(entry)))
    }

    /// This device's name and public keys.
    pub(super) fn own_card(&self) -> Result<DeviceCard, Error> {
        let account = kept::account(&self.client)?.ok_or(Error::NotRegistered)?;
        let key = DeviceKey(TransportKey::from_seed(&account.seed).public());
        let signature_key = ByteBuf::from(self.client.signature_key()?.as_bytes());
        Ok(DeviceCard { device: self.device().clone(), keys: ListedKeys { key, signature_key } })
    }

    /// Remembers a change of the own list, together with the intents of these groups.
    pub(super) fn intend_for_list(&mut self, intent: ListIntent, groups: &[&GroupId]) -> Result<(), Error> {
        if !self.lists.intents.contains(&intent) {
            self.lists.intents.push_back(intent);
        }
        self.lists.look_again();
        let changes = Changes::default().list_intents(&self.lists.intents)?;
        self.save(groups, changes)
    }

    /// The first intent has happened, or is refused.
    fn intent_is_done(&mut self) -> Result<(), Error> {
        self.lists.intents.pop_front();
        Changes::default().list_intents(&self.lists.intents)?.keep(&mut self.client)
    }

    /// A device of this user is on the list: it is wanted in all groups of this device.
    fn linked(&mut self, device: &DeviceId) -> Result<(), Error> {
        let groups = self.client.groups()?;
        for group in &groups {
            self.push_intent(group, Intent::AddDevice(device.clone()));
        }
        self.save(&groups.iter().collect::<Vec<_>>(), Changes::default())
    }

    /// The service has answered to an entry.
    pub(super) fn appended(
        &mut self,
        entry: &ListEntry,
        answer: Result<DeviceListHead, ConnectionError>,
    ) -> Result<(), Error> {
        // The entry is read, as entries by other devices are, before it counts.
        let refused = decided(answer)?.err().filter(|problem| problem.code != Code::Stale);
        let Some(problem) = refused else {
            self.lists.look_again();
            return Ok(());
        };
        let (device, is_removal) = match (&entry.change, self.lists.intents.front()) {
            (ListChange::Add(card), Some(ListIntent::Link(_))) => (card.device.clone(), false),
            (ListChange::Begin(_), Some(ListIntent::BeginAnew)) => (self.device().clone(), false),
            (ListChange::Remove(device), Some(ListIntent::Remove(_))) => (device.clone(), true),
            // The beginning of the list, or a new signature key: nobody has to decide anything, and it is tried again.
            _ => return Err(problem.into()),
        };
        let cause = Arc::new(problem.into());
        self.ready.push_back(match is_removal {
            true => Event::DeviceNotRemoved { device, cause },
            false => Event::NotLinked { device, cause },
        });
        self.intent_is_done()
    }

    /// The service was asked to remove a device of this user that is not on the list.
    pub(super) fn removed_at_service(
        &mut self,
        device: &DeviceId,
        answer: Result<(), ConnectionError>,
    ) -> Result<(), Error> {
        let event = match decided(answer)? {
            Ok(()) => Event::DeviceRemoved { device: device.clone() },
            Err(problem) if problem.code == Code::NotFound => Event::DeviceRemoved { device: device.clone() },
            Err(problem) => Event::DeviceNotRemoved { device: device.clone(), cause: Arc::new(problem.into()) },
        };
        self.ready.push_back(event);
        self.intent_is_done()
    }

    /// A part of a user's list was read, because devices of the user were added or because it was time.
    pub(super) fn device_list_read(
        &mut self,
        user: &UserId,
        answer: Result<DeviceListPage, ConnectionError>,
    ) -> Result<(), Error> {
        let reading = self.take_in_list(user, answer)?;
        if matches!(reading, Reading::Partly) {
            return Ok(());
        }
        if user == self.device().user() {
            self.lists.read_at = self.monotonic().saturating_add(READ_EVERY);
            self.lists.to_write |= matches!(reading, Reading::Whole(_));
        }
        let Some(added) = self.lists.to_read.remove(user) else { return Ok(()) };
        if let Reading::Whole(known) = reading {
            for (group, device) in added.into_iter().filter(|(_, device)| known.list.get(device).is_none()) {
                self.ready.push_back(Event::UnlistedMember { group, device });
            }
        }
        Ok(())
    }

    /// Takes in a part of a user's list, and tells what it changes.
    pub(super) fn take_in_list(
        &mut self,
        user: &UserId,
        answer: Result<DeviceListPage, ConnectionError>,
    ) -> Result<Reading, Error> {
        let page = answer?;
        let before = kept::device_list(&self.client, user)?;
        let mut list = before.as_ref().map_or_else(|| DeviceList::new(user.clone()), |known| known.list.clone());
        if let Err(detail) = extend(&mut list, &self.service, &page) {
            self.ready.push_back(Event::DeviceListForged { user: user.clone(), detail: detail.clone() });
            return Ok(Reading::Unusable(format!(
                "the service shows a forged list of the devices of {user}: {detail}"
            )));
        }
        // A list that has this device needs nobody's word: this device began it, or has shown its card to a listed device.
        let seen = before.as_ref().filter(|known| known.list.number() > 0 && list.get(self.device()).is_none());
        let accepted = seen.map_or(list.begun(), |known| known.accepted);
        let known = KnownList { list, accepted };
        if before.as_ref().is_none_or(|before| before.list != known.list) {
            self.tell_list(before.as_ref(), &known)?;
            Changes::default().device_list(user, Some(&known))?.keep(&mut self.client)?;
        }
        Ok(match known.list.number() < page.number {
            true => Reading::Partly,
            false => Reading::Whole(known),
        })
    }

    /// Tells the changes of a list that was known before, and removes its removed devices from groups.
    fn tell_list(&mut self, before: Option<&KnownList>, now: &KnownList) -> Result<(), Error> {
        let Some(before) = before.filter(|before| before.list.number() > 0) else { return Ok(()) };
        let devices = |known: &KnownList| -> BTreeSet<DeviceId> { known.list.devices().map(|(it, _)| it).collect() };
        let (former, present) = (devices(before), devices(now));
        let added: Vec<DeviceId> = present.difference(&former).cloned().collect();
        let removed: Vec<DeviceId> = former.difference(&present).cloned().collect();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        for device in &removed {
            self.remove_from_groups(device, &present)?;
        }
        let user = now.list.user().clone();
        let begun_anew = now.list.begun() > now.accepted;
        self.ready.push_back(Event::DevicesChanged { user, added, removed, begun_anew });
        Ok(())
    }

    /// A user has removed a device: the user's other devices remove it from their groups, and in a group without any of
    /// them the first member does.
    fn remove_from_groups(&mut self, device: &DeviceId, listed: &BTreeSet<DeviceId>) -> Result<(), Error> {
        if device == self.device() {
            return Ok(());
        }
        let groups = self.client.groups_of_device(device)?;
        for group in &groups {
            let roster = self.client.group(group)?.roster()?;
            let is_own = device.user() == self.device().user();
            let has_others = roster.iter().any(|member| listed.contains(&member.device));
            if is_own || (!has_others && self.rank(group)? == Some(0)) {
                self.push_intent(group, Intent::RemoveDevice(device.clone()));
            }
        }
        self.save(&groups.iter().collect::<Vec<_>>(), Changes::default())
    }

    /// Another user's device was added to a group by a member: the user's list says whether the user has it.
    pub(super) fn look_at_added(&mut self, group: &GroupId, device: &DeviceId) {
        if device.user() == self.device().user() {
            self.lists.look_again();
        }
        self.lists.to_read.entry(device.user().clone()).or_default().insert((group.clone(), device.clone()));
    }

    /// Whether a person has to accept the list before its devices are added, and why.
    pub(super) fn is_unaccepted(known: &KnownList) -> Option<String> {
        let user = known.list.user();
        if known.list.number() == 0 {
            return Some(format!("{user} has no list of devices"));
        }
        let is_new = known.list.begun() > known.accepted;
        is_new.then(|| format!("{user} has begun a new list of devices, for which no former device vouches: accept it"))
    }
}

/// Appends the entries of a page. Fails with the contradiction between the page and the list, if there is one.
fn extend(list: &mut DeviceList, service: &ServicePublicKey, page: &DeviceListPage) -> Result<(), String> {
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
