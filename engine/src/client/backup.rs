//! Creates the backup of a device, and restores a new device from a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Client;
use crate::{
    Backup, CryptoProvider, DeviceId, Policy,
    backup::BackupContent,
    error::Error,
    group::{record::member_states, rejoin},
    names::GroupId,
    storage::{RecordScope, Store},
    verification::VerifiedUser,
};

impl Client {
    /// Creates a backup of this device, sealed under a passphrase.
    ///
    /// The backup has the device's name, its groups, the users that its user has verified, and the
    /// application's `archive`, for example the messages. It has no key of a group and no
    /// signature key. Therefore a reader of the backup cannot read the groups' messages and cannot
    /// send in the device's name. Never keep a copy of the device's store as a backup: from an
    /// older copy the device would use the same keys again.
    ///
    /// An attacker with the backup can try passphrases. Each try costs one Argon2id computation
    /// with 64 MiB, so ask the user for a strong passphrase. The length of the backup reveals the
    /// length of the archive and of the names in it. If that length is secret, pad the archive
    /// first.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Crypto`] if the randomness fails.
    pub fn backup(&self, archive: &[u8], passphrase: &str) -> Result<Vec<u8>, Error> {
        let records = self.records()?;
        let mut groups: BTreeMap<GroupId, BTreeSet<DeviceId>> = rejoin::all(&records)?;
        for (scope, membership) in member_states(&records)? {
            let (RecordScope::Group(id) | RecordScope::Joining(id)) = scope else { continue };
            groups.entry(id).or_default().extend(rejoin::still_to_remove(&membership, &self.device));
        }
        for replaced in groups.values_mut() {
            replaced.insert(self.device.clone());
        }
        let content = BackupContent { device: self.device.clone(), groups, verified: VerifiedUser::all(&records)? };
        content.seal(archive, passphrase, &self.crypto)
    }

    /// Creates a new device in an empty store, which replaces the device of the backup.
    ///
    /// The new device belongs to the same user, and has another name and its own signature key.
    /// The backup's verified users are still verified.
    ///
    /// The new device is in no group yet. It stores the list of [groups to
    /// rejoin](Self::groups_to_rejoin), and for each group the former device that must be removed
    /// from it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use regrow_engine::{
    ///     Backup, Client, DeviceId, GroupId, MemoryStore, Outgoing, Policy, default_crypto,
    /// };
    /// # use regrow_engine::Timestamp;
    ///
    /// # fn device(name: DeviceId) -> Result<Client, regrow_engine::Error> {
    /// #     let store = Arc::new(MemoryStore::new());
    /// #     Client::create(store, default_crypto(), name, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    /// # let chat = GroupId::new("chat")?;
    /// # let mut alice = device(DeviceId::new("alice", "phone")?)?;
    /// # let mut bob = device(DeviceId::new("bob", "phone")?)?;
    /// # let key_packages = alice.key_packages(1, now)?;
    /// # let pending = bob.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().ok_or("nobody is added")?.to_vec();
    /// # bob.confirm(pending, now)?;
    /// # alice.join(&welcome, now)?;
    /// let bytes = alice.backup(b"what was said", "correct horse battery staple")?;
    /// drop(alice); // Her phone is lost.
    ///
    /// let backup = Backup::open(&bytes, "correct horse battery staple")?;
    /// assert_eq!(backup.archive(), b"what was said");
    /// let (store, name) = (Arc::new(MemoryStore::new()), DeviceId::new("alice", "new phone")?);
    /// let policy = Policy::default();
    /// let mut alice = Client::restore(store, default_crypto(), name, policy, &backup)?;
    ///
    /// for group in alice.groups_to_rejoin()? {
    ///     let group_info = bob.group(&group)?.group_info()?; // The delivery service has it.
    ///     let pending = alice.join_external(&group_info)?;
    ///     # bob.receive(pending.commit(), now)?;
    ///     let change = alice.confirm(pending, now)?;
    ///     // Her old phone is still a member.
    ///     assert!(change.resume);
    ///     let Some(Outgoing::Commit(removal)) = alice.group(&group)?.resume()? else {
    ///         unreachable!()
    ///     };
    ///     # bob.receive(removal.commit(), now)?;
    ///     alice.confirm(removal, now)?;
    /// }
    /// assert_eq!(bob.group(&chat)?.roster()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotASuccessor`] if `device` belongs to another user, or has the name of a device
    /// that it replaces; otherwise as for [`create`](Self::create).
    pub fn restore(
        store: Arc<dyn Store>,
        crypto: Arc<dyn CryptoProvider>,
        device: DeviceId,
        policy: Policy,
        backup: &Backup,
    ) -> Result<Self, Error> {
        let BackupContent { device: former, groups, verified } = &backup.content;
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

    /// Returns the groups from the [restored](Self::restore) backup that this device has not yet
    /// rejoined.
    ///
    /// For each group, get the current group info and [join](Self::join_external) by external
    /// commit. When that commit is confirmed, call [`resume`](crate::Group::resume), which removes
    /// the former device. If another member [adds](Self::join) this device to a group, call
    /// [`resume`](crate::Group::resume) in the same way. If the user no longer wants a group,
    /// [forget](Self::forget) it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn groups_to_rejoin(&self) -> Result<Vec<GroupId>, Error> {
        Ok(rejoin::all(&self.records()?)?.into_keys().collect())
    }
}
