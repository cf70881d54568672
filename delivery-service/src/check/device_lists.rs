//! Checks the device lists: the entries of each list, and the state that follows from them.

use std::collections::BTreeMap;

use super::{Finding, KeyReader, StoreCheck, at};
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

pub(super) fn check(checker: &mut StoreCheck<'_>, service: Option<&ServicePublicKey>) -> Result<(), StoreError> {
    let mut computed: BTreeMap<Vec<u8>, DeviceList> = BTreeMap::new();
    checker.each(Table::DeviceListEntries, |findings, key, value| {
        let mut reader = KeyReader(key);
        let user = UserId::from_normal(str::from_utf8(reader.name()?).ok()?).ok()?;
        let number = reader.number()?;
        reader.end()?;
        let entry = ListEntry::decode(value).ok()?;
        let list =
            computed.entry(Key::user(&user).as_bytes().to_vec()).or_insert_with(|| DeviceList::new(user.clone()));
        let follows = service.is_some_and(|service| list.append(service, &entry).is_ok());
        if !follows || number != entry.number {
            findings.push(Finding::BrokenChain(at(Table::DeviceListEntries, key)));
        }
        Some(())
    })?;
    let mut stored = Vec::new();
    checker.each(Table::DeviceLists, |findings, key, value| {
        let mut reader = KeyReader(key);
        UserId::from_normal(str::from_utf8(reader.name()?).ok()?).ok()?;
        reader.end()?;
        let list: DeviceList = key::decode(Table::DeviceLists, value).ok()?;
        if computed.get(key) != Some(&list) {
            let location = at(Table::DeviceLists, key);
            findings.push(Finding::Contradiction { location, with: Table::DeviceListEntries });
        }
        stored.push(key.to_vec());
        Some(())
    })?;
    for key in computed.into_keys().filter(|key| !stored.contains(key)) {
        let location = at(Table::DeviceListEntries, key);
        checker.found(Finding::Dangling { location, missing_in: Table::DeviceLists });
    }
    Ok(())
}
