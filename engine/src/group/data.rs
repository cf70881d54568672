//! Group data: reading it, and the intent to set it.

use super::{
    Group, PendingCommit,
    data_extension::{fits, is_supported, of},
    intent::Intent,
};
use crate::error::Error;

impl Group<'_> {
    /// Returns the group data of this group. It is empty until it is [set](Self::set_data). All
    /// members of an epoch have the same data.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn data(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |_, group| Ok(of(group.mls.extensions())?.to_vec()))
    }

    /// Sets the group data of this group, in one commit (RFC 9420, 12.1.7). Examples are the
    /// group's name, its settings, or its administrator. Every member learns the change by
    /// [`Change::Data`](crate::Change::Data), and later members get the data when they join. The
    /// intent survives lost races. Of several such intents, the last one counts.
    ///
    /// The group data is authentic: a member has set it, and was
    /// [permitted](crate::Authenticate::may) to do so. It is **not secret**. The delivery service
    /// of an [assisted](crate::HandshakeMode::Assisted) group can read it. In both modes, everyone
    /// with a group info can read it. Encrypt secret data with a key that is valid for longer than
    /// the epoch.
    ///
    /// # Errors
    /// [`Refusal::DataLength`](crate::Refusal::DataLength) if the data is longer than
    /// [`MAX_GROUP_DATA_BYTES`](crate::MAX_GROUP_DATA_BYTES);
    /// [`Error::DataUnsupported`] if the group was created without support for group data;
    /// [`Error::Refused`] if the application does not permit the change; [`Error::CommitPending`].
    /// [`Error::NothingToCommit`] if the group already has this data. (Then an open intent for
    /// other data is still stored: [`abandon`](Self::abandon) it.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Change, Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp,
    /// #     default_crypto,
    /// # };
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// # let store = Arc::new(MemoryStore::new());
    /// # let mut alice = Client::create(store, default_crypto(), id, Policy::default())?;
    /// let mut chat = alice.create_group(GroupId::new("chat")?, now)?;
    ///
    /// let pending = chat.set_data(b"name: The chess club")?;
    ///
    /// let change = alice.confirm(pending, now)?;
    /// assert_eq!(change.changes, [Change::Data(b"name: The chess club".to_vec())]);
    /// assert_eq!(alice.group(&GroupId::new("chat")?)?.data()?, b"name: The chess club");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn set_data(&mut self, data: &[u8]) -> Result<PendingCommit, Error> {
        self.intend(|_, group| {
            fits(data)?;
            if !is_supported(&group.mls) {
                return Err(Error::DataUnsupported);
            }
            Ok(Intent::Data(data.to_vec()))
        })
    }
}
