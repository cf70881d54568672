//! Decides which devices may register. The operator chooses the mode: all devices, devices with an
//! invitation, or devices of users that an issuer vouches for.

use std::time::Duration;

use super::{
    clock_guard::ClockGuard,
    environment::Environment,
    jwt::{Issuer, IssuerError, KeySource},
    refusal::RequestError,
    settings::RegistrationMode as Mode,
    tokens::Token,
};
use crate::{
    admission::TokenHash,
    api::{Admission, Code},
    names::UserId,
};

/// The rule that a registration has to satisfy.
pub(crate) enum RegistrationPolicy {
    Open,
    Token,
    Jwt(Box<Issuer>),
}

impl RegistrationPolicy {
    pub(crate) fn new(mode: &Mode, environment: &Environment, clock: &ClockGuard) -> Result<Self, IssuerError> {
        Ok(match mode {
            Mode::Open { .. } => Self::Open,
            Mode::Token => Self::Token,
            Mode::Jwt { issuer, audience, jwks, jwks_authorities, jwks_refresh_seconds } => {
                let source = KeySource::new(jwks, jwks_authorities.as_deref())?;
                let refresh = Duration::from_secs(*jwks_refresh_seconds);
                Self::Jwt(Box::new(Issuer::new(issuer, audience, source, refresh, environment.clone(), clock.clone())?))
            }
        })
    }

    /// True if the server can check registrations now.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Open | Self::Token => true,
            Self::Jwt(issuer) => issuer.has_keys(),
        }
    }

    /// Fetches the issuer's keys, if the mode needs keys.
    pub(crate) async fn prepare(&self) -> Result<(), IssuerError> {
        match self {
            Self::Open | Self::Token => Ok(()),
            Self::Jwt(issuer) => issuer.prepare().await,
        }
    }

    /// Admits the registration of a device of `user`. Returns the hash of an invitation that the
    /// caller still has to check and use up together with the registration.
    pub(crate) async fn admit(
        &self,
        user: &UserId,
        admission: Option<&Admission>,
    ) -> Result<Option<TokenHash>, RequestError> {
        let missing = |what| Err(RequestError::because(Code::NotAdmitted, what));
        match (self, admission) {
            (Self::Open, _) => Ok(None),
            (Self::Token, Some(Admission::Invitation(invitation))) => match Token::read(invitation) {
                Some(token) => Ok(Some(token.hash())),
                None => Err(not_invited()),
            },
            (Self::Token, _) => missing("registration needs an invitation"),
            (Self::Jwt(issuer), Some(Admission::Jwt(token))) => {
                issuer.vouches_for(token, user.as_str()).await?;
                Ok(None)
            }
            (Self::Jwt(_), _) => missing("registration needs a JSON Web Token of the issuer"),
        }
    }
}

/// The same answer for every invalid invitation, so that no caller learns which invitations exist.
pub(crate) fn not_invited() -> RequestError {
    RequestError::because(
        Code::NotAdmitted,
        "the invitation is not known, was used, has expired, or is for another user",
    )
}

impl From<IssuerError> for RequestError {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::NotVouchedFor(_) => Self::because(Code::NotAdmitted, error),
            IssuerError::NoKeys(_)
            | IssuerError::NoKeyFile { .. }
            | IssuerError::NoClient
            | IssuerError::NoAuthorities { .. } => {
                tracing::warn!(%error, "cannot check a registration");
                Self::for_now(Code::Unavailable, Duration::from_secs(10))
            }
        }
    }
}
