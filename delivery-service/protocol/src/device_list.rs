//! The list of a user's devices: a chain of entries. A device on the list signs each entry.
//!
//! A service stores the entries and hands them out. It cannot add a device, because it has no
//! device's key. It cannot change or reorder entries, because each entry contains the hash of the
//! entry before it. A reader stores the [`DeviceList`] that it has computed, and asks for the
//! entries after it. So it detects a service that shows another chain. A service can still withhold
//! new entries.
//!
//! The first entry begins the list, and its device signs for itself. A user who has lost all
//! devices can begin the list again. Then no listed device signs for the new devices, so that each
//! reader has to accept them.

mod card;
mod entry;

use std::{
    collections::{BTreeMap, btree_map::Entry as Slot},
    fmt,
};

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use self::{
    card::{DeviceCard, InvalidCard},
    entry::{EntryHash, InvalidEntry, ListChange, ListEntry},
};
use crate::{
    identity::{DeviceId, UserId},
    receipt::ServicePublicKey,
};

/// The largest size of a public signature key in an entry, in bytes. The largest key in a
/// ciphersuite that Regrow supports is 2,592 bytes long (ML-DSA-87).
pub const MAX_SIGNATURE_KEY_BYTES: usize = 4096;

/// The largest size of an encoded entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 6 * 1024;

/// The public key (Ed25519) with which a device opens its sessions and signs the entries of its
/// user's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceKey(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl DeviceKey {
    /// Returns true if the holder of the key has signed these bytes.
    #[must_use]
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The keys of a device on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKeys {
    /// The key for the device's sessions and entries.
    pub key: DeviceKey,
    /// The public signature key in the device's key packages (RFC 9420, 5.1.1).
    pub signature_key: ByteBuf,
}

/// The list of a user's devices, computed from its entries.
///
/// ```
/// use ed25519_dalek::{Signer as _, SigningKey};
/// use regrow_protocol::{
///     DeviceId, ServicePublicKey,
///     device_list::{ListChange, DeviceCard, DeviceKey, DeviceList, ListedKeys},
/// };
///
/// let service = ServicePublicKey([1; 32]);
/// let (phone, tablet) = (DeviceId::new("bob", "phone")?, DeviceId::new("bob", "tablet")?);
/// let phone_key = SigningKey::from_bytes(&[2; 32]);
/// let tablet_key = SigningKey::from_bytes(&[3; 32]);
/// let keys = |key: &SigningKey| ListedKeys {
///     key: DeviceKey(key.verifying_key().to_bytes()),
///     signature_key: key.verifying_key().to_bytes().to_vec().into(),
/// };
///
/// let mut list = DeviceList::new(phone.user().clone());
/// let begin = ListChange::Begin(keys(&phone_key));
/// let begin = list.entry(&service, &phone, begin, |it| phone_key.sign(it).to_bytes());
/// list.append(&service, &begin)?;
/// let card = DeviceCard { device: tablet.clone(), keys: keys(&tablet_key) };
/// let add = ListChange::Add(card);
/// let add = list.entry(&service, &phone, add, |it| phone_key.sign(it).to_bytes());
/// list.append(&service, &add)?;
/// assert!(list.devices().map(|(device, _)| device).eq([phone.clone(), tablet]));
///
/// // An entry that is not signed with the key of a listed device is refused.
/// let ghost_key = SigningKey::from_bytes(&[4; 32]);
/// let ghost = DeviceCard { device: DeviceId::new("bob", "ghost")?, keys: keys(&ghost_key) };
/// let forged = ListChange::Add(ghost);
/// let forged = list.entry(&service, &phone, forged, |it| ghost_key.sign(it).to_bytes());
/// assert!(list.append(&service, &forged).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    user: UserId,
    number: u64,
    head: EntryHash,
    begun: u64,
    devices: BTreeMap<String, Option<ListedKeys>>,
}

