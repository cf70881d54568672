//! The one thread that owns the service, and the queue before it.
//!
//! Calls that wait at the same time are made in one transaction, and each is answered when that is on disk: many writes
//! for the price of one. An answer that acknowledges a write is therefore never sent before the write is durable, and
//! what follows from a write ([`Aftermath`]) happens before its answer, whether or not somebody still waits for it.

use std::{
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    audience::{Audience, Change},
    clock_guard::{ClockGuard, STORE_EVERY},
    context::RequestContext,
    health::{Fault, Health},
    memory::{Charge, Principal},
    metrics::Metrics,
    refusal::Refusal,
    sessions::Sessions,
    shares::Shares,
    wake_up::WakeUps,
};
use crate::{
    api::Code,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp},
    ordering::expiry::Expired,
    service::{DeliveryService, Effect},
    store::{Batch, Store},
};

/// The most calls in one transaction: what the disk takes to synchronize is shared by so many that more would not
/// matter, and nobody waits long behind them.
const MAX_BATCH: usize = 256;

/// How often what has expired is looked for, and what others have changed: a device that `regrow-ds remove-device` removed
/// has no stream any more after this.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The most memory of the requests in one transaction, but for a single one: while the disk takes what they write, all
/// others wait.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The part of the queue that one party may fill: one place in so many.
const PARTY_SHARE: usize = 32;

/// Pages that one party reads from the store at a time. A page may be dropped and read again for lack of memory, so
/// who asks for hundreds at once must not fill the queue with them.
const READS_OF_PARTY: usize = 2;

/// How long a call waits for a place among those of its party before it is refused.
const SHARE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a client waits before it tries again when the queue is full.
const FULL: Duration = Duration::from_secs(1);

/// What part of the queue streams may fill with their reads, so that those who write still get in when an entry has woken
/// thousands of readers.
const READERS_SHARE: usize = 4;

/// The service as a call sees it: within a batch.
pub(crate) type Service<'b> = DeliveryService<Batch<'b>>;

/// A call that waits.
struct Job {
    make: Box<dyn FnOnce(&Service<'_>) -> Done + Send>,
    /// The memory of the request that makes it: some of it will be written.
    bytes: usize,
}

enum Message {
    Job(Job),
    /// Do the upkeep until there is nothing more to do, and say so.
    Upkeep(oneshot::Sender<()>),
    /// Answer what is in the queue, and end.
    Stop,
}

/// A call that was made, and is answered once it is durable.
struct Done {
    aftermath: Aftermath,
    /// Answers, unless the transaction has failed: then with that.
    answer: Box<dyn FnOnce(Result<(), Refusal>) + Send>,
}

/// What follows from a call once it is durable.
#[derive(Default)]
pub(crate) struct Aftermath {
    changes: Vec<Change>,
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl Aftermath {
    /// What follows from the calls that the service has accepted.
    fn effects(&mut self, effects: Vec<Effect>) {
        self.changes.extend(effects.into_iter().map(Change::Effect));
    }

    /// A device listens, and reads these groups.
    pub(crate) fn follow(&mut self, device: DeviceId, groups: Vec<GroupId>) {
        self.changes.push(Change::Follow(device, groups));
    }

    /// Something else that has to happen.
    pub(crate) fn then(&mut self, work: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(work));
    }
}

/// The parts of the server that the thread keeps up to date.
pub(crate) struct Parts {
    pub(crate) audience: Audience,
    pub(crate) sessions: Sessions,
    pub(crate) metrics: Metrics,
    pub(crate) clock: ClockGuard,
    pub(crate) health: Health,
    pub(crate) wake_ups: WakeUps,
}

/// A handle to the thread.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: SyncSender<Message>,
    depth: Arc<AtomicUsize>,
    readers: Arc<Semaphore>,
    shares: Arc<Shares<Principal>>,
    reads: Arc<Shares<Principal>>,
}

