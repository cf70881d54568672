//! The signed lists of users' devices. The machine reads a user's list before it adds a device, and
//! writes the list of its own user.
//!
//! The store keeps the state that follows from a list, so that a service cannot show another list
//! later. Changes of the own list are stored as intents until the service has taken them.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::{DeviceId, GroupId, UserId};
use serde_bytes::ByteBuf;

use super::state::Machine;
use crate::{
    api::{Code, DeviceListHead, DeviceListPage},
    device_list::{DeviceCard, DeviceKey, DeviceList, ListChange, ListEntry, ListedKeys},
    error::{ConnectionError, Error},
    messenger::{
        app_data::{self, Changes},
        event::Event,
        intent::Intent,
        list_lane::{ListReading, extend},
        problem::decided,
        records::{KnownList, ListIntent},
        request::Request,
    },
    transport_key::TransportKey,
};

impl Machine {
    /// The request that reads on in a user's list.
    pub(in crate::messenger) fn read_device_list(&self, user: &UserId) -> Result<Request, Error> {
        Ok(Request::DeviceList(user.clone(), self.last_entry_read(user)?))
    }

    /// The number of the last entry of a user's list that this device has read. 0 if it has read
    /// none.
    pub(super) fn last_entry_read(&self, user: &UserId) -> Result<u64, Error> {
        Ok(app_data::device_list(&self.client, user)?.map_or(0, |known| known.list.number()))
    }

    /// Returns the next request about this user's list: to read it, or to append to it.
    pub(super) fn next_for_own_list(&mut self) -> Result<Option<Request>, Error> {
        let own = self.device().user().clone();
        if self.lists.read_at <= self.monotonic() {
            return self.read_device_list(&own).map(Some);
        }
        if !self.lists.to_write {
            return Ok(None);
        }
        let request = self.next_list_change()?;
        self.lists.to_write = request.is_some();
        Ok(request)
    }

    /// Returns the next request about another user's list.
    pub(super) fn next_list_to_read(&self, is_ready: impl Fn(&UserId) -> bool) -> Result<Option<Request>, Error> {
        let next = self.lists.to_read.keys().find(|user| is_ready(user));
        next.map(|user| self.read_device_list(user)).transpose()
    }

    /// Returns the next change of the own list, which this device has just read.
    fn next_list_change(&mut self) -> Result<Option<Request>, Error> {
        let own = self.device().clone();
        let known = app_data::device_list(&self.client, own.user())?;
        let list = known.map_or_else(|| DeviceList::new(own.user().clone()), |known| known.list);
        if list.number() == 0 {
            return Ok(Some(self.append_request(&list, ListChange::Begin(self.own_card()?.keys))?));
        }
        while let Some(intent) = self.lists.intents.front().cloned() {
            match self.list_intent_request(&intent, &list)? {
                Some(request) => return Ok(Some(request)),
                None => self.list_intent_done()?,
            }
        }
        let keys = self.own_card()?.keys;
        match list.get(&own) {
            Some(listed) if listed.signature_key == keys.signature_key => Ok(None),
            Some(_) => self.append_request(&list, ListChange::SetSignatureKey(keys.signature_key)).map(Some),
            None => {
                if !std::mem::replace(&mut self.lists.told_unlisted, true) {
                    let card = self.own_card()?;
                    self.events.push_back(Event::Unlisted { card });
                }
                Ok(None)
            }
        }
    }

