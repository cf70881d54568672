//! The routes for key packages (RFC 9420, 10): uploads and claims.

use axum::{extract::State as Extracted, response::Response};

use crate::{
    api::{
        self, Bytes, ClaimAnswer, ClaimRequest, ClaimedKeyPackage, Code, KeyPackagesLeft, Problem, UploadAnswer,
        UploadRequest,
    },
    error::StoreError,
    names::{DeviceId, Timestamp},
    ordering::{
        handout::ClaimOutcome,
        key_package::{KeyPackageCount, RefusedKeyPackage, UploadOutcome},
    },
    server::{
        caller::Caller,
        exchange::{Body, Format},
        metrics::ClaimLabel,
        outcomes::code_of,
        price::Price,
        refusal::RequestError,
        state::State,
        worker::Service,
    },
    service::{CheckedUpload, Checker},
};

impl From<KeyPackageCount> for KeyPackagesLeft {
    fn from(count: KeyPackageCount) -> Self {
        Self { left: count.left, last_resort: count.last_resort, last_resort_used: count.last_resort_used }
    }
}

impl From<UploadOutcome> for UploadAnswer {
    fn from(UploadOutcome { left, refused }: UploadOutcome) -> Self {
        let refused = refused.into_iter().map(|RefusedKeyPackage { index, reason }| api::RefusedKeyPackage {
            index,
            reason: code_of(&reason).name().to_owned(),
            detail: reason.to_string(),
        });
        Self { key_packages: left.into(), refused: refused.collect() }
    }
}

/// Store key packages
///
/// Stores key packages of the calling device. The service skips key packages that were uploaded
/// before. The answer names the refused key packages; the service stores the others.
#[utoipa::path(post, path = "/v1/key-packages", tag = "key packages", security(("session" = [])),
    request_body(content((UploadRequest = "application/json"), (UploadRequest = "application/cbor"))), responses(
    (status = 200, description = "The available key packages, and the refused ones", body = UploadAnswer),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn upload(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<UploadRequest>,
) -> Result<Response, RequestError> {
    store(state, caller, format, request, |service, checked, now| service.upload_checked(checked, now)).await
}

/// Replace key packages
///
/// Stores key packages in the same way, and withdraws all other key packages of the calling device
/// in the same step. This includes the last-resort key package.
#[utoipa::path(put, path = "/v1/key-packages", tag = "key packages", security(("session" = [])),
    request_body(content((UploadRequest = "application/json"), (UploadRequest = "application/cbor"))), responses(
    (status = 200, description = "The available key packages, and the refused ones", body = UploadAnswer),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn replace(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
    Body(request): Body<UploadRequest>,
) -> Result<Response, RequestError> {
    store(state, caller, format, request, |service, checked, now| service.replace_checked(checked, now)).await
}

async fn store(
    state: State,
    caller: Caller,
    format: Format,
    request: UploadRequest,
    store: fn(&Service<'_>, CheckedUpload, Timestamp) -> Result<UploadOutcome, StoreError>,
) -> Result<Response, RequestError> {
    let (now, metrics) = (state.now(), state.metrics().clone());
    let UploadRequest { key_packages, last_resort } = request;
    let count = key_packages.len() + usize::from(last_resort.is_some());
    state.rates().charge(&caller.0.device, Price::KeyPackages(count))?;
    let device = caller.0.device.clone();
    let bytes = key_packages.iter().chain(&last_resort).map(|Bytes(bytes)| bytes.len()).sum();
    let check = move |checker: &Checker| {
        let key_packages = key_packages.into_iter().map(|Bytes(bytes)| bytes).collect();
        checker.check_upload(&device, key_packages, last_resort.map(|Bytes(bytes)| bytes), now)
    };
    let checked = state.checked(bytes, check).await?;
    let uploaded = state.worker().call(move |service, after_commit| {
        caller.admit(service)?;
        let uploaded = store(service, checked, now)?;
        let stored = count - uploaded.refused.len();
        after_commit.then(move || metrics.uploaded(stored));
        Ok(uploaded)
    });
    format.ok(&UploadAnswer::from(uploaded.await?))
}

/// Count the key packages
///
/// Returns the number of key packages that the calling device has left.
#[utoipa::path(get, path = "/v1/key-packages", tag = "key packages", security(("session" = [])), responses(
    (status = 200, description = "The available key packages", body = KeyPackagesLeft),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn left(
    Extracted(state): Extracted<State>,
    caller: Caller,
    format: Format,
) -> Result<Response, RequestError> {
    let now = state.now();
    let left = state.worker().call(move |service, _| {
        let device = caller.admit(service)?;
        Ok(service.key_packages_left(&device, now)?)
    });
    format.ok(&KeyPackagesLeft::from(left.await?))
}

/// Claim key packages
///
/// Takes one key package of each device on a user's list of devices, or of one device. For a user
/// without a list, all registered devices count. A device can claim only a limited number of key
/// packages of one device in an hour.
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
) -> Result<Response, RequestError> {
    let ClaimRequest { user, device } = request;
    let one = device.map(|device| DeviceId::of(user.clone(), &device)).transpose()?;
    let limits = state.clone();
    let now = state.now();
    let claimed = state.worker().call(move |service, after_commit| {
        let claimer = caller.admit(service)?;
        let devices = service.claimable_devices(&user, one.as_ref())?;
        if devices.is_empty() {
            return Err(Code::NotFound.into());
        }
        // The server checks the rates of all devices before it takes the first key package.
        for device in &devices {
            limits.rates().check_claim(&claimer, device)?;
        }
        let mut answer = ClaimAnswer { key_packages: Vec::new(), without: Vec::new() };
        for device in devices {
            let outcome = service.claim_key_package(&device, &claimer, now)?;
            let (metrics, claim) = (limits.metrics().clone(), ClaimLabel::of(&outcome));
            after_commit.then(move || metrics.claimed(claim));
            match outcome {
                ClaimOutcome::Claimed(claimed) => answer.key_packages.push(ClaimedKeyPackage {
                    device,
                    key_package: claimed.bytes.into(),
                    last_resort: claimed.last_resort,
                    left: claimed.left.into(),
                }),
                ClaimOutcome::NoneLeft => answer.without.push(device),
                // The answer still contains the key packages that were claimed before this refusal.
                ClaimOutcome::Rejected(reason) if answer.key_packages.is_empty() => return Err(reason.into()),
                ClaimOutcome::Rejected(_) => answer.without.push(device),
            }
        }
        Ok(answer)
    });
    format.ok(&claimed.await?)
}
