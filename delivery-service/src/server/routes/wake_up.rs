//! The routes for the address that the server calls when an entry waits for a device.

use axum::{
    extract::State as Extracted,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use crate::{
    api::{Code, Problem, WakeUpRequest},
    server::{caller::Caller, exchange::Body, refusal::RequestError, state::State},
};

/// Register a wake-up address
///
/// Registers an address of the calling device. It replaces an earlier address. When an entry waits
/// for the device, and the device has no stream and has not read for half a minute, the server
/// sends an empty `POST` to the address. It sends no further call until the device has read. The
/// server repeats a failed call, with longer and longer pauses.
#[utoipa::path(put, path = "/v1/wake-up", tag = "devices", security(("session" = [])),
    request_body(content((WakeUpRequest = "application/json"), (WakeUpRequest = "application/cbor"))), responses(
    (status = 204, description = "The address is registered"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn register(
    Extracted(state): Extracted<State>,
    caller: Caller,
    Body(WakeUpRequest { url }): Body<WakeUpRequest>,
) -> Result<Response, RequestError> {
    let address = state.wake_ups().read(&url)?;
    let wake_ups = state.wake_ups().clone();
    let registered = state.worker().call(move |service, after_commit| {
        let device = caller.admit(service)?;
        if !service.register_wake_up(&device, address.as_str())? {
            return Err(Code::NoSession.into());
        }
        after_commit.then(move || wake_ups.register(device, address));
        Ok(())
    });
    registered.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Delete the wake-up address
///
/// Deletes the address of the calling device, if it has one.
#[utoipa::path(delete, path = "/v1/wake-up", tag = "devices", security(("session" = [])), responses(
    (status = 204, description = "The device has no address any more"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(Extracted(state): Extracted<State>, caller: Caller) -> Result<Response, RequestError> {
    let wake_ups = state.wake_ups().clone();
    let removed = state.worker().call(move |service, after_commit| {
        let device = caller.admit(service)?;
        service.remove_wake_up(&device)?;
        after_commit.then(move || wake_ups.forget(&device));
        Ok(())
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
