//! JSON Web Tokens (RFC 7519) of an operator's issuer, which say who may register devices of which user.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{clock_guard::ClockGuard, environment::Environment};
use crate::{authorities, names::Timestamp};

/// Signatures with a public key. HMAC is not among them, for which the issuer's public key would be the secret, and there
/// is no 'none'.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Seconds by which the issuer's clock may differ from ours.
const LEEWAY: u64 = 60;

/// Keys are fetched again for a key that is not known, but not more often: everybody can name one.
const REFETCH: Duration = Duration::from_secs(60);

/// How long the issuer has to answer.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// The longest answer of the issuer that is read: thousands of keys.
const MAX_JWKS_BYTES: usize = 1024 * 1024;

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The token is not the issuer's, not for this service, not for this user, or not for now.
    #[error("the token is not accepted: {0}")]
    NotVouchedFor(&'static str),
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be read: {0}")]
    NoKeys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The issuer cannot be asked.
    #[error("the issuer's keys have to be a file, or at an address that begins with https://")]
    NoClient,
    /// There is nobody that the issuer's certificate could be of.
    #[error("cannot read the authorities in {}: {detail}", .path.display())]
    NoAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// What of a token counts. Who issued it, and for whom, the library checks.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
}

/// Where an issuer's keys are.
pub(crate) enum Source {
    File(PathBuf),
    Address(reqwest::Url, reqwest::Client),
}

impl Source {
    /// A file, or an address whose certificate is of the authorities in a file, or else of those that the platform trusts.
    pub(crate) fn new(jwks: &str, authorities: Option<&Path>) -> Result<Self, IssuerError> {
        if !jwks.contains("://") {
            return Ok(Self::File(jwks.into()));
        }
        if !jwks.starts_with("https://") {
            return Err(IssuerError::NoClient);
        }
        let builder = reqwest::Client::builder().timeout(FETCH_TIME).redirect(reqwest::redirect::Policy::none());
        let builder = match authorities {
            Some(path) => {
                let unreadable = |detail| IssuerError::NoAuthorities { path: path.to_owned(), detail };
                let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
                builder.tls_backend_preconfigured(authorities::trusting(&pem).map_err(unreadable)?)
            }
            None => {
                // Without a default provider, TLS cannot begin. If there is one already, that is good as well.
                let _ = rustls::crypto::ring::default_provider().install_default();
                builder
            }
        };
        let address = jwks.parse().map_err(|_| IssuerError::NoClient)?;
        Ok(Self::Address(address, builder.build().map_err(|_| IssuerError::NoClient)?))
    }
}

/// Who vouches for users, and its keys.
pub(crate) struct Issuer {
    name: String,
    audience: String,
    source: Source,
    keys: RwLock<Arc<JwkSet>>,
    /// When the keys were fetched. Whoever fetches them holds it.
    fetched: Mutex<Option<Duration>>,
    environment: Environment,
    clock: ClockGuard,
}

impl Issuer {
    pub(crate) fn new(name: &str, audience: &str, source: Source, environment: Environment, clock: ClockGuard) -> Self {
        let (name, audience) = (name.to_owned(), audience.to_owned());
        let keys = RwLock::new(Arc::new(JwkSet { keys: Vec::new() }));
        Self { name, audience, source, keys, fetched: Mutex::new(None), environment, clock }
    }

    /// Checks that the token is good, now, and that it is about this user.
    pub(crate) async fn vouches_for(&self, token: &str, user: &str) -> Result<(), IssuerError> {
        let refused = IssuerError::NotVouchedFor;
        let header = decode_header(token).map_err(|_| refused("it is not a token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its algorithm is not admitted"));
        }
        let key = self.key(header.kid.as_deref()).await?;
        if !is_for(&key, header.alg) {
            return Err(refused("its key is not for this"));
        }
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused("its key is not understood"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.name]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would take the system's clock. Ours is the caller's.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| refused("it is not the issuer's, or not for this service"))?
            .claims;
        check_time(&claims, self.clock.now())?;
        if claims.sub == user { Ok(()) } else { Err(refused("it is for another user")) }
    }

    /// The key of this name; without a name, the only key that there is.
    async fn key(&self, id: Option<&str>) -> Result<Jwk, IssuerError> {
        if let Some(key) = find(&self.known(), id) {
            return Ok(key);
        }
        let mut fetched = self.fetched.lock().await;
        // Somebody else may have fetched it in the meantime.
        let known = find(&self.known(), id);
        let now = self.environment.monotonic();
        if known.is_none() && fetched.is_none_or(|then| now.saturating_sub(then) >= REFETCH) {
            let keys = self.fetch().await;
            // Also after a failure, the next attempt is a minute away.
            *fetched = Some(now);
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys?);
        }
        known.or_else(|| find(&self.known(), id)).ok_or(IssuerError::NotVouchedFor("its key is not known"))
    }

    fn known(&self) -> Arc<JwkSet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fetch(&self) -> Result<JwkSet, IssuerError> {
        let bytes = match &self.source {
            Source::File(path) => std::fs::read(path).map_err(|error| IssuerError::NoKeys(error.into()))?,
            Source::Address(address, client) => download(client, address.clone()).await?,
        };
        serde_json::from_slice(&bytes).map_err(|error| IssuerError::NoKeys(error.into()))
    }
}

fn find(keys: &JwkSet, id: Option<&str>) -> Option<Jwk> {
    match (id, keys.keys.as_slice()) {
        (Some(id), _) => keys.find(id).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// Whether the key is one to verify signatures of this algorithm with, as far as it says so.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let Jwk { common, .. } = key;
    let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let named = common.key_algorithm.as_ref().map(ToString::to_string);
    signs && named.is_none_or(|named| named.parse() == Ok(algorithm))
}

fn check_time(claims: &Claims, now: Timestamp) -> Result<(), IssuerError> {
    if claims.exp.saturating_add(LEEWAY) <= now.0 {
        return Err(IssuerError::NotVouchedFor("it has expired"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now.0.saturating_add(LEEWAY)) {
        return Err(IssuerError::NotVouchedFor("it is not valid yet"));
    }
    Ok(())
}

async fn download(client: &reqwest::Client, address: reqwest::Url) -> Result<Vec<u8>, IssuerError> {
    let failed = |error: reqwest::Error| IssuerError::NoKeys(error.into());
    let mut response = client.get(address).send().await.and_then(|r| r.error_for_status()).map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > MAX_JWKS_BYTES {
            return Err(IssuerError::NoKeys("the answer is too long".into()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
