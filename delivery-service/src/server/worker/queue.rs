//! The queue in front of the store's thread: its calls, and the work that follows from each.

use tokio::sync::oneshot;

use crate::{
    names::{DeviceId, GroupId},
    server::{refusal::RequestError, subscriptions::SubscriptionChange},
    service::{DeliveryService, Effect},
    store::Batch,
};

/// The service as a call sees it: within a batch.
pub(crate) type Service<'b> = DeliveryService<Batch<'b>>;

/// A call that waits in the queue.
pub(super) struct QueuedCall {
    pub(super) run: Box<dyn FnOnce(&Service<'_>) -> CompletedCall + Send>,
    /// The memory of the request that needs the call. The store will write a part of it.
    pub(super) bytes: usize,
}

/// An item of the queue.
pub(super) enum QueueItem {
    Call(QueuedCall),
    /// Complete the upkeep, and then send a notification.
    Upkeep(oneshot::Sender<()>),
    /// Answer the calls in the queue, and end.
    Stop,
}

/// A call that has run. Its answer leaves once the transaction is durable.
pub(super) struct CompletedCall {
    pub(super) after_commit: AfterCommit,
    /// Sends the answer of the call, or the error of the transaction if it has failed.
    pub(super) answer: Box<dyn FnOnce(Result<(), RequestError>) + Send>,
}

/// The work that follows from a call once its transaction is durable.
#[derive(Default)]
pub(crate) struct AfterCommit {
    pub(super) changes: Vec<SubscriptionChange>,
    pub(super) then: Vec<Box<dyn FnOnce() + Send>>,
}

impl AfterCommit {
    /// Adds the effects that the service reports for accepted calls.
    pub(super) fn effects(&mut self, effects: Vec<Effect>) {
        self.changes.extend(effects.into_iter().map(SubscriptionChange::Effect));
    }

    /// Adds the groups that a subscribed device reads.
    pub(crate) fn subscribe(&mut self, device: DeviceId, groups: Vec<GroupId>) {
        self.changes.push(SubscriptionChange::Subscribe(device, groups));
    }

    /// Adds other work.
    pub(crate) fn then(&mut self, work: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(work));
    }
}
