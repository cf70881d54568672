//! Compares the group states of two members, to detect a fork of the group.
//!
//! If a delivery service sends different commits of one epoch to different members, the group
//! splits. Each part continues by itself and cannot read the other part. Members detect this when
//! they compare, over another channel, a value that only members in the same state share.

use super::{Group, history::Agreement};
use crate::{
    error::Error,
    names::{Epoch, EpochAuthenticator},
};

impl Group<'_> {
    /// Compares an epoch with another member. `theirs` is the [epoch
    /// authenticator](Self::epoch_authenticator) that the other member has shown for that epoch
    /// (RFC 9420, 8.7).
    ///
    /// The value must come over a channel that the delivery service does not control: another
    /// group, a call, or a scanned code. Within the group itself, a member in another fork cannot
    /// be heard.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Agreement, Client, DeviceId, EpochAuthenticator, Error, GroupId, MemoryStore, Policy,
    /// #     Timestamp, default_crypto,
    /// # };
    /// # fn device(user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let (mut alice, mut bob) = (device("alice")?, device("bob")?);
    /// # let chat = GroupId::new("chat")?;
    /// # let key_packages = bob.key_packages(1, now)?;
    /// # let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
    /// # alice.confirm(pending, now)?;
    /// # bob.join(&welcome, now)?;
    /// let epoch = bob.group(&chat)?.epoch()?;
    /// let shown = bob.group(&chat)?.epoch_authenticator()?;
    /// // Bob has sent both values to Alice over another channel.
    /// let theirs = EpochAuthenticator::from_bytes(shown.as_bytes());
    /// assert_eq!(alice.group(&chat)?.agreement(epoch, &theirs)?, Agreement::Same);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn agreement(&mut self, epoch: Epoch, theirs: &EpochAuthenticator) -> Result<Agreement, Error> {
        self.client.with_group(&self.id, |_, group| Ok(group.member_state().history.agreement(epoch, theirs)))
    }
}
