//! Lists of devices: the entries of each, and the state that follows from them.

use std::collections::BTreeMap;

use super::{Checker, Finding, Parts, place};
use crate::{
    device_list::{DeviceList, ListEntry},
    error::StoreError,
    names::UserId,
    receipt::ServicePublicKey,
    store::{
        Table,
        key::{self, Key},
    },
};

pub(super) fn check(checker: &mut Checker<'_>, service: Option<&ServicePublicKey>) -> Result<(), StoreError> {
    let mut computed: BTreeMap<Vec<u8>, DeviceList> = BTreeMap::new();
    checker.each(Table::DeviceListEntries, |findings, key, value| {
        let mut parts = Parts(key);
        let user = UserId::from_normal(str::from_utf8(parts.name()?).ok()?).ok()?;
        let number = parts.number()?;
        parts.end()?;
        let entry = ListEntry::decode(value).ok()?;
        let list =
            computed.entry(Key::user(&user).as_bytes().to_vec()).or_insert_with(|| DeviceList::new(user.clone()));
        let follows = service.is_some_and(|service| list.append(service, &entry).is_ok());
        if !follows || number != entry.number {
            findings.push(Finding::BrokenChain(place(Table::DeviceListEntries, key)));
        }
        Some(())
    })?;
    let mut stored = Vec::new();
    checker.each(Table::DeviceLists, |findings, key, value| {
        let mut parts = Parts(key);
        UserId::from_normal(str::from_utf8(parts.name()?).ok()?).ok()?;
        parts.end()?;
        let list: DeviceList = key::decode(Table::DeviceLists, value).ok()?;
        if computed.get(key) != Some(&list) {
            let place = place(Table::DeviceLists, key);
            findings.push(Finding::Contradiction { place, with: Table::DeviceListEntries });
        }
        stored.push(key.to_vec());
        Some(())
    })?;
    for key in computed.into_keys().filter(|key| !stored.contains(key)) {
        let place = place(Table::DeviceListEntries, key);
        checker.found(Finding::Dangling { place, missing_in: Table::DeviceLists });
    }
    Ok(())
}