    /// Returns the request that an intent needs. [`None`] if the change has happened or is refused.
    fn list_intent_request(&mut self, intent: &ListIntent, list: &DeviceList) -> Result<Option<Request>, Error> {
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
                    self.events.push_back(Event::NotLinked { device: card.device, cause });
                    return Ok(None);
                }
                self.append_request(list, ListChange::Add(card)).map(Some)
            }
            ListIntent::Remove(device) if list.was_removed(device) => {
                self.events.push_back(Event::DeviceRemoved { device: device.clone() });
                Ok(None)
            }
            ListIntent::Remove(device) if is_listed && list.get(device).is_some() => {
                self.append_request(list, ListChange::Remove(device.clone())).map(Some)
            }
            // The device is registered, and no device has linked it.
            ListIntent::Remove(device) => Ok(Some(Request::RemoveDevice(device.clone()))),
            ListIntent::BeginAnew if is_listed => Ok(None),
            ListIntent::BeginAnew => self.append_request(list, ListChange::Begin(self.own_card()?.keys)).map(Some),
        }
    }

    /// The request that appends a change by this device.
    fn append_request(&self, list: &DeviceList, change: ListChange) -> Result<Request, Error> {
        let account = app_data::account(&self.client)?.ok_or(Error::NotRegistered)?;
        let key = TransportKey::from_seed(&account.seed);
        let entry = list.entry(&self.service, self.device(), change, |bytes| key.sign(bytes));
        Ok(Request::AppendToDeviceList(self.device().user().clone(), Box::new(entry)))
    }

    /// This device's name and public keys.
    pub(in crate::messenger) fn own_card(&self) -> Result<DeviceCard, Error> {
        let account = app_data::account(&self.client)?.ok_or(Error::NotRegistered)?;
        let key = DeviceKey(TransportKey::from_seed(&account.seed).public());
        let signature_key = ByteBuf::from(self.client.signature_key()?.as_bytes());
        Ok(DeviceCard { device: self.device().clone(), keys: ListedKeys { key, signature_key } })
    }

    /// Stores a change of the own list, together with the intents of these groups.
    pub(in crate::messenger) fn intend_for_list(
        &mut self,
        intent: ListIntent,
        groups: &[&GroupId],
    ) -> Result<(), Error> {
        if !self.lists.intents.contains(&intent) {
            self.lists.intents.push_back(intent);
        }
        self.lists.look_again();
        let changes = Changes::default().list_intents(&self.lists.intents)?;
        self.save(groups, changes)
    }

    /// Forgets the known list of a user, so that the device accepts the list that the service shows
    /// next.
    pub(in crate::messenger) fn forget_device_list(&mut self, user: &UserId) -> Result<(), Error> {
        Changes::default().device_list(user, None)?.write(&mut self.client)?;
        self.lists.look_again();
        Ok(())
    }

    /// Forgets the first intent, because it has happened or is refused.
    fn list_intent_done(&mut self) -> Result<(), Error> {
        self.lists.intents.pop_front();
        Changes::default().list_intents(&self.lists.intents)?.write(&mut self.client)
    }

    /// Adds a new device of this user to all groups of this device, because it is on the list now.
    fn linked(&mut self, device: &DeviceId) -> Result<(), Error> {
        let groups = self.client.groups()?;
        for group in &groups {
            self.push_intent(group, Intent::AddDevice(device.clone()));
        }
        self.save(&groups.iter().collect::<Vec<_>>(), Changes::default())
    }

    /// Takes in the service's answer to an entry.
    pub(super) fn appended(
        &mut self,
        entry: &ListEntry,
        response: Result<DeviceListHead, ConnectionError>,
    ) -> Result<(), Error> {
        // This device reads the entry like the entries of other devices before the entry counts.
        let refused = decided(response)?.err().filter(|problem| problem.code != Code::Stale);
        let Some(problem) = refused else {
            self.lists.look_again();
            return Ok(());
        };
        let (device, is_removal) = match (&entry.change, self.lists.intents.front()) {
            (ListChange::Add(card), Some(ListIntent::Link(_))) => (card.device.clone(), false),
            (ListChange::Begin(_), Some(ListIntent::BeginAnew)) => (self.device().clone(), false),
            (ListChange::Remove(device), Some(ListIntent::Remove(_))) => (device.clone(), true),
            // The beginning of the list, or a new signature key: this device tries again without a
            // person.
            _ => return Err(problem.into()),
        };
        let cause = Arc::new(problem.into());
        self.events.push_back(match is_removal {
            true => Event::DeviceNotRemoved { device, cause },
            false => Event::NotLinked { device, cause },
        });
        self.list_intent_done()
    }

    /// Takes in the removal of a device of this user that is not on the list.
    pub(super) fn removed_at_service(
        &mut self,
        device: &DeviceId,
        response: Result<(), ConnectionError>,
    ) -> Result<(), Error> {
        let event = match decided(response)? {
            Ok(()) => Event::DeviceRemoved { device: device.clone() },
            Err(problem) if problem.code == Code::NotFound => Event::DeviceRemoved { device: device.clone() },
            Err(problem) => Event::DeviceNotRemoved { device: device.clone(), cause: Arc::new(problem.into()) },
        };
        self.events.push_back(event);
        self.list_intent_done()
    }

    /// Takes in a part of a user's list that the list lane has read.
    pub(super) fn device_list_read(
        &mut self,
        user: &UserId,
        response: Result<DeviceListPage, ConnectionError>,
    ) -> Result<(), Error> {
        let reading = self.take_in_list(user, response)?;
        if matches!(reading, ListReading::Partly) {
            return Ok(());
        }
        if user == self.device().user() {
            self.lists.own_list_read((self.options.monotonic)(), matches!(reading, ListReading::Whole(_)));
        }
        let Some(added) = self.lists.to_read.remove(user) else { return Ok(()) };
        if let ListReading::Whole(known) = reading {
            for (group, device) in added.into_iter().filter(|(_, device)| known.list.get(device).is_none()) {
                self.events.push_back(Event::UnlistedMember { group, device });
            }
        }
        Ok(())
    }

    /// Takes in a part of a user's list, and reports the changes.
    pub(in crate::messenger) fn take_in_list(
        &mut self,
        user: &UserId,
        response: Result<DeviceListPage, ConnectionError>,
    ) -> Result<ListReading, Error> {
        let page = response?;
        let before = app_data::device_list(&self.client, user)?;
        let mut list = before.as_ref().map_or_else(|| DeviceList::new(user.clone()), |known| known.list.clone());
        if let Err(detail) = extend(&mut list, &self.service, &page) {
            self.events.push_back(Event::DeviceListForged { user: user.clone(), detail: detail.clone() });
            return Ok(ListReading::Unusable(format!(
                "the service shows a forged list of the devices of {user}: {detail}"
            )));
        }
        // A list with this device needs no person's acceptance: this device began it, or a person
        // has shown its card to a listed device.
        let seen = before.as_ref().filter(|known| known.list.number() > 0 && list.get(self.device()).is_none());
        let accepted = seen.map_or(list.begun(), |known| known.accepted);
        let known = KnownList { list, accepted };
        if before.as_ref().is_none_or(|before| before.list != known.list) {
            self.report_list_changes(before.as_ref(), &known)?;
            Changes::default().device_list(user, Some(&known))?.write(&mut self.client)?;
        }
        Ok(match known.list.number() < page.number {
            true => ListReading::Partly,
            false => ListReading::Whole(known),
        })
    }

    /// Reports the changes of a list that this device knew before, and removes its removed devices
    /// from groups.
    fn report_list_changes(&mut self, before: Option<&KnownList>, now: &KnownList) -> Result<(), Error> {
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
        self.events.push_back(Event::DevicesChanged { user, added, removed, begun_anew });
        Ok(())
    }

    /// Removes a device from the groups, after its user has removed it from the list.
    ///
    /// The user's other devices do that. In a group without any of them the first member does it.
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

    /// Reads the list of a user whose device a member has added: the list says if the user has the
    /// device.
    pub(super) fn look_at_added(&mut self, group: &GroupId, device: &DeviceId) {
        if device.user() == self.device().user() {
            self.lists.look_again();
        }
        self.lists.to_read.entry(device.user().clone()).or_default().insert((group.clone(), device.clone()));
    }
}
