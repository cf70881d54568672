//! The server's state, which every request works with, and its start and stop.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::{
    challenges::Challenges,
    checks::Checks,
    clock_guard::ClockGuard,
    environment::{Environment, NoRandomness},
    health::Health,
    host::Hosts,
    jwt::IssuerError,
    memory::Memory,
    metrics::Metrics,
    proxies::Proxies,
    rates::Rates,
    refusal::Refusal,
    registration::Gate,
    resources::Resources,
    sessions::Sessions,
    settings::{ServerLimits, Settings},
    sizes::max_request_bytes,
    subscriptions::Subscriptions,
    tokens::{SessionTokens, Token},
    wake_up::{WakeUpError, WakeUps},
    worker::{Worker, WorkerParts},
};
use crate::{
    api::Problem,
    error::StoreError,
    names::{Timestamp, UserId},
    receipt::{ServiceKey, ServicePublicKey},
    service::{Checker, DeliveryService},
    store::Store,
};

/// How often what is in memory is looked through for what has ended.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How long the store may take to answer before it counts as not answering. A load balancer asks every few seconds.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// How long a server waits between two attempts to fetch an issuer's keys for the first time.
const FIRST_KEYS_EVERY: Duration = Duration::from_secs(5);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Registrations could not be checked.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// Devices could not be woken.
    #[error(transparent)]
    WakeUp(#[from] WakeUpError),
    /// The system has no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// A server without a listener: what [`router`](super::router) serves.
pub struct Server {
    state: State,
    worker: JoinHandle<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server over a store. It has to be started within a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the store fails, or if something that the settings name is not there.
    pub fn start<S: Store + Send + 'static>(
        store: S,
        settings: &Settings,
        environment: Environment,
    ) -> Result<Self, StartError> {
        let limits = settings.limits.clone();
        let fresh_key = ServiceKey::from_seed(&environment.random()?);
        let service = DeliveryService::open(store, limits.ordering, fresh_key)?;
        let mark_key = service.mark_key(environment.random()?)?;
        let metrics = Metrics::default();
        let confirm = Duration::from_secs(settings.clock_confirm_seconds);
        let clock = ClockGuard::new(environment.clone(), metrics.clone(), service.last_time()?, confirm);
        let sessions = Sessions::default();
        let (now, monotonic) = (clock.now(), environment.monotonic());
        for session in service.sessions(now)? {
            // No session lasts longer than a new one, whatever the clock was when it was opened.
            let left = session.expires.0.saturating_sub(now.0).min(limits.session_seconds);
            sessions.insert(session, monotonic.saturating_add(Duration::from_secs(left)));
        }
        let key = service.public_key();
        let checker = service.checker();
        let subscriptions = Subscriptions::new(limits.streams, limits.streams_per_device);
        let health = Health::default();
        let wake_ups = WakeUps::new(&settings.wake_up, environment.clone(), metrics.clone())?;
        wake_ups.load(service.wake_ups()?);
        let parts = WorkerParts {
            subscriptions: subscriptions.clone(),
            sessions: sessions.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            health: health.clone(),
            wake_ups: wake_ups.clone(),
        };
        let (worker, thread) = Worker::start(service, parts, limits.queue).map_err(StartError::Thread)?;
        let (stopping, stop) = watch::channel(false);
        let inner = Inner {
            worker,
            checker,
            health,
            checks: Checks::default(),
            memory: Memory::new(&limits),
            hosts: Hosts::new(&settings.allowed_hosts, settings.listen),
            operators_hosts: Hosts::new(&settings.allowed_hosts, settings.listen_operators),
            subscriptions,
            wake_ups,
            sessions,
            metrics,
            challenges: Challenges::new(environment.random()?),
            tokens: SessionTokens::new(mark_key),
            gate: Gate::new(&settings.registration, &environment, &clock)?,
            rates: Rates::new(&limits, &environment),
            proxies: Proxies::new(&settings.trusted_proxies),
            resources: Resources::of(&settings.database),
            limits,
            environment,
            clock,
            key,
            stop,
        };
        let state = State(Arc::new(inner));
        tokio::spawn(sweep(state.clone()));
        tokio::spawn(fetch_keys(state.clone()));
        Ok(Self { state, worker: thread, stopping })
    }

    /// What requests work with.
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Ends all streams and long polls, so that the listener can finish what it has begun.
    pub fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers what is in the queue, and closes the store. To be called when the listener has finished.
    pub async fn stop(self) {
        self.end_streams();
        let Self { state, worker, .. } = self;
        let ended = spawn_blocking(move || {
            state.0.worker.stop();
            worker.join()
        });
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::error!("the store's thread has panicked");
        }
    }
}

/// What a request works with. Clones are the same.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    worker: Worker,
    checker: Checker,
    health: Health,
    checks: Checks,
    memory: Memory,
    hosts: Hosts,
    operators_hosts: Hosts,
    subscriptions: Subscriptions,
    wake_ups: WakeUps,
    sessions: Sessions,
    metrics: Metrics,
    challenges: Challenges,
    tokens: SessionTokens,
    gate: Gate,
    rates: Rates,
    proxies: Proxies,
    resources: Resources,
    limits: ServerLimits,
    environment: Environment,
    clock: ClockGuard,
    key: ServicePublicKey,
    stop: watch::Receiver<bool>,
}

