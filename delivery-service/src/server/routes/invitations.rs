//! What a device and its user say about the groups that others add it to.

use axum::{
    extract::State as Extracted,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::groups::done;
use crate::{
    api::{BlockedUsers, Code, Problem},
    server::{
        caller::Caller,
        exchange::Format,
        paths::{GroupPath, UserPath},
        refusal::Refusal,
        state::State,
    },
};

/// Accept a group
///
/// Accepts a group that another user has added the calling device to. Every submission to the group does so as well.
#[utoipa::path(put, path = "/v1/groups/{group}/membership", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 204, description = "It is accepted"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn accept(
    Extracted(state): Extracted<State>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<Response, Refusal> {
    let now = state.now();
    let accepted = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.accept_invitation(&group, &device, now)?)
    });
    accepted.await
}

/// Decline a group
///
/// Declines a group that another user has added the calling device to, and that it has not accepted. The device reads
/// nothing of it any more. It stays on the roster until a member commits its removal, which it can propose before.
#[utoipa::path(delete, path = "/v1/groups/{group}/membership", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 204, description = "It is declined"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn decline(
    Extracted(state): Extracted<State>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<Response, Refusal> {
    let now = state.now();
    let declined = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.decline_invitation(&group, &device, now)?)
    });
    declined.await
}

/// The blocked users
///
/// The users that the calling device's user has blocked.
#[utoipa::path(get, path = "/v1/blocks", tag = "users", security(("session" = [])), responses(
    (status = 200, description = "The users, in the order of their names", body = BlockedUsers),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn blocked(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
) -> Result<Response, Refusal> {
    let users = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.blocked_users(device.user())?)
    });
    let mut users = users.await?;
    users.sort();
    format.ok(&BlockedUsers { users })
}

/// Block a user
///
/// The user's devices can neither claim key packages of the calling user's devices nor add them to groups. Groups that
/// both are in stay as they are.
#[utoipa::path(put, path = "/v1/blocks/{user}", tag = "users", security(("session" = [])),
    params(("user" = String, Path, description = "The user to block")), responses(
    (status = 204, description = "The user is blocked"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn block(
    Extracted(state): Extracted<State>,
    caller: Caller,
    UserPath(user): UserPath,
) -> Result<Response, Refusal> {
    if user == *caller.0.device.user() {
        return Err(Refusal::because(Code::BadRequest, "nobody blocks the own user"));
    }
    let blocked = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.block_user(device.user(), &user)?)
    });
    blocked.await
}

/// Unblock a user
#[utoipa::path(delete, path = "/v1/blocks/{user}", tag = "users", security(("session" = [])),
    params(("user" = String, Path, description = "The user to unblock")), responses(
    (status = 204, description = "The user is not blocked"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn unblock(
    Extracted(state): Extracted<State>,
    caller: Caller,
    UserPath(user): UserPath,
) -> Result<Response, Refusal> {
    let unblocked = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        service.unblock_user(device.user(), &user)?;
        Ok(())
    });
    unblocked.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
