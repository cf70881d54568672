//! The thread that owns the service: it runs the calls of the queue in batches, and the upkeep.

use std::{
    collections::BTreeSet,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{
    parts::WorkerParts,
    queue::{CompletedCall, QueueItem, QueuedCall},
    running::RunningBatch,
};
use crate::{
    api::Code,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp},
    ordering::expiry::Expired,
    server::{clock_guard::STORE_EVERY, health::StoreFault, refusal::RequestError, subscriptions::SubscriptionChange},
    service::{DeliveryService, Effect},
    store::Store,
};

/// The most calls in one transaction. With so many calls, each pays little of the synchronization
/// of the disk, so more would gain nothing. And no call waits long behind the batch.
const MAX_BATCH: usize = 256;

/// The pause between two upkeeps, which delete expired records and load the changes of other
/// processes. After this time, a device that `regrow-ds remove-device` removed has no stream any
/// more.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The most memory of the requests in one transaction; a single request may have more. All other
/// calls wait while the disk takes the writes.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct StoreThread<S> {
    service: DeliveryService<S>,
    parts: WorkerParts,
    /// The time at which the thread last stored a confirmed time, by the monotonic clock.
    time_stored: Option<Duration>,
    /// The version of the changes of other processes at which the thread loaded the sessions.
    others_version: i64,
    depth: Arc<AtomicUsize>,
    running: RunningBatch,
}

impl<S: Store> StoreThread<S> {
    pub(super) fn new(
        service: DeliveryService<S>,
        parts: WorkerParts,
        depth: Arc<AtomicUsize>,
        running: RunningBatch,
    ) -> Self {
        let others_version = service.others_version().unwrap_or(0);
        Self { service, parts, time_stored: None, others_version, depth, running }
    }

