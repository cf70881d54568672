//! Real servers on loopback, a network with faults, and messengers over it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod device;
mod hostile;
mod network;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, extract::Request, middleware, response::IntoResponse as _};
use ed25519_dalek::{Signer as _, SigningKey};
use regrow_delivery_service::{
    SqliteStore,
    api::{self, DeliveryPage, DeviceListPage},
    server::{Environment, Server, router, settings::Settings},
};
use regrow_engine::{Client, DeviceId, GroupId, HandshakeMode, MemoryStore, Policy, Timestamp, UserId, default_crypto};
use regrow_messenger::{
    Connection, DeviceKey, Event, Messenger, Options, Retry, ServiceAddress, ServicePublicKey, TransportKey,
};
use regrow_protocol::device_list::{self as list, DeviceList, ListedKeys};
use sha2::{Digest as _, Sha256};

use self::network::{NetworkFaults, pass};
pub use self::{device::TestDevice, hostile::Hostile};

/// A server, and the network before it.
pub struct World {
    pub server: Option<Server>,
    pub address: ServiceAddress,
    faults: Arc<Mutex<NetworkFaults>>,
    router: Arc<Mutex<Router>>,
    clock: Arc<AtomicU64>,
    change: fn(&mut Settings),
}

impl World {
    pub async fn new() -> Self {
        Self::over(SqliteStore::in_memory().unwrap(), 1, |_| {}).await
    }

    /// A server over that file. New servers of the same number have the same key.
    pub async fn in_file(path: &Path, number: u8) -> Self {
        Self::over(SqliteStore::open(path).unwrap(), number, |_| {}).await
    }

