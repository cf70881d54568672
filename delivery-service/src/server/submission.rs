//! Handles submissions to groups: the server decodes and verifies a submission beside the store,
//! orders it in the store, and answers.
//!
//! A device that a group does not concern gets the same answer whether or not the group exists: see
//! [`answer`].

use std::{ops::ControlFlow, time::Duration};

use super::{
    caller::Caller,
    checks::CheckPermit,
    metrics::{Metrics, OutcomeLabel, SubmissionLabel},
    outcomes::accepted,
    price::Price,
    refusal::RequestError,
    sizes::LARGE,
    state::State,
    worker::{AfterCommit, Service},
};
use crate::{
    api::{Accepted, Bytes, Code, CommitRequest, CreateGroupRequest, MessageRequest, ProposalRequest},
    names::{DeviceId, GroupId, Timestamp},
    ordering::{Attempt, commit::CommitSubmission},
    outcome::{Outcome, RosterChange},
    service::{CheckedHandshake, Checker, PresentGroup},
};

/// The most attempts to order one handshake. An attempt fails only if the group has changed since
/// the verification before it.
const ATTEMPTS: usize = 8;

/// The time after which a device submits a handshake again if its group has changed too often.
const CHANGING: Duration = Duration::from_secs(1);

/// Creates a group for the caller.
pub(crate) async fn create(
    state: &State,
    caller: Caller,
    request: CreateGroupRequest,
) -> Result<Accepted, RequestError> {
    let metrics = state.metrics().clone();
    let now = state.now();
    let CreateGroupRequest { group, handshake: mode, group_info: Bytes(group_info) } = request;
    let (bytes, creator) = (group_info.len(), caller.0.device.clone());
    let check = move |checker: &Checker| checker.check_group(group, creator, mode, group_info);
    let group = state.checked(bytes, check).await?;
    let created = state.worker().call(move |service, after_commit| {
        caller.admit(service)?;
        let outcome = service.create_checked(group, now)?;
        count(after_commit, metrics, SubmissionLabel::Group, &outcome);
        accepted(outcome)
    });
    created.await
}

/// Orders a commit of the caller.
pub(crate) async fn commit(
    state: &State,
    caller: Caller,
    group: GroupId,
    request: CommitRequest,
) -> Result<Accepted, RequestError> {
    state.rates().charge(&caller.0.device, Price::Devices(request.added.len() + request.removed.len()))?;
    let roster_change =
        RosterChange { added: request.added.into_iter().collect(), removed: request.removed.into_iter().collect() };
    let submission = CommitSubmission {
        group,
        sender: caller.0.device.clone(),
        commit: request.commit.0,
        welcome: request.welcome.map(|bytes| bytes.0),
        group_info: request.group_info.map(|bytes| bytes.0),
        roster_change,
    };
    let (bytes, now) = (submission.bytes(), state.now());
    let commit = state.checked(bytes, move |checker| checker.check_commit(submission)).await?;
    order(state, caller, commit, bytes, now, SubmissionLabel::Commit).await
}

/// Orders a proposal of the caller.
pub(crate) async fn propose(
    state: &State,
    caller: Caller,
    group: GroupId,
    request: ProposalRequest,
) -> Result<Accepted, RequestError> {
    let Bytes(proposal) = request.proposal;
    let (bytes, sender, now) = (proposal.len(), caller.0.device.clone(), state.now());
    let check = move |checker: &Checker| checker.check_proposal(group, sender, proposal);
    let proposal = state.checked(bytes, check).await?;
    order(state, caller, proposal, bytes, now, SubmissionLabel::Proposal).await
}

/// Orders an application message of the caller.
pub(crate) async fn send(
    state: &State,
    caller: Caller,
    group: GroupId,
    request: MessageRequest,
) -> Result<Accepted, RequestError> {
    let metrics = state.metrics().clone();
    let now = state.now();
    let Bytes(message) = request.message;
    let (bytes, id, sender) = (message.len(), group.clone(), caller.0.device.clone());
    let check = move |checker: &Checker| checker.check_message(id, sender, message);
    let message = state.checked(bytes, check).await?;
    let ordered = state.worker().call(move |service, after_commit| {
        let sender = caller.admit(service)?;
        let outcome = service.send_checked(message, now)?;
        count(after_commit, metrics, SubmissionLabel::Message, &outcome);
        answer(service, &group, &sender, outcome)
    });
    ordered.await
}