impl Worker {
    /// Starts the thread, with a queue for so many calls.
    pub(crate) fn start<S: Store + Send + 'static>(
        service: DeliveryService<S>,
        parts: Parts,
        queue: usize,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let Parts { audience, sessions, metrics, clock, health, wake_ups } = parts;
        let (sender, receiver) = sync_channel(queue.max(1));
        let depth = Arc::new(AtomicUsize::new(0));
        let others_version = service.others_version().unwrap_or(0);
        let depth_seen = Arc::clone(&depth);
        let thread = Thread {
            service,
            audience,
            sessions,
            metrics,
            clock,
            health,
            wake_ups,
            time_stored: None,
            others_version,
            depth: depth_seen,
        };
        let thread = thread::Builder::new().name("store".into()).spawn(move || thread.run(&receiver))?;
        let readers = Arc::new(Semaphore::new((queue / READERS_SHARE).max(1)));
        let shares = Arc::new(Shares::new(queue / PARTY_SHARE));
        let reads = Arc::new(Shares::new(READS_OF_PARTY));
        Ok((Self { queue: sender, depth, readers, shares, reads }, thread))
    }

    /// Makes a call, and returns its answer once all that it changed is durable.
    ///
    /// It is made also if the caller goes away in the meantime. Fails with [`Code::Unavailable`] if the queue is full, with
    /// [`Code::TooManyRequests`] if other calls of the same party keep its places for too long, with [`Code::Internal`]
    /// if the store fails, and with the error of `work`.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Service<'_>, &mut Aftermath) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.call_for(RequestContext::current().as_ref(), work).await
    }

    /// The same for a request that this task need not work for.
    async fn call_for<T: Send + 'static>(
        &self,
        context: Option<&RequestContext>,
        work: impl FnOnce(&Service<'_>, &mut Aftermath) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let full = || Refusal::for_now(Code::Unavailable, FULL);
        let place = match context {
            Some(RequestContext { principal, .. }) => {
                let place = timeout(SHARE_PATIENCE, self.shares.of(principal).acquire_owned()).await;
                let crowded = |_| Refusal::for_now(Code::TooManyRequests, FULL);
                Some(place.map_err(crowded)?.map_err(|_| full())?)
            }
            None => None,
        };
        let charge = context.map(|context| context.charge.clone());
        let bytes = charge.as_ref().map_or(0, Charge::bytes);
        let (sender, receiver) = oneshot::channel();
        let make = Box::new(move |service: &Service<'_>| {
            let mut aftermath = Aftermath::default();
            // What it changed in part is undone by the batch; what is in memory is read again.
            let result = catch_unwind(AssertUnwindSafe(|| work(service, &mut aftermath)))
                .unwrap_or_else(|_| Err(Code::Internal.into()));
            aftermath.effects(service.take_effects());
            // The request's memory is charged until here, although its client may have gone.
            drop((place, charge));
            let answer = move |durable: Result<(), Refusal>| {
                // Nobody may be waiting any more.
                let _ = sender.send(durable.and(result));
            };
            Done { aftermath, answer: Box::new(answer) }
        });
        self.depth.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.queue.try_send(Message::Job(Job { make, bytes })) {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            return Err(match error {
                TrySendError::Full(_) | TrySendError::Disconnected(_) => full(),
            });
        }
        receiver.await.unwrap_or_else(|_| Err(full()))
    }

    /// The same for a stream's read: it waits for its turn among the readers.
    pub(crate) async fn call_as_reader<T: Send + 'static>(
        &self,
        context: Option<&RequestContext>,
        work: impl FnOnce(&Service<'_>, &mut Aftermath) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let full = |_| Refusal::for_now(Code::Unavailable, FULL);
        let _own = match context {
            Some(RequestContext { principal, .. }) => {
                Some(self.reads.of(principal).acquire_owned().await.map_err(full)?)
            }
            None => None,
        };
        let _turn = self.readers.acquire().await.map_err(|_| Refusal::for_now(Code::Unavailable, FULL))?;
        self.call_for(context, work).await
    }

    /// Forgets the shares of the queue that nobody uses.
    pub(crate) fn forget(&self) {
        self.shares.forget();
        self.reads.forget();
    }

    /// Does the upkeep now, all of it, whatever the time is. For tests and simulations, whose clocks do not run.
    pub(crate) async fn upkeep(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.try_send(Message::Upkeep(sender)).is_ok() {
            // A thread that ends has no upkeep to do.
            let _ = receiver.await;
        }
    }

    /// Calls that wait, and are being made.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Asks the thread to answer what is in the queue and to end. Blocks while the queue is full.
    pub(crate) fn stop(&self) {
        // If it has ended already, that is what was asked for.
        let _ = self.queue.send(Message::Stop);
    }
}

