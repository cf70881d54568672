//! An engine's client and a service, kept in step.
//!
//! What is wanted is written down before the service is asked, and what the service says is taken in without a pause
//! between: so every call can be dropped while it waits, and nothing is half done. A call makes requests; `next_event` reads,
//! and does whatever is still to be done.

mod answers;
mod event;
mod kept;
mod outbox;
mod read;
mod step;
mod upkeep;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use regrow_engine::{Client, DeviceId, GroupId, Member, SafetyNumber, Timestamp, UserId};

use self::kept::{Account, Changes, GroupRecord};
pub use self::{
    event::{Event, Rejoin, Text, Wish},
    step::commit_request,
};
use super::{
    connection::{Connection, Server},
    error::{ConnectionError, Error},
    transport_key::TransportKey,
};
use crate::{
    Delivery,
    api::Admission,
    names::Cursor,
    receipt::{Equivocation, Receipt, ServicePublicKey},
};

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What an application chooses. [`Options::default`] suits a chat program.
#[derive(Clone)]
pub struct Options {
    /// How long [`next_event`](Messenger::next_event) lets the service wait for something to read, in one request.
    /// Default 30 s.
    pub wait: Duration,
    /// How many entries are read at a time. Default 200.
    pub page: usize,
    /// For how long it is waited that a commit is taken back that this device cannot follow, before it rejoins. Default
    /// 60 s: the other members have to come online and report it as well.
    pub rollback_patience: Duration,
    /// For how long a member waits that another commits what has been proposed, for each member before it. Default 15 s:
    /// the first member commits at once, and if all did, all but one would have done so for nothing.
    pub commit_turn: Duration,
    /// Whether devices that have not updated for as long as the [`Policy`](regrow_engine::Policy) has it are removed, by
    /// the first member of the group. Default yes.
    pub remove_inactive: bool,
    /// What time it is. By default the system's clock.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(30),
            page: 200,
            rollback_patience: Duration::from_secs(60),
            commit_turn: Duration::from_secs(15),
            remove_inactive: true,
            clock: Arc::new(|| Timestamp(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()))),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wait, page, rollback_patience, commit_turn, remove_inactive, .. } = self;
        f.debug_struct("Options")
            .field("wait", wait)
            .field("page", page)
            .field("rollback_patience", rollback_patience)
            .field("commit_turn", commit_turn)
            .field("remove_inactive", remove_inactive)
            .finish_non_exhaustive()
    }
}

/// One device at one service: [`register`](Self::register) it once, [`open`](Self::open) it after that, and call
/// [`next_event`](Self::next_event) in a loop.
///
/// - **What is wanted is kept.** `send`, `add_user` and the like write down what is wanted and begin with it. They fail if
///   it cannot be wanted, and not if the service cannot be reached: then it is done when it can, also by a later process.
///   What came of it is an [`Event`].
/// - **Calls can be dropped** while they wait, as `tokio::select!` does. What was begun goes on with the next call.
/// - **Each message once.** To call [`next_event`](Self::next_event) again is to say that the last one is kept. What was
///   told and not kept, because the process died, is told again by the next process, which knows it by its identifier.
/// - **The service is watched**: see [`Event::Equivocation`], [`Event::BrokenChain`] and [`Event::RosterLie`].
///
/// ```no_run
/// # use std::sync::Arc;
/// use regrow_messenger::{Event, Messenger, Options, Server};
/// use regrow_engine::{Client, DeviceId, GroupId, MemoryStore, Policy, UserId, default_crypto};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::at("http://127.0.0.1:8765");
/// let device = DeviceId::new("alice", "phone")?;
/// // An application has a `SqliteStore` in this place.
/// let client = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device, Policy::default())?;
/// let mut alice = Messenger::register(client, &server, None, None, Options::default()).await?;
///
/// let chat = GroupId::new("chat")?;
/// alice.create_group(&chat).await?;
/// alice.add_user(&chat, &UserId::new("bob")?).await?;
/// alice.send(&chat, b"Hello Bob!").await?;
/// loop {
///     match alice.next_event().await {
///         Ok(Event::Message { sender, text, .. }) => println!("{sender}: {text}"),
///         Ok(Event::Equivocation { proof, .. }) => eprintln!("the service lies, and this proves it: {proof:?}"),
///         Ok(_) => {}
///         Err(error) if error.is_temporary() => eprintln!("offline: {error}"),
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # }
/// ```
pub struct Messenger {
    client: Client,
    connection: Connection,
    service: ServicePublicKey,
    options: Options,
    groups: BTreeMap<GroupId, GroupState>,
    /// The groups in which something may be to do.
    busy: BTreeSet<GroupId>,
    /// Where this device is in its stream: all before it has been taken in.
    cursor: Cursor,
    /// What was read and not taken in yet.
    fetched: VecDeque<Delivery>,
    /// The ratchet tree that the first of those was found to need.
    tree: Option<Tree>,
    /// What the application is still to be told.
    ready: VecDeque<Event>,
    /// Whether the engine holds something for the application that it was told, as far as the next call shows.
    unsettled: bool,
    /// What the service is still to be told that this device has taken in.
    to_acknowledge: Option<Cursor>,
    upkeep: upkeep::Upkeep,
}

