//! The context of a request: the party that it is charged to, and its charge of memory.
//!
//! It goes along with the handler's task, so that the queue before the store and the threads that
//! check count for the right party, and keep the memory charged for as long as they use it.

use super::memory::{Charge, Principal};

/// The party that a request is charged to, and its memory.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) principal: Principal,
    pub(crate) charge: Charge,
}

tokio::task_local! {
    static CURRENT: RequestContext;
}

impl RequestContext {
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
        Self { principal: self.principal.clone(), charge: self.charge.sibling() }
    }
}