    pub async fn over(store: SqliteStore, number: u8, change: fn(&mut Settings)) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let clock = Arc::new(AtomicU64::new(now));
        let (server, routes) = start(store, number, &clock, change);
        let (faults, router) = (Arc::new(Mutex::new(NetworkFaults::default())), Arc::new(Mutex::new(routes)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut address = ServiceAddress::at(format!("http://{}", listener.local_addr().unwrap()));
        address.retry = Retry { attempts: 2, first: Duration::ZERO, ..Retry::default() };
        let (way, behind) = (Arc::clone(&faults), Arc::clone(&router));
        let network = Router::new().fallback(move |request: Request| {
            let routes = behind.lock().unwrap().clone();
            async move { tower::ServiceExt::oneshot(routes, request).await.into_response() }
        });
        let dated = Arc::clone(&clock);
        let network = network.layer(middleware::from_fn(move |request, next| {
            let (way, dated) = (Arc::clone(&way), Arc::clone(&dated));
            async move {
                let mut response = pass(way, request, next).await;
                let date = SystemTime::UNIX_EPOCH + Duration::from_secs(dated.load(Ordering::SeqCst));
                response.headers_mut().insert("date", httpdate::fmt_http_date(date).parse().unwrap());
                response
            }
        }));
        let service = network.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { server: Some(server), address, faults, router, clock, change }
    }

    /// Stops the server, and starts it again over its file.
    pub async fn restart(&mut self, path: &Path) {
        self.server.take().unwrap().stop().await;
        self.restart_over(path).await;
    }

    /// Starts a stopped server again over its file.
    pub async fn restart_over(&mut self, path: &Path) {
        let (server, routes) = start(SqliteStore::open(path).unwrap(), 9, &self.clock, self.change);
        self.server = Some(server);
        *self.router.lock().unwrap() = routes;
    }

    pub fn cut_network(&self) {
        self.faults.lock().unwrap().down = true;
    }

    pub fn repair_network(&self) {
        let mut faults = self.faults.lock().unwrap();
        faults.down = false;
        faults.refused.clear();
        faults.lost_posts.clear();
    }

    /// Loses all `POST` requests to a path with this end, until
    /// [`repair_network`](Self::repair_network).
    pub fn lose_requests(&self, path: &str) {
        self.faults.lock().unwrap().lost_posts.push(path.to_owned());
    }

    /// Loses the response to the next request to a path with this end.
    pub fn lose_reply(&self, path: &str) {
        self.faults.lock().unwrap().lost_replies.push(path.to_owned());
    }

    /// Forges the receipt in the next response from a path with this end.
    pub fn forge_receipt(&self, path: &str) {
        self.faults.lock().unwrap().forged.push(path.to_owned());
    }

    /// From now on, a wait between two attempts only moves the clock. Returns the record of the
    /// waits.
    pub fn wait_by_moving_the_clock(&mut self) -> Arc<Mutex<Vec<Duration>>> {
        let waited = Arc::new(Mutex::new(Vec::new()));
        let (clock, noted) = (Arc::clone(&self.clock), Arc::clone(&waited));
        self.address.retry.pause = Arc::new(move |wait| {
            noted.lock().unwrap().push(wait);
            clock.fetch_add(wait.as_secs(), Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        });
        waited
    }

    /// Changes each page of deliveries on its way.
    pub fn tamper(&self, change: impl Fn(&mut DeliveryPage) + Send + Sync + 'static) {
        self.faults.lock().unwrap().change = Some(Box::new(change));
    }

    /// Changes each page of a device list on its way.
    pub fn tamper_with_list(&self, change: impl Fn(&mut DeviceListPage) + Send + Sync + 'static) {
        self.faults.lock().unwrap().list_change = Some(Box::new(change));
    }

    pub fn stop_tampering(&self) {
        let mut faults = self.faults.lock().unwrap();
        (faults.change, faults.list_change) = (None, None);
    }

    /// The server's list of a user's devices.
    pub async fn device_list(&self, name: &str) -> DeviceListPage {
        let mut reader = self.hostile("reader", HandshakeMode::Assisted).await;
        reader.connection.device_list(&user(name), 0).await.unwrap()
    }

    /// A program with the session of a device and a signature key of its own.
    pub async fn impostor(&self, of: &TestDevice) -> Hostile {
        let id = of.device();
        let client = new_client(&MemoryStore::new(), id.user().as_str(), id.device(), policy(HandshakeMode::Assisted));
        let seed = of.stored_seed();
        let connection =
            Connection::new(&self.address, id.clone(), TransportKey::from_seed(&seed), of.service()).unwrap();
        Hostile { client, connection, now: self.now() }
    }

    /// The number of requests so far to paths with this end.
    pub fn asked(&self, path: &str) -> usize {
        self.faults.lock().unwrap().asked.iter().filter(|asked| asked.ends_with(path)).count()
    }

    pub fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::SeqCst))
    }

    pub fn options(&self) -> Options {
        self.options_ahead(&Arc::default())
    }

    /// Options for a device whose wall clock is ahead by this number of seconds.
    pub fn options_ahead(&self, ahead: &Arc<AtomicU64>) -> Options {
        let (clock, monotonic, ahead) = (Arc::clone(&self.clock), Arc::clone(&self.clock), Arc::clone(ahead));
        Options {
            wait: Duration::ZERO,
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)).plus(ahead.load(Ordering::SeqCst))),
            monotonic: Arc::new(move || Duration::from_secs(monotonic.load(Ordering::SeqCst))),
            ..Options::default()
        }
    }

    /// A new registered device.
    pub async fn messenger(&self, user: &str, device: &str, handshake: HandshakeMode) -> TestDevice {
        self.messenger_with(user, device, policy(handshake)).await
    }

    pub async fn messenger_with(&self, user: &str, device: &str, policy: Policy) -> TestDevice {
        let mut device = self.unpolled_messenger(user, device, policy, self.options()).await;
        device.poll_once().await;
        // The first device of a user begins the list, and each further one waits to be linked.
        assert_eq!(device.events.len(), device.count_events(|event| matches!(event, Event::Unlisted { .. })));
        device
    }

    /// A new registered device that has not polled yet.
    pub async fn unpolled_messenger(&self, user: &str, device: &str, policy: Policy, options: Options) -> TestDevice {
        let store = MemoryStore::new();
        let client = new_client(&store, user, device, policy.clone());
        let messenger = Messenger::register(client, &self.address, None, None, options.clone()).await.unwrap();
        TestDevice { store, messenger: Some(messenger), policy, options, events: Vec::new() }
    }

    /// Refuses each request to a path with this end with that problem, until [`repair_network`].
    ///
    /// [`repair_network`]: Self::repair_network
    pub fn refuse(&self, path: &str, problem: api::Problem) {
        for method in ["GET", "POST", "PUT"] {
            self.refuse_method(method, path, problem.clone());
        }
    }

    /// Refuses each upload to a path with this end.
    pub fn refuse_uploads(&self, path: &str, problem: api::Problem) {
        for method in ["POST", "PUT"] {
            self.refuse_method(method, path, problem.clone());
        }
    }

    fn refuse_method(&self, method: &'static str, path: &str, problem: api::Problem) {
        self.faults.lock().unwrap().refused.push((method, path.to_owned(), problem));
    }

    /// A registered device that breaks the rules.
    pub async fn hostile(&self, user: &str, handshake: HandshakeMode) -> Hostile {
        let client = new_client(&MemoryStore::new(), user, "phone", policy(handshake));
        let (_, service) = Connection::service(&self.address).await.unwrap();
        let name = DeviceId::new(user, "phone").unwrap();
        let seed: [u8; 32] = Sha256::digest(user).into();
        let mut connection = Connection::new(&self.address, name, TransportKey::from_seed(&seed), service).unwrap();
        let key = TransportKey::from_seed(&seed);
        connection.register(None).await.unwrap();
        begin_list(&client, &mut connection, &key, service).await;
        let mut hostile = Hostile { client, connection, now: self.now() };
        let key_packages = hostile.client.key_packages(1, hostile.now).unwrap();
        let key_packages = key_packages.into_iter().map(|it| it.into_bytes().into()).collect();
        hostile.connection.upload_key_packages(&api::UploadRequest { key_packages, last_resort: None }).await.unwrap();
        hostile
    }
}

