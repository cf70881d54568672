//! The routes for sessions: a device signs a challenge and gets a token for a limited time.

use std::time::Duration;

use axum::{
    extract::State as Extracted,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::{
    admission::{DeviceKey, StoredSession},
    api::{self, Challenge, ChallengeRequest, Code, Problem, SessionRequest, proof},
    names::DeviceId,
    server::{
        caller::Caller,
        challenges::ValidChallenge,
        exchange::{Body, Format},
        price::Price,
        refusal::RequestError,
        state::State,
    },
};

/// Get a challenge to sign
///
/// A challenge is good for one registration or one session of the device that it names.
#[utoipa::path(post, path = "/v1/challenges", tag = "sessions",
    request_body(content((ChallengeRequest = "application/json"), (ChallengeRequest = "application/cbor"))), responses(
    (status = 200, description = "A challenge", body = Challenge),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn challenge(
    Extracted(state): Extracted<State>,
    format: Format,
    Body(request): Body<ChallengeRequest>,
) -> Result<Response, RequestError> {
    let expires_in = state.limits().challenge_seconds;
    let expires = state.monotonic().saturating_add(Duration::from_secs(expires_in));
    let challenge = state.challenges().make(&request.device, state.environment().random()?, expires);
    format.ok(&Challenge { challenge: challenge.into(), expires_in })
}

/// Open a session
///
/// The device signs a challenge with its registered key, and gets a token.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions",
    request_body(content((SessionRequest = "application/json"), (SessionRequest = "application/cbor"))), responses(
    (status = 201, description = "A session", body = api::Session),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn open(
    Extracted(state): Extracted<State>,
    format: Format,
    Body(request): Body<SessionRequest>,
) -> Result<Response, RequestError> {
    let SessionRequest { device, challenge, signature } = request;
    let proof = challenged(&state, &device, &challenge.0)?;
    let signed = proof::session(state.service_key(), &challenge.0, &device);
    let known = device.clone();
    let key = state.worker().call(move |service, _| Ok(service.device_key(&known)?)).await?;
    // An unknown device gets the same answer as a device with another key.
    verify(&key.ok_or(Code::BadProof)?, &signed, &signature.0)?;
    redeem(&state, &proof)?;
    // The device itself has sent the request, so the server charges the device. A copy from another
    // sender has been refused above.
    state.rates().charge(&device, Price::Request)?;

    let token = state.tokens().make(&device, state.environment().random()?);
    let expires_in = state.limits().session_seconds;
    let session = StoredSession { token: token.hash(), device, expires: state.now().plus(expires_in) };
    let deadline = state.monotonic().saturating_add(Duration::from_secs(expires_in));
    let sessions = state.sessions().clone();
    let opened = state.worker().call(move |service, after_commit| {
        let StoredSession { token, device, expires } = &session;
        // The device may have been removed in the meantime.
        let ended = service.open_session(device, token, *expires)?.ok_or(Code::BadProof)?;
        after_commit.then(move || {
            ended.iter().for_each(|token| sessions.end(token));
            sessions.insert(session, deadline);
        });
        Ok(())
    });
    opened.await?;
    format.answer(StatusCode::CREATED, &api::Session { token: token.write(), expires_in })
}

/// End this session
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "sessions", security(("session" = [])), responses(
    (status = 204, description = "The session and its streams have ended"),
    (status = "default", description = "What went wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn close(Extracted(state): Extracted<State>, caller: Caller) -> Result<Response, RequestError> {
    let sessions = state.sessions().clone();
    let closed = state.worker().call(move |service, after_commit| {
        service.close_session(&caller.0.device, &caller.0.token)?;
        after_commit.then(move || sessions.end(&caller.0.token));
        Ok(())
    });
    closed.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Checks that this server made the challenge for the device, and that the challenge has not
/// expired.
pub(super) fn challenged(state: &State, device: &DeviceId, challenge: &[u8]) -> Result<ValidChallenge, RequestError> {
    let valid = state.challenges().check(device, challenge, state.monotonic());
    Ok(valid.ok_or(Code::BadProof)?)
}

/// Redeems a challenge that the device has signed. A challenge is good once.
pub(super) fn redeem(state: &State, proof: &ValidChallenge) -> Result<(), RequestError> {
    state.challenges().redeem(proof, state.monotonic())
}

/// Checks that the holder of the key has signed these bytes.
pub(super) fn verify(key: &DeviceKey, signed: &[u8], signature: &[u8]) -> Result<(), RequestError> {
    let key = VerifyingKey::from_bytes(&key.0).map_err(|_| Code::BadProof)?;
    let signature = Signature::from_slice(signature).map_err(|_| Code::BadProof)?;
    Ok(key.verify_strict(signed, &signature).map_err(|_| Code::BadProof)?)
}
