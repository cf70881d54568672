//! The list of a user's devices: a chain of entries, each signed by a device that the list has.
//!
//! A service stores the entries and hands them out. It cannot add a device, for it has no device's key; and it cannot
//! change or reorder entries, for each has the hash of the entry before it. A reader keeps the [`DeviceList`] that it has
//! computed, asks for the entries after it, and notices a service that shows another chain. A service can withhold new
//! entries.
//!
//! The first entry begins the list: its device vouches for itself. A list can begin anew, for a user who has lost all
//! devices. Nobody vouches for the new devices then, so that each reader has to accept them.

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
    entry::{Change, Entry, EntryHash, InvalidEntry},
};
use crate::{
    identity::{DeviceId, UserId},
    receipt::ServicePublicKey,
};

/// The most bytes of a public signature key in an entry. The largest key of a ciphersuite that Regrow knows, of
/// ML-DSA-87, has 2,592.
pub const MAX_SIGNATURE_KEY_BYTES: usize = 4096;

/// The most bytes of an encoded entry.
pub const MAX_ENTRY_BYTES: usize = 6 * 1024;

/// The public key (Ed25519) by which a device opens its sessions, and signs the entries of its user's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceKey(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl DeviceKey {
    /// Whether the holder of the key has signed these bytes.
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
    /// The key of the device's sessions and entries.
    pub key: DeviceKey,
    /// The public signature key in the device's key packages (RFC 9420, 5.1.1).
    pub signature_key: ByteBuf,
}

