//! RegistrationMode of devices with JWTs of an issuer.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::common::NOW;
use crate::http::{Answer, Key, World};
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use regrow_delivery_service::{
    SqliteStore,
    api::{Admission, Code},
    server::{
        Environment, Server,
        listener::Listener,
        metrics::Metrics,
        settings::{RegistrationMode, ServerLimits, Settings, Tls},
        shutdown::Shutdown,
        tls::Certificate,
    },
};
use serde_json::{Value, json};

/// An issuer of JWTs, and a server that trusts it.
struct Issuer {
    signing: SigningKey,
    world: World,
    directory: tempfile::TempDir,
}

fn jwks(keys: &[(&str, &SigningKey)]) -> String {
    let key = |(id, key): &(&str, &SigningKey)| {
        let x = BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": x })
    };
    json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() }).to_string()
}

fn by_jwt(settings: &mut Settings, jwks: &Path) {
    settings.registration = RegistrationMode::Jwt {
        issuer: "https://id.example".into(),
        audience: "regrow".into(),
        jwks: jwks.to_string_lossy().into(),
        jwks_authorities: None,
        jwks_refresh_seconds: 300,
    };
}

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

impl Issuer {
    async fn new() -> Self {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jwks.json");
        std::fs::write(&path, jwks(&[("one", &signing)])).expect("the keys");
        let world = World::with(|settings| by_jwt(settings, &path)).await;
        Self { signing, world, directory }
    }

    fn claims(&self) -> Value {
        json!({ "iss": "https://id.example", "aud": "regrow", "sub": "alice", "exp": NOW.0 + 6_000 })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        Self::sign_with(&self.signing, header, claims)
    }

