//! The one thread that owns the service, and the queue before it.
//!
//! Calls that wait at the same time are made in one transaction, and each is answered when that is on disk: many writes
//! for the price of one. An answer that acknowledges a write is therefore never sent before the write is durable, and
//! what follows from a write ([`AfterCommit`]) happens before its answer, whether or not somebody still waits for it.

mod parts;
mod queue;
mod store_thread;
#[cfg(test)]
mod tests;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

pub(crate) use self::{
    parts::WorkerParts,
    queue::{AfterCommit, Service},
};
use self::{
    queue::{CompletedCall, QueueItem, QueuedCall},
    store_thread::StoreThread,
};
use super::{
    context::RequestContext,
    memory::{Charge, Principal},
    refusal::Refusal,
    shares::Shares,
};
use crate::{api::Code, service::DeliveryService, store::Store};

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

/// A handle to the thread.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: SyncSender<QueueItem>,
    depth: Arc<AtomicUsize>,
    readers: Arc<Semaphore>,
    shares: Arc<Shares<Principal>>,
    reads: Arc<Shares<Principal>>,
}

impl Worker {
    /// Starts the thread, with a queue for so many calls.
    pub(crate) fn start<S: Store + Send + 'static>(
        service: DeliveryService<S>,
        parts: WorkerParts,
        queue: usize,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(queue.max(1));
        let depth = Arc::new(AtomicUsize::new(0));
        let thread = StoreThread::new(service, parts, Arc::clone(&depth));
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
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.call_for(RequestContext::current().as_ref(), work).await
    }

    /// The same for a request that this task need not work for.
    async fn call_for<T: Send + 'static>(
        &self,
        context: Option<&RequestContext>,
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, Refusal> + Send + 'static,
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
            let mut after_commit = AfterCommit::default();
            // What it changed in part is undone by the batch; what is in memory is read again.
            let result = catch_unwind(AssertUnwindSafe(|| work(service, &mut after_commit)))
                .unwrap_or_else(|_| Err(Code::Internal.into()));
            after_commit.effects(service.take_effects());
            // The request's memory is charged until here, although its client may have gone.
            drop((place, charge));
            let answer = move |durable: Result<(), Refusal>| {
                // Nobody may be waiting any more.
                let _ = sender.send(durable.and(result));
            };
            CompletedCall { after_commit, answer: Box::new(answer) }
        });
        self.depth.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.queue.try_send(QueueItem::Call(QueuedCall { make, bytes })) {
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
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, Refusal> + Send + 'static,
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
        if self.queue.try_send(QueueItem::Upkeep(sender)).is_ok() {
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
        let _ = self.queue.send(QueueItem::Stop);
    }
}
