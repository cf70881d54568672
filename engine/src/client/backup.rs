//! Backing up a device, and a new device that takes its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Client;
use crate::{
    Backup, CryptoProvider, DeviceId, Policy,
    backup::Content,
    error::Error,
    group::{record::memberships, rejoin},
    names::GroupId,
    storage::{Scope, Store},
    verification::VerifiedUser,
};

impl Client {
    /// A backup of this device, sealed under a passphrase: who it is, which groups it is in, whom its user has verified,
    /// and what the application wants kept, such as the messages. It holds no key of a group and no signature key, and so
    /// can neither read nor speak in the device's place. To keep an older copy of the device's store instead would
    /// make it use keys again that it has used.
    ///
    /// Whoever has it can try passphrases, each at the cost of Argon2id with 64 MiB: ask for a good one. It is as long as
    /// the archive and the names in it: what is not to be told by that has to be padded before.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Crypto`] without randomness.
    pub fn backup(&self, archive: &[u8], passphrase: &str) -> Result<Vec<u8>, Error> {
        let records = self.records()?;
        let mut groups: BTreeMap<GroupId, BTreeSet<DeviceId>> = rejoin::all(&records)?;
        for (scope, membership) in memberships(&records)? {
            let (Scope::Group(id) | Scope::Joining(id)) = scope else { continue };
            groups.entry(id).or_default().extend(rejoin::still_to_remove(&membership, &self.device));
        }
        for replaced in groups.values_mut() {
            replaced.insert(self.device.clone());
        }
        let content = Content { device: self.device.clone(), groups, verified: VerifiedUser::all(&records)? };
        content.seal(archive, passphrase, &self.crypto)
    }

    /// Makes a new device in an empty store, in the place of the one that the backup is of: of the same user, under a name
    /// of its own, with its own signature key. The users that were verified are.
    ///
    /// It is in no group yet. Which ones [are to be rejoined](Self::groups_to_rejoin) is remembered, and that the former
    /// device is to be removed from them.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use regrow_engine::{Backup, Client, DeviceId, GroupId, MemoryStore, Outgoing, Policy, default_crypto};
    /// # use regrow_engine::Timestamp;
    ///
    /// # fn device(name: DeviceId) -> Result<Client, regrow_engine::Error> {
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), name, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    /// # let chat = GroupId::new("chat")?;
    /// # let (mut alice, mut bob) = (device(DeviceId::new("alice", "phone")?)?, device(DeviceId::new("bob", "phone")?)?);
    /// # let pending = bob.create_group(chat.clone(), now)?.add(&alice.key_packages(1, now)?, now)?;
    /// # let welcome = pending.welcome().ok_or("nobody is added")?.to_vec();
    /// # bob.confirm(pending, now)?;
    /// # alice.join(&welcome, now)?;
    /// let bytes = alice.backup(b"what was said", "correct horse battery staple")?;
    /// drop(alice); // Her phone is lost.
    ///
    /// let backup = Backup::open(&bytes, "correct horse battery staple")?;
    /// assert_eq!(backup.archive(), b"what was said");
    /// let (store, name) = (Arc::new(MemoryStore::new()), DeviceId::new("alice", "new phone")?);
    /// let mut alice = Client::restore(store, default_crypto(), name, Policy::default(), &backup)?;
    ///
    /// for group in alice.groups_to_rejoin()? {
    ///     let group_info = bob.group(&group)?.group_info()?; // The delivery service has it.
    ///     let pending = alice.join_external(&group_info)?;
    ///     # bob.receive(pending.commit(), now)?;
    ///     let change = alice.confirm(pending, now)?;
    ///     // What was her phone is still a member.
    ///     assert!(change.resume);
    ///     let Some(Outgoing::Commit(removal)) = alice.group(&group)?.resume()? else { unreachable!() };
    ///     # bob.receive(removal.commit(), now)?;
    ///     alice.confirm(removal, now)?;
    /// }
    /// assert_eq!(bob.group(&chat)?.roster()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotASuccessor`] if `device` is of another user, or has the name of one that it replaces; otherwise as
    /// [`create`](Self::create).
    pub fn restore(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
        backup: &Backup,
    ) -> Result<Self, Error> {
        let Content { device: former, groups, verified } = &backup.content;
        let replaced = |replaced: &BTreeSet<DeviceId>| replaced.contains(&device);
        if device.user() != former.user() || device == *former || groups.values().any(replaced) {
            return Err(Error::NotASuccessor { device, of: former.clone() });
        }
        Self::make(store, crypto, device, policy, |records| {
            for (group, replaced) in groups {
                rejoin::remember(records, group, replaced)?;
            }
            for (user, keys) in verified {
                VerifiedUser::remember(records, user, keys.clone())?;
            }
            Ok(())
        })
    }

    /// The groups of the device that this one was [restored](Self::restore) from, as long as it is not in them: get each
    /// one's current group info, [join](Self::join_external), and once that is confirmed [resume](crate::Group::resume),
    /// which removes the former device. A group in which somebody else [adds](Self::join) this device is resumed as
    /// well. One that is not wanted any more can be [forgotten](Self::forget).
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn groups_to_rejoin(&self) -> Result<Vec<GroupId>, Error> {
        Ok(rejoin::all(&self.records()?)?.into_keys().collect())
    }
}