/// A ratchet tree that the service was asked for.
struct Tree {
    group: GroupId,
    /// `None` if the service has none.
    bytes: Option<Vec<u8>>,
}

/// What is known of a group.
#[derive(Default)]
struct GroupState {
    record: GroupRecord,
    /// Whether the record is to be written.
    changed: bool,
    /// Nothing more can be done before something of the group was read.
    waits: bool,
    /// The service says that the group is in this epoch, and this device is in another. If nothing is left to be read, then
    /// it has missed something.
    elsewhere: Option<u64>,
    /// What was wanted may have to be made again.
    resume: bool,
    check_roster: bool,
    /// Since when proposals wait for somebody's commit.
    proposals_since: Option<Timestamp>,
    /// Whom proposals of this epoch remove.
    leaving: BTreeSet<DeviceId>,
    /// The application was told that this device cannot rejoin for now.
    stranded: bool,
}

impl Messenger {
    /// Makes the device known to a service, with a key that it makes for that, and goes on as with [`open`](Self::open).
    /// A call that was interrupted can be made again.
    ///
    /// `pinned` is the service's key if the application has it from elsewhere. If not, what the service says of itself
    /// now is believed, and is what it has to be from then on.
    ///
    /// # Errors
    /// [`ConnectionError::WrongService`]; [`ConnectionError::Problem`] if the service wants another admission or the name
    /// is taken; [`Error::Registered`] if the device is registered with another service.
    pub async fn register(
        mut client: Client,
        server: &Server,
        pinned: Option<ServicePublicKey>,
        admission: Option<Admission>,
        options: Options,
    ) -> Result<Self, Error> {
        let account = match kept::account(&client)? {
            Some(account) => {
                let service = ServicePublicKey(account.service);
                if account.registered && pinned.is_none_or(|pinned| pinned == service) {
                    return Self::open(client, server, options);
                }
                if pinned.is_some_and(|pinned| pinned != service) {
                    return Err(Error::Registered { service });
                }
                account
            }
            None => {
                let (_, found) = Connection::service(server).await?;
                if let Some(expected) = pinned.filter(|pinned| *pinned != found) {
                    return Err(ConnectionError::WrongService { expected, found }.into());
                }
                let key = TransportKey::generate()?;
                // Kept before it is shown: if the answer is lost, the next call has the key that the service has.
                let account = Account { seed: *key.seed(), service: found.0, registered: false };
                Changes::default().account(&account)?.keep(&mut client)?;
                account
            }
        };
        let mut messenger = Self::over(client, server, &account, options)?;
        messenger.connection.register(admission).await?;
        let registered = Account { seed: account.seed, service: account.service, registered: true };
        Changes::default().account(&registered)?.keep(&mut messenger.client)?;
        Ok(messenger)
    }

    /// Goes on with a device that is registered. Nothing is sent yet; what an earlier process had not finished goes on
    /// with [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// [`Error::NotRegistered`]; [`Error::Damaged`].
    pub fn open(client: Client, server: &Server, options: Options) -> Result<Self, Error> {
        let account = kept::account(&client)?.filter(|account| account.registered).ok_or(Error::NotRegistered)?;
        Self::over(client, server, &account, options)
    }

    fn over(client: Client, server: &Server, account: &Account, options: Options) -> Result<Self, Error> {
        let service = ServicePublicKey(account.service);
        let device = client.device().clone();
        let key = TransportKey::from_seed(&account.seed);
        let connection = Connection::new(server, device, key, service)?;
        let cursor = kept::cursor(&client)?;
        let mut messenger = Self {
            groups: BTreeMap::new(),
            busy: BTreeSet::new(),
            cursor,
            fetched: VecDeque::new(),
            tree: None,
            ready: VecDeque::new(),
            unsettled: true,
            to_acknowledge: None,
            upkeep: upkeep::Upkeep::new(&client)?,
            client,
            connection,
            service,
            options,
        };
        messenger.take_up()?;
        Ok(messenger)
    }

