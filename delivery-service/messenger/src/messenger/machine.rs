//! The state machine of a messenger, without I/O.
//!
//! It decides, and never waits:
//!
//! - [`poll_request`](Machine::poll_request) returns the next request to the service.
//! - [`handle_response`](Machine::handle_response) takes in the response.
//! - [`poll_event`](Machine::poll_event) returns the next event for the application.
//! - [`poll_timeout`](Machine::poll_timeout) returns the longest time until the next poll.
//!
//! The shell in [`messenger`](super) carries requests out. A request that is dropped before its
//! response has changed nothing: the machine makes it again, and the same bytes get the same
//! response.
//!
//! Calls go one way. This module calls `steps` for the next request of a group, and `responses` and
//! `stream` for a response. These call `additions`, `rejoining`, `outbox`, `welcome`, `rollback`
//! and `received`. All of them call `intents`, `evidence` and `state`.
//!
//! # The condition of a group
//!
//! [`Condition`](super::group::Condition) names the states. `NeedsGroupInfo`, `NeedsRatchetTree`,
//! `Submitted` and `Stranded` are the steps of `Rejoining`. `-` is a group without a state here:
//! the device is not in it. An event that the table lacks leaves the state as it is.
//!
//! | state | event | next state |
//! | --- | --- | --- |
//! | `-` | the application makes the group | `Creating` |
//! | `-` | a welcome is read and opens | `Following` |
//! | `-` | a welcome is read and does not open | `NeedsGroupInfo` |
//! | `Creating` | the service has created the group | `Following` |
//! | `Creating` | the same, after a reason to rejoin | `NeedsGroupInfo` |
//! | `Creating` | the service refuses the group | `-` |
//! | `Following` | the service has ordered a commit of this device | `AwaitingEntry` |
//! | `Following` | the service is in another epoch | `AwaitingEntry` |
//! | `Following` | the service does not count this device as a member | `AwaitingEntry` |
//! | `AwaitingEntry` | an entry of the group is read | `Following` |
//! | `AwaitingEntry` | the stream ends in the service's epoch | `Following` |
//! | `AwaitingEntry` | the stream ends before the service's epoch | `NeedsGroupInfo` |
//! | `Following`, `AwaitingEntry` | a commit is read that fails here | `AwaitingRollback` |
//! | `AwaitingRollback` | the service takes the commit back | `Following` |
//! | `AwaitingRollback` | members go on from the commit | `NeedsGroupInfo` |
//! | `AwaitingRollback` | the patience of the options ends | `NeedsGroupInfo` |
//! | each but `-`, `Creating` | the storage was restored | `NeedsGroupInfo` |
//! | each but `-`, `Creating` | an entry is missing or fails | `NeedsGroupInfo` |
//! | `NeedsGroupInfo` | the group info lacks the ratchet tree | `NeedsRatchetTree` |
//! | `NeedsRatchetTree` | the ratchet tree arrives | `NeedsGroupInfo`, with a commit |
//! | `NeedsGroupInfo` | the service has ordered the external commit | `Submitted` |
//! | `NeedsGroupInfo` | the service is in another epoch | `Submitted` |
//! | each step | the service or the engine refuses | `Stranded` |
//! | `Submitted`, `Stranded` | an entry of the group is read | `NeedsGroupInfo` |
//! | `Submitted`, `Stranded` | the stream ends in another epoch | `NeedsGroupInfo` |
//! | each step | the own external commit is read | `Following` |
//! | each step | a new welcome is read and opens | `Following` |
//! | each step | the service takes back the reason, a bad commit | `Following` |
//! | each but `-` | this device is removed, or declines the group | `-` |
//! | each but `-` | the entry that added this device is taken back | `-` |

mod additions;
mod commands;
mod device_lists;
mod evidence;
mod intents;
mod key_packages;
mod outbox;
mod received;
mod rejoining;
mod responses;
mod rollback;
mod startup;
mod state;
mod steps;
mod stream;
mod upkeep;
mod welcome;

use std::time::Duration;

