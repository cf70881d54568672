//! The context of a request: the party that it is charged to, and its charges.
//!
//! It goes along with the handler's task, so that the queue before the store and the threads that
//! check count for the right party, and keep the memory charged for as long as they use it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    memory::{Charge, Principal},
    price::Price,
};

/// The party that a request is charged to, its memory, and its cost.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) principal: Principal,
    pub(crate) charge: Charge,
    /// Cost units that the device has paid for the request.
    units: Arc<AtomicU32>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
    /// The context of a request that has been admitted, and has paid for that.
    pub(crate) fn new(principal: Principal, charge: Charge) -> Self {
        Self { principal, charge, units: Arc::new(AtomicU32::new(Price::Request.units())) }
    }

    /// The cost units that the device has paid for the request.
    pub(crate) fn units(&self) -> u32 {
        self.units.load(Ordering::Relaxed)
    }

    /// Notes that the device has paid more.
    pub(crate) fn pay(&self, units: u32) {
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    /// The context of the request that this task works for. `None` outside of a request.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs a handler in this context.
    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// A context of the same party with a charge of its own: for pages that outlive the request's handler.
    pub(crate) fn sibling(&self) -> Self {
        Self { charge: self.charge.sibling(), ..self.clone() }
    }
}
