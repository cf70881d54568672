//! Reads the deliveries of one device page by page, and waits while there are none. The stream and
//! the long poll share this code.
//!
//! A reader holds at most one page, and reads the next page when that one is gone. So a client that
//! reads slowly costs no more than a client that reads fast.

use super::{
    caller::Caller, context::RequestContext, refusal::RequestError, sizes::encoded_bytes, state::State,
    subscriptions::Subscription,
};
use crate::{
    Delivery,
    api::{self, Code},
    names::Cursor,
    ordering::reading::MAX_READ_BYTES,
};

/// The memory that the server charges for a page before it reads the page. Most pages are smaller.
const PAGE_BYTES: usize = 64 * 1024;

/// The most deliveries in a page.
pub(crate) const MAX_DELIVERIES: usize = 1_000;

/// The memory of a delivery beside its bytes: names, a receipt, field names.
const DELIVERY_BYTES: usize = 1024;

/// The form in which the server sends a page. The memory of the page depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageAnswer {
    /// The whole page in one answer.
    Whole,
    /// One delivery after the other.
    OneByOne,
}

impl PageAnswer {
    /// Returns the memory that the page takes until the server has sent it.
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

/// A device that reads deliveries and waits for more.
pub(crate) struct DeliveryReader {
    state: State,
    caller: Caller,
    /// The request that pays for the pages.
    context: Option<RequestContext>,
    answer: PageAnswer,
    subscription: Subscription,
    /// True if the subscription knows the groups that the device reads.
    knows_groups: bool,
    /// The cursor of the last delivery that the device has read.
    after: Cursor,
    limit: usize,
}

/// The reason why there is no next page.
pub(crate) enum End {
    /// The session has ended, perhaps because the device was removed.
    Over,
    /// The server is stopping.
    Stopping,
    /// The server could not read the store.
    Failed(RequestError),
}

impl From<RequestError> for End {
    fn from(refusal: RequestError) -> Self {
        if refusal.0.code == Code::NoSession { Self::Over } else { Self::Failed(refusal) }
    }
}

impl DeliveryReader {
    /// Creates a reader and takes a subscription, if one is free. Call this within the request.
    pub(crate) fn new(
        state: State,
        caller: Caller,
        after: Cursor,
        limit: usize,
        answer: PageAnswer,
    ) -> Result<Self, RequestError> {
        let subscription = state.subscriptions().enter(&caller.0.device)?;
        // The answer that starts a stream ends before its pages do.
        let context = RequestContext::current().map(|context| match answer {
            PageAnswer::Whole => context,
            PageAnswer::OneByOne => context.sibling(),
        });
        Ok(Self { state, caller, context, answer, subscription, knows_groups: false, after, limit })
    }

    /// Waits for the next page and returns it. The page is never empty. The caller has sent the
    /// page before.
    pub(crate) async fn next_page(&mut self) -> Result<Vec<api::Delivery>, End> {
        loop {
            self.subscription.forget_wake_ups();
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

    /// True if the session has ended. Then the device may not see even the deliveries of a page
    /// that was read already.
    pub(crate) fn is_over(&self) -> bool {
        self.caller.0.is_over(self.state.monotonic())
    }

    /// Returns the next page, which may be empty.
    async fn read(&mut self) -> Result<Vec<api::Delivery>, RequestError> {
        let request =
            PageRequest { after: self.after, limit: self.limit, answer: self.answer, subscribe: !self.knows_groups };
        let page = request.read(&self.state, &self.caller, self.context.as_ref()).await?;
        self.knows_groups = true;
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

impl Drop for DeliveryReader {
    /// Notes that the device has stopped listening.
    fn drop(&mut self) {
        self.state.wake_ups().awake(&self.caller.0.device);
    }
}

/// A request for one page.
#[derive(Clone, Copy)]
struct PageRequest {
    after: Cursor,
    limit: usize,
    answer: PageAnswer,
    /// True if the subscription has to learn the groups that the device reads.
    subscribe: bool,
}

impl PageRequest {
    /// Reads the page as soon as there is memory for it.
    async fn read(
        self,
        state: &State,
        caller: &Caller,
        context: Option<&RequestContext>,
    ) -> Result<Vec<Delivery>, RequestError> {
        let Self { after, limit, answer, subscribe } = self;
        state.wake_ups().awake(&caller.0.device);
        let mut expected = PAGE_BYTES;
        loop {
            if let Some(context) = context {
                // A device with many unsent bytes waits until there is memory for the largest page.
                // Otherwise the store would read page after page for which there is no memory.
                if context.charge.is_pressed() {
                    let largest = state.limits().ordering.max_body_bytes.max(MAX_READ_BYTES);
                    expected = largest + encoded_bytes(largest) + limit.min(MAX_DELIVERIES) * DELIVERY_BYTES;
                }
                context.charge.grow_to(expected).await?;
            }
            let (caller, charge) = (caller.clone(), context.map(|context| context.charge.clone()));
            let read = state.worker().call_as_reader(context, move |service, after_commit| {
                let device = caller.admit(service)?;
                if subscribe {
                    after_commit.subscribe(device.clone(), service.groups_of(&device)?);
                }
                let page = service.read(&device, after, limit)?;
                let needed = answer.memory(&page);
                let Some(charge) = charge else { return Ok(Ok(page)) };
                // Without memory for this page, the server drops it and reads it again later.
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

/// Returns the next deliveries for a device that does not wait.
pub(crate) async fn read_now(
    state: &State,
    caller: Caller,
    after: Cursor,
    limit: usize,
) -> Result<Vec<api::Delivery>, RequestError> {
    let page = PageRequest { after, limit, answer: PageAnswer::Whole, subscribe: false };
    let page = page.read(state, &caller, RequestContext::current().as_ref()).await?;
    Ok(page.into_iter().map(api::Delivery::from).collect())
}
