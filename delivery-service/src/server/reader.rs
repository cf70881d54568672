//! One device's reading, page by page, with a wait when there is nothing: what the stream and the long poll have in
//! common. It holds one page at the most, and reads the next one when that is gone; so a client that reads slowly costs
//! no more than one that reads fast.

use super::{
    caller::Caller, context::RequestContext, refusal::Refusal, sizes::encoded_bytes, state::State,
    subscriptions::Subscription,
};
use crate::{
    Delivery,
    api::{self, Code},
    names::Cursor,
    ordering::reading::MAX_READ_BYTES,
};

/// Memory that is charged for a page before it is read. Most pages are smaller.
const PAGE_BYTES: usize = 64 * 1024;

/// The most deliveries in a page.
pub(crate) const MAX_DELIVERIES: usize = 1_000;

/// Memory of a delivery beside its bytes: names, a receipt, field names.
const DELIVERY_BYTES: usize = 1024;

/// How a page is answered, which decides on the memory that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// All of it in one answer.
    Whole,
    /// One delivery after the other.
    OneByOne,
}

impl Answered {
    /// The memory that the page takes until it is answered.
    fn memory(self, page: &[Delivery]) -> usize {
        let bytes = |delivery: &Delivery| delivery.bytes.len() + DELIVERY_BYTES;
        let stored: usize = page.iter().map(bytes).sum();
        let encoded = match self {
            Self::Whole => stored,
            Self::OneByOne => page.iter().map(bytes).max().unwrap_or(0),
        };
        stored + encoded_bytes(encoded)
    }
}

/// A device that reads and waits.
pub(crate) struct Reader {
    state: State,
    caller: Caller,
    /// What its pages are charged to.
    context: Option<RequestContext>,
    answered: Answered,
    subscription: Subscription,
    /// Whether the subscriptions knows which groups it reads.
    follows: bool,
    /// What it has read.
    after: Cursor,
    limit: usize,
}

/// Why there is no next page.
pub(crate) enum End {
    /// The session is over, perhaps because the device was removed.
    Over,
    /// The server is being stopped.
    Stopping,
    /// The store could not be read.
    Failed(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        if refusal.0.code == Code::NoSession { Self::Over } else { Self::Failed(refusal) }
    }
}

impl Reader {
    /// Takes a subscription, if there is one. To be called within the request.
    pub(crate) fn new(
        state: State,
        caller: Caller,
        after: Cursor,
        limit: usize,
        answered: Answered,
    ) -> Result<Self, Refusal> {
        let subscription = state.subscriptions().enter(&caller.0.device)?;
        // The answer that begins a stream ends before its pages do.
        let context = RequestContext::current().map(|context| match answered {
            Answered::Whole => context,
            Answered::OneByOne => context.sibling(),
        });
        Ok(Self { state, caller, context, answered, subscription, follows: false, after, limit })
    }

    /// The next page, which is never empty, as soon as there is one. The page before has been answered.
    pub(crate) async fn next_page(&mut self) -> Result<Vec<api::Delivery>, End> {
        loop {
            self.subscription.settle();
            if self.is_over() {
                return Err(End::Over);
            }
            let page = self.read().await?;
            if !page.is_empty() {
                return Ok(page);
            }
            if let Some(context) = &self.context {
                context.charge.shrink_to(0);
            }
            self.wait().await?;
        }
    }

    /// Whether the session has ended, so that even what is read already is not to be shown.
    pub(crate) fn is_over(&self) -> bool {
        self.caller.0.is_over(self.state.monotonic())
    }

    /// The next page, which may be empty.
    async fn read(&mut self) -> Result<Vec<api::Delivery>, Refusal> {
        let request = Page { after: self.after, limit: self.limit, answered: self.answered, follow: !self.follows };
        let page = request.read(&self.state, &self.caller, self.context.as_ref()).await?;
        self.follows = true;
        if let Some(last) = page.last() {
            self.after = last.cursor;
        }
        Ok(page.into_iter().map(api::Delivery::from).collect())
    }

    async fn wait(&mut self) -> Result<(), End> {
        let left = self.caller.0.deadline.saturating_sub(self.state.monotonic());
        tokio::select! {
            biased;
            () = self.caller.0.ended() => Err(End::Over),
            () = self.state.stopping() => Err(End::Stopping),
            () = self.subscription.woken() => Ok(()),
            () = tokio::time::sleep(left) => Ok(()),
        }
    }
}

impl Drop for Reader {
    /// From now on the device does not listen.
    fn drop(&mut self) {
        self.state.wake_ups().awake(&self.caller.0.device);
    }
}

/// A page that is asked for.
#[derive(Clone, Copy)]
struct Page {
    after: Cursor,
    limit: usize,
    answered: Answered,
    /// Whether the subscriptions has to learn which groups the device reads.
    follow: bool,
}

impl Page {
    /// Reads the page when there is memory for it.
    async fn read(
        self,
        state: &State,
        caller: &Caller,
        context: Option<&RequestContext>,
    ) -> Result<Vec<Delivery>, Refusal> {
        let Self { after, limit, answered, follow } = self;
        state.wake_ups().awake(&caller.0.device);
        let mut expected = PAGE_BYTES;
        loop {
            if let Some(context) = context {
                // A device with much that it has not taken waits for the most that a page may need: else the store
                // would read for it, again and again, pages for which there is no memory.
                if context.charge.is_pressed() {
                    let largest = state.limits().ordering.max_body_bytes.max(MAX_READ_BYTES);
                    expected = largest + encoded_bytes(largest) + limit.min(MAX_DELIVERIES) * DELIVERY_BYTES;
                }
                context.charge.grow_to(expected).await?;
            }
            let (caller, charge) = (caller.clone(), context.map(|context| context.charge.clone()));
            let read = state.worker().call_as_reader(context, move |service, after_commit| {
                let device = caller.admit(service)?;
                if follow {
                    after_commit.follow(device.clone(), service.groups_of(&device)?);
                }
                let page = service.read(&device, after, limit)?;
                let needed = answered.memory(&page);
                let Some(charge) = charge else { return Ok(Ok(page)) };
                // A page that there is no memory for is dropped, and read again when there is.
                if !charge.try_grow_to(needed) {
                    return Ok(Err(needed));
                }
                charge.shrink_to(needed);
                Ok(Ok(page))
            });
            match read.await? {
                Ok(page) => return Ok(page),
                Err(needed) => expected = needed,
            }
        }
    }
}

/// The next deliveries for a device that does not wait.
pub(crate) async fn read_now(
    state: &State,
    caller: Caller,
    after: Cursor,
    limit: usize,
) -> Result<Vec<api::Delivery>, Refusal> {
    let page = Page { after, limit, answered: Answered::Whole, follow: false };
    let page = page.read(state, &caller, RequestContext::current().as_ref()).await?;
    Ok(page.into_iter().map(api::Delivery::from).collect())
}
