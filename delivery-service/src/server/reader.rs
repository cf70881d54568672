//! One device's reading, page by page, with a wait when there is nothing: what the stream and the long poll have in
//! common. It holds one page at the most, and reads the next one when that is gone; so a client that reads slowly costs
//! no more than one that reads fast.

use std::time::Duration;

use super::{audience::Seat, caller::Caller, refusal::Refusal, state::State};
use crate::{
    api::{self, Code},
    names::Cursor,
};

/// A device that reads and waits.
pub(crate) struct Reader {
    state: State,
    caller: Caller,
    seat: Seat,
    /// Whether the audience knows which groups it reads.
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
    /// Takes a seat, if there is one.
    pub(crate) fn new(state: State, caller: Caller, after: Cursor, limit: usize) -> Result<Self, Refusal> {
        let seat = state.audience().enter(&caller.0.device)?;
        Ok(Self { state, caller, seat, follows: false, after, limit })
    }

    /// The next page, which is never empty, as soon as there is one.
    pub(crate) async fn next_page(&mut self) -> Result<Vec<api::Delivery>, End> {
        loop {
            self.seat.settle();
            if self.is_over() {
                return Err(End::Over);
            }
            let page = self.read().await?;
            if !page.is_empty() {
                return Ok(page);
            }
            self.wait().await?;
        }
    }

    /// Whether the session has ended, so that even what is read already is not to be shown.
    pub(crate) fn is_over(&self) -> bool {
        self.caller.0.is_over(self.state.now())
    }

    /// The next page, which may be empty.
    async fn read(&mut self) -> Result<Vec<api::Delivery>, Refusal> {
        let (caller, after, limit, follow) = (self.caller.clone(), self.after, self.limit, !self.follows);
        let page = self
            .state
            .worker()
            .call_as_reader(move |service, aftermath| {
                let device = caller.admit(service)?;
                if follow {
                    aftermath.follow(device.clone(), service.groups_of(&device)?);
                }
                Ok(service.read(&device, after, limit)?)
            })
            .await?;
        self.follows = true;
        if let Some(last) = page.last() {
            self.after = last.cursor;
        }
        Ok(page.into_iter().map(api::Delivery::from).collect())
    }

    async fn wait(&mut self) -> Result<(), End> {
        let left = self.caller.0.expires.0.saturating_sub(self.state.now().0);
        tokio::select! {
            biased;
            () = self.caller.0.ended() => Err(End::Over),
            () = self.state.stopping() => Err(End::Stopping),
            () = self.seat.woken() => Ok(()),
            () = tokio::time::sleep(Duration::from_secs(left)) => Ok(()),
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
    let read = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.read(&device, after, limit)?)
    });
    Ok(read.await?.into_iter().map(api::Delivery::from).collect())
}
