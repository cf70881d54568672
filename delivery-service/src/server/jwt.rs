//! JSON Web Tokens (RFC 7519) of the operator's issuer. A token gives the right to register a
//! device of one user.

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

/// The accepted algorithms: signatures with a public key. HMAC is missing, because the issuer's
/// public key would be its secret. `none` is missing as well.
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

/// The most seconds by which the issuer's clock may differ from the server's clock.
const LEEWAY: u64 = 60;

/// The most fetches because of unknown keys, at once and over time. Any client can name an unknown
/// key. The budget recovers so quickly that no client keeps a new key out for long.
const UNKNOWN_BURST: u32 = 6;
const UNKNOWN_EVERY: Duration = Duration::from_secs(10);

/// The pause of one party between two fetches because of an unknown key.
const UNKNOWN_OF_PARTY: Duration = Duration::from_secs(60);

/// The age up to which the server uses keys that it cannot fetch again. Without this time, an
/// issuer that is down would stop all registrations at once. Without a limit, a withdrawn key would
/// stay valid for as long as the issuer is down.
const STALE: Duration = Duration::from_secs(60 * 60);

/// The pause before the next fetch after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The time that the issuer has to answer.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// The largest key set that the server reads. It has room for thousands of keys.
const MAX_JWKS_BYTES: usize = 1024 * 1024;

/// The reason why the server refuses a token.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// Another issuer made the token, or the token is for another service, for another user or for
    /// another time.
    #[error("the token is refused: {0}")]
    NotVouchedFor(&'static str),
    /// The server cannot fetch or decode the issuer's keys.
    #[error("the issuer's keys cannot be read: {0}")]
    NoKeys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server cannot read the file with the issuer's keys.
    #[error("cannot read the issuer's keys in {}: {detail}. Set `registration.jwks` to a JSON Web Key Set", .path.display())]
    NoKeyFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        detail: String,
    },
    /// The server has no client for the address of the keys.
    #[error("`registration.jwks` has to be a file or an address that begins with https://")]
    NoClient,
    /// The server cannot read the certificate authorities for the issuer's address.
    #[error("cannot read the certificate authorities in {}: {detail}", .path.display())]
    NoAuthorities {
        /// The file.
        path: PathBuf,
        /// The cause.
        detail: String,
    },
}

/// The claims of a token that this module checks. The library checks the audience.
#[derive(Deserialize)]
struct Claims {
    /// The issuer, as one string. The library would also accept a list of issuers.
    iss: String,
    sub: String,
    exp: u64,
    nbf: Option<u64>,
}

/// The source of an issuer's keys.
pub(crate) enum KeySource {
    File(PathBuf),
    Address(reqwest::Url, reqwest::Client),
}

