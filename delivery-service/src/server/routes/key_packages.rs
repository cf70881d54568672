//! Key packages (RFC 9420, 10) on their way in and out.

use axum::{extract::State as Extracted, response::Response};

use crate::{
    api::{ClaimAnswer, ClaimRequest, ClaimedKeyPackage, Code, KeyPackagesLeft, Problem, UploadRequest},
    names::DeviceId,
    ordering::key_package::{ClaimOutcome, KeyPackageCount},
    server::{
        caller::Caller,
        exchange::{Body, Format},
        metrics::Claim,
        refusal::Refusal,
        state::State,
    },
};

impl From<KeyPackageCount> for KeyPackagesLeft {
    fn from(count: KeyPackageCount) -> Self {
        Self { left: count.left, last_resort: count.last_resort }
    }
}

/// Store key packages
///
/// Stores key packages of the calling device, all or none. Those that were uploaded before are left out.
#[utoipa::path(post, path = "/v1/key-packages", tag = "key packages", security(("session" = [])),
    request_body(content((UploadRequest = "application/json"), (UploadRequest = "application/cbor"))), responses(
    (status = 200, description = "What can be handed out now", body = KeyPackagesLeft),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn upload(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<UploadRequest>,
) -> Result<Response, Refusal> {
    let (now, metrics) = (state.now(), state.metrics().clone());
    let left = state.worker().call(move |service, aftermath| {
        let device = caller.admit(service)?;
        let key_packages: Vec<_> = request.key_packages.into_iter().map(|bytes| bytes.0).collect();
        let last_resort = request.last_resort.as_ref().map(|bytes| bytes.0.as_slice());
        let left = service.upload_key_packages(&device, &key_packages, last_resort, now)?;
        let uploaded = key_packages.len() + usize::from(last_resort.is_some());
        aftermath.then(move || metrics.uploaded(uploaded));
        Ok(left)
    });
    format.ok(&KeyPackagesLeft::from(left.await?))
}

/// What can be handed out
///
/// How many key packages of the calling device are left.
#[utoipa::path(get, path = "/v1/key-packages", tag = "key packages", security(("session" = [])), responses(
    (status = 200, description = "What can be handed out", body = KeyPackagesLeft),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn left(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
) -> Result<Response, Refusal> {
    let now = state.now();
    let left = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.key_packages_left(&device, now)?)
    });
    format.ok(&KeyPackagesLeft::from(left.await?))
}

/// Claim key packages
///
/// Takes one key package of each device of a user, or of one. How many of one device another may claim in an hour is
/// limited.
#[utoipa::path(post, path = "/v1/key-packages/claims", tag = "key packages", security(("session" = [])),
    request_body(content((ClaimRequest = "application/json"), (ClaimRequest = "application/cbor"))), responses(
    (status = 200, description = "The key packages", body = ClaimAnswer),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn claim(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<ClaimRequest>,
) -> Result<Response, Refusal> {
    let ClaimRequest { user, device } = request;
    let one = device.map(|device| DeviceId::of(user.clone(), &device)).transpose()?;
    let limits = state.clone();
    let now = state.now();
    let claimed = state.worker().call(move |service, aftermath| {
        let claimer = caller.admit(service)?;
        let devices = match one {
            Some(device) if service.device_key(&device)?.is_some() => vec![device],
            Some(_) => Vec::new(),
            None => service.devices_of(&user)?,
        };
        if devices.is_empty() {
            return Err(Code::NotFound.into());
        }
        // All are asked for before one is taken.
        for device in &devices {
            limits.rates().check_claim(&claimer, device)?;
        }
        let mut answer = ClaimAnswer { key_packages: Vec::new(), without: Vec::new() };
        for device in devices {
            let outcome = service.claim_key_package(&device, &claimer, now)?;
            let (metrics, claim) = (limits.metrics().clone(), Claim::of(&outcome));
            aftermath.then(move || metrics.claimed(claim));
            match outcome {
                ClaimOutcome::Claimed(claimed) => answer.key_packages.push(ClaimedKeyPackage {
                    device,
                    key_package: claimed.bytes.into(),
                    last_resort: claimed.last_resort,
                    left: claimed.left.into(),
                }),
                ClaimOutcome::NoneLeft => answer.without.push(device),
                // What was claimed before it is handed out.
                ClaimOutcome::Rejected(reason) if answer.key_packages.is_empty() => return Err(reason.into()),
                ClaimOutcome::Rejected(_) => answer.without.push(device),
            }
        }
        Ok(answer)
    });
    format.ok(&claimed.await?)
}
