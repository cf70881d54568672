//! The single thread that owns the service, and the queue in front of it.
//!
//! Calls that wait at the same time share one transaction, and their answers leave when the
//! transaction is on disk. A batch of writes therefore costs only one synchronization of the disk.
//! The server never acknowledges a write before the write is durable. The work that follows from a
//! write ([`AfterCommit`]) runs before the answer, even if no caller waits for the answer any more.

mod parts;
mod queue;
mod running;
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
    running::RunningBatch,
    store_thread::StoreThread,
};
use super::{
    context::RequestContext,
    memory::{Charge, Principal},
    refusal::RequestError,
    shares::Shares,
};
use crate::{api::Code, service::DeliveryService, store::Store};

/// The part of the queue that one party may fill: one place of every 32.
const PARTY_SHARE: usize = 32;

/// The most pages that one party reads from the store at a time. The server may drop a page for
/// lack of memory and read it again. So a party that asks for hundreds of pages must not fill the
/// queue with them.
const READS_OF_PARTY: usize = 2;

/// The time that a call waits for a place in the share of its party. Then the server refuses the
/// call.
const SHARE_PATIENCE: Duration = Duration::from_secs(5);

/// The time after which a client tries again if the queue is full.
const FULL: Duration = Duration::from_secs(1);

/// The part of the queue that streams may fill with reads: one place of every four. So writes still
/// get in when an entry has woken thousands of readers.
const READERS_SHARE: usize = 4;

/// A handle to the store's thread and its queue.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: SyncSender<QueueItem>,
    depth: Arc<AtomicUsize>,
    readers: Arc<Semaphore>,
    shares: Arc<Shares<Principal>>,
    reads: Arc<Shares<Principal>>,
    running: RunningBatch,
}

impl Worker {
    /// Starts the thread with a queue for `queue` calls.
    pub(crate) fn start<S: Store + Send + 'static>(
        service: DeliveryService<S>,
        parts: WorkerParts,
        queue: usize,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(queue.max(1));
        let depth = Arc::new(AtomicUsize::new(0));
        let running = RunningBatch::default();
        let thread = StoreThread::new(service, parts, Arc::clone(&depth), running.clone());
        let thread = thread::Builder::new().name("store".into()).spawn(move || thread.run(&receiver))?;
        let readers = Arc::new(Semaphore::new((queue / READERS_SHARE).max(1)));
        let shares = Arc::new(Shares::new(queue / PARTY_SHARE));
        let reads = Arc::new(Shares::new(READS_OF_PARTY));
        Ok((Self { queue: sender, depth, readers, shares, reads, running }, thread))
    }

    /// Runs `work` on the store's thread, and returns its answer once all its changes are durable.
    ///
    /// The call runs even if the caller disconnects in the meantime.
    ///
    /// Fails with [`Code::Unavailable`] if the queue is full, or if the store does not answer. Fails
    /// with [`Code::TooManyRequests`] if other calls of the same party hold its places for too long.
    /// Fails with [`Code::Internal`] if the store fails, and with the error of `work`.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        self.call_for(RequestContext::current().as_ref(), work).await
    }

    /// Runs a call like [`call`](Self::call) for the request in `context`, which need not be the
    /// request of the current task.
    async fn call_for<T: Send + 'static>(
        &self,
        context: Option<&RequestContext>,
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let full = || RequestError::for_now(Code::Unavailable, FULL);
        if self.running.is_stuck() {
            return Err(full());
        }
        let place = match context {
            Some(RequestContext { principal, .. }) => {
                let place = timeout(SHARE_PATIENCE, self.shares.of(principal).acquire_owned()).await;
                let share_full = |_| RequestError::for_now(Code::TooManyRequests, FULL);
                Some(place.map_err(share_full)?.map_err(|_| full())?)
            }
            None => None,
        };
        let charge = context.map(|context| context.charge.clone());
        let bytes = charge.as_ref().map_or(0, Charge::bytes);
        let (sender, receiver) = oneshot::channel();
        let run = Box::new(move |service: &Service<'_>| {
            let mut after_commit = AfterCommit::default();
            // The batch undoes the partial changes of a call that panics, and the service reloads
            // its state in memory.
            let result = catch_unwind(AssertUnwindSafe(|| work(service, &mut after_commit)))
                .unwrap_or_else(|_| Err(Code::Internal.into()));
            after_commit.effects(service.take_effects());
            // The memory of the request stays charged until here, even if its client has
            // disconnected.
            drop((place, charge));
            let answer = move |durable: Result<(), RequestError>| {
                // The caller may have gone.
                let _ = sender.send(durable.and(result));
            };
            CompletedCall { after_commit, answer: Box::new(answer) }
        });
        self.depth.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.queue.try_send(QueueItem::Call(QueuedCall { run, bytes })) {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            return Err(match error {
                TrySendError::Full(_) | TrySendError::Disconnected(_) => full(),
            });
        }
        receiver.await.unwrap_or_else(|_| Err(full()))
    }

    /// Runs a call like [`call`](Self::call) for a reader. It waits for its turn among the readers.
    pub(crate) async fn call_as_reader<T: Send + 'static>(
        &self,
        context: Option<&RequestContext>,
        work: impl FnOnce(&Service<'_>, &mut AfterCommit) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let full = |_| RequestError::for_now(Code::Unavailable, FULL);
        let _own = match context {
            Some(RequestContext { principal, .. }) => {
                Some(self.reads.of(principal).acquire_owned().await.map_err(full)?)
            }
            None => None,
        };
        let _turn = self.readers.acquire().await.map_err(full)?;
        self.call_for(context, work).await
    }

    /// Forgets the shares of the queue that no party uses.
    pub(crate) fn forget(&self) {
        self.shares.forget();
        self.reads.forget();
    }

    /// Completes the upkeep at once, at any time. It is for tests and simulations, whose clocks
    /// stand still.
    pub(crate) async fn upkeep(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.try_send(QueueItem::Upkeep(sender)).is_ok() {
            // A thread that is ending runs no upkeep.
            let _ = receiver.await;
        }
    }

    /// The number of calls that wait or run.
    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Asks the thread to answer the calls in the queue and to end. Blocks while the queue is full.
    pub(crate) fn stop(&self) {
        // The send fails if the thread has ended already. Then nothing is left to do.
        let _ = self.queue.send(QueueItem::Stop);
    }
}