impl DeviceList {
    /// Creates a list without entries.
    pub fn new(user: UserId) -> Self {
        Self { user, number: 0, head: EntryHash::default(), begun: 0, devices: BTreeMap::new() }
    }

    /// The user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The number of the last entry. Entries are numbered from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The hash of the last entry. It covers all entries up to that one.
    pub fn head(&self) -> EntryHash {
        self.head
    }

    /// The number of the last entry that began the list. 0 for a list without entries.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// The devices on the list, in the order of their names.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceId, &ListedKeys)> {
        self.devices.iter().filter_map(|(name, keys)| {
            let device = DeviceId::of(self.user.clone(), name).ok()?;
            keys.as_ref().map(|keys| (device, keys))
        })
    }

    /// The keys of a device, if it is on the list.
    pub fn get(&self, device: &DeviceId) -> Option<&ListedKeys> {
        self.entry_of(device)?.as_ref()
    }

    /// Returns true if the device was on the list and was removed.
    pub fn was_removed(&self, device: &DeviceId) -> bool {
        self.entry_of(device).is_some_and(Option::is_none)
    }

    fn entry_of(&self, device: &DeviceId) -> Option<&Option<ListedKeys>> {
        if device.user() == &self.user { self.devices.get(device.device()) } else { None }
    }

    /// Creates the next entry and signs it with the key of the device `by`.
    /// [`append`](Self::append) checks if the entry is valid.
    pub fn entry(
        &self,
        service: &ServicePublicKey,
        by: &DeviceId,
        change: ListChange,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> ListEntry {
        let (number, previous) = (self.number.saturating_add(1), self.head);
        let mut entry = ListEntry { number, previous, by: by.device().to_owned(), change, signature: [0; 64] };
        entry.signature = sign(&entry.signed(service, &self.user));
        entry
    }

    /// Verifies an entry and appends it.
    ///
    /// # Errors
    /// [`InvalidEntry`] if the entry does not continue the list. The list is then unchanged.
    pub fn append(&mut self, service: &ServicePublicKey, entry: &ListEntry) -> Result<(), InvalidEntry> {
        let ListEntry { number, previous, by, change, signature } = entry;
        let expected = self.number.saturating_add(1);
        if *number != expected {
            return Err(InvalidEntry::Number { expected, found: *number });
        }
        if *previous != self.head {
            return Err(InvalidEntry::Previous { number: *number });
        }
        let by = DeviceId::of(self.user.clone(), by).map_err(|_| InvalidEntry::Encoding)?;
        let key = match change {
            ListChange::Begin(keys) => keys.key,
            _ => self.get(&by).ok_or_else(|| InvalidEntry::NotListed { device: by.clone() })?.key,
        };
        let signed = entry.signed(service, &self.user);
        if !key.has_signed(&signed, signature) {
            return Err(InvalidEntry::Signature { number: *number });
        }
        self.change(&by, change)?;
        (self.number, self.head) = (*number, entry.hash(&signed));
        Ok(())
    }

    fn change(&mut self, by: &DeviceId, change: &ListChange) -> Result<(), InvalidEntry> {
        match change {
            ListChange::Begin(keys) => {
                if self.entry_of(by).is_some() {
                    return Err(InvalidEntry::Taken { device: by.clone() });
                }
                self.devices.values_mut().for_each(|listed| *listed = None);
                self.devices.insert(by.device().to_owned(), Some(keys.clone()));
                self.begun = self.number.saturating_add(1);
            }
            ListChange::Add(DeviceCard { device, keys }) => {
                if device.user() != &self.user {
                    return Err(InvalidEntry::OtherUser { device: device.clone() });
                }
                let is_shared =
                    |listed: &ListedKeys| listed.key == keys.key || listed.signature_key == keys.signature_key;
                if self.devices.values().flatten().any(is_shared) {
                    return Err(InvalidEntry::Taken { device: device.clone() });
                }
                match self.devices.entry(device.device().to_owned()) {
                    // A removed device cannot come back under its name.
                    Slot::Occupied(_) => return Err(InvalidEntry::Taken { device: device.clone() }),
                    Slot::Vacant(slot) => _ = slot.insert(Some(keys.clone())),
                }
            }
            ListChange::Remove(device) => {
                let not_listed = || InvalidEntry::NotListed { device: device.clone() };
                self.get(device).ok_or_else(not_listed)?;
                self.devices.insert(device.device().to_owned(), None);
            }
            ListChange::SetSignatureKey(signature_key) => {
                if let Some(Some(listed)) = self.devices.get_mut(by.device()) {
                    listed.signature_key.clone_from(signature_key);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    const SERVICE: ServicePublicKey = ServicePublicKey([9; 32]);

    fn device(name: &str) -> DeviceId {
        DeviceId::new("bob", name).unwrap()
    }

    fn signing_key(name: &str) -> SigningKey {
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        SigningKey::from_bytes(&seed)
    }

    fn keys(name: &str) -> ListedKeys {
        let key = DeviceKey(signing_key(name).verifying_key().to_bytes());
        ListedKeys { key, signature_key: name.as_bytes().to_vec().into() }
    }

    fn add(name: &str) -> ListChange {
        ListChange::Add(DeviceCard { device: device(name), keys: keys(name) })
    }

    fn signed(list: &DeviceList, by: &str, change: ListChange) -> ListEntry {
        list.entry(&SERVICE, &device(by), change, |it| signing_key(by).sign(it).to_bytes())
    }

    fn append(list: &mut DeviceList, by: &str, change: ListChange) -> Result<(), InvalidEntry> {
        let entry = signed(list, by, change);
        let before = list.clone();
        // Every entry is encoded and decoded before it is appended.
        let read = ListEntry::decode(&entry.encode())?;
        assert_eq!(read, entry);
        let result = list.append(&SERVICE, &read);
        assert!(result.is_ok() || *list == before, "a refused entry has changed the list");
        result
    }

    fn begun(by: &str) -> DeviceList {
        let mut list = DeviceList::new(device(by).user().clone());
        append(&mut list, by, ListChange::Begin(keys(by))).unwrap();
        list
    }

    fn names(list: &DeviceList) -> Vec<String> {
        list.devices().map(|(device, _)| device.device().to_owned()).collect()
    }

    #[test]
    fn listed_devices_add_and_remove_devices() {
        let mut list = begun("phone");
        append(&mut list, "phone", add("tablet")).unwrap();
        append(&mut list, "tablet", add("laptop")).unwrap();
        append(&mut list, "laptop", ListChange::Remove(device("phone"))).unwrap();
        assert_eq!(names(&list), ["laptop", "tablet"]);
        assert!(list.was_removed(&device("phone")) && !list.was_removed(&device("other")));
        assert_eq!((list.number(), list.begun()), (4, 1));
        // A device may remove itself from the list.
        append(&mut list, "tablet", ListChange::Remove(device("tablet"))).unwrap();
        assert_eq!(names(&list), ["laptop"]);
    }

    #[test]
    fn a_removed_device_cannot_sign_entries_or_come_back() {
        let mut list = begun("phone");
        append(&mut list, "phone", add("laptop")).unwrap();
        append(&mut list, "phone", ListChange::Remove(device("laptop"))).unwrap();
        let refused = append(&mut list, "laptop", add("tablet"));
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("laptop") }));
        assert_eq!(append(&mut list, "phone", add("laptop")), Err(InvalidEntry::Taken { device: device("laptop") }));
        let again = append(&mut list, "laptop", ListChange::Begin(keys("laptop")));
        assert_eq!(again, Err(InvalidEntry::Taken { device: device("laptop") }));
    }

    #[test]
    fn only_a_listed_device_can_add_a_device() {
        let list = begun("phone");
        let forged =
            list.entry(&SERVICE, &device("phone"), add("ghost"), |it| signing_key("ghost").sign(it).to_bytes());
        assert_eq!(list.clone().append(&SERVICE, &forged), Err(InvalidEntry::Signature { number: 2 }));
        let by_itself = signed(&list, "ghost", add("ghost"));
        let refused = list.clone().append(&SERVICE, &by_itself);
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("ghost") }));
    }

    #[test]
    fn an_entry_is_valid_only_in_its_own_place() {
        let mut list = begun("phone");
        let entry = signed(&list, "phone", add("tablet"));
        let elsewhere = list.clone().append(&ServicePublicKey([8; 32]), &entry);
        assert_eq!(elsewhere, Err(InvalidEntry::Signature { number: 2 }));
        append(&mut list, "phone", add("laptop")).unwrap();
        assert_eq!(list.clone().append(&SERVICE, &entry), Err(InvalidEntry::Number { expected: 3, found: 2 }));
        let moved = ListEntry { number: 3, ..entry.clone() };
        assert_eq!(list.clone().append(&SERVICE, &moved), Err(InvalidEntry::Previous { number: 3 }));
        let moved = ListEntry { number: 3, previous: list.head(), ..entry };
        assert_eq!(list.clone().append(&SERVICE, &moved), Err(InvalidEntry::Signature { number: 3 }));
        // An entry with the same keys is not valid in another user's list.
        let mut other = DeviceList::new(UserId::new("eve").unwrap());
        let begin = signed(&DeviceList::new(UserId::new("bob").unwrap()), "phone", ListChange::Begin(keys("phone")));
        assert_eq!(other.append(&SERVICE, &begin), Err(InvalidEntry::Signature { number: 1 }));
    }

    #[test]
    fn two_listed_devices_cannot_share_a_key() {
        let mut list = begun("phone");
        for shared in [
            ListedKeys { key: keys("phone").key, ..keys("tablet") },
            ListedKeys { signature_key: keys("phone").signature_key, ..keys("tablet") },
        ] {
            let card = DeviceCard { device: device("tablet"), keys: shared };
            let refused = append(&mut list, "phone", ListChange::Add(card));
            assert_eq!(refused, Err(InvalidEntry::Taken { device: device("tablet") }));
        }
    }

    #[test]
    fn a_device_sets_its_own_signature_key() {
        let mut list = begun("phone");
        append(&mut list, "phone", ListChange::SetSignatureKey(vec![5; 32].into())).unwrap();
        assert_eq!(list.get(&device("phone")).unwrap().signature_key, [5; 32]);
    }

    #[test]
    fn a_list_that_begins_again_removes_all_former_devices() {
        let mut list = begun("phone");
        append(&mut list, "phone", add("tablet")).unwrap();
        append(&mut list, "spare", ListChange::Begin(keys("spare"))).unwrap();
        assert_eq!((names(&list), list.begun()), (vec!["spare".to_owned()], 3));
        assert!(list.was_removed(&device("tablet")));
        let refused = append(&mut list, "tablet", ListChange::Remove(device("spare")));
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("tablet") }));
    }

    #[test]
    fn a_device_of_another_user_is_not_added() {
        let mut list = begun("phone");
        let eve = DeviceId::new("eve", "phone").unwrap();
        let card = DeviceCard { device: eve.clone(), keys: keys("eve") };
        assert_eq!(append(&mut list, "phone", ListChange::Add(card)), Err(InvalidEntry::OtherUser { device: eve }));
    }

    #[test]
    fn a_change_to_any_byte_of_an_entry_is_detected() {
        let list = begun("phone");
        let bytes = signed(&list, "phone", add("tablet")).encode();
        for at in 0..bytes.len() {
            for bit in [1, 128] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                let appended = ListEntry::decode(&changed).and_then(|entry| list.clone().append(&SERVICE, &entry));
                assert!(appended.is_err(), "byte {at}");
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(ListEntry::decode(&bytes[..length]), Err(InvalidEntry::Encoding));
        }
    }
}
