//! What was received and perhaps not kept by the application: it is stored until the application says that it has it.

use super::Client;
use crate::{
    error::Error,
    event::Received,
    group::record::{RecordOf, memberships},
    storage::{Kind, Scope},
};

/// Whether something is stored that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// The last call has returned it. The next one takes its being called as the application's word that it has it.
    Returned,
    /// A client that this one is the successor of has returned it, or died before it could.
    Inherited,
}

impl Client {
    /// What the last call that received has returned, if that has not been [acknowledged](Self::acknowledge) since: after
    /// a restart, what the application has perhaps not kept. (Messages that meant nothing are not among it.)
    ///
    /// A message may be here that the application did keep, if the process died before it could say so. It is told by its
    /// [identifier](Received::id).
    ///
    /// # Errors
    /// [`Error::Storage`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// # let open = |store: &MemoryStore| Client::open(Arc::new(store.clone()), default_crypto(), Policy::default());
    /// # fn device(store: &MemoryStore, user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(store.clone()), default_crypto(), id, Policy::default())
    /// # }
    /// # let store = MemoryStore::new();
    /// # let (mut alice, mut bob) = (device(&MemoryStore::new(), "alice")?, device(&store, "bob")?);
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
    ///     // keep it, unless it is there already: `received.id` tells
    /// #   assert!(matches!(received.event, regrow_engine::Event::Message(_)));
    /// }
    /// bob.acknowledge()?;
    /// # assert!(bob.unacknowledged()?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn unacknowledged(&self) -> Result<Vec<Received>, Error> {
        Ok(self.records()?.get(&Scope::Device.key(Kind::Inbox), Kind::Inbox)?.unwrap_or_default())
    }

    /// The application has kept, or needs no longer, what was received: it is erased from the store. The next call that
    /// receives says as much, so that this is for when none is expected soon: until then, a thief of the device can read
    /// what came last.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn acknowledge(&mut self) -> Result<(), Error> {
        self.refuse_if_locked()?;
        if self.news != News::None {
            let call = self.call(Scope::Device)?;
            call.records.delete(Scope::Device.key(Kind::Inbox));
            self.apply(call)?;
            self.news = News::None;
        }
        Ok(())
    }

    /// Says that this device's storage was put back to an earlier state, or copied, as far as the application can tell:
    /// see [`SqliteStore::openings`](crate::SqliteStore::openings). In none of its groups anything is made from here on
    /// before it has [rejoined](Self::join_external): it would use keys again that it has used.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn rolled_back(&mut self) -> Result<(), Error> {
        let call = self.call(Scope::Device)?;
        for (scope, mut membership) in memberships(&call.records)? {
            membership.rolled_back = true;
            call.records.put(scope.key(Kind::Group), Kind::Group, &RecordOf::Member(membership))?;
        }
        self.apply(call)?;
        self.groups.clear();
        Ok(())
    }
}
