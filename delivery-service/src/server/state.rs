//! The state of the server, which every request uses, and the start and the stop of the server.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::{
    challenges::Challenges,
    checks::Checks,
    clock_guard::ClockGuard,
    environment::{Environment, NoRandomness},
    health::{Health, StoreFault},
    host::Hosts,
    jwt::IssuerError,
    memory::Memory,
    metrics::Metrics,
    proxies::Proxies,
    rates::Rates,
    refusal::RequestError,
    registration::RegistrationPolicy,
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

/// The pause between two sweeps, which forget ended sessions, challenges, rates and shares.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The time in which a healthy store answers `/readyz`. A load balancer asks every few seconds.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The pause between two attempts to fetch an issuer's keys for the first time.
const FIRST_KEYS_EVERY: Duration = Duration::from_secs(5);

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server cannot check registrations.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The server cannot call devices.
    #[error(transparent)]
    WakeUp(#[from] WakeUpError),
    /// The system provides no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The system cannot start another thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// A server without a listener. [`router`](super::router) serves its state.
pub struct Server {
    state: State,
    worker: JoinHandle<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Starts a server over a store. The caller must be in a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the store fails, or if a resource that the settings name is missing.
    pub fn start<S: Store + Send + 'static>(
        store: S,
        settings: &Settings,
        environment: Environment,
    ) -> Result<Self, StartError> {
        Self::start_counting(store, settings, environment, Metrics::default())
    }

    /// Starts a server like [`start`](Self::start), which counts in metrics of the caller.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_counting<S: Store + Send + 'static>(
        store: S,
        settings: &Settings,
        environment: Environment,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let limits = settings.limits.clone();
        let fresh_key = ServiceKey::from_seed(&environment.random()?);
        let service = DeliveryService::open(store, limits.ordering, fresh_key)?;
        let mark_key = service.mark_key(environment.random()?)?;
        let confirm = Duration::from_secs(settings.clock_confirm_seconds);
        let clock = ClockGuard::new(environment.clone(), metrics.clone(), service.last_time()?, confirm);
        let sessions = Sessions::default();
        let (now, monotonic) = (clock.now(), environment.monotonic());
        for session in service.sessions(now)? {
            // No session lasts longer than a new session, even if the clock was wrong when a device
            // opened it.
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
        let inner = SharedState {
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
            registration_policy: RegistrationPolicy::new(&settings.registration, &environment, &clock)?,
            rates: Rates::new(&limits, &environment),
            proxies: Proxies::new(&settings.trusted_proxies),
            resources: Resources::of(settings.database.file()),
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

    /// Returns the state for the requests.
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Ends all streams and long polls, so that the listener can finish the running requests.
    pub fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers the calls in the queue and closes the store. Call this after the listener has
    /// finished.
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

/// The state that requests use. Clones share it.
#[derive(Clone)]
pub struct State(Arc<SharedState>);

struct SharedState {
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
    registration_policy: RegistrationPolicy,
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
    /// Makes an invitation for one device and returns its token. The device belongs to `user`, or
    /// to a user without any device. The invitation expires after `seconds`.
    ///
    /// # Errors
    /// The [`Problem`] that prevented the invitation.
    pub async fn invite(&self, user: Option<UserId>, seconds: u64) -> Result<String, Problem> {
        self.make_invitation(user, seconds).await.map_err(|RequestError(problem)| *problem)
    }

    async fn make_invitation(&self, user: Option<UserId>, seconds: u64) -> Result<String, RequestError> {
        let token = Token::new(self.environment().random()?);
        let (hash, expires) = (token.hash(), self.now().plus(seconds));
        self.worker().call(move |service, _| Ok(service.invite(&hash, user.as_ref(), expires)?)).await?;
        Ok(token.write())
    }

    /// Waits for a fault of the store that lasts until the server starts again.
    pub(crate) async fn lasting_fault(&self) -> StoreFault {
        self.0.health.lasting_fault().await
    }

    /// The number of calls that wait for the store.
    pub fn queue_depth(&self) -> usize {
        self.0.worker.depth()
    }

    /// The number of open streams and long polls.
    pub fn streams(&self) -> usize {
        self.0.subscriptions.taken()
    }

    /// The metrics of the server.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// True if the server is stopping.
    pub fn is_stopping(&self) -> bool {
        *self.0.stop.borrow()
    }

    /// Checks that the server can handle requests: the store takes writes and answers, and
    /// registrations can be checked.
    ///
    /// # Errors
    /// The reason why the server cannot handle requests.
    pub async fn readiness(&self) -> Result<(), &'static str> {
        if self.is_stopping() {
            return Err("stopping");
        }
        if let Some(fault) = self.0.health.fault() {
            return Err(fault.reason());
        }
        if !self.registration_policy().is_ready() {
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

    /// The time for new records.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The time of the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.0.environment.monotonic()
    }

    /// Completes the upkeep of the store at once. It is for tests and simulations, whose clocks
    /// stand still: a server runs the upkeep every second by itself.
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

    pub(crate) fn registration_policy(&self) -> &RegistrationPolicy {
        &self.0.registration_policy
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// Runs `check` on `bytes` bytes of a client, on a thread beside the store's thread. Fails with
    /// [`Code::Internal`](crate::api::Code::Internal) if the check panics.
    pub(crate) async fn checked<T: Send + 'static>(
        &self,
        bytes: usize,
        check: impl FnOnce(&Checker) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let checker = self.0.checker.clone();
        self.checks().run(bytes, move || check(&checker)).await
    }

    pub(crate) fn checker(&self) -> &Checker {
        &self.0.checker
    }

    /// The permits for work beside the store.
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

    /// The bytes that are charged for bodies and answers.
    pub fn memory_used(&self) -> usize {
        self.memory().used()
    }

    /// Updates the metrics of free disk space and open files.
    pub(crate) fn watch_resources(&self) {
        self.0.resources.watch(self.metrics());
    }

    pub(crate) fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// Waits until the server stops.
    pub(crate) async fn stopping(&self) {
        // The sender is gone only if the server is gone, and then there is nothing to wait for.
        let _ = self.0.stop.clone().wait_for(|stop| *stop).await;
    }
}

/// Forgets ended records in memory at regular intervals.
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

/// Fetches an issuer's keys until the server has them, so that the server becomes ready.
async fn fetch_keys(state: State) {
    while let Err(error) = state.registration_policy().prepare().await {
        tracing::warn!(%error, "the server is not ready: it cannot check registrations");
        tokio::select! {
            () = state.stopping() => return,
            () = tokio::time::sleep(FIRST_KEYS_EVERY) => {}
        }
    }
}
