//! The server without a network, and devices that call it. Every test file of the server uses a
//! part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod document;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
};
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use http_body_util::BodyExt as _;
use openmls::prelude::{KeyPackage, MlsMessageOut};
use regrow_delivery_service::{
    CommitSubmission, DeviceId, HandshakeMode, ServicePublicKey, Store,
    api::{self, Code, Delivery, Problem, proof},
    server::{Environment, Server, router, settings::Settings},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::common::{Client, Member, NOW, store};

/// A server without a network, and its clocks, which only the test moves.
pub struct World {
    pub server: Server,
    pub router: Router,
    pub key: ServicePublicKey,
    clocks: Arc<Clocks>,
}

/// A wall clock and a monotonic clock that only the test moves.
pub struct Clocks {
    start: u64,
    monotonic: AtomicU64,
    jumped: AtomicI64,
}

impl Clocks {
    fn at(start: u64) -> Arc<Self> {
        Arc::new(Self { start, monotonic: AtomicU64::new(0), jumped: AtomicI64::new(0) })
    }

    fn wall(&self) -> Duration {
        let monotonic = self.start + self.monotonic.load(Ordering::SeqCst);
        Duration::from_secs(monotonic.saturating_add_signed(self.jumped.load(Ordering::SeqCst)))
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with changed settings. The rate limits are very high unless `change` lowers them.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(store(), change).await
    }

    pub async fn over<S: Store + Send + 'static>(store: S, change: impl FnOnce(&mut Settings)) -> Self {
        Self::started_at(NOW.0, store, change).await
    }

    /// A server over `store`. Its wall clock shows `start` when it starts.
    pub async fn started_at<S: Store + Send + 'static>(
        start: u64,
        store: S,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let clocks = Clocks::at(start);
        let (wall, monotonic) = (Arc::clone(&clocks), Arc::clone(&clocks));
        let drawn = AtomicU64::new(start.wrapping_mul(1_000_000));
        let environment = Environment::new(
            move || wall.wall(),
            move || Duration::from_secs(monotonic.monotonic.load(Ordering::SeqCst)),
            move || Ok(Sha256::digest(drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes()).into()),
        );
        let mut settings = Settings::default();
        settings.limits.device_burst = 100_000;
        settings.limits.address_burst = 100_000;
        change(&mut settings);
        let server = Server::start(store, &settings, environment).unwrap();
        let router = router(server.state());
        let mut world = Self { server, router, key: ServicePublicKey([0; 32]), clocks };
        let info: api::ServiceInfo = world.call("GET", "/v1/service", None, None).await.ok();
        world.key = ServicePublicKey(info.key.0.try_into().unwrap());
        world
    }

    /// Moves both clocks forward.
    pub fn wait(&self, seconds: u64) {
        self.clocks.monotonic.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Moves the wall clock alone, forward or back.
    pub fn jump(&self, seconds: i64) {
        self.clocks.jumped.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The server's metrics as text.
    pub fn metrics(&self) -> String {
        self.server.state().metrics().text()
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
        let asked = document::Asked::of(&request);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // The body of a stream does not end, so it is not read here.
        let streams = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = if streams { Body::empty() } else { body };
        let body = body.collect().await.unwrap().to_bytes();
        document::check(&asked, parts.status, &parts.headers, &body);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request, with a JSON body if one is given.
    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.send(request(method, path, token, body)).await
    }

    pub async fn post<T: Serialize>(&self, path: &str, token: Option<&str>, body: &T) -> Answer {
        self.call("POST", path, token, Some(serde_json::to_value(body).unwrap())).await
    }

    pub async fn challenge(&self, name: &DeviceId) -> Vec<u8> {
        let challenge: api::Challenge =
            self.post("/v1/challenges", None, &api::ChallengeRequest { device: name.clone() }).await.ok();
        challenge.challenge.0
    }

    pub async fn register(&self, device: &Key, admission: Option<api::Admission>) -> Answer {
        let challenge = self.challenge(&device.name).await;
        self.post("/v1/devices", None, &device.registration(&self.key, &challenge, admission)).await
    }

    pub async fn open_session(&self, device: &Key) -> Answer {
        let challenge = self.challenge(&device.name).await;
        self.post("/v1/sessions", None, &device.session(&self.key, &challenge)).await
    }

    pub async fn token(&self, device: &Key) -> String {
        self.open_session(device).await.created::<api::Session>().token
    }

    /// Registers a device and opens a session.
    pub async fn device(&self, user: &str, device: &str) -> Device {
        let key = Key::new(user, device);
        self.register(&key, None).await.is(StatusCode::CREATED);
        let token = self.token(&key).await;
        Device { key, token }
    }

    pub async fn read(&self, token: &str, after: u64) -> Vec<Delivery> {
        let page: api::DeliveryPage =
            self.call("GET", &format!("/v1/deliveries?after={after}"), Some(token), None).await.ok();
        page.deliveries
    }

    pub async fn claim(&self, token: &str, user: &str) -> Answer {
        self.call("POST", "/v1/key-packages/claims", Some(token), Some(json!({ "user": user }))).await
    }

    /// Uploads a key package of `device`. `claimer` then claims it.
    pub async fn claimed(&self, claimer: &Device, device: &Device, client: &Client) -> KeyPackage {
        let key_package = client.key_package();
        let bytes = MlsMessageOut::from(key_package.clone()).to_bytes().unwrap();
        let upload = json!({ "key_packages": [api::Bytes(bytes)] });
        self.call("POST", "/v1/key-packages", Some(&device.token), Some(upload)).await.is(StatusCode::OK);
        let id = device.id();
        let claim = json!({ "user": id.user(), "device": id.device() });
        let claimed: api::ClaimAnswer =
            self.call("POST", "/v1/key-packages/claims", Some(&claimer.token), Some(claim)).await.ok();
        assert_eq!(claimed.key_packages.len(), 1);
        key_package
    }

    /// Creates a group of these devices. The first device creates it and adds the others.
    pub async fn group(&self, mode: HandshakeMode, devices: &[&Device]) -> Vec<Member> {
        let (creator, others) = devices.split_first().unwrap();
        let mut first = creator.client().create_unregistered(&crate::common::room(), mode);
        self.post("/v1/groups", Some(&creator.token), &create_request(&first, mode)).await.is(StatusCode::OK);
        let clients: Vec<_> = others.iter().map(|device| device.client()).collect();
        let mut members = Vec::new();
        if !others.is_empty() {
            let mut key_packages = Vec::new();
            for (device, client) in others.iter().zip(&clients) {
                key_packages.push(self.claimed(creator, device, client).await);
            }
            let commit = first.commit(&key_packages, &[]);
            self.commit(creator, &commit).await.is(StatusCode::OK);
            first.confirm();
        }
        for (device, client) in others.iter().zip(clients) {
            let welcome = self.read(&device.token, 0).await.remove(0);
            assert_eq!(welcome.kind, api::DeliveryKind::Welcome);
            members.push(client.join(&welcome.bytes.0, mode));
        }
        members.insert(0, first);
        members
    }

    pub async fn commit(&self, device: &Device, submission: &CommitSubmission) -> Answer {
        self.post(&room_path("/commits"), Some(&device.token), &commit_request(submission)).await
    }

    pub async fn message(&self, device: &Device, bytes: &[u8]) -> Answer {
        self.post(&room_path("/messages"), Some(&device.token), &api::MessageRequest { message: bytes.into() }).await
    }
}

pub fn room_path(rest: &str) -> String {
    format!("/v1/groups/{}{rest}", BASE64URL_NOPAD.encode(crate::common::room().as_bytes()))
}

pub fn create_request(member: &Member, mode: HandshakeMode) -> api::CreateGroupRequest {
    api::CreateGroupRequest { group: crate::common::room(), handshake: mode, group_info: member.group_info().into() }
}

pub fn commit_request(submission: &CommitSubmission) -> api::CommitRequest {
    api::CommitRequest {
        commit: submission.commit.clone().into(),
        welcome: submission.welcome.clone().map(Into::into),
        group_info: submission.group_info.clone().map(Into::into),
        added: submission.roster_change.added.iter().cloned().collect(),
        removed: submission.roster_change.removed.iter().cloned().collect(),
    }
}

pub fn request(method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, api::JSON).body(Body::from(serde_json::to_vec(&body).unwrap()))
        }
        None => request.body(Body::empty()),
    }
    .unwrap()
}

