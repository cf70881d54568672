//! Work on clients' bytes beside the runtime's and the store's threads: decoding and checking.
//!
//! The server does as much of it at a time as there are processors, and never all of it for one party while there
//! are others: each party has one place less than there are, and those that wait are served in turn. Work on large
//! bytes has one place in all, for it slows down all other work of the machine.

use std::{num::NonZero, sync::Arc, thread};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{context::RequestContext, memory::Principal, refusal::Refusal, shares::Shares, sizes::LARGE};
use crate::api::Code;

/// Places for work on large bytes.
const LARGE_PLACES: usize = 1;

/// The places for such work.
pub(crate) struct Checks {
    places: Arc<Semaphore>,
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
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            shares: Shares::new(places.saturating_sub(1)),
            large: Arc::new(Semaphore::new(LARGE_PLACES)),
            large_shares: Shares::new(LARGE_PLACES),
        }
    }

    /// Does work on so many bytes, for the request that this task works for. Fails with [`Code::Internal`] if the work panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        Ok(self.permit(bytes).await?.run(work).await?.0)
    }

    /// Waits for a place for work on so many bytes, for the request that this task works for.
    pub(crate) async fn permit(&self, bytes: usize) -> Result<CheckPermit, Refusal> {
        let context = RequestContext::current();
        let is_large = bytes >= LARGE;
        // The party's own share comes first: a party that waits for it keeps no place from others.
        let mut places = Vec::new();
        if let Some(RequestContext { principal, .. }) = &context {
            let shares = if is_large { &self.large_shares } else { &self.shares };
            places.push(place(&shares.of(principal)).await?);
        }
        if is_large {
            places.push(place(&self.large).await?);
        }
        places.push(place(&self.places).await?);
        Ok(CheckPermit { _places: places, _context: context })
    }

    /// Forgets the shares that nobody uses.
    pub(crate) fn forget(&self) {
        self.shares.forget();
        self.large_shares.forget();
    }
}

/// A place for work, and the memory of the request that the work is for.
pub(crate) struct CheckPermit {
    _places: Vec<OwnedSemaphorePermit>,
    _context: Option<RequestContext>,
}

impl CheckPermit {
    /// Does work in this place. Fails with [`Code::Internal`] if the work panics.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), Refusal> {
        // Work goes on when its client has gone. It keeps its place for that time.
        Ok(spawn_blocking(move || (work(), self)).await.map_err(|_| Code::Internal)?)
    }
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    // Nobody closes a semaphore of ours.
    Ok(Arc::clone(places).acquire_owned().await.map_err(|_| Code::Unavailable)?)
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

    /// Work that goes on until the returned sender is dropped.
    fn endless() -> (mpsc::Sender<()>, impl Fn() + Clone + Send + 'static) {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let work = move || drop(released.lock().map(|released| released.recv()));
        (release, work)
    }

    /// Starts work of a device.
    fn start(checks: &Arc<Checks>, name: &str, bytes: usize, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        let (checks, context) = (Arc::clone(checks), context(name));
        tokio::spawn(async move { context.scope(checks.run(bytes, work)).await.expect("it is done") })
    }

    #[tokio::test]
    async fn one_device_leaves_a_place_for_another() {
        let checks = Arc::new(Checks::new(2));
        let (release, work) = endless();
        let busy: Vec<_> = (0..5).map(|_| start(&checks, "mallory", 0, work.clone())).collect();
        let done = start(&checks, "alice", 0, || ());
        tokio::time::timeout(Duration::from_secs(10), done).await.expect("a place").expect("it ends");
        drop(release);
        for one in busy {
            one.await.expect("it ends");
        }
    }

    #[tokio::test]
    async fn large_work_of_many_devices_leaves_places_for_small_work() {
        let checks = Arc::new(Checks::new(2));
        let (release, work) = endless();
        let busy = ["mallory", "mallory", "bob", "carol"].map(|name| start(&checks, name, LARGE, work.clone()));
        let done = start(&checks, "alice", LARGE - 1, || ());
        tokio::time::timeout(Duration::from_secs(10), done).await.expect("a place").expect("it ends");
        drop(release);
        for one in busy {
            one.await.expect("it ends");
        }
    }

    #[tokio::test]
    async fn one_device_has_one_turn_among_those_with_large_work() {
        let checks = Arc::new(Checks::new(8));
        let (release, work) = endless();
        let (order, done) = mpsc::channel();
        let first = start(&checks, "mallory", LARGE, work);
        tokio::task::yield_now().await;
        let waiting: Vec<_> = ["mallory", "mallory", "mallory", "alice"]
            .map(|name| {
                let order = order.clone();
                start(&checks, name, LARGE, move || order.send(name).expect("somebody listens"))
            })
            .into();
        tokio::task::yield_now().await;
        drop(release);
        first.await.expect("it ends");
        for one in waiting {
            one.await.expect("it ends");
        }
        assert_eq!(done.try_iter().next(), Some("alice"), "the others of mallory's wait for each other");
    }
}