struct Thread<S> {
    service: DeliveryService<S>,
    audience: Audience,
    sessions: Sessions,
    metrics: Metrics,
    clock: ClockGuard,
    health: Health,
    wake_ups: WakeUps,
    /// When a confirmed time was last stored, by the monotonic clock.
    time_stored: Option<Duration>,
    /// What somebody else had changed by when the sessions were loaded.
    others_version: i64,
    depth: Arc<AtomicUsize>,
}

impl<S: Store> Thread<S> {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut upkeep_at = Instant::now() + UPKEEP_INTERVAL;
        let mut stopping = false;
        loop {
            let wait = if stopping { Duration::ZERO } else { upkeep_at.saturating_duration_since(Instant::now()) };
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    let (mut jobs, mut asked) = (Vec::new(), Vec::new());
                    let mut bytes = 0;
                    let mut messages = iter::once(first).chain(queue.try_iter()).take(MAX_BATCH);
                    while bytes < MAX_BATCH_BYTES
                        && let Some(message) = messages.next()
                    {
                        match message {
                            Message::Job(job) => {
                                bytes += job.bytes;
                                jobs.push(job);
                            }
                            Message::Upkeep(done) => asked.push(done),
                            Message::Stop => stopping = true,
                        }
                    }
                    self.make(jobs);
                    if !asked.is_empty() {
                        while self.upkeep() {}
                    }
                    for done in asked {
                        // Nobody may be waiting any more.
                        let _ = done.send(());
                    }
                }
                Err(RecvTimeoutError::Timeout) if !stopping => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            if !stopping && Instant::now() >= upkeep_at {
                let more = self.upkeep();
                // A step at a time, with those who wait in between.
                upkeep_at = Instant::now() + if more { Duration::ZERO } else { UPKEEP_INTERVAL };
            }
        }
    }

    /// Makes calls in one transaction, and answers them.
    fn make(&mut self, jobs: Vec<Job>) {
        let (count, begun) = (jobs.len(), Instant::now());
        let mut done = Vec::with_capacity(count);
        let batch = catch_unwind(AssertUnwindSafe(|| {
            self.service.batch(|service| done.extend(jobs.into_iter().map(|job| (job.make)(service))))
        }));
        let durable = match batch {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(calls = count, "a batch failed, and nothing of it has happened");
                self.note(Err(&error));
                Err(Refusal::from(error))
            }
            Err(_) => Err(Code::Internal.into()),
        };
        self.metrics.batch(count, begun.elapsed());
        let (mut changes, mut answers) = (Vec::new(), Vec::with_capacity(count));
        for Done { aftermath, answer } in done {
            if durable.is_ok() {
                changes.extend(aftermath.changes);
                aftermath.then.into_iter().for_each(|work| work());
            }
            answers.push(answer);
        }
        let woken = self.audience.apply(changes, |group, device| {
            // A device that is woken for nothing reads once more; one that is not woken would wait.
            self.service.reads(group, device).unwrap_or(true)
        });
        woken.iter().for_each(|device| self.wake_ups.wake(device));
        answers.into_iter().for_each(|answer| answer(durable.clone()));
        self.depth.fetch_sub(count, Ordering::Relaxed);
    }

    /// Notes whether the store takes writes.
    fn note(&self, result: Result<(), &StoreError>) {
        let fault = result.err().map(Fault::of);
        if self.health.note(fault) {
            match fault {
                Some(fault) => tracing::error!(reason = fault.reason(), "the server is not ready"),
                None => tracing::info!("the store takes writes again"),
            }
        }
    }

    /// Looks whether the store is where it was, and takes writes again if it did not.
    fn examine(&self) -> bool {
        let examined = self.service.examine().and_then(|()| match self.health.fault() {
            Some(_) => self.service.try_write(),
            None => Ok(()),
        });
        self.note(examined.as_ref().map(|_| ()));
        examined.is_ok()
    }

    /// Sees what others have changed, and deletes some of what has expired. Returns whether there may be more.
    fn upkeep(&mut self) -> bool {
        if !self.examine() {
            return false;
        }
        if let Err(error) = self.look_at_others() {
            tracing::error!(%error, "cannot see what others have changed");
        }
        let more = self.expire() | self.lull();
        match self.service.shrink() {
            Ok(more_room) => more || more_room,
            Err(error) => {
                tracing::error!(%error, "cannot give back what was deleted");
                more
            }
        }
    }

    /// Lets devices sleep that are to be woken, or wakes them at once for entries that came before. Returns whether there
    /// may be more of them.
    fn lull(&self) -> bool {
        let asleep = self.wake_ups.fall_asleep(MAX_BATCH, |device| self.audience.listens(device));
        for device in &asleep {
            match (self.service.has_unread(device), self.service.groups_of(device)) {
                (Ok(false), Ok(groups)) => self.audience.sleep(device, groups),
                // A device that is woken for nothing reads once more.
                _ => self.wake_ups.wake(device),
            }
        }
        asleep.len() == MAX_BATCH
    }

    /// Loads the sessions and the wake-ups again if somebody else has changed the store: they may have removed a device.
    fn look_at_others(&mut self) -> Result<(), StoreError> {
        let version = self.service.others_version()?;
        if version != self.others_version {
            // Those too whose time has passed: what time it is, the monotonic clock says.
            self.sessions.keep_only(&self.service.sessions(Timestamp(0))?);
            self.wake_ups.load(self.service.wake_ups()?);
            self.others_version = version;
        }
        Ok(())
    }

    /// Deletes some of the records whose time has passed, if it is certain what time it is. Returns whether there may be
    /// more.
    fn expire(&mut self) -> bool {
        let Some(now) = self.clock.observe() else {
            return false;
        };
        self.store_time(now);
        let mut expired = Expired::default();
        match self.service.expire_some(now, &mut expired) {
            Ok(more) => {
                self.metrics.expired(expired);
                if expired != Expired::default() {
                    tracing::debug!(?expired, "deleted what has expired");
                }
                more
            }
            Err(error) => {
                tracing::error!(%error, "cannot delete what has expired");
                false
            }
        }
    }

    /// Stores the time now and then, for the next start to compare its clock with.
    fn store_time(&mut self, now: Timestamp) {
        let monotonic = self.clock.monotonic();
        if self.time_stored.is_some_and(|then| monotonic.saturating_sub(then) < STORE_EVERY) {
            return;
        }
        match self.service.note_time(now) {
            Ok(()) => self.time_stored = Some(monotonic),
            Err(error) => {
                tracing::error!(%error, "cannot store the time");
                self.note(Err(&error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        admission::DeviceKey,
        limits::Limits,
        receipt::ServiceKey,
        server::{environment::Environment, settings::WakeUp},
        store::SqliteStore,
    };

    fn worker(queue: usize) -> (Worker, JoinHandle<()>) {
        let store = SqliteStore::in_memory().expect("a store");
        let service = DeliveryService::open(store, Limits::default(), ServiceKey::from_seed(&[1; 32]));
        let (audience, sessions, metrics) = (Audience::new(1, 1), Sessions::default(), Metrics::default());
        let environment = Environment::of_this_machine();
        let wake_ups = WakeUps::new(&WakeUp::default(), environment.clone(), metrics.clone()).expect("no client");
        let clock = ClockGuard::new(environment, metrics.clone(), None, Duration::ZERO);
        let service = service.expect("a service");
        let parts = Parts { audience, sessions, metrics, clock, health: Health::default(), wake_ups };
        Worker::start(service, parts, queue).expect("a thread")
    }

    fn device(user: &str) -> DeviceId {
        DeviceId::new(user, "phone").expect("a short name")
    }

    fn register(service: &Service<'_>, name: &str) {
        let registered = service.register_device(&device(name), DeviceKey([0; 32]), None, Timestamp(0));
        registered.expect("a device");
    }

    async fn is_known(worker: &Worker, name: &'static str) -> bool {
        let key = worker.call(move |service, _| Ok(service.device_key(&device(name))?)).await;
        key.expect("an answer").is_some()
    }

    /// Keeps the thread busy until the sender is dropped. Returns when it has begun.
    fn occupy(worker: &Worker) -> (mpsc::Sender<()>, impl Future<Output = Result<(), Refusal>> + use<>) {
        let (release, released) = mpsc::channel();
        let (begin, began) = mpsc::channel();
        let worker = worker.clone();
        let busy = tokio::spawn(async move {
            let work = move |_: &Service<'_>, _: &mut Aftermath| {
                begin.send(()).expect("somebody waits");
                let _ = released.recv();
                Ok(())
            };
            worker.call(work).await
        });
        let busy = async move {
            tokio::task::spawn_blocking(move || began.recv()).await.expect("a thread").expect("it has begun");
            busy.await.expect("an answer")
        };
        (release, busy)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_refuses() {
        let (worker, _thread) = worker(1);
        let (release, busy) = occupy(&worker);
        let busy = tokio::spawn(busy);
        while worker.depth() == 0 {
            tokio::task::yield_now().await;
        }
        // One is being made, and one or two can be had to wait; what is beyond is refused.
        let waiting = [0; 3].map(|_| {
            let worker = worker.clone();
            tokio::spawn(async move { worker.call(|_, _| Ok(())).await })
        });
        while waiting.iter().all(|one| !one.is_finished()) {
            tokio::task::yield_now().await;
        }
        drop(release);
        let mut refused = 0;
        for one in waiting {
            if let Err(Refusal(problem)) = one.await.expect("an answer") {
                assert_eq!((problem.code, problem.retry_after), (Code::Unavailable, Some(1)));
                refused += 1;
            }
        }
        assert!(refused > 0);
        busy.await.expect("an answer").expect("it was made");
        assert_eq!(worker.call(|_, _| Ok(1)).await, Ok(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_undoes_its_own_call_and_no_other() {
        let (worker, _thread) = worker(16);
        let (release, busy) = occupy(&worker);
        let busy = tokio::spawn(busy);
        let calls = ["before", "panics", "after"].map(|name| {
            let worker = worker.clone();
            tokio::spawn(async move {
                let call = worker.call(move |service, _| {
                    if name == "panics" {
                        panic!("on purpose");
                    }
                    register(service, name);
                    Ok(())
                });
                call.await
            })
        });
        drop(release);
        busy.await.expect("an answer").expect("it was made");
        let [before, panics, after] = calls;
        assert_eq!(before.await.expect("an answer"), Ok(()));
        assert_eq!(panics.await.expect("an answer"), Err(Code::Internal.into()));
        assert_eq!(after.await.expect("an answer"), Ok(()));
        assert!(is_known(&worker, "before").await && is_known(&worker, "after").await);
    }

    #[tokio::test]
    async fn what_follows_from_a_call_happens_before_its_answer_and_without_anybody_waiting() {
        let (worker, thread) = worker(16);
        let (sender, receiver) = mpsc::channel();
        let call = worker.call(move |_, aftermath| {
            aftermath.then(move || sender.send("done").expect("somebody listens"));
            Ok(())
        });
        // Asked for once, and then left.
        tokio::select! { biased; _ = call => {}, () = async {} => {} }
        worker.stop();
        thread.join().expect("it ends");
        assert_eq!(receiver.recv(), Ok("done"));
    }

    #[tokio::test]
    async fn what_is_in_the_queue_is_made_before_the_end() {
        let (worker, thread) = worker(16);
        let call = worker.call(|service, _| {
            register(service, "alice");
            Ok("made")
        });
        let mut call = std::pin::pin!(call);
        tokio::select! { biased; answer = &mut call => assert_eq!(answer, Ok("made")), () = async {} => {
            worker.stop();
            assert_eq!(call.await, Ok("made"));
        } }
        worker.stop();
        thread.join().expect("it ends");
        assert_eq!(worker.call(|_, _| Ok(())).await.map_err(|refusal| refusal.0.code), Err(Code::Unavailable));
    }
}
