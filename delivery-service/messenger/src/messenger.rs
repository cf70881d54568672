//! The messenger: the engine's client of one device and a service, kept in step.
//!
//! Its state machine decides, and never waits. [`Messenger`] is the shell around it: it carries requests out, one after the other,
//! and hands the answers back. Whatever is wanted is written down before the service is asked, and an answer is taken in
//! without a pause in between. So every call can be dropped while it waits, and nothing is half done.

mod answers;
mod claim;
mod delivered;
mod devices;
mod event;
mod intents;
mod kept;
mod key_packages;
mod lane;
mod machine;
mod options;
mod read;
mod request;
mod step;
mod time;
mod upkeep;
mod view;

use std::{fmt, time::Duration};

use regrow_engine::{Client, DeviceId, GroupId, Member, SafetyNumber, StoreKey, UserId};

pub use self::{
    event::{Event, Intent, Rejoin, Text},
    lane::Scope,
    options::{Clock, MayAdd, Monotonic, Options},
    step::commit_request,
    time::MAX_CLOCK_SKEW,
    view::GroupView,
};
use self::{
    kept::{Account, Changes},
    machine::Machine,
    request::{Request, perform},
};
use super::{
    connection::{Connection, Server},
    error::{ConnectionError, Error},
    transport_key::TransportKey,
};
use crate::{
    api::Admission,
    receipt::{Equivocation, Receipt, ServicePublicKey},
};

/// One device at one service: [`register`](Self::register) it once, [`open`](Self::open) it after that, and call
/// [`next_event`](Self::next_event) in a loop.
///
/// - **What is wanted is kept.** `send`, `add_user` and the like write down what is wanted and begin with it. They fail if
///   it cannot be wanted, and not if the service cannot be reached: then it is done when it can, also by a later process.
///   What came of it is an [`Event`].
/// - **Calls can be dropped** while they wait, as `tokio::select!` does. What was begun goes on with the next call.
/// - **Each message once.** To call [`next_event`](Self::next_event) again is to say that the last one is kept. What was
///   told and not kept, because the process died, is told again by the next process, which knows it by its identifier.
/// - **One failure stays where it is.** A failure of one group, intent or upload delays that one, and is told once, as
///   [`Event::Delayed`]. Only a failure of the device itself, or of reading, is an error of the calls below.
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
    machine: Machine,
    server: Server,
    /// [`None`] while the device is locked: the key for the service is in the store.
    connection: Option<Connection>,
}