use regrow_engine::{GroupId, Timestamp, UserId};

pub(super) use self::state::Machine;
use super::{
    event::Event,
    problem::decided,
    request::{Request, Response},
    scope::FailureScope,
};
use crate::{
    error::{ConnectionError, Error},
    names::Cursor,
    retry::Retry,
};

impl Machine {
    /// Begins a pass over the lanes. Each lane fails at most once in a pass.
    pub(super) fn begin_pass(&mut self) {
        self.lanes.begin_pass();
        self.cut_off = false;
    }

    /// Returns the next request of a lane that is ready. [`None`] if no lane has work now.
    ///
    /// # Errors
    /// A failure of the device itself: its store, its cryptography, or that it is locked.
    pub(super) fn poll_request(&mut self) -> Result<Option<Request>, Error> {
        let now = self.monotonic();
        if self.is_held() {
            return Ok(None);
        }
        if let Some(cursor) = self.to_acknowledge.filter(|_| self.lanes.is_ready(&FailureScope::Device, now)) {
            return Ok(Some(Request::Acknowledge(cursor)));
        }
        if self.service_answered {
            self.look_for_due_work()?;
        }
        // Before the key packages: readers of the list know the signature key in them then.
        if self.may_ask_for_list(self.device().user(), now)
            && let Some(request) = self.next_for_own_list()?
        {
            return Ok(Some(request));
        }
        if let Some(request) = self.next_list_to_read(|user| self.may_ask_for_list(user, now))? {
            return Ok(Some(request));
        }
        if self.lanes.is_ready(&FailureScope::KeyPackages, now)
            && let Some(request) = self.key_packages.next_request(now)
        {
            return Ok(Some(request));
        }
        for id in self.busy.clone() {
            if let Some(request) = self.poll_group(&id)? {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Returns the next request of one group's lane.
    ///
    /// # Errors
    /// As [`poll_request`](Self::poll_request).
    pub(super) fn poll_group(&mut self, id: &GroupId) -> Result<Option<Request>, Error> {
        let scope = FailureScope::Group(id.clone());
        if self.is_held() || !self.lanes.is_ready(&scope, self.monotonic()) {
            return Ok(None);
        }
        match self.next_request(id) {
            Ok(Some(request)) => Ok(Some(Request::Group(id.clone(), request))),
            Ok(None) => {
                self.lanes.works(&scope);
                if !self.groups.get(id).is_some_and(|group| group.is_timed()) {
                    self.busy.remove(id);
                }
                Ok(None)
            }
            Err(error) => self.lane_failed(scope, error).map(|()| None),
        }
    }

    /// True if the lane of a user's device list may go on now.
    fn may_ask_for_list(&self, user: &UserId, now: Duration) -> bool {
        self.lanes.is_ready(&FailureScope::DeviceList(user.clone()), now)
    }

    fn is_held(&self) -> bool {
        self.cut_off || self.held().is_some()
    }

    /// The time for which the service takes no request of this device, and its refusal.
    pub(super) fn held(&self) -> Option<(Duration, &ConnectionError)> {
        self.lanes.held(self.monotonic())
    }

    /// Begins the next pass with this group.
    pub(super) fn begin_group(&mut self, id: &GroupId) {
        self.busy.insert(id.clone());
        self.begin_pass();
    }

    /// Takes in the response to a request. A failure delays the request's lane, and the application
    /// receives [`Event::Delayed`].
    ///
    /// # Errors
    /// As [`poll_request`](Self::poll_request). For requests that read, also the failure.
    pub(super) fn handle_response(
        &mut self,
        request: Request,
        response: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        let scope = request.scope();
        match (self.take_response(request, response), scope) {
            (Err(error), Some(scope)) => self.lane_failed(scope, error),
            (result, _) => result,
        }
    }

    /// Takes in the response to a request of the caller. Only a failure that passes delays the
    /// lane.
    ///
    /// # Errors
    /// A failure that does not pass by itself.
    pub(super) fn handle_response_of_caller(
        &mut self,
        request: Request,
        response: Result<Response, ConnectionError>,
    ) -> Result<(), Error> {
        let scope = request.scope();
        match (self.take_response(request, response), scope) {
            (Err(error), Some(scope)) if error.is_temporary() => self.lane_failed(scope, error),
            (result, _) => result,
        }
    }

    fn take_response(&mut self, request: Request, response: Result<Response, ConnectionError>) -> Result<(), Error> {
        let proved = request.proves();
        self.dispatch(request, response)?;
        proved.iter().for_each(|scope| self.lanes.works(scope));
        Ok(())
    }

    fn dispatch(&mut self, request: Request, response: Result<Response, ConnectionError>) -> Result<(), Error> {
        self.service_answered |= response.is_ok();
        match request {
            Request::Acknowledge(cursor) => {
                // A refused acknowledgement is not repeated: a later one covers it.
                let _refused = decided(response.and_then(Response::done))?;
                self.to_acknowledge = self.to_acknowledge.filter(|latest| *latest != cursor);
                Ok(())
            }
            Request::KeyPackagesLeft => self.key_packages_left(response.and_then(Response::left)),
            Request::Upload { .. } => self.uploaded(response.and_then(Response::uploaded)),
            Request::DeviceList(user, _) => self.device_list_read(&user, response.and_then(Response::device_list)),
            Request::AppendToDeviceList(_, entry) => self.appended(&entry, response.and_then(Response::head)),
            Request::RemoveDevice(device) => self.removed_at_service(&device, response.and_then(Response::done)),
            Request::Group(id, request) => self.group_response(&id, request, response),
            Request::Deliveries { .. } => self.page_read(response?.page()?),
            Request::WelcomeTree(group, _) => self.welcome_tree_read(group, response.and_then(Response::tree)),
        }
    }

    /// Takes in the service's time of a response.
    pub(super) fn service_time(&mut self, service: Timestamp) {
        let (own, monotonic) = ((self.options.clock)(), self.monotonic());
        self.events.extend(self.clock.observe(service, own, monotonic));
    }

    /// Returns the next event for the application.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// True if the application has received all events.
    pub(super) fn has_no_event(&self) -> bool {
        self.events.is_empty()
    }

    /// The longest time that the service may wait for an entry, so that no lane waits for that.
    pub(super) fn poll_timeout(&self) -> Duration {
        let now = self.monotonic();
        let mut wait = self.options.wait;
        // The protocol has whole seconds: a shorter wait would be none, repeated again and again.
        let mut at_most = |limit: Duration| wait = wait.min(limit.max(Duration::from_secs(1)));
        if self.lanes.is_ready(&FailureScope::KeyPackages, now) {
            at_most(self.key_packages.due_in(now));
        }
        at_most(self.upkeep_at.saturating_sub(now));
        if self.may_ask_for_list(self.device().user(), now) {
            at_most(self.lists.due_in(now));
        }
        self.lanes.next(now).into_iter().for_each(&mut at_most);
        for group in self.groups.values() {
            if group.service_epoch.is_some() {
                return Duration::ZERO;
            }
            if let Some(since) = group.bad_commit_since() {
                at_most(since.saturating_add(self.options.rollback_patience).saturating_sub(now));
            }
            if group.first_proposal_at.is_some() {
                at_most(self.options.commit_turn);
            }
        }
        wait
    }

    /// The application has stored all events: the engine and the records forget their contents.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if self.unsettled {
            // The records first: the engine does not repeat an entry that it has forgotten.
            self.save_unsaved()?;
            self.client.acknowledge()?;
            self.unsettled = false;
            self.to_acknowledge = (self.cursor != Cursor::START).then_some(self.cursor);
            self.groups.values_mut().for_each(|group| group.settle_delivered());
        }
        Ok(())
    }

    /// The request that acknowledges, if there is something to acknowledge.
    pub(super) fn acknowledgement(&self) -> Option<Request> {
        self.to_acknowledge.map(Request::Acknowledge)
    }

    /// The application's rule for repeated attempts.
    pub(super) fn retry(&self) -> &Retry {
        &self.retry
    }
}
