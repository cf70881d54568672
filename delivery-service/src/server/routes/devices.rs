//! Devices: how they become known, who has which, and how they go.

use axum::{
    extract::State as Extracted,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::sessions::{challenged, redeem, verify};
use crate::{
    admission::{DeviceKey, Registration},
    api::{Code, Devices, Problem, RegisterRequest, proof},
    names::DeviceId,
    server::{
        caller::Caller,
        exchange::{Body, Format},
        paths::{DevicePath, UserPath},
        refusal::Refusal,
        registration::not_invited,
        state::State,
    },
};

/// Register a device
///
/// Makes a device known by the key that it will open sessions with. Who may is the operator's to say. The name is given
/// to no other device, ever. The same request with a new challenge is answered the same.
#[utoipa::path(post, path = "/v1/devices", tag = "devices",
    request_body(content((RegisterRequest = "application/json"), (RegisterRequest = "application/cbor"))), responses(
    (status = 201, description = "The device is known", body = DeviceId),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn register(
    Extracted(state): Extracted<State>,
    format: Format,
    Body(request): Body<RegisterRequest>,
) -> Result<Response, Refusal> {
    let RegisterRequest { device, key, challenge, signature, admission } = request;
    let proof = challenged(&state, &device, &challenge.0)?;
    let signed = proof::registration(state.service_key(), &challenge.0, &device, &key.0);
    let key = DeviceKey(key.0.try_into().map_err(|_| Code::BadProof)?);
    verify(&key, &signed, &signature.0)?;

    // Whoever asks again, because the answer was lost, need not be admitted again: it has shown the device's key.
    let known = device.clone();
    let known = state.worker().call(move |service, _| Ok(service.device_key(&known)?));
    if known.await? != Some(key) {
        let invitation = state.gate().pass(device.user(), admission.as_ref()).await?;
        let (registering, now) = (device.clone(), state.now());
        let registered = state.worker().call(move |service, _| {
            match service.register_device(&registering, key, invitation.as_ref(), now)? {
                Registration::Registered => Ok(()),
                Registration::NameTaken => Err(Code::DeviceExists.into()),
                Registration::NotInvited => Err(not_invited()),
                Registration::TooManyDevices => {
                    Err(Refusal::because(Code::LimitReached, "the user has too many devices; remove one"))
                }
            }
        });
        registered.await?;
    }
    // Last, so that only those who are admitted take memory.
    redeem(&state, &proof)?;
    format.answer(StatusCode::CREATED, &device)
}

/// Remove a device
///
/// A device can be removed by itself and by the other devices of its user. Its sessions and streams end, and its key
/// packages and what it has not read are deleted. It stays in its groups until a member commits its removal.
#[utoipa::path(delete, path = "/v1/devices/{user}/{device}", tag = "devices", security(("session" = [])),
    params(("user" = String, Path, description = "The user"), ("device" = String, Path, description = "The device")),
    responses(
    (status = 204, description = "It is removed"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    DevicePath(device): DevicePath,
) -> Result<Response, Refusal> {
    if device.user() != caller.0.device.user() {
        return Err(Code::Forbidden.into());
    }
    let (sessions, wake_ups) = (state.sessions().clone(), state.wake_ups().clone());
    let removed = state.worker().call(move |service, aftermath| {
        caller.admit(service)?;
        let ended = service.remove_device(&device)?.ok_or(Code::NotFound)?;
        aftermath.then(move || {
            ended.iter().for_each(|token| sessions.end(token));
            wake_ups.forget(&device);
        });
        Ok(())
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The devices of a user
#[utoipa::path(get, path = "/v1/users/{user}/devices", tag = "devices", security(("session" = [])),
    params(("user" = String, Path, description = "The user")), responses(
    (status = 200, description = "The devices, in the order of their names; none of a user who is not known", body = Devices),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    UserPath(user): UserPath,
) -> Result<Response, Refusal> {
    let devices = state.worker().call(move |service, _| {
        caller.admit(service)?;
        Ok(service.devices_of(&user)?)
    });
    let mut devices = devices.await?;
    devices.sort();
    format.ok(&Devices { devices })
}
