//! Received events that the application has perhaps not stored. The engine stores them until the
//! application acknowledges them.

use super::{Client, news::News};
use crate::{
    error::Error,
    event::Received,
    group::record::{RecordOf, member_states},
    storage::{RecordKind, RecordScope},
};

impl Client {
    /// Returns the events of the last call that received, if they have not been
    /// [acknowledged](Self::acknowledge). After a restart these are the events that the
    /// application has perhaps not stored. (Messages without any effect are not among them.)
    ///
    /// The application may already have stored some of these events, if the process died before it
    /// acknowledged them. Compare their [identifiers](Received::id).
    ///
    /// # Errors
    /// [`Error::Storage`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, default_crypto,
    /// # };
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let open = |store: &MemoryStore| {
    /// #     Client::open(Arc::new(store.clone()), default_crypto(), Policy::default())
    /// # };
    /// # fn device(store: &MemoryStore, user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(store.clone()), default_crypto(), id, Policy::default())
    /// # }
    /// # let store = MemoryStore::new();
    /// # let mut alice = device(&MemoryStore::new(), "alice")?;
    /// # let mut bob = device(&store, "bob")?;
    /// # let chat = GroupId::new("chat")?;
    /// # let key_packages = bob.key_packages(1, now)?;
    /// # let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
    /// # alice.confirm(pending, now)?;
    /// # bob.join(&welcome, now)?;
    /// bob.receive(&alice.group(&chat)?.send(b"hello")?, now)?;
    /// // The process dies here, before anything is shown. After the restart:
    /// let mut bob = open(&store)?;
    /// for received in bob.unacknowledged()? {
    ///     // Store the event, unless the application already has `received.id`.
    /// #   assert!(matches!(received.event, regrow_engine::ReceivedEvent::Message(_)));
    /// }
    /// bob.acknowledge()?;
    /// # assert!(bob.unacknowledged()?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn unacknowledged(&self) -> Result<Vec<Received>, Error> {
        Ok(self.records()?.get(&RecordScope::Device.key(RecordKind::Inbox), RecordKind::Inbox)?.unwrap_or_default())
    }

    /// Acknowledges the received events: the application has stored them, or does not need them.
    /// They are erased from the store.
    ///
    /// The next call that receives acknowledges them too. Use this function when the application
    /// expects no further call soon. Until then a thief of the device can read the last received
    /// texts.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn acknowledge(&mut self) -> Result<(), Error> {
        self.refuse_if_locked()?;
        if self.news != News::None {
            let call = self.call(RecordScope::Device)?;
            call.records.delete(RecordScope::Device.key(RecordKind::Inbox));
            self.apply(call)?;
            self.news = News::None;
        }
        Ok(())
    }

    /// Marks this device's storage as a restored older state or as a copy, if the application has
    /// detected that: see [`SqliteStore::openings`](crate::SqliteStore::openings). From then on
    /// this device creates no message, proposal or commit in a group until it has
    /// [rejoined](Self::join_external) the group. Otherwise it would use the same keys again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn storage_restored(&mut self) -> Result<(), Error> {
        let call = self.call(RecordScope::Device)?;
        for (scope, mut membership) in member_states(&call.records)? {
            membership.storage_restored = true;
            call.records.put(scope.key(RecordKind::Group), RecordKind::Group, &RecordOf::Member(membership))?;
        }
        self.apply(call)?;
        self.groups.clear();
        Ok(())
    }
}