impl Messenger {
    /// Makes the device known to a service, with a key that it makes for that, and goes on as with [`open`](Self::open).
    /// A call that was interrupted can be made again.
    ///
    /// `pinned` is the service's key if the application has it from elsewhere. If not, the key that the service shows now
    /// is believed, and is the key that it has to have from then on.
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
        connect(&client, server, &account)?.register(admission).await?;
        let registered = Account { seed: account.seed, service: account.service, registered: true };
        Changes::default().account(&registered)?.keep(&mut client)?;
        Self::open(client, server, options)
    }

    /// Goes on with a device that is registered. Nothing is sent yet; what an earlier process had not finished goes on
    /// with [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// [`Error::NotRegistered`]; [`Error::Damaged`].
    pub fn open(client: Client, server: &Server, options: Options) -> Result<Self, Error> {
        let account = kept::account(&client)?.filter(|account| account.registered).ok_or(Error::NotRegistered)?;
        let connection = connect(&client, server, &account)?.without_retries();
        let service = ServicePublicKey(account.service);
        let machine = Machine::new(client, service, options, server.retry.clone())?;
        Ok(Self { machine, server: server.clone(), connection: Some(connection) })
    }

    /// The next event. If there is none, it waits for one, and does meanwhile what is to be done: submits what waits, makes
    /// again what has lost a race, uploads key packages, rotates keys that are due.
    ///
    /// To call it is to say that the events before it are kept. It can be dropped at any time, and nothing is lost.
    ///
    /// # Errors
    /// [`Error`] if reading fails, or the device itself. If it [is temporary](Error::is_temporary), call again: after a
    /// while, or at once, as each call waits longer and longer between its attempts, and fails after the last. While the
    /// device is [locked](Self::lock), the error is [`Locked`](regrow_engine::Error::Locked).
    pub async fn next_event(&mut self) -> Result<Event, Error> {
        loop {
            self.refuse_if_locked()?;
            if let Some(event) = self.machine.poll_event() {
                return Ok(event);
            }
            self.machine.settle()?;
            self.pass().await?;
            if self.machine.ready.is_empty() {
                self.read(self.machine.poll_timeout()).await?;
                self.take_in().await?;
            }
        }
    }

    /// Does what can be done without waiting: reads all that is there, submits all that can be submitted. Returns the
    /// events of it, for an application that asks now and then rather than all the time. To call it is to say that the
    /// events before it are kept.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event). The next call tells the events that there were until then.
    pub async fn poll(&mut self) -> Result<Vec<Event>, Error> {
        self.refuse_if_locked()?;
        let all_told = self.machine.ready.is_empty();
        self.settle_if_told()?;
        self.pass().await?;
        self.read(Duration::ZERO).await?;
        // Taking in replaces what the engine holds for the application: once for each call, and only after it was told.
        if all_told {
            self.take_in().await?;
        }
        self.pass().await?;
        Ok(self.machine.ready.drain(..).collect())
    }

    /// Says that all events so far are kept. The next call of [`next_event`](Self::next_event) says as much, so that this
    /// is for when none is expected soon: the texts that came last are erased from the store, and the service deletes the
    /// entries that no other device has still to read. If there are events that were not told yet, nothing happens.
    ///
    /// # Errors
    /// [`Error`]. It can be called again.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        self.refuse_if_locked()?;
        self.settle_if_told()?;
        match self.machine.acknowledgement() {
            Some(request) => self.surface(request).await,
            None => Ok(()),
        }
    }

    fn settle_if_told(&mut self) -> Result<(), Error> {
        if self.machine.ready.is_empty() { self.machine.settle() } else { Ok(()) }
    }

    /// Carries out the requests of all lanes that are ready. If the service says that there are too many, it waits, as
    /// often as a call may be tried.
    async fn pass(&mut self) -> Result<(), Error> {
        self.machine.begin_pass();
        let mut attempts = 1;
        loop {
            while let Some(request) = self.machine.poll_request()? {
                let answer = self.perform(&request).await?;
                if answer.is_ok() {
                    attempts = 1;
                }
                self.machine.handle_response(request, answer)?;
            }
            let retry = &self.machine.retry;
            let now = self.machine.monotonic();
            match self.machine.lanes.held(now).map(|(wait, _)| wait) {
                Some(wait) if attempts < retry.attempts && wait <= retry.longest_asked => {
                    attempts += 1;
                    retry.pause(wait).await;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Does what is to be done in one group. A failure that does not pass by itself is the caller's.
    async fn begin(&mut self, group: &GroupId) -> Result<(), Error> {
        self.machine.busy.insert(group.clone());
        self.machine.begin_pass();
        while let Some(request) = self.machine.poll_group(group)? {
            self.surface(request).await?;
        }
        Ok(())
    }

    /// Carries out a request. A failure that passes delays its lane; another is the caller's.
    async fn surface(&mut self, request: Request) -> Result<(), Error> {
        let answer = self.perform(&request).await?;
        let scope = request.scope();
        match (self.machine.take_response(request, answer), scope) {
            (Err(error), Some(scope)) if error.is_temporary() => self.machine.failed(scope, error),
            (result, _) => result,
        }
    }

    /// Reads the next page, unless one waits to be taken in.
    async fn read(&mut self, wait: Duration) -> Result<(), Error> {
        if self.machine.fetched.is_empty() {
            let request = self.machine.read_on(wait);
            self.insist(request).await?;
        }
        Ok(())
    }

    /// Takes in what was read, with the ratchet trees of welcomes that lack them.
    async fn take_in(&mut self) -> Result<(), Error> {
        while let Some(request) = self.machine.take()? {
            self.insist(request).await?;
        }
        Ok(())
    }

    /// Carries out a request of the reading lane, as often as a call may be tried. Nothing else waits for that: what is
    /// to be sent is sent by the calls that want it.
    async fn insist(&mut self, request: Request) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            let answer = match self.machine.lanes.held(self.machine.monotonic()) {
                Some((wait, error)) if attempt > 0 || wait > self.machine.retry.longest_asked => Err(error.clone()),
                Some((wait, _)) => {
                    self.machine.retry.pause(wait).await;
                    self.perform(&request).await?
                }
                None => self.perform(&request).await?,
            };
            let again = answer.as_ref().err().and_then(|error| self.machine.retry.after(attempt, error));
            let Some(wait) = again else { return self.machine.handle_response(request, answer) };
            attempt += 1;
            self.machine.retry.pause(wait).await;
        }
    }

    fn connected(&mut self) -> Result<&mut Connection, Error> {
        self.connection.as_mut().ok_or_else(|| regrow_engine::Error::Locked.into())
    }

    async fn perform(&mut self, request: &Request) -> Result<Result<request::Response, ConnectionError>, Error> {
        let connection = self.connected()?;
        let answer = perform(connection, request).await;
        if let Some(time) = connection.take_service_time() {
            self.machine.heard(time);
        }
        Ok(answer)
    }

    /// Locks the device: erases from memory the groups, the texts, the key for the service and the session with it, and
    /// all that the store needs to read and write. Every call from then on fails with
    /// [`Locked`](regrow_engine::Error::Locked), until the device is [unlocked](Self::unlock). Events that were not told
    /// yet are told after that, and so are those that were told last, as after a crash.
    ///
    /// # Errors
    /// [`NoLock`](regrow_engine::Error::NoLock) if the store cannot be locked: then nothing is.
    pub fn lock(&mut self) -> Result<(), Error> {
        self.machine.client.lock()?;
        self.connection = None;
        self.machine.erase();
        Ok(())
    }

    /// Takes the store's key, and goes on where the device was. It can be tried again and again.
    ///
    /// # Errors
    /// [`WrongKey`](regrow_engine::Error::WrongKey), or the errors of [`open`](Self::open). The device stays locked.
    pub fn unlock(&mut self, key: &StoreKey) -> Result<(), Error> {
        self.machine.client.unlock(key)?;
        let opened = self.connect_again();
        if opened.is_err() {
            self.lock()?;
        }
        opened
    }

    fn connect_again(&mut self) -> Result<(), Error> {
        let account = kept::account(&self.machine.client)?.ok_or(Error::NotRegistered)?;
        let connection = connect(&self.machine.client, &self.server, &account)?.without_retries();
        self.machine.reload()?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Locks the device if it was not used for as long as the policy has it: see
    /// [`Client::lock_if_idle`](regrow_engine::Client::lock_if_idle). Returns whether it is locked now.
    ///
    /// # Errors
    /// [`NoLock`](regrow_engine::Error::NoLock).
    pub fn lock_if_idle(&mut self) -> Result<bool, Error> {
        let now = self.machine.now();
        if self.machine.client.lock_if_idle(now)? && self.connection.is_some() {
            self.lock()?;
        }
        Ok(self.connection.is_none())
    }

    fn refuse_if_locked(&mut self) -> Result<(), Error> {
        if self.lock_if_idle()? { Err(regrow_engine::Error::Locked.into()) } else { Ok(()) }
    }

    /// A backup of the device, without any key: see [`Client::backup`](regrow_engine::Client::backup).
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn backup(&self, archive: &[u8], passphrase: &str) -> Result<Vec<u8>, Error> {
        Ok(self.machine.client.backup(archive, passphrase)?)
    }

    /// The application has found out that the device's storage was put back to an earlier state, or copied: the device
    /// rejoins its groups. See [`Client::rolled_back`](regrow_engine::Client::rolled_back).
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn rolled_back(&mut self) -> Result<(), Error> {
        self.machine.client.rolled_back()?;
        self.machine.busy = self.machine.groups.keys().cloned().collect();
        Ok(())
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        self.machine.device()
    }

    /// The service that this device is registered with.
    pub fn service(&self) -> ServicePublicKey {
        self.machine.service
    }

    /// The engine's client, to be read. Whatever changes something is a method of the messenger.
    pub fn engine(&self) -> &Client {
        &self.machine.client
    }

    /// A group, to be read.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in it.
    pub fn group(&mut self, group: &GroupId) -> Result<GroupView<'_>, Error> {
        Ok(GroupView(self.machine.client.group(group)?))
    }

    /// The members of a group.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not one of them.
    pub fn roster(&mut self, group: &GroupId) -> Result<Vec<Member>, Error> {
        Ok(self.group(group)?.roster()?)
    }

    /// The number by which two people make sure that nobody is between them.
    ///
    /// # Errors
    /// [`Error::Engine`] if one of the two is not in the group.
    pub fn safety_number(&mut self, group: &GroupId, user: &UserId) -> Result<SafetyNumber, Error> {
        Ok(self.group(group)?.safety_number(user)?)
    }

    /// Marks a user as verified, after two people have compared this number: see
    /// [`Group::verify_user`](regrow_engine::Group::verify_user).
    ///
    /// # Errors
    /// [`SafetyNumberChanged`](regrow_engine::Error::SafetyNumberChanged) if the number is another by now;
    /// [`UnknownUser`](regrow_engine::Error::UnknownUser).
    pub fn verify_user(&mut self, group: &GroupId, user: &UserId, compared: &SafetyNumber) -> Result<(), Error> {
        Ok(self.machine.client.group(group)?.verify_user(user, compared)?)
    }

    /// The receipt of the last entry of the group that this device has read. Show it to a member by another way, who
    /// [compares](Self::compare) it.
    pub fn receipt(&self, group: &GroupId) -> Option<Receipt> {
        self.machine.receipt(group)
    }

    /// Compares what the service has told another member, by whatever way that came here. Returns the proof, if it
    /// contradicts what this device was told. (Receipts that members send travel in their messages, and are compared by
    /// themselves.)
    ///
    /// # Errors
    /// [`Error::ForgedReceipt`] if the service has not signed it.
    pub fn compare(&mut self, receipt: &Receipt) -> Result<Option<Equivocation>, Error> {
        let group = receipt.group.clone();
        receipt
            .verify(&self.machine.service)
            .map_err(|_| Error::ForgedReceipt { group: group.clone(), sequence: receipt.sequence })?;
        let before = self.equivocations(&group);
        self.machine.hear(&group, receipt);
        self.machine.save(&[&group], Changes::default())?;
        Ok(self.equivocations(&group).into_iter().find(|proof| !before.contains(proof)))
    }

    /// The proofs that the service has shown two histories of the group.
    pub fn equivocations(&self, group: &GroupId) -> Vec<Equivocation> {
        self.machine.groups.get(group).map(|state| state.record.audit.proofs(group)).unwrap_or_default()
    }

    /// Whether nothing is sent in the group because the service was caught there.
    pub fn is_suspended(&self, group: &GroupId) -> bool {
        self.machine.is_suspended(group)
    }

    /// The application goes on in the group although the service was caught there: a person has looked into it. What waits
    /// is sent. The proofs stay.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn trust_again(&mut self, group: &GroupId) -> Result<(), Error> {
        let state = self.machine.group(group);
        state.record.suspended = false;
        state.changed = true;
        self.machine.busy.insert(group.clone());
        self.machine.save(&[group], Changes::default())
    }
}

fn connect(client: &Client, server: &Server, account: &Account) -> Result<Connection, Error> {
    let key = TransportKey::from_seed(&account.seed);
    Ok(Connection::new(server, client.device().clone(), key, ServicePublicKey(account.service))?)
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, service) = (self.device(), self.service());
        write!(f, "Messenger {{ device: {device}, service: {service}, groups: {}, .. }}", self.machine.groups.len())
    }
}
