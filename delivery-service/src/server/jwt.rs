//! JSON Web Tokens (RFC 7519) of an operator's issuer, which say who may register devices of which user.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::DefaultKeyedStateStore},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{clock_guard::ClockGuard, context::RequestContext, environment::Environment, memory::Principal};
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

/// Fetches for keys that are not known, at once and over time. Everybody can name such a key: the
/// budget recovers quickly enough that nobody keeps a new key out for long.
const UNKNOWN_BURST: u32 = 6;
const UNKNOWN_EVERY: Duration = Duration::from_secs(10);

/// How often one party can make the server fetch keys because of a key that is not known.
const UNKNOWN_OF_PARTY: Duration = Duration::from_secs(60);

/// How long keys are good that cannot be fetched again: an issuer that is down for an hour must not
/// be able to withdraw nothing, nor to stop all registrations at once.
const STALE: Duration = Duration::from_secs(60 * 60);

/// How long the server waits before it fetches again after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

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
    /// The file of the issuer's keys cannot be read.
    #[error("cannot read the issuer's keys in {}: {detail}. Set `registration.jwks` to a JSON Web Key Set", .path.display())]
    NoKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
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

/// The claims of a token that this module checks. The library checks the audience.
#[derive(Deserialize)]
struct Claims {
    /// One issuer. The library would accept a list that names it among others.
    iss: String,
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
                authorities::choose_cryptography();
                builder
            }
        };
        let address = jwks.parse().map_err(|_| IssuerError::NoClient)?;
        Ok(Self::Address(address, builder.build().map_err(|_| IssuerError::NoClient)?))
    }
}

/// An issuer that vouches for users, and its keys.
pub(crate) struct Issuer {
    name: String,
    audience: String,
    source: Source,
    /// How old keys may get before they are fetched again.
    refresh: Duration,
    known: RwLock<Known>,
    /// Held by the one that fetches; all others wait for its result.
    fetching: Mutex<()>,
    unknown: RateLimiter<NotKeyed, InMemoryState, Environment, NoOpMiddleware<Duration>>,
    unknown_of_party: RateLimiter<
        Option<Principal>,
        DefaultKeyedStateStore<Option<Principal>>,
        Environment,
        NoOpMiddleware<Duration>,
    >,
    environment: Environment,
    clock: ClockGuard,
}

/// The keys, and when they were fetched, by the monotonic clock.
#[derive(Clone, Default)]
struct Known {
    keys: Option<(Arc<JwkSet>, Duration)>,
    failed: Option<Duration>,
}

impl Issuer {
    /// Keys in a file are read at once: a server that cannot read them does not start.
    pub(crate) fn new(
        name: &str,
        audience: &str,
        source: Source,
        refresh: Duration,
        environment: Environment,
        clock: ClockGuard,
    ) -> Result<Self, IssuerError> {
        let mut known = Known::default();
        if let Source::File(path) = &source {
            known.keys = Some((Arc::new(read(path)?), environment.monotonic()));
        }
        let every = |period: Duration, burst| {
            let quota = Quota::with_period(period).map(|quota| quota.allow_burst(burst));
            quota.unwrap_or_else(|| Quota::per_minute(NonZeroU32::MIN))
        };
        let burst = NonZeroU32::new(UNKNOWN_BURST).unwrap_or(NonZeroU32::MIN);
        Ok(Self {
            name: name.to_owned(),
            audience: audience.to_owned(),
            source,
            refresh,
            known: RwLock::new(known),
            fetching: Mutex::new(()),
            unknown: RateLimiter::direct_with_clock(every(UNKNOWN_EVERY, burst), environment.clone()),
            unknown_of_party: RateLimiter::dashmap_with_clock(
                every(UNKNOWN_OF_PARTY, NonZeroU32::MIN),
                environment.clone(),
            ),
            environment,
            clock,
        })
    }