    /// What an earlier process has left.
    fn take_up(&mut self) -> Result<(), Error> {
        let now = self.now();
        for (id, record) in kept::groups(&self.client)? {
            self.groups.insert(id, GroupState { record, ..GroupState::default() });
        }
        for id in self.client.groups_to_rejoin()? {
            self.group(&id).record.rejoin.get_or_insert(Rejoin::Restored);
        }
        for id in self.client.groups()? {
            let known = self.groups.contains_key(&id);
            if !known && self.is_alone_at_the_beginning(&id)? {
                // The process died between making the group and writing that down.
                let info = self.client.group(&id)?.group_info()?;
                self.group(&id).record.creating = Some(info.into());
            }
            let state = self.group(&id);
            (state.resume, state.check_roster, state.proposals_since) = (true, true, Some(now));
        }
        for received in self.client.unacknowledged()? {
            self.tell(received)?;
        }
        self.busy = self.groups.keys().cloned().collect();
        Ok(())
    }

    fn is_alone_at_the_beginning(&mut self, id: &GroupId) -> Result<bool, Error> {
        let mut group = self.client.group(id)?;
        Ok(group.epoch()?.0 == 0 && group.pending()?.is_none() && group.roster()?.len() == 1)
    }

    /// The next thing that has happened. If nothing has, it waits for it, and does meanwhile what is to be done: submits
    /// what waits, makes again what has lost a race, uploads key packages, rotates keys that are due.
    ///
    /// To call it is to say that the events before it are kept. It can be dropped at any time, and nothing is lost.
    ///
    /// # Errors
    /// [`Error`]. If it [is temporary](Error::is_temporary), call again: after a while, or at once, as each call waits
    /// longer and longer between its attempts, and fails after the last.
    pub async fn next_event(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.settle()?;
            self.work().await?;
            if !self.ready.is_empty() {
                continue;
            }
            if self.fetched.is_empty() {
                let wait = self.wait();
                let page = self.connection.deliveries(self.cursor, self.options.page, wait).await?;
                self.fetch(page)?;
            }
            self.take_with_trees().await?;
        }
    }

    /// What can be done without waiting is done: all that is there is read, all that can be submitted is. The events of
    /// it, for an application that asks now and then rather than all the time. To call it is to say that the events before it
    /// are kept.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event). The events that there were until then are told by the next call.
    pub async fn poll(&mut self) -> Result<Vec<Event>, Error> {
        self.settle_if_told()?;
        self.work().await?;
        if self.fetched.is_empty() {
            let page = self.connection.deliveries(self.cursor, self.options.page, Duration::ZERO).await?;
            self.fetch(page)?;
        }
        // Taking in replaces what the engine holds for the application: once for each call.
        if self.ready.is_empty() {
            self.take_with_trees().await?;
        }
        self.work().await?;
        Ok(self.ready.drain(..).collect())
    }

    /// Says that all events so far are kept. The next call of [`next_event`](Self::next_event) says as much, so that this
    /// is for when none is expected soon: the texts that came last are erased from the store, and the service deletes what
    /// nobody has still to read. If there are events that were not told yet, nothing happens.
    ///
    /// # Errors
    /// [`Error`]. It can be called again.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        self.settle_if_told()?;
        self.acknowledge_at_service().await
    }

    fn settle_if_told(&mut self) -> Result<(), Error> {
        if self.ready.is_empty() { self.settle() } else { Ok(()) }
    }

    /// The application has everything that it was told.
    fn settle(&mut self) -> Result<(), Error> {
        if self.unsettled {
            self.client.acknowledge()?;
            self.unsettled = false;
            self.to_acknowledge = (self.cursor != Cursor::START).then_some(self.cursor);
        }
        Ok(())
    }

    async fn acknowledge_at_service(&mut self) -> Result<(), Error> {
        if let Some(cursor) = self.to_acknowledge {
            self.connection.acknowledge(cursor).await?;
            self.to_acknowledge = None;
        }
        Ok(())
    }

    /// Which device this is.
    pub fn device(&self) -> &DeviceId {
        self.client.device()
    }

    /// The service that this device is registered with.
    pub fn service(&self) -> ServicePublicKey {
        self.service
    }

    /// The engine's client, to be asked, to be locked and to be backed up. What it receives and what it confirms is the
    /// messenger's business: whoever does it in its place loses messages.
    pub fn engine(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Who is in a group.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not.
    pub fn roster(&mut self, group: &GroupId) -> Result<Vec<Member>, Error> {
        Ok(self.client.group(group)?.roster()?)
    }

    /// The number by which two people make sure that nobody is between them.
    ///
    /// # Errors
    /// [`Error::Engine`] if one of the two is not in the group.
    pub fn safety_number(&mut self, group: &GroupId, user: &UserId) -> Result<SafetyNumber, Error> {
        Ok(self.client.group(group)?.safety_number(user)?)
    }

    /// The receipt of the last entry of the group that this device has read: what to show to a member by another way, who
    /// [compares](Self::compare) it.
    pub fn receipt(&self, group: &GroupId) -> Option<Receipt> {
        self.groups.get(group).and_then(|state| state.record.audit.latest(group))
    }

    /// Compares what the service has told another member, by whatever way that came here. The proof, if it contradicts
    /// what this device was told. (Receipts that members send travel in their messages, and are compared by themselves.)
    ///
    /// # Errors
    /// [`Error::ForgedReceipt`] if the service has not signed it.
    pub fn compare(&mut self, receipt: &Receipt) -> Result<Option<Equivocation>, Error> {
        let group = receipt.group.clone();
        receipt
            .verify(&self.service)
            .map_err(|_| Error::ForgedReceipt { group: group.clone(), sequence: receipt.sequence })?;
        let before = self.equivocations(&group);
        self.hear(&group, receipt);
        self.save(&[&group], Changes::default())?;
        Ok(self.equivocations(&group).into_iter().find(|proof| !before.contains(proof)))
    }

    /// The proofs that the service has shown two histories of the group.
    pub fn equivocations(&self, group: &GroupId) -> Vec<Equivocation> {
        self.groups.get(group).map(|state| state.record.audit.proofs(group)).unwrap_or_default()
    }

    /// Whether nothing is sent in the group because the service was caught there.
    pub fn is_suspended(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|state| state.record.suspended)
    }

    /// The application goes on in the group although the service was caught there: somebody has looked into it. What waits is
    /// sent. The proofs stay.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn trust_again(&mut self, group: &GroupId) -> Result<(), Error> {
        let state = self.group(group);
        state.record.suspended = false;
        state.changed = true;
        self.busy.insert(group.clone());
        self.save(&[group], Changes::default())
    }

    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    /// What is known of the group; what is asked for is remembered to be written.
    fn group(&mut self, id: &GroupId) -> &mut GroupState {
        self.groups.entry(id.clone()).or_default()
    }

    /// Writes the records of these groups together with the other changes.
    fn save(&mut self, groups: &[&GroupId], mut changes: Changes) -> Result<(), Error> {
        for id in groups {
            if let Some(state) = self.groups.get(*id).filter(|state| state.changed) {
                changes = changes.group(id, Some(&state.record))?;
            }
        }
        changes.keep(&mut self.client)?;
        for id in groups {
            if let Some(state) = self.groups.get_mut(*id) {
                state.changed = false;
            }
        }
        Ok(())
    }

    /// Somebody says that the service has signed this receipt, and it has.
    fn hear(&mut self, id: &GroupId, receipt: &Receipt) {
        let finding = self.group(id).record.audit.hear(receipt);
        self.group(id).changed = true;
        self.found(id, finding);
    }

    /// What the audit has found is told, and nothing is sent any more if it is a lie.
    fn found(&mut self, id: &GroupId, findings: impl IntoIterator<Item = super::audit::Finding>) {
        use super::audit::Finding;
        for finding in findings {
            let group = id.clone();
            let state = self.groups.entry(group.clone()).or_default();
            let event = match finding {
                Finding::Equivocation(proof) => Event::Equivocation { group, proof: *proof },
                Finding::Broken { sequence } => Event::BrokenChain { group, sequence },
                Finding::Gap { after, before } => {
                    self.ready.push_back(Event::Gap { group, after, before });
                    continue;
                }
            };
            state.record.suspended = true;
            state.changed = true;
            self.ready.push_back(event);
        }
    }
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, service) = (self.device(), self.service);
        write!(f, "Messenger {{ device: {device}, service: {service}, groups: {}, .. }}", self.groups.len())
    }
}
