//! The routes for devices: their registration, the signed list of a user's devices, and their
//! removal.

use axum::{
    extract::{Query, State as Extracted, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use serde::Deserialize;

use super::sessions::{challenged, redeem, verify};
use crate::{
    admission::{Appended, DeviceKey, ListedEntries, Registration},
    api::{Code, DeviceListEntry, DeviceListHead, DeviceListPage, Devices, Problem, RegisterRequest, proof},
    device_list::{InvalidEntry, ListChange, ListEntry},
    names::DeviceId,
    server::{
        caller::Caller,
        exchange::{Body, Format},
        paths::{DevicePath, UserPath},
        refusal::RequestError,
        registration::not_invited,
        state::State,
    },
};

/// Register a device
///
/// Registers a device with the key that it will open sessions with. The operator decides which
/// devices may register. The service never gives the same name to another device. The same request
/// with a new challenge gets the same answer.
#[utoipa::path(post, path = "/v1/devices", tag = "devices",
    request_body(content((RegisterRequest = "application/json"), (RegisterRequest = "application/cbor"))), responses(
    (status = 201, description = "The device is registered", body = DeviceId),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn register(
    Extracted(state): Extracted<State>,
    format: Format,
    Body(request): Body<RegisterRequest>,
) -> Result<Response, RequestError> {
    let RegisterRequest { device, key, challenge, signature, admission } = request;
    let proof = challenged(&state, &device, &challenge.0)?;
    let signed = proof::registration(state.service_key(), &challenge.0, &device, &key.0);
    let key = DeviceKey(key.0.try_into().map_err(|_| Code::BadProof)?);
    verify(&key, &signed, &signature.0)?;

    // A device may repeat the request because the answer was lost. It has shown its key, so it
    // needs no new admission.
    let known = device.clone();
    let known = state.worker().call(move |service, _| Ok(service.device_key(&known)?));
    if known.await? != Some(key) {
        let invitation = state.registration_policy().admit(device.user(), admission.as_ref()).await?;
        let (registering, now) = (device.clone(), state.now());
        let registered = state.worker().call(move |service, _| {
            match service.register_device(&registering, key, invitation.as_ref(), now)? {
                Registration::Registered => Ok(()),
                Registration::NameTaken => Err(Code::DeviceExists.into()),
                Registration::NotInvited => Err(not_invited()),
                Registration::TooManyDevices => {
                    Err(RequestError::because(Code::LimitReached, "the user has too many devices; remove one"))
                }
            }
        });
        registered.await?;
    }
    // The redemption comes last, so that only admitted devices take memory.
    redeem(&state, &proof)?;
    format.answer(StatusCode::CREATED, &device)
}

/// Remove a device
///
/// A device can be removed by itself and by the other devices of its user. If the user has a list
/// of devices, only devices on the list can remove others. The list stays as it is: an entry that
/// removes a device from the list does both. The sessions and streams of the removed device end.
/// The service deletes its key packages and its unread deliveries. The device stays in its groups
/// until a member commits its removal.
#[utoipa::path(delete, path = "/v1/devices/{user}/{device}", tag = "devices", security(("session" = [])),
    params(("user" = String, Path, description = "The user"), ("device" = String, Path, description = "The device")),
    responses(
    (status = 204, description = "The device is removed"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn remove(
    Extracted(state): Extracted<State>,
    caller: Caller,
    DevicePath(device): DevicePath,
) -> Result<Response, RequestError> {
    let (sessions, wake_ups) = (state.sessions().clone(), state.wake_ups().clone());
    let removed = state.worker().call(move |service, after_commit| {
        if !service.may_remove_device(&caller.admit(service)?, &device)? {
            return Err(Code::Forbidden.into());
        }
        let ended = service.remove_device(&device)?.ok_or(Code::NotFound)?;
        after_commit.then(move || {
            ended.iter().for_each(|token| sessions.end(token));
            wake_ups.forget(&device);
        });
        Ok(())
    });
    removed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// List the devices of a user
#[utoipa::path(get, path = "/v1/users/{user}/devices", tag = "devices", security(("session" = [])),
    params(("user" = String, Path, description = "The user")), responses(
    (status = 200, description = "The devices, in the order of their names; empty for an unknown user", body = Devices),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    UserPath(user): UserPath,
) -> Result<Response, RequestError> {
    let devices = state.worker().call(move |service, _| {
        caller.admit(service)?;
        Ok(service.devices_of(&user)?)
    });
    let mut devices = devices.await?;
    devices.sort();
    format.ok(&Devices { devices })
}

/// The position after which the answer starts.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// The number of the entry before the first entry of the answer. 0 starts at the beginning.
    #[serde(default)]
    after: u64,
}

/// Read the signed list of a user's devices
///
/// Returns at most 100 entries of the list after one entry. A device on the list has signed each
/// entry, and each entry contains the hash of the entry before it. So a reader need not trust the
/// service.
#[utoipa::path(get, path = "/v1/users/{user}/device-list", tag = "devices", security(("session" = [])),
    params(("user" = String, Path, description = "The user"), After), responses(
    (status = 200, description = "The entries; empty for a user without a list", body = DeviceListPage),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn device_list(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    UserPath(user): UserPath,
    position: Result<Query<After>, QueryRejection>,
) -> Result<Response, RequestError> {
    let Query(After { after }) = position?;
    let listed = state.worker().call(move |service, _| {
        caller.admit(service)?;
        Ok(service.device_list_entries(&user, after)?)
    });
    let ListedEntries { entries, number, head } = listed.await?;
    let entries = entries.into_iter().map(Into::into).collect();
    format.ok(&DeviceListPage { entries, number, head: head.0.to_vec().into() })
}

/// Append to the list of devices
///
/// Appends an entry to the list of the calling device's user. The device has signed the entry, and
/// is on the list or starts it. An entry that does not follow the last entry is `stale`: the device
/// reads the new entries and makes its entry again. If the entry removes a device, the service
/// removes that device in the same step.
#[utoipa::path(post, path = "/v1/device-list", tag = "devices", security(("session" = [])),
    request_body(content((DeviceListEntry = "application/json"), (DeviceListEntry = "application/cbor"))), responses(
    (status = 201, description = "The entry is on the list", body = DeviceListHead),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn append(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<DeviceListEntry>,
) -> Result<Response, RequestError> {
    let entry = ListEntry::decode(&request.entry.0).map_err(invalid)?;
    let (sessions, wake_ups) = (state.sessions().clone(), state.wake_ups().clone());
    let appended = state.worker().call(move |service, after_commit| {
        let device = caller.admit(service)?;
        match service.append_to_device_list(&device, &entry)? {
            Appended::Appended { number, ended } => {
                after_commit.then(move || {
                    ended.iter().for_each(|token| sessions.end(token));
                    if let ListChange::Remove(removed) = &entry.change {
                        wake_ups.forget(removed);
                    }
                });
                Ok(number)
            }
            Appended::Invalid(fault) => Err(invalid(fault)),
            Appended::OtherSigner => Err(RequestError::because(Code::Forbidden, "another device has signed the entry")),
            Appended::OtherKey { device } => {
                let detail = format!("{device} is not registered with the key in the entry");
                Err(RequestError::because(Code::Forbidden, detail))
            }
            Appended::StillListed { device } => {
                let detail =
                    format!("the list cannot begin anew while {device} is registered: link this device from that one");
                Err(RequestError::because(Code::Forbidden, detail))
            }
            Appended::Full => Err(RequestError::because(Code::LimitReached, "the list has too many entries")),
        }
    });
    format.answer(StatusCode::CREATED, &DeviceListHead { number: appended.await? })
}

fn invalid(fault: InvalidEntry) -> RequestError {
    let code = match fault {
        InvalidEntry::Number { .. } | InvalidEntry::Previous { .. } => Code::Stale,
        InvalidEntry::Signature { .. } | InvalidEntry::NotListed { .. } => Code::Forbidden,
        InvalidEntry::Encoding | InvalidEntry::Taken { .. } | InvalidEntry::OtherUser { .. } => Code::BadRequest,
    };
    RequestError::because(code, fault)
}