/// Orders a handshake of `bytes` bytes, and makes the verdicts that it needs beside the store.
///
/// The server verifies only a handshake that the group could accept from its sender.
async fn order(
    state: &State,
    caller: Caller,
    mut handshake: CheckedHandshake,
    bytes: usize,
    now: Timestamp,
    kind: SubmissionLabel,
) -> Result<Accepted, RequestError> {
    let mut permit = None;
    for attempt in 1.. {
        let (unverified, public_group) = match try_order(state, &caller, handshake, kind, now).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(unverified) => unverified,
        };
        drop(permit.take());
        if attempt == ATTEMPTS {
            break;
        }
        let checker = state.checker().clone();
        handshake = match public_group {
            Some(present) => state.checks().run(bytes, move || checker.verify(unverified, present)).await?,
            None => {
                let (verified, kept) = verify_by_group_info(state, checker, unverified).await?;
                permit = Some(kept);
                verified
            }
        };
    }
    Err(RequestError::for_now(Code::Unavailable, CHANGING))
}

/// Tries to order a handshake. Returns a handshake without a verdict to the caller, with the
/// present state of its group if the group is assisted.
async fn try_order(
    state: &State,
    caller: &Caller,
    handshake: CheckedHandshake,
    kind: SubmissionLabel,
    now: Timestamp,
) -> Result<ControlFlow<Accepted, (CheckedHandshake, Option<PresentGroup>)>, RequestError> {
    let (caller, metrics) = (caller.clone(), state.metrics().clone());
    let ordered = state.worker().call(move |service, after_commit| {
        let sender = caller.admit(service)?;
        let group = handshake.group().clone();
        match service.order_checked(handshake, now)? {
            Attempt::Settled(outcome) => {
                count(after_commit, metrics, kind, &outcome);
                answer(service, &group, &sender, outcome).map(ControlFlow::Break)
            }
            Attempt::Unverified(handshake) => {
                let present = service.public_group(&group)?;
                Ok(ControlFlow::Continue((handshake, present)))
            }
        }
    });
    ordered.await
}

/// Verifies an external commit to an opaque group. The group info may be large, however small the
/// commit is.
///
/// The verdict holds the group info until the service has taken the verdict. The caller keeps the
/// returned permit for as long, so that requests do not fill the memory with group infos.
async fn verify_by_group_info(
    state: &State,
    checker: Checker,
    unverified: CheckedHandshake,
) -> Result<(CheckedHandshake, CheckPermit), RequestError> {
    let permit = state.checks().permit(LARGE).await?;
    let group = unverified.group().clone();
    match state.worker().call(move |service, _| Ok(service.present_group(&group)?)).await? {
        Some(present) => permit.run(move || checker.verify(unverified, present)).await,
        // The group has been deleted since. The next attempt reports that.
        None => Ok((unverified, permit)),
    }
}

/// Counts the outcome of a submission, once it is durable.
fn count(after_commit: &mut AfterCommit, metrics: Metrics, what: SubmissionLabel, outcome: &Outcome) {
    let answer = OutcomeLabel::from(outcome);
    after_commit.then(move || metrics.submitted(what, answer));
}

/// Checks that the group concerns the device. A device that has no part in a group does not learn
/// whether the group exists.
pub(crate) fn check_concerned(service: &Service<'_>, group: &GroupId, device: &DeviceId) -> Result<(), RequestError> {
    if service.concerns(group, device)? { Ok(()) } else { Err(Code::NotFound.into()) }
}

/// Returns the answer to a submission. Any answer but an acceptance reveals something about the
/// group, so only a device that the group concerns gets it.
fn answer(
    service: &Service<'_>,
    group: &GroupId,
    sender: &DeviceId,
    outcome: Outcome,
) -> Result<Accepted, RequestError> {
    if !matches!(outcome, Outcome::Accepted(_)) {
        check_concerned(service, group, sender)?;
    }
    accepted(outcome)
}
