//! Operations on all devices of a user in a group.

use super::{
    Group,
    intent::Intent,
    leaves::{leaves_by_identity, leaves_of_user},
};
use crate::{
    KeyPackageBytes, PendingCommit, UserId, error::Error, identity::device_of_leaf, key_package, names::Timestamp,
};

impl Group<'_> {
    /// Adds a user with all devices of these key packages, in one commit. Get one key package for
    /// each of the user's devices. The call skips devices that are already in the group, so it can
    /// also add missing devices later.
    ///
    /// # Errors
    /// [`Error::OtherUser`] if a key package belongs to another user's device;
    /// [`Error::NothingToCommit`] if all of the devices are already in the group; otherwise as for
    /// [`add`](Self::add).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, UserId,
    /// #     default_crypto,
    /// # };
    /// # fn device(user: &str, name: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, name).expect("short names");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let mut alice = device("alice", "phone")?;
    /// # let (mut phone, mut laptop) = (device("bob", "phone")?, device("bob", "laptop")?);
    /// // The delivery service hands out one key package for each device of Bob's.
    /// let of_bob =
    ///     [phone.key_packages(1, now)?.remove(0), laptop.key_packages(1, now)?.remove(0)];
    ///
    /// let mut chat = alice.create_group(GroupId::new("chat")?, now)?;
    /// let pending = chat.add_user(&UserId::new("bob")?, &of_bob, now)?;
    ///
    /// assert_eq!(pending.added().count(), 2);
    /// alice.confirm(pending, now)?;
    /// let pending = alice.group(&GroupId::new("chat")?)?.remove_user(&UserId::new("bob")?)?;
    /// assert_eq!(pending.removed().count(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn add_user(
        &mut self,
        user: &UserId,
        key_packages: &[KeyPackageBytes],
        now: Timestamp,
    ) -> Result<PendingCommit, Error> {
        self.intend(|call, group| {
            let members = leaves_by_identity(&group.mls);
            let mut missing = Vec::new();
            for key_package in key_package::verify_all(&call.crypto, key_packages, now)? {
                let device = device_of_leaf(key_package.leaf_node())?;
                if device.user() != user {
                    return Err(Error::OtherUser { device, user: user.clone() });
                }
                if !members.contains_key(device.to_identity().as_slice()) {
                    missing.push(key_package);
                }
            }
            Ok(Intent::Add(missing))
        })
    }

    /// Removes a user: all devices that the user has in the group when the commit is created. If
    /// the commit loses a race, the next one also removes devices of the user that were added
    /// meanwhile. The commit does not include other members' proposals to add devices of the user.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] if no device of the user is in the group; [`Error::OwnRemoval`] if
    /// the user is this device's user; [`Error::Refused`] if the application does not
    /// [permit](crate::Authenticate::may) the removal; [`Error::CommitPending`].
    pub fn remove_user(&mut self, user: &UserId) -> Result<PendingCommit, Error> {
        let own = self.client.device.clone();
        self.intend(|_, group| {
            if own.user() == user {
                return Err(Error::OwnRemoval);
            }
            if leaves_of_user(&group.mls, user)?.is_empty() {
                return Err(Error::UnknownUser { user: user.clone() });
            }
            Ok(Intent::RemoveUser(user.clone()))
        })
    }
}
