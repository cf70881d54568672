//! Processes the messages of the delivery service: one message, or many in one batch.
//!
//! The store keeps the resulting events together with the changed records, until the application
//! acknowledges the events. If the process dies before that, no event is lost, although the keys
//! to decrypt its message again are erased.

use std::{collections::BTreeMap, sync::Arc};

use openmls::prelude::{MlsMessageBodyIn, ProtocolMessage};

use super::{Client, loaded::Loaded, news::News};
use crate::{
    DeviceId, Policy,
    call::EngineCall,
    error::Error,
    event::{Received, ReceivedEvent},
    group::{GroupState, external, receive::Incoming},
    mls_message::{other_kind, parse},
    names::{self, GroupId, MessageId, Timestamp},
    storage::{RecordKind, RecordScope, StorageError},
};

impl Client {
    /// Processes one message from the delivery service: an application message, a proposal or a
    /// commit. The engine recognizes this device's own messages when they come back. A pending
    /// commit of this device that comes back is thereby confirmed. The engine stores `now` for the
    /// leaves that get new keys: see [`Group::due`](crate::Group::due).
    ///
    /// The store keeps the returned event until the next call that receives, or until it is
    /// [acknowledged](Self::acknowledge). Before that, store in the application all parts of the
    /// event that it needs later.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not such a message; [`Error::UnknownGroup`] and
    /// [`Error::Removed`] if this device is not in the group; [`Error::FutureEpoch`] if an earlier
    /// message is missing; [`Error::Invalid`] if the message is forged or damaged;
    /// [`Error::Refused`] if the message is authentic but not acceptable;
    /// [`Error::Unacknowledged`]. After an error nothing has changed.
    pub fn receive(&mut self, bytes: &[u8], now: Timestamp) -> Result<Received, Error> {
        self.receive_with(now, |inbox| inbox.receive(bytes))?
    }

    /// Processes many messages in their order, as [`receive`](Self::receive) does, and writes to
    /// the store once. A device that was offline catches up with it. The messages may belong to
    /// several groups and epochs. The store keeps the events as for a single message: until the
    /// next call that receives, or until they are [acknowledged](Self::acknowledge).
    ///
    /// Each message succeeds or fails by itself, and the results are in the order of the messages.
    /// A failed message changes nothing and does not prevent the processing of the others. All
    /// bytes and all texts are in memory at once, so fetch and process pages of some hundred
    /// messages.
    ///
    /// # Errors
    /// [`Error::Storage`] if the store fails; [`Error::Unacknowledged`]. After either error no
    /// message has been processed, and all can be passed again.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Client, DeviceId, Error, ReceivedEvent, GroupId, MemoryStore, Policy, Timestamp,
    /// #     default_crypto,
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
    /// let (one, two) = (alice.group(&chat)?.send(b"one")?, alice.group(&chat)?.send(b"two")?);
    /// let page = [one, b"rubbish".to_vec(), two];
    ///
    /// let results = bob.receive_all(&page, now)?;
    ///
    /// let texts = results.iter().flatten().filter_map(|received| match &received.event {
    ///     ReceivedEvent::Message(message) => Some(&message.text[..]),
    ///     _ => None,
    /// });
    /// assert!(texts.eq([b"one", b"two"]));
    /// assert!(matches!(results[1], Err(Error::Malformed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn receive_all(
        &mut self,
        messages: &[impl AsRef<[u8]>],
        now: Timestamp,
    ) -> Result<Vec<Result<Received, Error>>, Error> {
        self.receive_with(now, |inbox| messages.iter().map(|bytes| inbox.receive(bytes.as_ref())).collect())
    }

    /// Runs a call that receives. Its writes reach the store as one batch. If that fails, the
    /// groups are unchanged.
    fn receive_with<T>(
        &mut self,
        now: Timestamp,
        act: impl FnOnce(&mut ReceivingCall<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.used(now)?;
        if self.news == News::Inherited {
            return Err(Error::Unacknowledged);
        }
        let store = Arc::clone(&self.store);
        let mut inbox = ReceivingCall {
            call: self.call_over(&*store, RecordScope::Device)?,
            device: &self.device,
            policy: &self.policy,
            stored: &mut self.groups,
            ahead: BTreeMap::new(),
            news: Vec::new(),
            now,
        };
        let value = act(&mut inbox)?;
        let news = inbox.keep_news(self.news)?;
        let (batch, ahead) = (inbox.call.records.into_batch(), inbox.ahead);
        self.write(batch)?;
        self.news = news;
        self.groups.extend(ahead);
        Ok(value)
    }
}