/// A device's name and its signing key for the service.
pub struct Key {
    pub name: DeviceId,
    pub signing: SigningKey,
}

impl Key {
    pub fn new(user: &str, device: &str) -> Self {
        let seed = Sha256::digest(format!("{user} {device}"));
        Self { name: name(user, device), signing: SigningKey::from_bytes(&seed.into()) }
    }

    /// A forged device: this name with another device's key.
    pub fn forged(user: &str, device: &str) -> Self {
        Self { name: name(user, device), ..Self::new("mallory", "forge") }
    }

    pub fn registration(
        &self,
        service: &ServicePublicKey,
        challenge: &[u8],
        admission: Option<api::Admission>,
    ) -> api::RegisterRequest {
        let key = self.signing.verifying_key().to_bytes();
        let signed = proof::registration(service, challenge, &self.name, &key);
        api::RegisterRequest {
            device: self.name.clone(),
            key: key.as_slice().into(),
            challenge: challenge.into(),
            signature: self.signing.sign(&signed).to_vec().into(),
            admission,
        }
    }

    pub fn session(&self, service: &ServicePublicKey, challenge: &[u8]) -> api::SessionRequest {
        let signed = proof::session(service, challenge, &self.name);
        api::SessionRequest {
            device: self.name.clone(),
            challenge: challenge.into(),
            signature: self.signing.sign(&signed).to_vec().into(),
        }
    }
}