impl KeySource {
    /// Returns the source that `jwks` names: a file, or an `https://` address. The certificate of
    /// the address must come from one of the authorities in the file `authorities`. Without that
    /// file, the authorities of the platform count.
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
    source: KeySource,
    /// The age at which the server fetches the keys again.
    refresh: Duration,
    known: RwLock<KeyCache>,
    /// The task that fetches holds this lock. All other tasks wait for its result.
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

/// The keys and the time of the last fetch, by the monotonic clock.
#[derive(Clone, Default)]
struct KeyCache {
    keys: Option<(Arc<JwkSet>, Duration)>,
    failed: Option<Duration>,
}

impl Issuer {
    /// Creates an issuer. It reads keys in a file at once, so a server that cannot read them does
    /// not start.
    pub(crate) fn new(
        name: &str,
        audience: &str,
        source: KeySource,
        refresh: Duration,
        environment: Environment,
        clock: ClockGuard,
    ) -> Result<Self, IssuerError> {
        let mut known = KeyCache::default();
        if let KeySource::File(path) = &source {
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

    /// True if the server has keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.known().keys.is_some()
    }

    /// Fetches the keys if the server has none yet.
    pub(crate) async fn prepare(&self) -> Result<(), IssuerError> {
        if self.has_keys() { Ok(()) } else { self.fetch(|known| known.keys.is_none()).await }
    }

    /// Checks that the token is valid now and names this user.
    pub(crate) async fn vouches_for(&self, token: &str, user: &str) -> Result<(), IssuerError> {
        let refused = IssuerError::NotVouchedFor;
        let header = decode_header(token).map_err(|_| refused("it is not a JSON Web Token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("its signature algorithm is not allowed"));
        }
        // RFC 7515, 4.1.11: a recipient that does not understand a critical extension rejects the
        // token.
        if header.crit.is_some() {
            return Err(refused("its header has a critical extension"));
        }
        let key = self.key(header.kid.as_deref()).await?;
        if !allows(&key, header.alg) {
            return Err(refused("its key is not for signatures with this algorithm"));
        }
        let key = DecodingKey::from_jwk(&key).map_err(|_| refused("its key has an unknown form"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would read the clock of the system. This module uses the clock of the server.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|_| refused("its signature, its audience or a claim is not valid"))?
            .claims;
        if claims.iss != self.name {
            return Err(refused("another issuer made it"));
        }
        check_time(&claims, self.clock.now())?;
        if claims.sub == user { Ok(()) } else { Err(refused("it is for another user")) }
    }

    /// Returns the key with this identifier. Without an identifier, returns the only key.
    async fn key(&self, id: Option<&str>) -> Result<Jwk, IssuerError> {
        let keys = self.fresh().await?;
        if let Some(key) = find(&keys, id) {
            return Ok(key);
        }
        let unknown = || IssuerError::NotVouchedFor("the issuer has no such key");
        // The key may be new. Each party may cause a fetch once in a while, and all parties
        // together a few more.
        let party = RequestContext::current().map(|context| context.principal);
        if self.unknown_of_party.check_key(&party).is_err() || self.unknown.check().is_err() {
            return Err(unknown());
        }
        self.unknown_of_party.retain_recent();
        // A task that waited for the fetch of another task uses its result.
        self.fetch(|known| known.keys.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &keys))).await?;
        self.known().keys.and_then(|(keys, _)| find(&keys, id)).ok_or_else(unknown)
    }

    /// Returns the keys, and fetches them first if they are too old.
    async fn fresh(&self) -> Result<Arc<JwkSet>, IssuerError> {
        let age = |fetched: Duration| self.environment.monotonic().saturating_sub(fetched);
        let is_old = |known: &KeyCache| {
            let rests = known.failed.is_some_and(|failed| age(failed) < AFTER_FAILURE);
            !rests && known.keys.as_ref().is_none_or(|(_, fetched)| age(*fetched) >= self.refresh)
        };
        let fetched = if is_old(&self.known()) { self.fetch(is_old).await } else { Ok(()) };
        match self.known().keys {
            Some((keys, fetched)) if age(fetched) < self.refresh.max(STALE) => Ok(keys),
            _ => Err(fetched.err().unwrap_or_else(|| IssuerError::NoKeys("the issuer does not answer".into()))),
        }
    }

    fn known(&self) -> KeyCache {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys. If `is_wanted` is false after the fetches of other tasks, it does nothing.
    async fn fetch(&self, is_wanted: impl Fn(&KeyCache) -> bool) -> Result<(), IssuerError> {
        let _one = self.fetching.lock().await;
        if !is_wanted(&self.known()) {
            return Ok(());
        }
        let fetched = match &self.source {
            KeySource::File(path) => read(path),
            KeySource::Address(address, client) => {
                download(client, address.clone()).await.and_then(|keys| parse(&keys))
            }
        };
        let now = self.environment.monotonic();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.failed = fetched.is_err().then_some(now);
        known.keys = match fetched {
            Ok(keys) => Some((Arc::new(keys), now)),
            Err(error) => {
                tracing::warn!(%error, "cannot fetch the issuer's keys");
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
    parse(&bytes).map_err(|_| unreadable("it is not a JSON Web Key Set".to_owned()))
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

/// True if the key allows signatures with this algorithm. A key without such a restriction allows
/// them.
fn allows(key: &Jwk, algorithm: Algorithm) -> bool {
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