/// Begins the list of a user with this device alone.
async fn begin_list(client: &Client, connection: &mut Connection, key: &TransportKey, service: ServicePublicKey) {
    let signature_key = client.signature_key().unwrap().as_bytes().to_vec().into();
    let keys = ListedKeys { key: DeviceKey(key.public()), signature_key };
    let list = DeviceList::new(client.device().user().clone());
    let signer = SigningKey::from_bytes(key.seed());
    let sign = |bytes: &[u8]| signer.sign(bytes).to_bytes();
    let entry = list.entry(&service, client.device(), list::ListChange::Begin(keys), sign);
    connection.append_to_device_list(&entry.encode()).await.unwrap();
}

/// Links a new device, by a listed device of the same user.
pub async fn link(listed: &mut TestDevice, new: &TestDevice) {
    listed.link_device(&new.card().unwrap()).await.unwrap();
}

pub fn memory() -> SqliteStore {
    SqliteStore::in_memory().unwrap()
}

fn start(store: SqliteStore, number: u8, clock: &Arc<AtomicU64>, change: fn(&mut Settings)) -> (Server, Router) {
    let (wall, clock, drawn) = (Arc::clone(clock), Arc::clone(clock), AtomicU64::new(0));
    let environment = Environment::new(
        move || Duration::from_secs(wall.load(Ordering::SeqCst)),
        move || Duration::from_secs(clock.load(Ordering::SeqCst)),
        move || Ok(Sha256::digest([&[number][..], &drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes()].concat()).into()),
    );
    let mut settings = Settings::default();
    settings.limits.device_burst = 100_000;
    settings.limits.address_burst = 100_000;
    change(&mut settings);
    let server = Server::start(store, &settings, environment).unwrap();
    let routes = router(server.state());
    (server, routes)
}

pub fn policy(handshake: HandshakeMode) -> Policy {
    Policy { handshake, key_packages: 3, ..Policy::default() }
}

/// A policy with key packages that stay valid by the system's clock, however far a test moves its
/// own.
pub fn policy_with_lasting_key_packages() -> Policy {
    Policy { clock_skew: 1000 * 24 * 60 * 60, ..policy(HandshakeMode::Assisted) }
}

fn new_client(store: &MemoryStore, user: &str, device: &str, policy: Policy) -> Client {
    let id = DeviceId::new(user, device).unwrap();
    Client::create(Arc::new(store.clone()), default_crypto(), id, policy).unwrap()
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn chat() -> GroupId {
    GroupId::new("chat").unwrap()
}

/// Lets all devices read and work until no work is left.
pub async fn settle(devices: &mut [&mut TestDevice]) {
    for _ in 0..8 {
        for device in devices.iter_mut() {
            device.poll_once().await;
        }
    }
}

/// The first device makes the group and adds the users of the others.
pub async fn make_group(devices: &mut [&mut TestDevice]) {
    devices[0].create_group(&chat()).await.unwrap();
    let own = devices[0].device().user().clone();
    let users: Vec<_> = devices.iter().map(|device| device.device().user().clone()).collect();
    for user in users.into_iter().filter(|user| *user != own) {
        devices[0].add_user(&chat(), &user).await.unwrap();
        settle(devices).await;
    }
}

#[track_caller]
pub fn assert_together(devices: &mut [&mut TestDevice]) {
    let states: Vec<_> =
        devices.iter_mut().map(|device| device.group(&chat()).unwrap().epoch_authenticator().unwrap()).collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "they are in different states");
}
