//! Work on the bytes of clients beside the threads of the runtime and of the store: decoding and
//! verification.
//!
//! The server runs as many of these jobs at a time as the machine has processors. One party gets at
//! most one permit less than there are, so it leaves one for others. On a machine with one
//! processor, a party may hold the only permit. Waiting jobs run in the order of their arrival.
//! Only one job on large bytes runs at a time, because such a job slows down all other work of the
//! machine.

use std::{num::NonZero, sync::Arc, thread};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{context::RequestContext, memory::Principal, refusal::RequestError, shares::Shares, sizes::LARGE};
use crate::api::Code;

/// The number of permits for jobs on large bytes.
const LARGE_PERMITS: usize = 1;

/// The permits for jobs beside the store.
pub(crate) struct Checks {
    permits: Arc<Semaphore>,
    shares: Shares<Principal>,
    large: Arc<Semaphore>,
    large_shares: Shares<Principal>,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Checks {
    fn new(permits: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            shares: Shares::new(permits.saturating_sub(1)),
            large: Arc::new(Semaphore::new(LARGE_PERMITS)),
            large_shares: Shares::new(LARGE_PERMITS),
        }
    }

    /// Runs `work` on `bytes` bytes for the request of the current task. Fails with
    /// [`Code::Internal`] if the work panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        Ok(self.permit(bytes).await?.run(work).await?.0)
    }

    /// Waits for a permit for work on `bytes` bytes, for the request of the current task.
    pub(crate) async fn permit(&self, bytes: usize) -> Result<CheckPermit, RequestError> {
        let context = RequestContext::current();
        let is_large = bytes >= LARGE;
        // The share of the party comes first: a party that waits for its own share holds no permit
        // that others need.
        let mut permits = Vec::new();
        if let Some(RequestContext { principal, .. }) = &context {
            let shares = if is_large { &self.large_shares } else { &self.shares };
            permits.push(acquire(&shares.of(principal)).await?);
        }
        if is_large {
            permits.push(acquire(&self.large).await?);
        }
        permits.push(acquire(&self.permits).await?);
        Ok(CheckPermit { _permits: permits, _context: context })
    }

    /// Forgets the shares that no party uses.
    pub(crate) fn forget(&self) {
        self.shares.forget();
        self.large_shares.forget();
    }
}

/// A permit to run a job, with the memory of the request that needs the job.
pub(crate) struct CheckPermit {
    _permits: Vec<OwnedSemaphorePermit>,
    _context: Option<RequestContext>,
}

impl CheckPermit {
    /// Runs `work` with this permit. Fails with [`Code::Internal`] if the work panics.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), RequestError> {
        // The work continues even if its client disconnects. It keeps its permit until it ends.
        Ok(spawn_blocking(move || (work(), self)).await.map_err(|_| Code::Internal)?)
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, RequestError> {
    // This module never closes its semaphores.
    Ok(Arc::clone(permits).acquire_owned().await.map_err(|_| Code::Unavailable)?)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use tokio::task::JoinHandle;

    use super::*;
    use crate::{
        names::DeviceId,
        server::{memory::Memory, settings::ServerLimits},
    };

    fn context(name: &str) -> RequestContext {
        let principal = Principal::Device(DeviceId::new(name, "phone").expect("a name"));
        let charge = Memory::new(&ServerLimits::default()).charge(&principal, None);
        RequestContext::new(principal, charge)
    }

    /// Returns work that runs until the returned sender is dropped.
    fn endless() -> (mpsc::Sender<()>, impl Fn() + Clone + Send + 'static) {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let work = move || drop(released.lock().map(|released| released.recv()));
        (release, work)
    }

    /// Starts work for a device.
    fn start(checks: &Arc<Checks>, name: &str, bytes: usize, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        let (checks, context) = (Arc::clone(checks), context(name));
        tokio::spawn(async move { context.scope(checks.run(bytes, work)).await.expect("the work is done") })
    }

    #[tokio::test]
    async fn one_device_leaves_a_permit_for_another() {
        let checks = Arc::new(Checks::new(2));
        let (release, work) = endless();
        let busy: Vec<_> = (0..5).map(|_| start(&checks, "mallory", 0, work.clone())).collect();
        let done = start(&checks, "alice", 0, || ());
        tokio::time::timeout(Duration::from_secs(10), done).await.expect("a permit").expect("the task ends");
        drop(release);
        for one in busy {
            one.await.expect("the task ends");
        }
    }

    #[tokio::test]
    async fn large_work_leaves_permits_for_small_work() {
        let checks = Arc::new(Checks::new(2));
        let (release, work) = endless();
        let busy = ["mallory", "mallory", "bob", "carol"].map(|name| start(&checks, name, LARGE, work.clone()));
        let done = start(&checks, "alice", LARGE - 1, || ());
        tokio::time::timeout(Duration::from_secs(10), done).await.expect("a permit").expect("the task ends");
        drop(release);
        for one in busy {
            one.await.expect("the task ends");
        }
    }

    #[tokio::test]
    async fn devices_take_turns_with_large_work() {
        let checks = Arc::new(Checks::new(8));
        let (release, work) = endless();
        let (order, done) = mpsc::channel();
        let first = start(&checks, "mallory", LARGE, work);
        tokio::task::yield_now().await;
        let waiting: Vec<_> = ["mallory", "mallory", "mallory", "alice"]
            .map(|name| {
                let order = order.clone();
                start(&checks, name, LARGE, move || order.send(name).expect("the test listens"))
            })
            .into();
        tokio::task::yield_now().await;
        drop(release);
        first.await.expect("the task ends");
        for one in waiting {
            one.await.expect("the task ends");
        }
        assert_eq!(done.try_iter().next(), Some("alice"), "the jobs of mallory wait for each other");
    }
}
