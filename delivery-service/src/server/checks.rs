//! Work on clients' bytes beside the runtime's and the store's threads: decoding and checking.
//!
//! As much is done at a time as there are processors, and never all of it for one party while there
//! are others: each has one place less than there are, and who waits is served in turn.

use std::{num::NonZero, sync::Arc, thread};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{context::RequestContext, memory::Principal, refusal::Refusal, shares::Shares};
use crate::api::Code;

/// The places for such work.
pub(crate) struct Checks {
    places: Arc<Semaphore>,
    shares: Shares<Principal>,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Checks {
    fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), shares: Shares::new(places.saturating_sub(1)) }
    }

    /// Does the work for the request that this task works for. Fails with [`Code::Internal`] if it panics.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let context = RequestContext::current();
        // The own share first: who waits for it keeps nobody else from a place.
        let own = match &context {
            Some(context) => {
                let share = self.shares.of(&context.principal);
                Some(share.acquire_owned().await.map_err(|_| Code::Unavailable)?)
            }
            None => None,
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Code::Unavailable)?;
        let work = move || {
            let result = work();
            // Work goes on when its client has gone: so long it has its place and its memory.
            drop((place, own, context));
            result
        };
        Ok(spawn_blocking(work).await.map_err(|_| Code::Internal)?)
    }

    /// Forgets the shares that nobody uses.
    pub(crate) fn forget(&self) {
        self.shares.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

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

    #[tokio::test]
    async fn one_device_leaves_a_place_for_another() {
        let checks = Arc::new(Checks::new(2));
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let mut busy = Vec::new();
        for _ in 0..5 {
            let (checks, released) = (Arc::clone(&checks), Arc::clone(&released));
            let work = move || drop(released.lock().map(|released| released.recv()));
            busy.push(tokio::spawn(async move { context("mallory").scope(checks.run(work)).await }));
        }
        let done = context("alice").scope(checks.run(|| "done"));
        let done = tokio::time::timeout(Duration::from_secs(10), done).await.expect("a place");
        assert_eq!(done, Ok("done"));
        drop(release);
        for one in busy {
            one.await.expect("it ends").expect("it is done");
        }
    }
}