    fn sign_with(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()).to_bytes()))
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "kid": "one" })
    }

    async fn register(&self, token: String) -> Answer {
        self.world.register(&Key::new("alice", "phone"), Some(Admission::Jwt(token))).await
    }

    /// Registers with a token that is valid except for one claim. `Null` removes the claim.
    async fn register_with(&self, claim: &str, value: Value) -> Answer {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().expect("claims").remove(claim);
        } else {
            claims[claim] = value;
        }
        self.register(self.sign(&self.header(), &claims)).await
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_admits_its_user() {
    let issuer = Issuer::new().await;
    issuer.register(issuer.sign(&issuer.header(), &issuer.claims())).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_without_a_key_id_uses_the_only_key() {
    let issuer = Issuer::new().await;
    issuer.register(issuer.sign(&json!({ "alg": "EdDSA" }), &issuer.claims())).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn an_unsigned_token_admits_nobody() {
    let issuer = Issuer::new().await;
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "kid": "one" })), part(&issuer.claims()));
    issuer.register(unsigned).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn the_public_key_does_not_work_as_a_shared_secret() {
    let issuer = Issuer::new().await;
    let header = jsonwebtoken::Header { kid: Some("one".into()), ..Default::default() };
    let public = issuer.signing.verifying_key();
    // The key set may omit the purpose of its keys.
    let named = jwks(&[("one", &issuer.signing)]);
    let unnamed = named.replace(r#""alg":"EdDSA","#, "").replace(r#","use":"sig""#, "");
    assert!(!unnamed.contains("EdDSA") && !unnamed.contains("sig"), "{unnamed}");
    for keys in [named, unnamed] {
        std::fs::write(issuer.directory.path().join("jwks.json"), &keys).expect("the keys");
        issuer.world.wait(300);
        let jwk = serde_json::from_str::<Value>(&keys).expect("the keys")["keys"][0].to_string();
        for secret in [
            public.as_bytes().to_vec(),
            BASE64URL_NOPAD.encode(public.as_bytes()).into_bytes(),
            jwk.into_bytes(),
            keys.clone().into_bytes(),
        ] {
            let secret = jsonwebtoken::EncodingKey::from_secret(&secret);
            let token = jsonwebtoken::encode(&header, &issuer.claims(), &secret).expect("a token");
            issuer.register(token).await.refused(Code::NotAdmitted);
        }
    }
}

#[tokio::test]
async fn a_key_for_another_purpose_verifies_nothing() {
    let issuer = Issuer::new().await;
    let token = issuer.sign(&issuer.header(), &issuer.claims());
    let good: Value = serde_json::from_str(&jwks(&[("one", &issuer.signing)])).expect("the keys");
    for (field, value) in [("alg", "ES256"), ("alg", "RS256"), ("alg", "HS256"), ("use", "enc")] {
        let mut keys = good.clone();
        keys["keys"][0][field] = json!(value);
        std::fs::write(issuer.directory.path().join("jwks.json"), keys.to_string()).expect("the keys");
        issuer.world.wait(300);
        issuer.register(token.clone()).await.refused(Code::NotAdmitted);
    }
}

#[tokio::test]
async fn a_symmetric_key_of_the_issuer_verifies_nothing() {
    let issuer = Issuer::new().await;
    let secret = json!({ "kty": "oct", "kid": "shared", "k": BASE64URL_NOPAD.encode(b"secret") });
    let path = issuer.directory.path().join("jwks.json");
    std::fs::write(path, json!({ "keys": [secret] }).to_string()).expect("the keys");
    issuer.world.wait(300);
    let header = jsonwebtoken::Header { kid: Some("shared".into()), ..Default::default() };
    let key = jsonwebtoken::EncodingKey::from_secret(b"secret");
    let token = jsonwebtoken::encode(&header, &issuer.claims(), &key).expect("a token");
    issuer.register(token).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_of_another_issuer_admits_nobody() {
    let issuer = Issuer::new().await;
    issuer.register_with("iss", json!("https://evil.example")).await.refused(Code::NotAdmitted);
    issuer.register_with("iss", Value::Null).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_for_another_service_admits_nobody() {
    let issuer = Issuer::new().await;
    issuer.register_with("aud", json!("another")).await.refused(Code::NotAdmitted);
    issuer.register_with("aud", Value::Null).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_that_has_expired_admits_nobody() {
    let issuer = Issuer::new().await;
    issuer.register_with("exp", json!(NOW.0 - 61)).await.refused(Code::NotAdmitted);
    issuer.register_with("exp", Value::Null).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_admits_nobody() {
    let issuer = Issuer::new().await;
    issuer.register_with("nbf", json!(NOW.0 + 120)).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_of_another_user_admits_nobody() {
    let issuer = Issuer::new().await;
    issuer.register_with("sub", json!("mallory")).await.refused(Code::NotAdmitted);
    issuer.register_with("sub", json!("Alice")).await.refused(Code::NotAdmitted);
    issuer.register_with("sub", Value::Null).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_signed_by_another_key_admits_nobody() {
    let issuer = Issuer::new().await;
    let mallory = SigningKey::from_bytes(&[66; 32]);
    issuer.register(Issuer::sign_with(&mallory, &issuer.header(), &issuer.claims())).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_changed_token_admits_nobody() {
    let issuer = Issuer::new().await;
    let token = issuer.sign(&issuer.header(), &json!({ "sub": "mallory" }));
    let signature = token.rsplit('.').next().expect("three parts");
    let forged = format!("{}.{}.{signature}", part(&issuer.header()), part(&issuer.claims()));
    issuer.register(forged).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_key_inside_a_token_is_not_used() {
    let issuer = Issuer::new().await;
    let mallory = SigningKey::from_bytes(&[66; 32]);
    let keys: Value = serde_json::from_str(&jwks(&[("own", &mallory)])).expect("the keys");
    let header = json!({ "alg": "EdDSA", "kid": "own", "jwk": keys["keys"][0] });
    issuer.register(Issuer::sign_with(&mallory, &header, &issuer.claims())).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn a_token_with_a_wrong_key_id_admits_nobody() {
    let issuer = Issuer::new().await;
    for kid in [
        json!("../../one"),
        json!("ONE"),
        json!("one\u{0}"),
        json!(""),
        json!(["one"]),
        json!({ "kid": "one" }),
        json!(1),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        issuer.register(issuer.sign(&header, &issuer.claims())).await.refused(Code::NotAdmitted);
    }
    // A token without a key identifier is refused if there are several keys.
    let new = SigningKey::from_bytes(&[4; 32]);
    issuer.publish(&[("one", &issuer.signing), ("two", &new)]);
    issuer.world.wait(300);
    issuer.register(issuer.sign(&json!({ "alg": "EdDSA" }), &issuer.claims())).await.refused(Code::NotAdmitted);
}

/// A critical extension that the server does not understand makes the token invalid (RFC 7515,
/// 4.1.11).
#[tokio::test]
async fn a_token_with_a_critical_extension_admits_nobody() {
    let issuer = Issuer::new().await;
    for (name, value) in [("exp", json!(NOW.0)), ("b64", json!(false)), ("https://id.example/policy", json!(true))] {
        let header = json!({ "alg": "EdDSA", "kid": "one", "crit": [name], name: value });
        issuer.register(issuer.sign(&header, &issuer.claims())).await.refused(Code::NotAdmitted);
    }
}

#[tokio::test]
async fn a_token_with_duplicate_or_mistyped_claims_admits_nobody() {
    let issuer = Issuer::new().await;
    for (claim, value) in [
        ("aud", json!([])),
        ("aud", json!(["another"])),
        ("aud", json!("Regrow")),
        ("aud", json!({ "regrow": true })),
        ("iss", json!(["https://id.example", "https://evil.example"])),
        ("iss", json!("https://id.example/")),
        ("exp", json!((NOW.0 + 600).to_string())),
        ("exp", json!(-1)),
        ("nbf", json!("0")),
        ("sub", json!(["alice"])),
    ] {
        issuer.register_with(claim, value.clone()).await.refused(Code::NotAdmitted);
    }
    let claims = issuer.claims().to_string();
    for first in [r#""sub":"mallory","#, r#""aud":"another","#, r#""iss":"https://evil.example","#] {
        let twice = claims.replacen('{', &format!("{{{first}"), 1);
        let signed = format!("{}.{}", part(&issuer.header()), BASE64URL_NOPAD.encode(twice.as_bytes()));
        let signature = BASE64URL_NOPAD.encode(&issuer.signing.sign(signed.as_bytes()).to_bytes());
        issuer.register(format!("{signed}.{signature}")).await.refused(Code::NotAdmitted);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_revives_no_token() {
    let issuer = Issuer::new().await;
    let token = issuer.sign(&issuer.header(), &issuer.claims());
    issuer.world.server.state().upkeep().await;
    issuer.world.wait(3_600);
    issuer.world.server.state().upkeep().await;
    issuer.world.wait(2_460);
    issuer.register(token.clone()).await.refused(Code::NotAdmitted);
    issuer.world.jump(-7_200);
    issuer.register(token).await.refused(Code::NotAdmitted);
}

/// Registers from this address. The server limits fetches of keys per address.
async fn register_from(world: &World, address: &str, token: String) -> Answer {
    let key = Key::new("alice", "phone");
    let challenge = world.challenge(&key.name).await;
    let body = key.registration(&world.key, &challenge, Some(Admission::Jwt(token)));
    let mut request =
        crate::http::request("POST", "/v1/devices", None, Some(serde_json::to_value(body).expect("JSON")));
    let address: std::net::SocketAddr = address.parse().expect("an address");
    request.extensions_mut().insert(axum::extract::ConnectInfo(address));
    world.send(request).await
}

impl Issuer {
    fn publish(&self, keys: &[(&str, &SigningKey)]) {
        std::fs::write(self.directory.path().join("jwks.json"), jwks(keys)).expect("the keys");
    }

    /// A token that this key has signed.
    fn signed_by(&self, id: &str, key: &SigningKey) -> String {
        Self::sign_with(key, &json!({ "alg": "EdDSA", "kid": id }), &self.claims())
    }
}

#[tokio::test]
async fn an_unknown_key_of_a_stranger_delays_no_new_key() {
    let issuer = Issuer::new().await;
    let new = SigningKey::from_bytes(&[4; 32]);
    let guess = issuer.signed_by("guess", &new);
    for _ in 0..10 {
        register_from(&issuer.world, "198.51.100.7:1", guess.clone()).await.refused(Code::NotAdmitted);
    }
    issuer.publish(&[("one", &issuer.signing), ("two", &new)]);
    // The stranger has caused one fetch of the keys, and cannot cause another.
    let token = issuer.signed_by("two", &new);
    register_from(&issuer.world, "198.51.100.7:1", token.clone()).await.refused(Code::NotAdmitted);
    register_from(&issuer.world, "192.0.2.1:1", token).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn many_strangers_delay_a_new_key_by_seconds() {
    let issuer = Issuer::new().await;
    let new = SigningKey::from_bytes(&[4; 32]);
    for number in 0..20 {
        let guess = issuer.signed_by("guess", &new);
        register_from(&issuer.world, &format!("198.51.100.{number}:1"), guess).await.refused(Code::NotAdmitted);
    }
    issuer.publish(&[("one", &issuer.signing), ("two", &new)]);
    issuer.world.wait(10);
    let token = issuer.signed_by("two", &new);
    register_from(&issuer.world, "192.0.2.1:1", token).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn a_withdrawn_key_stops_working() {
    let issuer = Issuer::new().await;
    let new = SigningKey::from_bytes(&[4; 32]);
    issuer.publish(&[("two", &new)]);
    issuer.world.wait(299);
    issuer.register(issuer.signed_by("one", &issuer.signing)).await.is(StatusCode::CREATED);
    issuer.world.wait(1);
    let old = issuer.signed_by("one", &issuer.signing);
    let other = Key::new("alice", "laptop");
    issuer.world.register(&other, Some(Admission::Jwt(old))).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn keys_stay_valid_for_an_hour_without_a_refresh() {
    let issuer = Issuer::new().await;
    std::fs::remove_file(issuer.directory.path().join("jwks.json")).expect("a file");
    issuer.world.wait(3_599);
    let token = issuer.signed_by("one", &issuer.signing);
    issuer.register(token.clone()).await.is(StatusCode::CREATED);
    issuer.world.wait(1);
    let other = Key::new("alice", "laptop");
    issuer.world.register(&other, Some(Admission::Jwt(token.clone()))).await.refused(Code::Unavailable);
    issuer.publish(&[("one", &issuer.signing)]);
    issuer.world.wait(10);
    issuer.world.register(&other, Some(Admission::Jwt(token))).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn an_unreadable_key_file_is_named_at_startup() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    for text in [None, Some("not JSON")] {
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        let mut settings = Settings::default();
        by_jwt(&mut settings, &path);
        let store = SqliteStore::in_memory().expect("a store");
        let error = Server::start(store, &settings, Environment::of_this_machine()).err().expect("it does not start");
        assert!(error.to_string().contains("jwks.json: "), "{error}");
    }
}

#[tokio::test]
async fn the_server_is_not_ready_before_it_has_the_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let signing = SigningKey::from_bytes(&[3; 32]);
    let (address, serving) = serve_keys(directory.path(), jwks(&[("one", &signing)])).await;
    serving.begin();
    let world = World::with(|settings| by_jwt_at(settings, &address, &directory.path().join("issuer.pem"))).await;
    let reason = world.server.state().readiness().await.expect_err("it is not ready");
    assert_eq!(reason, "the issuer's keys have not been fetched yet");
}

#[tokio::test]
async fn garbage_is_refused_as_a_token() {
    let issuer = Issuer::new().await;
    for garbage in ["", ".", "..", "a.b.c", &"A".repeat(10_000), "e30.e30.", "\u{0}.\u{0}.\u{0}"] {
        issuer.register(garbage.into()).await.refused(Code::NotAdmitted);
    }
    issuer.world.register(&Key::new("alice", "phone"), None).await.refused(Code::NotAdmitted);
}

#[tokio::test]
async fn keys_over_plain_http_are_not_trusted() {
    let mut settings = Settings::default();
    by_jwt(&mut settings, Path::new("http://id.example/jwks"));
    let store = SqliteStore::in_memory().expect("a store");
    assert!(Server::start(store, &settings, Environment::of_this_machine()).is_err());
}

/// Serves an issuer's keys over TLS, with a self-signed certificate in the directory. Returns the
/// address of the keys.
async fn serve_keys(directory: &Path, keys: String) -> (String, Shutdown) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let files = Tls { certificate: directory.join("issuer.pem"), key: directory.join("issuer.key") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("the certificate");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("the key");
    let tls = Certificate::load(&files).and_then(|certificate| certificate.server_config()).expect("TLS");
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(anywhere, Some(tls), &ServerLimits::default()).await.expect("an address");
    let address = format!("https://{}/jwks.json", listener.address().expect("the address"));
    let app = axum::Router::new().route("/jwks.json", axum::routing::get(async move || keys));
    let shutdown = Shutdown::default();
    tokio::spawn(listener.serve(app, Metrics::default(), std::time::Duration::ZERO, shutdown.clone()));
    (address, shutdown)
}

fn by_jwt_at(settings: &mut Settings, address: &str, authorities: &Path) {
    by_jwt(settings, Path::new(address));
    if let RegistrationMode::Jwt { jwks_authorities, .. } = &mut settings.registration {
        *jwks_authorities = Some(authorities.to_owned());
    }
}

#[tokio::test]
async fn keys_are_fetched_over_tls_with_the_configured_authorities() {
    let directory = tempfile::tempdir().expect("a directory");
    let signing = SigningKey::from_bytes(&[3; 32]);
    let (address, _serving) = serve_keys(directory.path(), jwks(&[("one", &signing)])).await;
    let world = World::with(|settings| by_jwt_at(settings, &address, &directory.path().join("issuer.pem"))).await;
    let claims = json!({ "iss": "https://id.example", "aud": "regrow", "sub": "alice", "exp": NOW.0 + 600 });
    let token = |key| Admission::Jwt(Issuer::sign_with(key, &json!({ "alg": "EdDSA", "kid": "one" }), &claims));
    let mallory = SigningKey::from_bytes(&[66; 32]);
    world.register(&Key::new("alice", "forge"), Some(token(&mallory))).await.refused(Code::NotAdmitted);
    world.register(&Key::new("alice", "phone"), Some(token(&signing))).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn keys_from_a_server_with_another_certificate_are_refused() {
    let (directory, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let signing = SigningKey::from_bytes(&[3; 32]);
    let (address, _serving) = serve_keys(directory.path(), jwks(&[("one", &signing)])).await;
    serve_keys(other.path(), String::new()).await;
    let world = World::with(|settings| by_jwt_at(settings, &address, &other.path().join("issuer.pem"))).await;
    let claims = json!({ "iss": "https://id.example", "aud": "regrow", "sub": "alice", "exp": NOW.0 + 600 });
    let token = Issuer::sign_with(&signing, &json!({ "alg": "EdDSA", "kid": "one" }), &claims);
    world.register(&Key::new("alice", "phone"), Some(Admission::Jwt(token))).await.refused(Code::Unavailable);
}

#[tokio::test]
async fn unreadable_authorities_are_named_at_startup() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("authorities.pem");
    for text in [None, Some("not PEM")] {
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        let mut settings = Settings::default();
        by_jwt_at(&mut settings, "https://id.example/jwks", &path);
        let store = SqliteStore::in_memory().expect("a store");
        let error = Server::start(store, &settings, Environment::of_this_machine()).err().expect("it does not start");
        assert!(error.to_string().contains("authorities.pem: "), "{error}");
    }
}