    pub(super) fn run(mut self, queue: &Receiver<QueueItem>) {
        let mut upkeep_at = Instant::now() + UPKEEP_INTERVAL;
        let mut stopping = false;
        loop {
            let wait = if stopping { Duration::ZERO } else { upkeep_at.saturating_duration_since(Instant::now()) };
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    let (mut calls, mut asked) = (Vec::new(), Vec::new());
                    let mut bytes = 0;
                    let mut items = iter::once(first).chain(queue.try_iter()).take(MAX_BATCH);
                    while bytes < MAX_BATCH_BYTES
                        && let Some(item) = items.next()
                    {
                        match item {
                            QueueItem::Call(call) => {
                                bytes += call.bytes;
                                calls.push(call);
                            }
                            QueueItem::Upkeep(done) => asked.push(done),
                            QueueItem::Stop => stopping = true,
                        }
                    }
                    self.run_batch(calls);
                    if !asked.is_empty() {
                        while self.upkeep() {}
                    }
                    for done in asked {
                        // The caller may have gone.
                        let _ = done.send(());
                    }
                }
                Err(RecvTimeoutError::Timeout) if !stopping => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            if !stopping && Instant::now() >= upkeep_at {
                let more = self.upkeep();
                // The upkeep runs in steps, with the waiting calls in between.
                upkeep_at = Instant::now() + if more { Duration::ZERO } else { UPKEEP_INTERVAL };
            }
        }
        if let Err(error) = self.service.give_up() {
            tracing::warn!(%error, "the next server has to wait for the store");
        }
    }

    /// Runs calls in one transaction, and answers them.
    fn run_batch(&mut self, calls: Vec<QueuedCall>) {
        let (count, begun) = (calls.len(), Instant::now());
        self.running.begins(begun);
        let mut done = Vec::with_capacity(count);
        let batch = catch_unwind(AssertUnwindSafe(|| {
            self.service.batch(|service| done.extend(calls.into_iter().map(|call| (call.run)(service))))
        }));
        let durable = match batch {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(calls = count, "a batch failed; none of its calls took effect");
                self.note(Err(&error));
                Err(RequestError::from(error))
            }
            Err(_) => Err(Code::Internal.into()),
        };
        self.parts.metrics.batch(count, begun.elapsed());
        let (mut changes, mut answers) = (Vec::new(), Vec::with_capacity(count));
        for CompletedCall { after_commit, answer } in done {
            if durable.is_ok() {
                changes.extend(after_commit.changes);
                after_commit.then.into_iter().for_each(|work| work());
            }
            answers.push(answer);
        }
        let woken = self.notify(changes);
        woken.iter().for_each(|device| self.parts.wake_ups.wake(device));
        answers.into_iter().for_each(|answer| answer(durable.clone()));
        self.depth.fetch_sub(count, Ordering::Relaxed);
        self.running.ends();
    }

    /// Wakes the subscribers that durable changes concern. Returns the devices that the server has
    /// to call.
    fn notify(&self, changes: Vec<SubscriptionChange>) -> BTreeSet<DeviceId> {
        let subscriptions = &self.parts.subscriptions;
        // If in doubt, the thread wakes the device: a needless wake-up costs one read, but a missing
        // one would leave the device waiting.
        if !changes.iter().any(|change| matches!(change, SubscriptionChange::Effect(Effect::Readers(..)))) {
            return subscriptions.apply(changes, |_, _| true);
        }
        // One transaction answers all questions.
        let (mut changes, mut woken) = (Some(changes), BTreeSet::new());
        let answered = self.service.batch(|service| {
            let reads = |group: &GroupId, device: &DeviceId| service.reads(group, device).unwrap_or(true);
            woken = subscriptions.apply(changes.take().unwrap_or_default(), reads);
        });
        match (answered, changes) {
            (Err(_), Some(changes)) => subscriptions.apply(changes, |_, _| true),
            _ => woken,
        }
    }

    /// Notes whether the store takes writes.
    fn note(&self, result: Result<(), &StoreError>) {
        let fault = result.err().map(StoreFault::of);
        if self.parts.health.note(fault) {
            match fault {
                Some(fault) => {
                    tracing::error!(reason = fault.reason(), "the server is not ready");
                    if fault.lasts() {
                        // The streams read, fail, and end. Their devices connect to another server.
                        self.parts.subscriptions.wake_all();
                    }
                }
                None => tracing::info!("the store takes writes again"),
            }
        }
    }

    /// Checks that the store is still at its place. After a failed write, checks also that it takes
    /// writes again.
    fn examine(&self) -> bool {
        let examined = self.service.examine().and_then(|()| match self.parts.health.fault() {
            Some(_) => self.service.try_write(),
            None => Ok(()),
        });
        self.note(examined.as_ref().map(|_| ()));
        examined.is_ok()
    }

    fn upkeep(&mut self) -> bool {
        self.running.begins(Instant::now());
        let more = self.maintain();
        self.running.ends();
        more
    }

    /// Loads the changes of other processes, and deletes some of the expired records. Returns true
    /// if there may be more.
    fn maintain(&mut self) -> bool {
        if !self.examine() {
            return false;
        }
        if let Err(error) = self.reload_external_changes() {
            tracing::error!(%error, "cannot load the changes of other processes");
        }
        let more = self.expire() | self.put_to_sleep();
        match self.service.shrink() {
            Ok(more_room) => more || more_room,
            Err(error) => {
                tracing::error!(%error, "cannot free the disk space of deleted records");
                more
            }
        }
    }

    /// Puts inactive devices to sleep, or wakes them at once if entries wait for them already.
    /// Returns true if there may be more such devices.
    fn put_to_sleep(&self) -> bool {
        let asleep =
            self.parts.wake_ups.fall_asleep(MAX_BATCH, |device| self.parts.subscriptions.is_subscribed(device));
        for device in &asleep {
            match (self.service.has_unread(device), self.service.groups_of(device)) {
                (Ok(false), Ok(groups)) => self.parts.subscriptions.sleep(device, groups),
                // The server calls a device with unread entries at once, and also a device whose
                // check fails. A needless call costs only one read.
                _ => self.parts.wake_ups.wake(device),
            }
        }
        asleep.len() == MAX_BATCH
    }

    /// Loads the sessions and the wake-ups again if another process has changed the store. It may
    /// have removed a device.
    fn reload_external_changes(&mut self) -> Result<(), StoreError> {
        let version = self.service.others_version()?;
        if version != self.others_version {
            // This includes expired sessions: the monotonic clock decides when a session ends.
            self.parts.sessions.keep_only(&self.service.sessions(Timestamp(0))?);
            self.parts.wake_ups.load(self.service.wake_ups()?);
            self.others_version = version;
        }
        Ok(())
    }

    /// Deletes some of the expired records, if the time is certain. Returns true if there may be
    /// more.
    fn expire(&mut self) -> bool {
        let Some(now) = self.parts.clock.observe() else {
            return false;
        };
        self.store_time(now);
        let mut expired = Expired::default();
        match self.service.expire_some(now, &mut expired) {
            Ok(more) => {
                self.parts.metrics.expired(expired);
                if expired != Expired::default() {
                    tracing::debug!(?expired, "deleted expired records");
                }
                more
            }
            Err(error) => {
                tracing::error!(%error, "cannot delete expired records");
                false
            }
        }
    }

    /// Stores the time at regular intervals, so that the next start can compare its clock with it.
    fn store_time(&mut self, now: Timestamp) {
        let monotonic = self.parts.clock.monotonic();
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
