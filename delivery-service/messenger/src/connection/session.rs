//! Sessions: a device proves its identity by signing a challenge, and gets a token for some time.

use std::{
    fmt,
    time::{Duration, Instant},
};

use reqwest::{Method, Url};
use zeroize::Zeroizing;

use super::exchange::{self, Http, HttpRequest, Nothing, protocol};
use crate::{
    api::{Admission, Challenge, ChallengeRequest, Code, RegisterRequest, ServiceInfo, Session, SessionRequest, proof},
    error::ConnectionError,
    names::DeviceId,
    receipt::ServicePublicKey,
    transport_key::TransportKey,
};

/// The time before its end at which the device replaces a session, so that no request arrives too
/// late.
const MARGIN: Duration = Duration::from_secs(10);

/// The device's sessions with the service, one after the other.
pub(super) struct DeviceSessions {
    device: DeviceId,
    key: TransportKey,
    service: ServicePublicKey,
    /// True if the server at the address has claimed the service's key. A signature for another
    /// service is of no use to it in any case, because the signed bytes contain the key.
    met: bool,
    open: Option<ActiveSession>,
}

struct ActiveSession {
    token: Zeroizing<String>,
    until: Option<Instant>,
}

impl DeviceSessions {
    pub(super) fn new(device: DeviceId, key: TransportKey, service: ServicePublicKey) -> Self {
        Self { device, key, service, met: false, open: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Returns the token of the open session, or of a new one. Makes each request once.
    pub(super) async fn token(
        &mut self,
        http: &Http,
        base: &Url,
        timeout: Duration,
    ) -> Result<Zeroizing<String>, ConnectionError> {
        if let Some(ActiveSession { token, until }) = &self.open
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.clone());
        }
        self.meet(http, base, timeout).await?;
        let is_refused = |error: &ConnectionError| error.code() == Some(Code::BadProof);
        let mut session = self.log_in(http, base, timeout).await;
        // The challenge may have expired on its way, or the service may have restarted since.
        if session.as_ref().is_err_and(is_refused) {
            session = self.log_in(http, base, timeout).await;
        }
        let Session { token, expires_in } = session.map_err(|error| match is_refused(&error) {
            true => ConnectionError::DeviceRefused { device: self.device.clone() },
            false => error,
        })?;
        let token = Zeroizing::new(token);
        let lasts = Duration::from_secs(expires_in);
        let until = Instant::now().checked_add(lasts.saturating_sub(MARGIN.min(lasts / 2)));
        self.open = Some(ActiveSession { token: token.clone(), until });
        Ok(token)
    }

    /// Signs a new challenge, and opens a session by the signature.
    async fn log_in(&self, http: &Http, base: &Url, timeout: Duration) -> Result<Session, ConnectionError> {
        let challenge = self.challenge(http, base, timeout).await?;
        let signed = proof::session(&self.service, &challenge.challenge.0, &self.device);
        let body = SessionRequest {
            device: self.device.clone(),
            challenge: challenge.challenge,
            signature: self.key.sign(&signed)[..].into(),
        };
        let request = HttpRequest::new(base, Method::POST, &["v1", "sessions"], timeout)?.with(&body)?;
        exchange::once(http, &request, None).await
    }

    /// Registers the device, unless it is registered.
    pub(super) async fn register(
        &mut self,
        http: &Http,
        base: &Url,
        timeout: Duration,
        admission: Option<Admission>,
    ) -> Result<(), ConnectionError> {
        self.meet(http, base, timeout).await?;
        let challenge = self.challenge(http, base, timeout).await?;
        let key = self.key.public();
        let signed = proof::registration(&self.service, &challenge.challenge.0, &self.device, &key);
        let body = RegisterRequest {
            device: self.device.clone(),
            key: key.as_slice().into(),
            challenge: challenge.challenge,
            signature: self.key.sign(&signed)[..].into(),
            admission,
        };
        let request = HttpRequest::new(base, Method::POST, &["v1", "devices"], timeout)?.with(&body)?;
        match exchange::once::<Nothing>(http, &request, None).await {
            Ok(Nothing) => Ok(()),
            // Perhaps this device has registered before, and the response was lost: then its key
            // opens a session. The lost registration has used up an invitation as well.
            Err(taken) if is_perhaps_registered(&taken) => match self.token(http, base, timeout).await {
                Err(ConnectionError::Problem(_) | ConnectionError::DeviceRefused { .. }) => Err(taken),
                other => other.map(drop),
            },
            Err(other) => Err(other),
        }
    }

    /// Compares the key of the server at the address with the service's key, once.
    async fn meet(&mut self, http: &Http, base: &Url, timeout: Duration) -> Result<(), ConnectionError> {
        if !self.met {
            let request = HttpRequest::new(base, Method::GET, &["v1", "service"], timeout)?;
            let found = key_of(&exchange::once(http, &request, None).await?)?;
            if found != self.service {
                return Err(ConnectionError::WrongService { expected: self.service, found });
            }
            self.met = true;
        }
        Ok(())
    }

    async fn challenge(&self, http: &Http, base: &Url, timeout: Duration) -> Result<Challenge, ConnectionError> {
        let body = ChallengeRequest { device: self.device.clone() };
        let request = HttpRequest::new(base, Method::POST, &["v1", "challenges"], timeout)?.with(&body)?;
        exchange::once(http, &request, None).await
    }
}

impl fmt::Debug for DeviceSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, service, open, .. } = self;
        write!(f, "DeviceSessions {{ device: {device}, service: {service}, open: {} }}", open.is_some())
    }
}

/// True if the session has ended before its time: the service has revoked or forgotten it.
pub(super) fn is_over(error: &ConnectionError) -> bool {
    error.code() == Some(Code::NoSession)
}

fn is_perhaps_registered(error: &ConnectionError) -> bool {
    matches!(error.code(), Some(Code::DeviceExists | Code::NotAdmitted))
}

pub(super) fn key_of(info: &ServiceInfo) -> Result<ServicePublicKey, ConnectionError> {
    let key = info.key.0.as_slice().try_into();
    key.map(ServicePublicKey).map_err(|_| protocol("the service's key does not have 32 bytes".into()))
}
