//! The calls that wait before the store's thread, and the work that follows from each.

use tokio::sync::oneshot;

use crate::{
    names::{DeviceId, GroupId},
    server::{refusal::Refusal, subscriptions::SubscriptionChange},
    service::{DeliveryService, Effect},
    store::Batch,
};

/// The service as a call sees it: within a batch.
pub(crate) type Service<'b> = DeliveryService<Batch<'b>>;

/// A call that waits.
pub(super) struct QueuedCall {
    pub(super) make: Box<dyn FnOnce(&Service<'_>) -> CompletedCall + Send>,
    /// The memory of the request that makes it: some of it will be written.
    pub(super) bytes: usize,
}

/// An entry of the queue.
pub(super) enum QueueItem {
    Call(QueuedCall),
    /// Do the upkeep until there is nothing more to do, and say so.
    Upkeep(oneshot::Sender<()>),
    /// Answer what is in the queue, and end.
    Stop,
}

/// A call that was made, and is answered once it is durable.
pub(super) struct CompletedCall {
    pub(super) after_commit: AfterCommit,
    /// Answers, unless the transaction has failed: then with that.
    pub(super) answer: Box<dyn FnOnce(Result<(), Refusal>) + Send>,
}

/// What follows from a call once it is durable.
#[derive(Default)]
pub(crate) struct AfterCommit {
    pub(super) changes: Vec<SubscriptionChange>,
    pub(super) then: Vec<Box<dyn FnOnce() + Send>>,
}

impl AfterCommit {
    /// What follows from the calls that the service has accepted.
    pub(super) fn effects(&mut self, effects: Vec<Effect>) {
        self.changes.extend(effects.into_iter().map(SubscriptionChange::Effect));
    }

    /// A device is_subscribed, and reads these groups.
    pub(crate) fn follow(&mut self, device: DeviceId, groups: Vec<GroupId>) {
        self.changes.push(SubscriptionChange::Follow(device, groups));
    }

    /// Something else that has to happen.
    pub(crate) fn then(&mut self, work: impl FnOnce() + Send + 'static) {
        self.then.push(Box::new(work));
    }
}
