//! Nodes in the process of the test, and devices that call them over the network.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::StatusCode;
use regrow_delivery_service::{
    HandshakeMode::Assisted,
    ServicePublicKey, api,
    server::{
        Environment,
        cluster::{ClusterSecret, JoinError, Node},
        database::Database,
        serve::{Addresses, Listening},
        settings::{ClusterSettings, Settings},
        shutdown::Shutdown,
    },
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    common::{Client, Member, postgres::StoreAddress, room},
    http::{Answer, Key, create_request, room_path},
};

/// The files of a cluster: its secret.
pub(super) struct Secrets {
    _directory: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Secrets {
    pub(super) fn new(secret: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        Self { _directory: directory, path }
    }
}

/// Settings of a node over this store, with high limits.
pub(super) fn settings(store: &StoreAddress, secrets: &Secrets) -> Settings {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut settings = Settings {
        listen: any,
        listen_operators: any,
        database: Database::from(store.url().as_str()),
        cluster: Some(ClusterSettings {
            listen: any,
            advertise: None,
            secret_file: secrets.path.clone(),
            lease_seconds: 2,
            replace_settings: false,
        }),
        drain_seconds: 5,
        ..Settings::default()
    };
    settings.limits.device_burst = 100_000;
    settings.limits.address_burst = 100_000;
    settings
}

/// A node that runs in this process.
pub(super) struct RunningNode {
    pub(super) node: Node,
    pub(super) addresses: Addresses,
    shutdown: Shutdown,
    ended: Option<JoinHandle<()>>,
}

/// The watch over the owner is a thread, which would keep a failed test from its end.
impl Drop for RunningNode {
    fn drop(&mut self) {
        self.node.leave();
        self.shutdown.begin();
    }
}

impl RunningNode {
    pub(super) async fn start(settings: &Settings) -> Self {
        Self::join(settings, 0).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a node whose wall clock is off by this many seconds.
    pub(super) async fn join(settings: &Settings, clock_off: i64) -> Result<Self, JoinError> {
        let listening = Listening::bind(settings).await.unwrap();
        let addresses = listening.addresses();
        let this = Environment::of_this_machine();
        let (monotonic, random) = (this.clone(), this);
        let wall = move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            Duration::from_secs(now.as_secs().saturating_add_signed(clock_off))
        };
        let environment = Environment::new(wall, move || monotonic.monotonic(), move || random.random());
        let secret = ClusterSecret::read(&settings.cluster.as_ref().unwrap().secret_file).unwrap();
        let own = addresses.nodes.unwrap().to_string();
        let (node, part) = Node::join(settings, &secret, &own, environment).await?;
        let shutdown = Shutdown::default();
        let ended = tokio::spawn(listening.run_node(node.clone(), part, shutdown.clone()));
        Ok(Self { node, addresses, shutdown, ended: Some(ended) })
    }

    /// Stops the node as a signal does.
    pub(super) async fn stop(mut self) {
        self.shutdown.begin();
        self.ended.take().unwrap().await.unwrap();
    }

    /// The value of a metric without labels.
    pub(super) fn metric(&self, name: &str) -> i64 {
        let text = self.node.metrics().text();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("regrow_ds_{name} ")));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub(super) fn owns(&self) -> bool {
        self.metric("cluster_owner") == 1
    }

    pub(super) fn http(&self) -> Http {
        Http { client: client(), base: format!("http://{}", self.addresses.devices) }
    }
}

fn client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// The interface of one node for devices.
#[derive(Clone)]
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    pub(super) base: String,
}

impl Http {
    pub(super) async fn try_call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", api::JSON).body(serde_json::to_vec(body).unwrap());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    pub(super) async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.try_call(method, path, token, body.as_ref()).await.unwrap()
    }

    pub(super) async fn key(&self) -> ServicePublicKey {
        let info: api::ServiceInfo = self.call("GET", "/v1/service", None, None).await.ok();
        ServicePublicKey(info.key.0.try_into().unwrap())
    }

    pub(super) async fn challenge(&self, key: &Key) -> Vec<u8> {
        let request = json!({ "device": key.name });
        self.call("POST", "/v1/challenges", None, Some(request)).await.ok::<api::Challenge>().challenge.0
    }

    /// Registers a device, and returns the token of a new session.
    pub(super) async fn device(&self, key: &Key) -> String {
        let service = self.key().await;
        let registration = key.registration(&service, &self.challenge(key).await, None);
        self.call("POST", "/v1/devices", None, Some(json!(registration))).await.is(StatusCode::CREATED);
        self.session(key).await
    }

    /// Opens a session, and returns its token.
    pub(super) async fn session(&self, key: &Key) -> String {
        let session = key.session(&self.key().await, &self.challenge(key).await);
        self.call("POST", "/v1/sessions", None, Some(json!(session))).await.created::<api::Session>().token
    }

    /// Creates a group with this device as the only member.
    pub(super) async fn group(&self, key: &Key, token: &str) -> Member {
        let member = Client::of(key.name.clone()).create_unregistered(&room(), Assisted);
        let request = json!(create_request(&member, Assisted));
        self.call("POST", "/v1/groups", Some(token), Some(request)).await.is(StatusCode::OK);
        member
    }

    pub(super) async fn send(&self, token: &str, bytes: &[u8]) -> Answer {
        let request = json!(api::MessageRequest { message: bytes.into() });
        self.call("POST", &room_path("/messages"), Some(token), Some(request)).await
    }

    pub(super) async fn stream(&self, token: &str, last: Option<u64>) -> Stream {
        let mut request = self.client.get(format!("{}/v1/stream", self.base)).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { response, unread: Vec::new() }
    }
}

/// An open stream of deliveries.
pub(super) struct Stream {
    response: reqwest::Response,
    unread: Vec<u8>,
}

impl Stream {
    /// Returns the cursor of the next delivery. `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<u64> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id: ")) {
                    return Some(id.parse().unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            self.unread.extend_from_slice(&chunk.unwrap().ok()??);
        }
    }
}
