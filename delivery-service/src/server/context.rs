//! The context of a request: the party that pays for it, and its charges.
//!
//! The context accompanies the task of the handler. So the queue of the store and the checks beside
//! it count for the right party. They also keep the memory charged for as long as they use it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::{
    memory::{Charge, Principal},
    price::Price,
};

/// The party that pays for a request, the memory of the request, and its cost.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) principal: Principal,
    pub(crate) charge: Charge,
    /// The cost units that the device has paid for the request.
    units: Arc<AtomicU32>,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
    /// Creates the context of an admitted request, which has paid for the admission.
    pub(crate) fn new(principal: Principal, charge: Charge) -> Self {
        Self { principal, charge, units: Arc::new(AtomicU32::new(Price::Request.units())) }
    }

    /// The cost units that the device has paid for the request.
    pub(crate) fn units(&self) -> u32 {
        self.units.load(Ordering::Relaxed)
    }

    /// Notes that the device has paid `units` more.
    pub(crate) fn pay(&self, units: u32) {
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    /// Returns the context of the request that this task works for, or `None` outside of a request.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs a handler in this context.
    pub(crate) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Returns a context of the same party with a charge of its own. It is for pages that outlive
    /// the handler of the request.
    pub(crate) fn sibling(&self) -> Self {
        Self { charge: self.charge.sibling(), ..self.clone() }
    }
}
