//! What comes from the delivery service, given to the groups that it is of: one message, or many in one batch.
//!
//! What came of it is stored with what it changed, until the application says that it has it. A process that dies in
//! between loses nothing, although the keys are gone by which it could be read again.

use std::{collections::BTreeMap, sync::Arc};

use openmls::prelude::{MlsMessageBodyIn, ProtocolMessage};

use super::{Client, inbox::News, loaded::Loaded, other_kind, parse};
use crate::{
    DeviceId, Policy,
    error::Error,
    event::{Event, Received},
    group::{GroupState, external, receive::Incoming},
    names::{self, GroupId, MessageId, Timestamp},
    provider::Call,
    storage::{Kind, Scope, StorageError},
};

impl Client {
    /// Processes one message from the delivery service: an application message, a proposal or a commit. Own messages
    /// that come back are known again; an own commit that comes back is thereby confirmed. `now` is remembered for the
    /// leaves that get new keys: see [`Group::due`](crate::Group::due).
    ///
    /// What it meant is kept in the store as well, until the next call that receives, or until it is
    /// [acknowledged](Self::acknowledge): keep what the application needs of it before that.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are no such message; [`Error::UnknownGroup`] and [`Error::Removed`] if the
    /// group is none of this device's; [`Error::FutureEpoch`] if something before it is missing; [`Error::Invalid`] if
    /// it is forged or damaged; [`Error::Refused`] if it is authentic and not acceptable; [`Error::Unacknowledged`].
    /// Nothing has changed then.
    pub fn receive(&mut self, bytes: &[u8], now: Timestamp) -> Result<Received, Error> {
        self.receive_with(now, |inbox| inbox.receive(bytes))?
    }

    /// Processes many messages, as [`receive`](Self::receive) does one after the other, and writes once: what a device
    /// that was away does to catch up. They may be of several groups and epochs. What came of them is kept as with a
    /// single message: until the next call, or until it is [acknowledged](Self::acknowledge).
    ///
    /// Each message counts or fails by itself: the results are in the messages' order, and one that failed has changed
    /// nothing and keeps none of the others from being processed. All bytes and all texts are in memory at once, so
    /// fetch and process a page of some hundred at a time.
    ///
    /// # Errors
    /// [`Error::Storage`] if the store fails; [`Error::Unacknowledged`]. Then none of the messages has been processed, and
    /// all can be given again.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Client, DeviceId, Error, Event, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
    /// # fn device(user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// # let (mut alice, mut bob) = (device("alice")?, device("bob")?);
    /// # let chat = GroupId::new("chat")?;
    /// # let key_packages = bob.key_packages(1, now)?;
    /// # let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
    /// # alice.confirm(pending, now)?;
    /// # bob.join(&welcome, now)?;
    /// let page = [alice.group(&chat)?.send(b"one")?, b"rubbish".to_vec(), alice.group(&chat)?.send(b"two")?];
    ///
    /// let results = bob.receive_all(&page, now)?;
    ///
    /// let texts = results.iter().flatten().filter_map(|received| match &received.event {
    ///     Event::Message(message) => Some(&message.text[..]),
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

    /// Runs a call that receives. It reaches the store as one batch; if that fails, the groups are as they were.
    fn receive_with<T>(
        &mut self,
        now: Timestamp,
        act: impl FnOnce(&mut Inbox<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.used(now)?;
        if self.news == News::Inherited {
            return Err(Error::Unacknowledged);
        }
        let store = Arc::clone(&self.store);
        let mut inbox = Inbox {
            call: self.call_over(&*store, Scope::Device)?,
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

/// A call that receives: the groups that it has touched, and what it has written.
struct Inbox<'c> {
    call: Call<'c>,
    device: &'c DeviceId,
    policy: &'c Policy,
    /// The groups in memory that are as the store has them. One that is touched leaves them.
    stored: &'c mut Loaded,
    /// The groups that are as the store will have them once the call is applied.
    ahead: BTreeMap<GroupId, GroupState>,
    /// What the call will return, as far as it is worth keeping.
    news: Vec<Received>,
    now: Timestamp,
}

impl Inbox<'_> {
    /// Stores what the call will return in place of what the last one has returned.
    fn keep_news(&self, last: News) -> Result<News, Error> {
        let key = Scope::Device.key(Kind::Inbox);
        if !self.news.is_empty() {
            self.call.records.put(key, Kind::Inbox, &self.news)?;
            return Ok(News::Returned);
        }
        if last != News::None {
            self.call.records.delete(key);
        }
        Ok(News::None)
    }

    /// Processes one message, which counts or has not been. The error outside is the store's: it ends the call.
    fn receive(&mut self, bytes: &[u8]) -> Result<Result<Received, Error>, Error> {
        let result = self.process(bytes);
        let records = &self.call.records;
        // Where OpenMLS hides that the store failed, the store's own word is given.
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
                (group, Event::Commit(change))
            }
            _ => {
                self.call.records.enter(Scope::Group(group_id.clone()));
                let mut group = match touched {
                    Some(group) => group,
                    None => GroupState::load(&self.call, &group_id)?,
                };
                let incoming = Incoming { id, bytes, message };
                let event = group.receive(&self.call, self.device, self.policy, self.now, incoming)?;
                (group, event)
            }
        };
        let outcome = group.finish(&self.call)?;
        if outcome.removed.is_none() && !outcome.reload {
            self.ahead.insert(group_id.clone(), group);
        }
        Ok(Received { group: group_id, id, event })
    }
}
