//! The messenger: it joins the engine's client of one device to a service.
//!
//! Its [state machine](machine) decides, and never waits. [`Messenger`] is the shell around it: it
//! carries requests out one after the other, and hands the responses back. The machine stores each
//! intent before it makes a request, and takes in a response without a pause. So the caller can
//! drop each call while it waits, and nothing is half done.

mod addition;
mod app_data;
mod commands;
mod delivered;
mod event;
mod group;
mod intent;
mod key_package_lane;
mod lane;
mod list_lane;
mod lock;
mod machine;
mod options;
mod perform;
mod problem;
mod queries;
mod records;
mod request;
mod scope;
mod service_clock;
mod view;

use std::{fmt, time::Duration};

use regrow_engine::{Client, GroupId};

use self::{
    app_data::Changes,
    machine::Machine,
    records::Account,
    request::{Request, Response},
};
pub use self::{
    event::{Event, Rejoin, Text},
    intent::Intent,
    options::{Clock, MayAdd, Monotonic, Options},
    perform::commit_request,
    scope::FailureScope,
    service_clock::MAX_CLOCK_SKEW,
    view::GroupView,
};
use super::{
    connection::{Connection, ServiceAddress},
    error::{ConnectionError, Error},
    transport_key::TransportKey,
};
use crate::{api::Admission, receipt::ServicePublicKey};

/// One device at one service.
///
/// [`register`](Self::register) the device once, [`open`](Self::open) it after that, and call
/// [`next_event`](Self::next_event) in a loop.
///
/// - **Intents are stored.** `send`, `add_user` and the like store an intent and begin to carry it
///   out. They fail if the intent is impossible, and not if the service cannot be reached. Then the
///   messenger carries the intent out later, also in a later process. The result is an [`Event`].
/// - **Calls can be dropped** while they wait, as `tokio::select!` does. The next call continues
///   the work.
/// - **Each message arrives once.** A call of [`next_event`](Self::next_event) says that the
///   application has stored the last event. If the process dies before, the next process reports
///   the event again, and the application recognizes it by its identifier.
/// - **One failure stays where it is.** A failure of one group, intent or upload delays only that
///   one. The application receives it once, as [`Event::Delayed`]. The calls below fail only if the
///   device itself fails, or reading.
/// - **The messenger watches the service**: see [`Event::Equivocation`], [`Event::BrokenChain`] and
///   [`Event::RosterLie`].
///
/// ```no_run
/// # use std::sync::Arc;
/// use regrow_messenger::{Event, Messenger, Options, ServiceAddress};
/// use regrow_engine::{Client, DeviceId, GroupId, MemoryStore, Policy, UserId, default_crypto};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceAddress::at("http://127.0.0.1:8765");
/// let device = DeviceId::new("alice", "phone")?;
/// // An application has a `SqliteStore` in this place.
/// let client = Client::create(Arc::new(MemoryStore::new()), default_crypto(), device, Policy::default())?;
/// let mut alice = Messenger::register(client, &service, None, None, Options::default()).await?;
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
    address: ServiceAddress,
    /// [`None`] while the device is locked: the key for the service is in the store.
    connection: Option<Connection>,
}

