//! The routes for groups: submissions, state, group info, ratchet trees, reports, and the end of a
//! group.

use axum::{
    extract::State as Extracted,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use crate::{
    api::{
        Accepted, Code, CommitRequest, CreateGroupRequest, GroupInfo, GroupState, MessageRequest, Problem,
        ProposalRequest, RatchetTree, ReportAnswer, ReportRequest,
    },
    names::Sequence,
    ordering::rollback::ReportOutcome,
    outcome::Reply,
    server::{
        caller::Caller,
        context::RequestContext,
        exchange::{Body, Format},
        paths::{EpochPath, GroupPath},
        refusal::RequestError,
        state::State,
        submission::{self, check_concerned},
        to_group::ToGroup,
    },
};

/// Create a group
#[utoipa::path(post, path = "/v1/groups", tag = "groups", security(("session" = [])),
    request_body(content((CreateGroupRequest = "application/json"), (CreateGroupRequest = "application/cbor"))),
    responses(
    (status = 200, description = "The group exists, and the caller is a member", body = Accepted),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<CreateGroupRequest>,
) -> Result<Response, RequestError> {
    format.ok(&submission::create(&state, caller, request).await?)
}

/// Get the state of a group
///
/// Returns the epoch and the member devices of a group. Only for members.
#[utoipa::path(get, path = "/v1/groups/{group}", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 200, description = "The state of the group", body = GroupState),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn state_of(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    GroupPath(group): GroupPath,
) -> Result<Response, RequestError> {
    let roster = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        let roster = service.roster(&group)?.filter(|roster| roster.devices.contains(&device));
        Ok(roster.ok_or(Code::NotFound)?)
    });
    let roster = roster.await?;
    // The set is in the order of the names.
    format.ok(&GroupState { epoch: roster.epoch.0, devices: roster.devices.into_iter().collect() })
}

/// Get the group info
///
/// Returns the group info, which a device needs to join or rejoin by external commit. Only for
/// devices of users who have a device in the group.
#[utoipa::path(get, path = "/v1/groups/{group}/info", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 200, description = "The group info of the present epoch", body = GroupInfo),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn info(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    GroupPath(group): GroupPath,
) -> Result<Response, RequestError> {
    // A group info may be large, so only few reads of one device run at a time.
    let context = RequestContext::current();
    let group_info = state.worker().call_as_reader(context.as_ref(), move |service, _| {
        let device = caller.admit(service)?;
        check_concerned(service, &group, &device)?;
        Ok(service.group_info(&group)?.ok_or(Code::NotFound)?)
    });
    format.ok(&GroupInfo { group_info: group_info.await?.into() })
}

/// Get the ratchet tree
///
/// Returns the tree for a device that joins with a welcome or a group info without a tree. For an
/// assisted group, the service has the trees of the present epoch and of the one before, for
/// devices of users who have a device in the group. It also has the tree of the epoch that the
/// calling device was welcomed to, for as long as the device can read the welcome.
#[utoipa::path(get, path = "/v1/groups/{group}/trees/{epoch}", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding"),
        ("epoch" = u64, Path, description = "The epoch of the tree")), responses(
    (status = 200, description = "The ratchet tree", body = RatchetTree),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn tree(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    GroupPath(group): GroupPath,
    EpochPath(epoch): EpochPath,
) -> Result<Response, RequestError> {
    let context = RequestContext::current();
    let tree = state.worker().call_as_reader(context.as_ref(), move |service, _| {
        let device = caller.admit(service)?;
        if let Some(tree) = service.welcome_tree(&group, &device, epoch)? {
            return Ok(tree);
        }
        check_concerned(service, &group, &device)?;
        Ok(service.ratchet_tree(&group, epoch)?.ok_or(Code::NotFound)?)
    });
    format.ok(&RatchetTree { ratchet_tree: tree.await?.into() })
}

/// Submit a commit
///
/// The service accepts a commit only if the device made it in the present epoch of the group. The
/// same bytes again get the same answer.
#[utoipa::path(post, path = "/v1/groups/{group}/commits", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")),
    request_body(content((CommitRequest = "application/json"), (CommitRequest = "application/cbor"))), responses(
    (status = 200, description = "The commit is ordered", body = Accepted),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn commit(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    ToGroup { group, request }: ToGroup<CommitRequest>,
) -> Result<Response, RequestError> {
    format.ok(&submission::commit(&state, caller, group, request).await?)
}

/// Submit a proposal
///
/// Submits a proposal by reference. The device has made it in the present epoch of the group.
#[utoipa::path(post, path = "/v1/groups/{group}/proposals", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")),
    request_body(content((ProposalRequest = "application/json"), (ProposalRequest = "application/cbor"))), responses(
    (status = 200, description = "The proposal is ordered", body = Accepted),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn propose(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    ToGroup { group, request }: ToGroup<ProposalRequest>,
) -> Result<Response, RequestError> {
    format.ok(&submission::propose(&state, caller, group, request).await?)
}

/// Send a message
///
/// Submits an application message. The device has encrypted it in the present epoch of the group.
#[utoipa::path(post, path = "/v1/groups/{group}/messages", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")),
    request_body(content((MessageRequest = "application/json"), (MessageRequest = "application/cbor"))), responses(
    (status = 200, description = "The message is ordered", body = Accepted),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn send(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    ToGroup { group, request }: ToGroup<MessageRequest>,
) -> Result<Response, RequestError> {
    format.ok(&submission::send(&state, caller, group, request).await?)
}

/// Report a commit
///
/// Reports that the calling device cannot process the last commit of the group. When enough members
/// have reported it, the service takes the commit back. Then there is nothing left to report.
#[utoipa::path(post, path = "/v1/groups/{group}/reports", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")),
    request_body(content((ReportRequest = "application/json"), (ReportRequest = "application/cbor"))), responses(
    (status = 200, description = "The report is stored", body = ReportAnswer),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn report(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    ToGroup { group, request }: ToGroup<ReportRequest>,
) -> Result<Response, RequestError> {
    let metrics = state.metrics().clone();
    let now = state.now();
    let reported = state.worker().call(move |service, after_commit| {
        let device = caller.admit(service)?;
        // Only a member can report a commit.
        if !service.is_member(&group, &device)? {
            return Err(Code::NotFound.into());
        }
        match service.report_commit(&group, &device, Sequence(request.sequence), now)? {
            ReportOutcome::Noted { reports, needed } => {
                after_commit.then(move || metrics.reported());
                Ok(ReportAnswer { reports, needed, rolled_back: false })
            }
            ReportOutcome::RolledBack(_) => {
                after_commit.then(move || metrics.rolled_back());
                Ok(ReportAnswer { reports: 0, needed: 0, rolled_back: true })
            }
            ReportOutcome::Rejected(reason) => Err(reason.into()),
        }
    });
    format.ok(&reported.await?)
}

/// End a group
///
/// Deletes a group whose only member is the calling device. The service never uses the name of the
/// group again.
#[utoipa::path(delete, path = "/v1/groups/{group}", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 204, description = "The group has ended"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn end(
    Extracted(state): Extracted<State>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<Response, RequestError> {
    let now = state.now();
    let ended = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.end_group(&group, &device, now)?)
    });
    ended.await
}

/// Returns the answer to a request that orders nothing.
pub(super) fn done(reply: Reply) -> Result<Response, RequestError> {
    match reply {
        Reply::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Reply::Rejected(reason) => Err(reason.into()),
    }
}