    /// Whether there are keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.known().keys.is_some()
    }

    /// Fetches the keys if there are none yet.
    pub(crate) async fn prepare(&self) -> Result<(), IssuerError> {
        if self.has_keys() { Ok(()) } else { self.fetch(|known| known.keys.is_none()).await }
    }

    /// Checks that the token is good, now, and that it is about this user.
    pub(crate) async fn vouches_for(&self, token: &str, user: &str) -> Result<(), IssuerError> {
        let refused = IssuerError::NotVouchedFor;
        let header = decode_header(token).map_err(|_| refused("it is not a token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its algorithm is not admitted"));
        }
        // RFC 7515, 4.1.11: a recipient that does not understand a critical extension rejects the token.
        if header.crit.is_some() {
            return Err(refused("it has a critical extension"));
        }
        let key = self.key(header.kid.as_deref()).await?;
        if !is_for(&key, header.alg) {
            return Err(refused("its key is not for this"));
        }
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused("its key is not understood"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would take the system's clock. Ours is the caller's.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| refused("it is not the issuer's, or not for this service"))?
            .claims;
        if claims.iss != self.name {
            return Err(refused("it is of another issuer"));
        }
        check_time(&claims, self.clock.now())?;
        if claims.sub == user { Ok(()) } else { Err(refused("it is for another user")) }
    }

    /// The key of this name; without a name, the only key that there is.
    async fn key(&self, id: Option<&str>) -> Result<Jwk, IssuerError> {
        let keys = self.fresh().await?;
        if let Some(key) = find(&keys, id) {
            return Ok(key);
        }
        let unknown = || IssuerError::NotVouchedFor("its key is not known");
        // It may be new. Each party may ask once in a while, and all together a little more often.
        let party = RequestContext::current().map(|context| context.principal);
        if self.unknown_of_party.check_key(&party).is_err() || self.unknown.check().is_err() {
            return Err(unknown());
        }
        self.unknown_of_party.retain_recent();
        // Who waited for another fetch has what that has found.
        self.fetch(|known| known.keys.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &keys))).await?;
        self.known().keys.and_then(|(keys, _)| find(&keys, id)).ok_or_else(unknown)
    }

    /// The keys, fetched again if they are too old.
    async fn fresh(&self) -> Result<Arc<JwkSet>, IssuerError> {
        let age = |fetched: Duration| self.environment.monotonic().saturating_sub(fetched);
        let is_old = |known: &Known| {
            let rests = known.failed.is_some_and(|failed| age(failed) < AFTER_FAILURE);
            !rests && known.keys.as_ref().is_none_or(|(_, fetched)| age(*fetched) >= self.refresh)
        };
        let fetched = if is_old(&self.known()) { self.fetch(is_old).await } else { Ok(()) };
        match self.known().keys {
            Some((keys, fetched)) if age(fetched) < self.refresh.max(STALE) => Ok(keys),
            _ => Err(fetched.err().unwrap_or_else(|| IssuerError::NoKeys("the issuer does not answer".into()))),
        }
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys if that is still wanted when the fetches before are over.
    async fn fetch(&self, is_wanted: impl Fn(&Known) -> bool) -> Result<(), IssuerError> {
        let _one = self.fetching.lock().await;
        if !is_wanted(&self.known()) {
            return Ok(());
        }
        let fetched = match &self.source {
            Source::File(path) => read(path),
            Source::Address(address, client) => download(client, address.clone()).await.and_then(|keys| parse(&keys)),
        };
        let now = self.environment.monotonic();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.failed = fetched.is_err().then_some(now);
        known.keys = match fetched {
            Ok(keys) => Some((Arc::new(keys), now)),
            Err(error) => {
                tracing::warn!(%error, "cannot fetch the issuer's keys again");
                if known.keys.is_none() {
                    return Err(error);
                }
                return Ok(());
            }
        };
        Ok(())
    }
}

fn read(path: &Path) -> Result<JwkSet, IssuerError> {
    let unreadable = |detail: String| IssuerError::NoKeyFile { path: path.to_owned(), detail };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&bytes).map_err(|_| unreadable("it is no JSON Web Key Set".to_owned()))
}

fn parse(bytes: &[u8]) -> Result<JwkSet, IssuerError> {
    serde_json::from_slice(bytes).map_err(|error| IssuerError::NoKeys(error.into()))
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