pub fn name(user: &str, device: &str) -> DeviceId {
    DeviceId::new(user, device).unwrap()
}

/// A device with a session.
pub struct Device {
    pub key: Key,
    pub token: String,
}

impl Device {
    pub fn id(&self) -> DeviceId {
        self.key.name.clone()
    }

    /// An MLS client with the device's name.
    pub fn client(&self) -> Client {
        Client::of(self.id())
    }

    pub fn path(&self) -> String {
        format!("/v1/devices/{}/{}", self.key.name.user(), self.key.name.device())
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn is(&self, status: StatusCode) -> &Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        self.is(StatusCode::OK);
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn created<T: DeserializeOwned>(&self) -> T {
        self.is(StatusCode::CREATED);
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.headers[header::CONTENT_TYPE], api::PROBLEM, "{}", String::from_utf8_lossy(&self.body));
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        problem
    }

    #[track_caller]
    pub fn refused(&self, code: Code) -> Problem {
        let problem = self.problem();
        assert_eq!(problem.code, code, "{problem:?}");
        problem
    }
}

/// The events of an open stream.
pub struct Events {
    body: Body,
    unread: String,
}

impl Events {
    pub async fn open(world: &World, path: &str, token: &str, last: Option<&str>) -> Self {
        let mut request = request("GET", path, Some(token), None);
        if let Some(last) = last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body(), unread: String::new() }
    }

    /// The `id`, `event` and data of the next event. `None` if the stream has ended.
    pub async fn next(&mut self) -> Option<(String, String, Delivery)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                    line.map(str::to_owned)
                };
                let read = field("data")
                    .map(|data| (field("id").unwrap(), field("event").unwrap(), serde_json::from_str(&data).unwrap()));
                self.unread = rest.to_owned();
                match read {
                    Some(read) => return Some(read),
                    None => continue,
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.unread += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
    }
}