impl State {
    /// Makes an invitation, good for one device: of `user`, or else of a user who has none yet. Returns its token.
    ///
    /// # Errors
    /// The [`Problem`] that kept the service from doing so.
    pub async fn invite(&self, user: Option<UserId>, seconds: u64) -> Result<String, Problem> {
        self.make_invitation(user, seconds).await.map_err(|Refusal(problem)| *problem)
    }

    async fn make_invitation(&self, user: Option<UserId>, seconds: u64) -> Result<String, Refusal> {
        let token = Token::new(self.environment().random()?);
        let (hash, expires) = (token.hash(), self.now().plus(seconds));
        self.worker().call(move |service, _| Ok(service.invite(&hash, user.as_ref(), expires)?)).await?;
        Ok(token.write())
    }

    /// Calls that wait for the store.
    pub fn queue_depth(&self) -> usize {
        self.0.worker.depth()
    }

    /// Streams and long polls that are open.
    pub fn streams(&self) -> usize {
        self.0.subscriptions.taken()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether the server is being stopped.
    pub fn is_stopping(&self) -> bool {
        *self.0.stop.borrow()
    }

    /// Whether requests can be carried out: the store takes writes and answers, and registrations can be checked.
    ///
    /// # Errors
    /// The reason for which they cannot.
    pub async fn readiness(&self) -> Result<(), &'static str> {
        if self.is_stopping() {
            return Err("stopping");
        }
        if let Some(fault) = self.0.health.fault() {
            return Err(fault.reason());
        }
        if !self.gate().is_ready() {
            return Err("the issuer's keys have not been fetched yet");
        }
        match timeout(READY_WITHIN, self.worker().call(|_, _| Ok(()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the store fails, or its queue is full"),
            Err(_) => Err("the store does not answer"),
        }
    }

    /// The largest body of a request.
    pub(crate) fn max_request_bytes(&self) -> usize {
        max_request_bytes(self.0.limits.ordering.max_body_bytes)
    }

    pub(crate) fn request_time(&self) -> Duration {
        Duration::from_secs(self.0.limits.request_seconds)
    }

    /// The time that records get.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The monotonic clock's time.
    pub(crate) fn monotonic(&self) -> Duration {
        self.0.environment.monotonic()
    }

    /// Does the upkeep of the store now, all of it. For tests and simulations, whose clocks do not run: a server does it
    /// every second by itself.
    pub async fn upkeep(&self) {
        self.worker().upkeep().await;
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.environment
    }

    pub(crate) fn limits(&self) -> &ServerLimits {
        &self.0.limits
    }

    pub(crate) fn service_key(&self) -> &ServicePublicKey {
        &self.0.key
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.0.worker
    }

    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.0.subscriptions
    }

    pub(crate) fn wake_ups(&self) -> &WakeUps {
        &self.0.wake_ups
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }

    pub(crate) fn tokens(&self) -> &SessionTokens {
        &self.0.tokens
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Checks so many bytes of a client on a thread beside the store's. Fails with
    /// [`Code::Internal`](crate::api::Code::Internal) if the check panics.
    pub(crate) async fn checked<T: Send + 'static>(
        &self,
        bytes: usize,
        check: impl FnOnce(&Checker) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let checker = self.0.checker.clone();
        self.checks().run(bytes, move || check(&checker)).await
    }

    pub(crate) fn checker(&self) -> &Checker {
        &self.0.checker
    }

    /// The places for work beside the store.
    pub(crate) fn checks(&self) -> &Checks {
        &self.0.checks
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    pub(crate) fn hosts(&self) -> Hosts {
        self.0.hosts.clone()
    }

    pub(crate) fn operators_hosts(&self) -> Hosts {
        self.0.operators_hosts.clone()
    }

    /// Bytes that are charged for bodies and answers.
    pub fn memory_used(&self) -> usize {
        self.memory().used()
    }

    /// Puts the room on the disk and the open files into the metrics.
    pub(crate) fn watch_resources(&self) {
        self.0.resources.watch(self.metrics());
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// Waits until the server is being stopped.
    pub(crate) async fn stopping(&self) {
        // Without the server, there is nobody to serve either.
        let _ = self.0.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// Forgets, now and then, what has ended.
async fn sweep(state: State) {
    loop {
        state.watch_resources();
        tokio::select! {
            () = state.stopping() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let now = state.monotonic();
        state.sessions().expire(now);
        state.challenges().expire(now);
        state.rates().forget();
        state.memory().forget();
        state.checks().forget();
        state.worker().forget();
    }
}

/// Fetches an issuer's keys until it has them, so that the server is ready.
async fn fetch_keys(state: State) {
    while let Err(error) = state.gate().prepare().await {
        tracing::warn!(%error, "the server is not ready: it cannot check registrations");
        tokio::select! {
            () = state.stopping() => return,
            () = tokio::time::sleep(FIRST_KEYS_EVERY) => {}
        }
    }
}