/// A call that receives: the changed groups and the collected writes.
struct ReceivingCall<'c> {
    call: EngineCall<'c>,
    device: &'c DeviceId,
    policy: &'c Policy,
    /// The groups in memory whose state agrees with the store. A group leaves this map when the
    /// call changes it.
    stored: &'c mut Loaded,
    /// The changed groups. Their state agrees with the store once the call's writes are applied.
    ahead: BTreeMap<GroupId, GroupState>,
    /// The events of the call that the store keeps for the application.
    news: Vec<Received>,
    now: Timestamp,
}

impl ReceivingCall<'_> {
    /// Stores the events of this call and deletes the events of the last call.
    fn keep_news(&self, last: News) -> Result<News, Error> {
        let key = RecordScope::Device.key(RecordKind::Inbox);
        if !self.news.is_empty() {
            self.call.records.put(key, RecordKind::Inbox, &self.news)?;
            return Ok(News::Returned);
        }
        if last != News::None {
            self.call.records.delete(key);
        }
        Ok(News::None)
    }

    /// Processes one message as a whole or not at all. The outer error is a failure of the store,
    /// which ends the call.
    fn receive(&mut self, bytes: &[u8]) -> Result<Result<Received, Error>, Error> {
        let result = self.process(bytes);
        let records = &self.call.records;
        // If OpenMLS hides a storage failure behind another error, this takes the storage failure.
        match result.map_err(|error| records.failure().map_or(error, Error::from)) {
            Ok(received) => {
                records.settle();
                if received.event.is_news() {
                    self.news.push(received.clone());
                }
                Ok(Ok(received))
            }
            Err(Error::Locked) => Err(Error::Locked),
            Err(Error::Storage(StorageError::Store(error))) => Err(StorageError::from(error).into()),
            Err(error) => {
                records.undo();
                Ok(Err(error))
            }
        }
    }

    fn process(&mut self, bytes: &[u8]) -> Result<Received, Error> {
        let message: ProtocolMessage = match parse(bytes, "a message to a group")? {
            MlsMessageBodyIn::PublicMessage(message) => message.into(),
            MlsMessageBodyIn::PrivateMessage(message) => message.into(),
            _ => return Err(other_kind("a message to a group")),
        };
        let (group_id, id) = (names::group_id(message.group_id())?, MessageId::of(bytes));
        let touched = self.ahead.remove(&group_id).or_else(|| self.stored.remove(&group_id));
        let (mut group, event) = match external::pending(&self.call, &group_id)? {
            Some(pending) if pending.id() == id => {
                let (group, change) = external::confirm(&self.call, &group_id, self.device, self.now)?;
                (group, ReceivedEvent::Commit(change))
            }
            _ => {
                self.call.records.enter(RecordScope::Group(group_id.clone()));
                let mut group = match touched {
                    Some(group) => group,
                    None => GroupState::load(&self.call, &group_id)?,
                };
                let incoming = Incoming { id, bytes, message };
                let event = group.receive(&self.call, self.device, self.policy, self.now, incoming)?;
                (group, event)
            }
        };
        let unsaved = group.finish(&self.call)?;
        if unsaved.removed.is_none() && !unsaved.reload {
            self.ahead.insert(group_id.clone(), group);
        }
        Ok(Received { group: group_id, id, event })
    }
}