impl Messenger {
    /// Registers the device with a service, with a new key, and continues as [`open`](Self::open)
    /// does. An interrupted call can be repeated.
    ///
    /// `pinned` is the service's key, if the application has it from another source. Without it,
    /// the messenger trusts the key that the service shows now, and accepts no other key later.
    ///
    /// # Errors
    /// [`ConnectionError::WrongService`]; [`ConnectionError::Problem`] if the service requires
    /// another admission or the name is taken; [`Error::Registered`] if the device is registered
    /// with another service.
    pub async fn register(
        mut client: Client,
        address: &ServiceAddress,
        pinned: Option<ServicePublicKey>,
        admission: Option<Admission>,
        options: Options,
    ) -> Result<Self, Error> {
        let account = match app_data::account(&client)? {
            Some(account) => {
                let service = ServicePublicKey(account.service);
                if account.registered && pinned.is_none_or(|pinned| pinned == service) {
                    return Self::open(client, address, options);
                }
                if pinned.is_some_and(|pinned| pinned != service) {
                    return Err(Error::Registered { service });
                }
                account
            }
            None => {
                let (_, found) = Connection::service(address).await?;
                if let Some(expected) = pinned.filter(|pinned| *pinned != found) {
                    return Err(ConnectionError::WrongService { expected, found }.into());
                }
                let key = TransportKey::generate()?;
                // Stored before the service sees the key: if the response is lost, the next call
                // has the same key.
                let account = Account { seed: *key.seed(), service: found.0, registered: false };
                Changes::default().account(&account)?.write(&mut client)?;
                account
            }
        };
        connect(&client, address, &account)?.register(admission).await?;
        let registered = Account { seed: account.seed, service: account.service, registered: true };
        Changes::default().account(&registered)?.write(&mut client)?;
        Self::open(client, address, options)
    }

    /// Opens a registered device. It sends nothing yet; [`next_event`](Self::next_event) continues
    /// the unfinished work of an earlier process.
    ///
    /// # Errors
    /// [`Error::NotRegistered`]; [`Error::Damaged`].
    pub fn open(client: Client, address: &ServiceAddress, options: Options) -> Result<Self, Error> {
        let account = app_data::account(&client)?.filter(|account| account.registered).ok_or(Error::NotRegistered)?;
        let connection = connect(&client, address, &account)?.without_retries();
        let service = ServicePublicKey(account.service);
        let machine = Machine::new(client, service, options, address.retry.clone())?;
        Ok(Self { machine, address: address.clone(), connection: Some(connection) })
    }

    /// Returns the next event.
    ///
    /// If there is none, the call waits for one and works meanwhile. It sends texts and proposals,
    /// repeats commits that have lost a race, uploads key packages, and rotates due keys.
    ///
    /// A call says that the application has stored all earlier events. The caller can drop the call
    /// at any time without losing anything.
    ///
    /// # Errors
    /// [`Error`] if reading fails, or the device itself. If the error [is
    /// temporary](Error::is_temporary), call again, at once or later: each call waits longer and
    /// longer between its attempts, and fails after the last. While the device is
    /// [locked](Self::lock), the error is [`Locked`](regrow_engine::Error::Locked).
    pub async fn next_event(&mut self) -> Result<Event, Error> {
        loop {
            self.refuse_if_locked()?;
            if let Some(event) = self.machine.poll_event() {
                return Ok(event);
            }
            self.machine.settle()?;
            self.pass().await?;
            if self.machine.has_no_event() {
                self.read(self.machine.poll_timeout()).await?;
                self.process_fetched().await?;
            }
        }
    }

    /// Does all work that is possible without waiting, and returns the events: for an application
    /// that polls now and then. A call says that the application has stored all earlier events.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event). The next call returns the events so far.
    pub async fn poll(&mut self) -> Result<Vec<Event>, Error> {
        self.refuse_if_locked()?;
        let had_no_event = self.machine.has_no_event();
        self.settle_if_stored()?;
        self.pass().await?;
        self.read(Duration::ZERO).await?;
        // Processing replaces the engine's results for the application: once for each call, and
        // only after the application has stored them.
        if had_no_event {
            self.process_fetched().await?;
        }
        self.pass().await?;
        Ok(std::iter::from_fn(|| self.machine.poll_event()).collect())
    }

