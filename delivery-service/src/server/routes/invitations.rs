//! The routes with which a device accepts or declines groups, and blocks users.

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
        refusal::RequestError,
        state::State,
    },
};

/// Accept a group
///
/// Accepts a group to which another user has added the calling device. Every submission of the
/// device to the group also accepts it.
#[utoipa::path(put, path = "/v1/groups/{group}/membership", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 204, description = "The group is accepted"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn accept(
    Extracted(state): Extracted<State>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<Response, RequestError> {
    let now = state.now();
    let accepted = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.accept_invitation(&group, &device, now)?)
    });
    accepted.await
}

/// Decline a group
///
/// Declines a group to which another user has added the calling device, and which the device has
/// not accepted. The device then reads nothing of the group. It stays on the roster until a member
/// commits its removal, which the device can propose before.
#[utoipa::path(delete, path = "/v1/groups/{group}/membership", tag = "groups", security(("session" = [])),
    params(("group" = String, Path, description = "The group's identifier, in base64url without padding")), responses(
    (status = 204, description = "The group is declined"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn decline(
    Extracted(state): Extracted<State>,
    caller: Caller,
    GroupPath(group): GroupPath,
) -> Result<Response, RequestError> {
    let now = state.now();
    let declined = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        done(service.decline_invitation(&group, &device, now)?)
    });
    declined.await
}

/// List the blocked users
///
/// Returns the users that the calling device's user has blocked.
#[utoipa::path(get, path = "/v1/blocks", tag = "users", security(("session" = [])), responses(
    (status = 200, description = "The users, in the order of their names", body = BlockedUsers),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn blocked(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
) -> Result<Response, RequestError> {
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
/// The devices of a blocked user cannot claim key packages of the calling user's devices, and
/// cannot add them to groups. Groups with devices of both users stay as they are.
#[utoipa::path(put, path = "/v1/blocks/{user}", tag = "users", security(("session" = [])),
    params(("user" = String, Path, description = "The user to block")), responses(
    (status = 204, description = "The user is blocked"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn block(
    Extracted(state): Extracted<State>,
    caller: Caller,
    UserPath(user): UserPath,
) -> Result<Response, RequestError> {
    if user == *caller.0.device.user() {
        return Err(RequestError::because(Code::BadRequest, "a user cannot block itself"));
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
) -> Result<Response, RequestError> {
    let unblocked = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        service.unblock_user(device.user(), &user)?;
        Ok(())
    });
    unblocked.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
