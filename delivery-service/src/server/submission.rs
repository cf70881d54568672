//! A submission to a group on its way in: the server checks the right to submit before it reads a large body, and before
//! it verifies a handshake of a device that is no member.

use std::{ops::ControlFlow, time::Duration};

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use serde::de::DeserializeOwned;

use super::{
    caller::Caller,
    checks::Place,
    exchange::{LARGE, Unread},
    paths::GroupPath,
    refusal::Refusal,
    state::State,
    worker::{Aftermath, Service},
};
use crate::{
    api::Code,
    names::{DeviceId, GroupId, Timestamp},
    ordering::Attempt,
    outcome::Outcome,
    service::{CheckedHandshake, Checker},
};

/// Attempts to order one handshake. Each fails only because the group has changed since the verification before it.
const ATTEMPTS: usize = 8;

/// The time after which a device submits a handshake again whose group has changed too often.
const CHANGING: Duration = Duration::from_secs(1);

/// The group that the path names, and the body, understood.
///
/// A small body is read at once, and the ordering rules look at everything together. A large one takes time and memory: the
/// server reads it only for a device that could have it accepted, and answers any other as if the group were not there.
pub(crate) struct ToGroup<T> {
    pub(crate) group: GroupId,
    pub(crate) request: T,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<State> for ToGroup<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let GroupPath(group) = GroupPath::from_request_parts(&mut parts, state).await?;
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let unread = Unread::of(Request::from_parts(parts, body), state)?;
        if unread.is_large() {
            let group = group.clone();
            let is_right =
                state.worker().call(move |service, _| Ok(service.may_submit(&group, &caller.admit(service)?)?));
            if !is_right.await? {
                return Err(Code::NotFound.into());
            }
        }
        Ok(Self { group, request: unread.read(state).await? })
    }
}

/// Orders a handshake of so many bytes, and makes the verdicts that it needs beside the store. `answer` answers the outcome.
///
/// Only a handshake that the group could accept from its sender is verified.
pub(crate) async fn order<T: Send + 'static>(
    state: &State,
    caller: Caller,
    mut handshake: CheckedHandshake,
    bytes: usize,
    now: Timestamp,
    answer: impl Fn(&Service<'_>, &mut Aftermath, &DeviceId, Outcome) -> Result<T, Refusal> + Clone + Send + 'static,
) -> Result<T, Refusal> {
    let mut kept = None;
    for attempt in 1.. {
        let (caller, answer) = (caller.clone(), answer.clone());
        let ordered = state.worker().call(move |service, aftermath| {
            let sender = caller.admit(service)?;
            match service.order_checked(handshake, now)? {
                Attempt::Settled(outcome) => answer(service, aftermath, &sender, outcome).map(ControlFlow::Break),
                Attempt::Unverified(handshake) => {
                    let present = service.followed_group(handshake.group())?;
                    Ok(ControlFlow::Continue((handshake, present)))
                }
            }
        });
        let (unverified, followed) = match ordered.await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(unverified) => unverified,
        };
        drop(kept.take());
        if attempt == ATTEMPTS {
            break;
        }
        let checker = state.checker().clone();
        handshake = match followed {
            Some(present) => state.checks().run(bytes, move || checker.verify(unverified, present)).await?,
            None => {
                let (verified, place) = verify_described(state, checker, unverified).await?;
                kept = Some(place);
                verified
            }
        };
    }
    Err(Refusal::for_now(Code::Unavailable, CHANGING))
}

/// Verifies an external commit to an opaque group. The group info may be large, however small the commit is.
///
/// The verdict has the group info with it, until the service has taken the verdict. The returned place is kept for as long, so
/// that requests do not fill the memory with group infos.
async fn verify_described(
    state: &State,
    checker: Checker,
    unverified: CheckedHandshake,
) -> Result<(CheckedHandshake, Place), Refusal> {
    let place = state.checks().place(LARGE).await?;
    let group = unverified.group().clone();
    match state.worker().call(move |service, _| Ok(service.present_group(&group)?)).await? {
        Some(present) => place.run(move || checker.verify(unverified, present)).await,
        // The group has gone since. The next attempt says so.
        None => Ok((unverified, place)),
    }
}