    /// Says that the application has stored all events so far.
    ///
    /// [`next_event`](Self::next_event) does the same. This call is for an application that expects
    /// no event soon: the store erases the last texts, and the service deletes entries that no
    /// other device has still to read. If there are events that the application has not received,
    /// nothing happens.
    ///
    /// # Errors
    /// [`Error`]. The call can be repeated.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        self.refuse_if_locked()?;
        self.settle_if_stored()?;
        match self.machine.acknowledgement() {
            Some(request) => self.carry_out_for_caller(request).await,
            None => Ok(()),
        }
    }

    fn settle_if_stored(&mut self) -> Result<(), Error> {
        if self.machine.has_no_event() { self.machine.settle() } else { Ok(()) }
    }

    /// Carries out the requests of all lanes that are ready. If the service says that there are too
    /// many, the call waits, up to its number of attempts.
    async fn pass(&mut self) -> Result<(), Error> {
        self.machine.begin_pass();
        let mut attempts = 1;
        loop {
            while let Some(request) = self.machine.poll_request()? {
                let response = self.perform(&request).await?;
                if response.is_ok() {
                    attempts = 1;
                }
                self.machine.handle_response(request, response)?;
            }
            let retry = self.machine.retry();
            match self.machine.held().map(|(wait, _)| wait) {
                Some(wait) if attempts < retry.attempts && wait <= retry.longest_asked => {
                    attempts += 1;
                    retry.pause(wait).await;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Carries out the requests of one group. A failure that does not pass by itself goes to the
    /// caller.
    async fn begin(&mut self, group: &GroupId) -> Result<(), Error> {
        self.machine.begin_group(group);
        while let Some(request) = self.machine.poll_group(group)? {
            self.carry_out_for_caller(request).await?;
        }
        Ok(())
    }

    /// Carries out a request. A failure that passes delays its lane; another goes to the caller.
    async fn carry_out_for_caller(&mut self, request: Request) -> Result<(), Error> {
        let response = self.perform(&request).await?;
        self.machine.handle_response_of_caller(request, response)
    }

    /// Reads the next page, unless one waits to be processed.
    async fn read(&mut self, wait: Duration) -> Result<(), Error> {
        match self.machine.next_read(wait) {
            Some(request) => self.insist(request).await,
            None => Ok(()),
        }
    }

    /// Processes the fetched entries. Fetches the ratchet trees of welcomes that lack them.
    async fn process_fetched(&mut self) -> Result<(), Error> {
        while let Some(request) = self.machine.process_fetched()? {
            self.insist(request).await?;
        }
        Ok(())
    }

    /// Carries out a request of the reading lane, up to the number of attempts of a call.
    ///
    /// No submission waits for that: the calls that want a submission make it.
    async fn insist(&mut self, request: Request) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            let response = match self.machine.held() {
                Some((wait, error)) if attempt > 0 || wait > self.machine.retry().longest_asked => Err(error.clone()),
                Some((wait, _)) => {
                    self.machine.retry().pause(wait).await;
                    self.perform(&request).await?
                }
                None => self.perform(&request).await?,
            };
            let again = response.as_ref().err().and_then(|error| self.machine.retry().after(attempt, error));
            let Some(wait) = again else { return self.machine.handle_response(request, response) };
            attempt += 1;
            self.machine.retry().pause(wait).await;
        }
    }

    fn connected(&mut self) -> Result<&mut Connection, Error> {
        self.connection.as_mut().ok_or_else(|| regrow_engine::Error::Locked.into())
    }

    async fn perform(&mut self, request: &Request) -> Result<Result<Response, ConnectionError>, Error> {
        let connection = self.connected()?;
        let response = perform::perform(connection, request).await;
        if let Some(time) = connection.take_service_time() {
            self.machine.service_time(time);
        }
        Ok(response)
    }
}

fn connect(client: &Client, address: &ServiceAddress, account: &Account) -> Result<Connection, Error> {
    let key = TransportKey::from_seed(&account.seed);
    Ok(Connection::new(address, client.device().clone(), key, ServicePublicKey(account.service))?)
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, service) = (self.device(), self.service());
        write!(f, "Messenger {{ device: {device}, service: {service}, groups: {}, .. }}", self.machine.group_count())
    }
}