/// The list of a user's devices, as it follows from its entries.
///
/// ```
/// use ed25519_dalek::{Signer as _, SigningKey};
/// use regrow_protocol::{
///     DeviceId, ServicePublicKey,
///     device_list::{Change, DeviceCard, DeviceKey, DeviceList, ListedKeys},
/// };
///
/// let service = ServicePublicKey([1; 32]);
/// let (phone, tablet) = (DeviceId::new("bob", "phone")?, DeviceId::new("bob", "tablet")?);
/// let (phone_key, tablet_key) = (SigningKey::from_bytes(&[2; 32]), SigningKey::from_bytes(&[3; 32]));
/// let keys = |key: &SigningKey| ListedKeys {
///     key: DeviceKey(key.verifying_key().to_bytes()),
///     signature_key: key.verifying_key().to_bytes().to_vec().into(),
/// };
///
/// let mut list = DeviceList::new(phone.user().clone());
/// let begin = list.entry(&service, &phone, Change::Begin(keys(&phone_key)), |it| phone_key.sign(it).to_bytes());
/// list.append(&service, &begin)?;
/// let card = DeviceCard { device: tablet.clone(), keys: keys(&tablet_key) };
/// let add = list.entry(&service, &phone, Change::Add(card), |it| phone_key.sign(it).to_bytes());
/// list.append(&service, &add)?;
/// assert!(list.devices().map(|(device, _)| device).eq([phone.clone(), tablet]));
///
/// // Without the key of a listed device, nothing is added.
/// let ghost_key = SigningKey::from_bytes(&[4; 32]);
/// let ghost = DeviceCard { device: DeviceId::new("bob", "ghost")?, keys: keys(&ghost_key) };
/// let forged = list.entry(&service, &phone, Change::Add(ghost), |it| ghost_key.sign(it).to_bytes());
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
    /// The list without entries.
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

    /// The hash of the last entry: it stands for all entries up to that one.
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

    /// Whether the device was on the list, and is not any more.
    pub fn was_removed(&self, device: &DeviceId) -> bool {
        self.entry_of(device).is_some_and(Option::is_none)
    }

    fn entry_of(&self, device: &DeviceId) -> Option<&Option<ListedKeys>> {
        if device.user() == &self.user { self.devices.get(device.device()) } else { None }
    }

    /// The next entry, signed with the key of the device `by`. [`append`](Self::append) says whether it is valid.
    pub fn entry(
        &self,
        service: &ServicePublicKey,
        by: &DeviceId,
        change: Change,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Entry {
        let (number, previous) = (self.number.saturating_add(1), self.head);
        let mut entry = Entry { number, previous, by: by.device().to_owned(), change, signature: [0; 64] };
        entry.signature = sign(&entry.signed(service, &self.user));
        entry
    }

    /// Verifies an entry, and appends it.
    ///
    /// # Errors
    /// [`InvalidEntry`]. The list is as it was.
    pub fn append(&mut self, service: &ServicePublicKey, entry: &Entry) -> Result<(), InvalidEntry> {
        let Entry { number, previous, by, change, signature } = entry;
        let expected = self.number.saturating_add(1);
        if *number != expected {
            return Err(InvalidEntry::Number { expected, found: *number });
        }
        if *previous != self.head {
            return Err(InvalidEntry::Previous { number: *number });
        }
        let by = DeviceId::of(self.user.clone(), by).map_err(|_| InvalidEntry::Encoding)?;
        let key = match change {
            Change::Begin(keys) => keys.key,
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

    fn change(&mut self, by: &DeviceId, change: &Change) -> Result<(), InvalidEntry> {
        match change {
            Change::Begin(keys) => {
                if self.entry_of(by).is_some() {
                    return Err(InvalidEntry::Taken { device: by.clone() });
                }
                self.devices.values_mut().for_each(|listed| *listed = None);
                self.devices.insert(by.device().to_owned(), Some(keys.clone()));
                self.begun = self.number.saturating_add(1);
            }
            Change::Add(DeviceCard { device, keys }) => {
                if device.user() != &self.user {
                    return Err(InvalidEntry::OtherUser { device: device.clone() });
                }
                let is_shared =
                    |listed: &ListedKeys| listed.key == keys.key || listed.signature_key == keys.signature_key;
                if self.devices.values().flatten().any(is_shared) {
                    return Err(InvalidEntry::Taken { device: device.clone() });
                }
                match self.devices.entry(device.device().to_owned()) {
                    // A removed device does not come back under its name.
                    Slot::Occupied(_) => return Err(InvalidEntry::Taken { device: device.clone() }),
                    Slot::Vacant(slot) => _ = slot.insert(Some(keys.clone())),
                }
            }
            Change::Remove(device) => {
                let not_listed = || InvalidEntry::NotListed { device: device.clone() };
                self.get(device).ok_or_else(not_listed)?;
                self.devices.insert(device.device().to_owned(), None);
            }
            Change::SetSignatureKey(signature_key) => {
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

    fn add(name: &str) -> Change {
        Change::Add(DeviceCard { device: device(name), keys: keys(name) })
    }

    fn signed(list: &DeviceList, by: &str, change: Change) -> Entry {
        list.entry(&SERVICE, &device(by), change, |it| signing_key(by).sign(it).to_bytes())
    }

    fn append(list: &mut DeviceList, by: &str, change: Change) -> Result<(), InvalidEntry> {
        let entry = signed(list, by, change);
        let before = list.clone();
        // Every entry is appended as it was sent.
        let read = Entry::decode(&entry.encode())?;
        assert_eq!(read, entry);
        let result = list.append(&SERVICE, &read);
        assert!(result.is_ok() || *list == before, "a refused entry changes nothing");
        result
    }

    fn begun(by: &str) -> DeviceList {
        let mut list = DeviceList::new(device(by).user().clone());
        append(&mut list, by, Change::Begin(keys(by))).unwrap();
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
        append(&mut list, "laptop", Change::Remove(device("phone"))).unwrap();
        assert_eq!(names(&list), ["laptop", "tablet"]);
        assert!(list.was_removed(&device("phone")) && !list.was_removed(&device("other")));
        assert_eq!((list.number(), list.begun()), (4, 1));
        // A device may take itself from the list.
        append(&mut list, "tablet", Change::Remove(device("tablet"))).unwrap();
        assert_eq!(names(&list), ["laptop"]);
    }

    #[test]
    fn a_removed_device_signs_nothing_and_does_not_come_back() {
        let mut list = begun("phone");
        append(&mut list, "phone", add("laptop")).unwrap();
        append(&mut list, "phone", Change::Remove(device("laptop"))).unwrap();
        let refused = append(&mut list, "laptop", add("tablet"));
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("laptop") }));
        assert_eq!(append(&mut list, "phone", add("laptop")), Err(InvalidEntry::Taken { device: device("laptop") }));
        let again = append(&mut list, "laptop", Change::Begin(keys("laptop")));
        assert_eq!(again, Err(InvalidEntry::Taken { device: device("laptop") }));
    }

    #[test]
    fn nobody_adds_a_device_without_the_key_of_a_listed_one() {
        let list = begun("phone");
        let forged =
            list.entry(&SERVICE, &device("phone"), add("ghost"), |it| signing_key("ghost").sign(it).to_bytes());
        assert_eq!(list.clone().append(&SERVICE, &forged), Err(InvalidEntry::Signature { number: 2 }));
        let by_itself = signed(&list, "ghost", add("ghost"));
        let refused = list.clone().append(&SERVICE, &by_itself);
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("ghost") }));
    }

    #[test]
    fn an_entry_is_good_in_one_place_of_one_list_at_one_service() {
        let mut list = begun("phone");
        let entry = signed(&list, "phone", add("tablet"));
        let elsewhere = list.clone().append(&ServicePublicKey([8; 32]), &entry);
        assert_eq!(elsewhere, Err(InvalidEntry::Signature { number: 2 }));
        append(&mut list, "phone", add("laptop")).unwrap();
        assert_eq!(list.clone().append(&SERVICE, &entry), Err(InvalidEntry::Number { expected: 3, found: 2 }));
        let moved = Entry { number: 3, ..entry.clone() };
        assert_eq!(list.clone().append(&SERVICE, &moved), Err(InvalidEntry::Previous { number: 3 }));
        let moved = Entry { number: 3, previous: list.head(), ..entry };
        assert_eq!(list.clone().append(&SERVICE, &moved), Err(InvalidEntry::Signature { number: 3 }));
        // The same keys are of no use to another user's list.
        let mut other = DeviceList::new(UserId::new("eve").unwrap());
        let begin = signed(&DeviceList::new(UserId::new("bob").unwrap()), "phone", Change::Begin(keys("phone")));
        assert_eq!(other.append(&SERVICE, &begin), Err(InvalidEntry::Signature { number: 1 }));
    }

    #[test]
    fn a_device_shares_no_key_with_another() {
        let mut list = begun("phone");
        for shared in [
            ListedKeys { key: keys("phone").key, ..keys("tablet") },
            ListedKeys { signature_key: keys("phone").signature_key, ..keys("tablet") },
        ] {
            let card = DeviceCard { device: device("tablet"), keys: shared };
            let refused = append(&mut list, "phone", Change::Add(card));
            assert_eq!(refused, Err(InvalidEntry::Taken { device: device("tablet") }));
        }
    }

    #[test]
    fn a_device_sets_its_own_signature_key() {
        let mut list = begun("phone");
        append(&mut list, "phone", Change::SetSignatureKey(vec![5; 32].into())).unwrap();
        assert_eq!(list.get(&device("phone")).unwrap().signature_key, [5; 32]);
    }

    #[test]
    fn a_list_that_begins_anew_has_none_of_the_former_devices() {
        let mut list = begun("phone");
        append(&mut list, "phone", add("tablet")).unwrap();
        append(&mut list, "spare", Change::Begin(keys("spare"))).unwrap();
        assert_eq!((names(&list), list.begun()), (vec!["spare".to_owned()], 3));
        assert!(list.was_removed(&device("tablet")));
        let refused = append(&mut list, "tablet", Change::Remove(device("spare")));
        assert_eq!(refused, Err(InvalidEntry::NotListed { device: device("tablet") }));
    }

    #[test]
    fn a_device_of_another_user_is_not_added() {
        let mut list = begun("phone");
        let eve = DeviceId::new("eve", "phone").unwrap();
        let card = DeviceCard { device: eve.clone(), keys: keys("eve") };
        assert_eq!(append(&mut list, "phone", Change::Add(card)), Err(InvalidEntry::OtherUser { device: eve }));
    }

    #[test]
    fn every_changed_byte_of_an_entry_is_noticed() {
        let list = begun("phone");
        let bytes = signed(&list, "phone", add("tablet")).encode();
        for at in 0..bytes.len() {
            for bit in [1, 128] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                let appended = Entry::decode(&changed).and_then(|entry| list.clone().append(&SERVICE, &entry));
                assert!(appended.is_err(), "byte {at}");
            }
        }
        for length in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..length]), Err(InvalidEntry::Encoding));
        }
    }
}
