//! Real servers on loopback, a network that can fail on the way to them, and messengers over it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use ed25519_dalek::{Signer as _, SigningKey};
use regrow_delivery_service::{
    SqliteStore,
    api::{self, DeliveryPage, DeviceListPage},
    server::{Environment, Server, router, settings::Settings},
};
use regrow_engine::{
    Batch, Client, DeviceId, GroupId, HandshakeMode, MemoryStore, Policy, Store, StoreError, Timestamp, UserId, Value,
    default_crypto,
};
use regrow_messenger::{
    Connection, DeviceKey, Event, Messenger, Options, Retry, Server as At, ServicePublicKey, TransportKey,
    commit_request,
};
use regrow_protocol::device_list::{self as list, DeviceList, ListedKeys};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// What the network does to a request whose path ends like this.
type Change = Box<dyn Fn(&mut DeliveryPage) + Send + Sync>;
/// What the network does to a list of devices.
type ListChange = Box<dyn Fn(&mut DeviceListPage) + Send + Sync>;

/// What is wrong with the network, or with what stands at its other end.
#[derive(Default)]
struct Faults {
    down: bool,
    lost_replies: Vec<String>,
    lost_posts: Vec<String>,
    refused: Vec<(&'static str, String, api::Problem)>,
    forged: Vec<String>,
    change: Option<Change>,
    list_change: Option<ListChange>,
    asked: Vec<String>,
}

/// A server, and the way to it.
pub struct World {
    pub server: Option<Server>,
    pub at: At,
    faults: Arc<Mutex<Faults>>,
    router: Arc<Mutex<Router>>,
    clock: Arc<AtomicU64>,
    change: fn(&mut Settings),
}

impl World {
    pub async fn new() -> Self {
        Self::over(SqliteStore::in_memory().unwrap(), 1, |_| {}).await
    }

    /// A server over that file. Servers of the same number have the same key, if they are new.
    pub async fn in_file(path: &Path, number: u8) -> Self {
        Self::over(SqliteStore::open(path).unwrap(), number, |_| {}).await
    }

    pub async fn over(store: SqliteStore, number: u8, change: fn(&mut Settings)) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let clock = Arc::new(AtomicU64::new(now));
        let (server, routes) = start(store, number, &clock, change);
        let (faults, router) = (Arc::new(Mutex::new(Faults::default())), Arc::new(Mutex::new(routes)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut at = At::at(format!("http://{}", listener.local_addr().unwrap()));
        at.retry = Retry { attempts: 2, first: Duration::ZERO, ..Retry::default() };
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
        Self { server: Some(server), at, faults, router, clock, change }
    }

    /// The server is stopped, and started again over its file.
    pub async fn restart(&mut self, path: &Path) {
        self.server.take().unwrap().stop().await;
        self.restart_over(path).await;
    }

    /// The same, when it is stopped.
    pub async fn restart_over(&mut self, path: &Path) {
        let (server, routes) = start(SqliteStore::open(path).unwrap(), 9, &self.clock, self.change);
        self.server = Some(server);
        *self.router.lock().unwrap() = routes;
    }

    pub fn pull_the_plug(&self) {
        self.faults.lock().unwrap().down = true;
    }

    pub fn put_it_back(&self) {
        let mut faults = self.faults.lock().unwrap();
        faults.down = false;
        faults.refused.clear();
        faults.lost_posts.clear();
    }

    /// All requests that post to a path that ends like this are lost, until [`put_it_back`](Self::put_it_back).
    pub fn lose_requests(&self, path: &str) {
        self.faults.lock().unwrap().lost_posts.push(path.to_owned());
    }

    /// The next request to a path that ends like this is carried out, and nobody hears of it.
    pub fn lose_reply(&self, path: &str) {
        self.faults.lock().unwrap().lost_replies.push(path.to_owned());
    }

    /// The receipt in the next answer to a path that ends like this is one that the service has not signed.
    pub fn forge_receipt(&self, path: &str) {
        self.faults.lock().unwrap().forged.push(path.to_owned());
    }

    /// Whoever waits between two attempts moves the clock by that instead, from now on. Returns what was waited.
    pub fn wait_by_the_clock(&mut self) -> Arc<Mutex<Vec<Duration>>> {
        let waited = Arc::new(Mutex::new(Vec::new()));
        let (clock, noted) = (Arc::clone(&self.clock), Arc::clone(&waited));
        self.at.retry.pause = Arc::new(move |wait| {
            noted.lock().unwrap().push(wait);
            clock.fetch_add(wait.as_secs(), Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        });
        waited
    }

    /// What is read is changed on the way.
    pub fn tamper(&self, change: impl Fn(&mut DeliveryPage) + Send + Sync + 'static) {
        self.faults.lock().unwrap().change = Some(Box::new(change));
    }

    /// Each list of devices is changed on the way.
    pub fn tamper_with_list(&self, change: impl Fn(&mut DeviceListPage) + Send + Sync + 'static) {
        self.faults.lock().unwrap().list_change = Some(Box::new(change));
    }

    pub fn stop_tampering(&self) {
        let mut faults = self.faults.lock().unwrap();
        (faults.change, faults.list_change) = (None, None);
    }

    /// The list of a user's devices, as the server has it.
    pub async fn device_list(&self, name: &str) -> DeviceListPage {
        let mut reader = self.hostile("reader", HandshakeMode::Assisted).await;
        reader.connection.device_list(&user(name), 0).await.unwrap()
    }

    /// A program that has the session of a device, and signs MLS messages with a key of its own.
    pub async fn impostor(&self, of: &Device) -> Hostile {
        let id = of.device();
        let client = new_client(&MemoryStore::new(), id.user().as_str(), id.device(), policy(HandshakeMode::Assisted));
        let seed = of.store_seed();
        let connection = Connection::new(&self.at, id.clone(), TransportKey::from_seed(&seed), of.service()).unwrap();
        Hostile { client, connection, now: self.now() }
    }

    /// How many requests there have been to paths that end like this.
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

    /// The same for a device whose wall clock is so many seconds ahead.
    pub fn options_ahead(&self, ahead: &Arc<AtomicU64>) -> Options {
        let (clock, monotonic, ahead) = (Arc::clone(&self.clock), Arc::clone(&self.clock), Arc::clone(ahead));
        Options {
            wait: Duration::ZERO,
            clock: Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)).plus(ahead.load(Ordering::SeqCst))),
            monotonic: Arc::new(move || Duration::from_secs(monotonic.load(Ordering::SeqCst))),
            ..Options::default()
        }
    }

    /// A new device, registered.
    pub async fn messenger(&self, user: &str, device: &str, handshake: HandshakeMode) -> Device {
        self.messenger_with(user, device, policy(handshake)).await
    }

    pub async fn messenger_with(&self, user: &str, device: &str, policy: Policy) -> Device {
        let mut device = self.bare(user, device, policy, self.options()).await;
        device.poll_once().await;
        // The first device of a user begins the list, and each further one waits to be linked.
        assert_eq!(device.told.len(), device.was_told(|event| matches!(event, Event::Unlisted { .. })));
        device
    }

    /// A new device, registered, that has done nothing yet.
    pub async fn bare(&self, user: &str, device: &str, policy: Policy, options: Options) -> Device {
        let store = MemoryStore::new();
        let client = new_client(&store, user, device, policy.clone());
        let messenger = Messenger::register(client, &self.at, None, None, options.clone()).await.unwrap();
        Device { store, messenger: Some(messenger), policy, options, told: Vec::new() }
    }

    /// Each further request to a path that ends like this is refused with that problem, until [`put_it_back`].
    ///
    /// [`put_it_back`]: Self::put_it_back
    pub fn refuse(&self, path: &str, problem: api::Problem) {
        for method in ["GET", "POST", "PUT"] {
            self.refuse_method(method, path, problem.clone());
        }
    }

    /// The same, of requests that upload.
    pub fn refuse_uploads(&self, path: &str, problem: api::Problem) {
        for method in ["POST", "PUT"] {
            self.refuse_method(method, path, problem.clone());
        }
    }

    fn refuse_method(&self, method: &'static str, path: &str, problem: api::Problem) {
        self.faults.lock().unwrap().refused.push((method, path.to_owned(), problem));
    }

    /// A device that does as it likes.
    pub async fn hostile(&self, user: &str, handshake: HandshakeMode) -> Hostile {
        let client = new_client(&MemoryStore::new(), user, "phone", policy(handshake));
        let (_, service) = Connection::service(&self.at).await.unwrap();
        let name = DeviceId::new(user, "phone").unwrap();
        let seed: [u8; 32] = Sha256::digest(user).into();
        let mut connection = Connection::new(&self.at, name, TransportKey::from_seed(&seed), service).unwrap();
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

/// Begins the list of the devices of a user who has this device alone.
async fn begin_list(client: &Client, connection: &mut Connection, key: &TransportKey, service: ServicePublicKey) {
    let signature_key = client.signature_key().unwrap().as_bytes().to_vec().into();
    let keys = ListedKeys { key: DeviceKey(key.public()), signature_key };
    let list = DeviceList::new(client.device().user().clone());
    let signer = SigningKey::from_bytes(key.seed());
    let sign = |bytes: &[u8]| signer.sign(bytes).to_bytes();
    let entry = list.entry(&service, client.device(), list::ListChange::Begin(keys), sign);
    connection.append_to_device_list(&entry.encode()).await.unwrap();
}

/// A device of the same user, which is on the list of the user's devices, links a new one.
pub async fn link(listed: &mut Device, new: &Device) {
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

async fn pass(faults: Arc<Mutex<Faults>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method_is_get = request.method() == "GET";
    let (down, refused, lost, forged) = {
        let mut faults = faults.lock().unwrap();
        faults.asked.push(path.clone());
        let method = request.method().as_str();
        let refused = faults.refused.iter().find(|(of, refused, _)| *of == method && path.ends_with(refused.as_str()));
        let refused = refused.map(|(_, _, problem)| problem.clone());
        let is_lost = method == "POST" && faults.lost_posts.iter().any(|lost| path.ends_with(lost.as_str()));
        let lost = faults.lost_replies.iter().position(|lost| path.ends_with(lost.as_str()));
        let lost = lost.map(|at| faults.lost_replies.remove(at)).is_some();
        let forged = faults.forged.iter().position(|forged| path.ends_with(forged.as_str()));
        (faults.down || is_lost, refused, lost, forged.map(|at| faults.forged.remove(at)).is_some())
    };
    if down {
        return cut_off();
    }
    if let Some(problem) = refused {
        let mut body = Vec::new();
        ciborium::into_writer(&problem, &mut body).unwrap();
        return axum::http::Response::builder().status(problem.status).body(Body::from(body)).unwrap();
    }
    let response = next.run(request).await;
    if lost {
        return cut_off();
    }
    if forged {
        return changed(response, |accepted: &mut api::Accepted| accepted.receipt.signature.0[0] ^= 1).await;
    }
    if method_is_get && path.ends_with("/device-list") && faults.lock().unwrap().list_change.is_some() {
        return changed(response, |page: &mut DeviceListPage| {
            if let Some(change) = &faults.lock().unwrap().list_change {
                change(page);
            }
        })
        .await;
    }
    if !path.ends_with("/deliveries") || faults.lock().unwrap().change.is_none() {
        return response;
    }
    changed(response, |page: &mut DeliveryPage| {
        if let Some(change) = &faults.lock().unwrap().change {
            change(page);
        }
    })
    .await
}

async fn changed<T: Serialize + DeserializeOwned>(response: Response, change: impl FnOnce(&mut T)) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let mut value: T = ciborium::from_reader(&bytes[..]).unwrap();
    change(&mut value);
    let mut changed = Vec::new();
    ciborium::into_writer(&value, &mut changed).unwrap();
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(changed))
}

/// The connection ends in the middle of the answer.
fn cut_off() -> Response {
    let nothing = std::io::Error::other("the network is gone");
    Body::from_stream(futures_util::stream::once(async { Err::<Vec<u8>, _>(nothing) })).into_response()
}

pub fn policy(handshake: HandshakeMode) -> Policy {
    Policy { handshake, key_packages: 3, ..Policy::default() }
}

/// Key packages that are valid by the system's clock, however far the world's clock is moved.
pub fn timeless() -> Policy {
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

/// A device with a messenger, and all that it was told.
pub struct Device {
    pub store: MemoryStore,
    messenger: Option<Messenger>,
    policy: Policy,
    options: Options,
    pub told: Vec<Event>,
}

impl std::ops::Deref for Device {
    type Target = Messenger;

    fn deref(&self) -> &Messenger {
        self.messenger.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Device {
    fn deref_mut(&mut self) -> &mut Messenger {
        self.messenger.as_mut().unwrap()
    }
}

impl Device {
    /// The seed of the key for the service, as a thief finds it in the store.
    fn store_seed(&self) -> [u8; 32] {
        #[derive(serde::Deserialize)]
        struct Account {
            #[serde(with = "serde_bytes")]
            seed: [u8; 32],
        }
        let kept = self.engine().app_data("regrow-ds/account").unwrap().unwrap();
        ciborium::from_reader::<Account, _>(&kept[..]).unwrap().seed
    }

    /// The process dies, and another opens what it has stored.
    pub fn crash(&mut self, world: &World) {
        self.reopen(world, Arc::new(self.store.clone()));
    }

    /// The process dies, and the next one is able to write this often.
    pub fn crash_and_write(&mut self, world: &World, writes: u64) {
        self.reopen(world, Arc::new(Dying { records: self.store.clone(), writes: AtomicU64::new(writes) }));
    }

    fn reopen(&mut self, world: &World, store: Arc<dyn Store>) {
        self.messenger = None;
        let client = Client::open(store, default_crypto(), self.policy.clone()).unwrap();
        self.messenger = Some(Messenger::open(client, &world.at, self.options.clone()).unwrap());
    }

    /// The process dies, a value that it kept is damaged, and another process opens what is left.
    pub fn damage(&mut self, world: &World, name: &str) {
        self.messenger = None;
        let mut client = Client::open(Arc::new(self.store.clone()), default_crypto(), self.policy.clone()).unwrap();
        assert!(client.app_data(name).unwrap().is_some());
        client.set_app_data([(name, Some(b"damaged"))]).unwrap();
        drop(client);
        self.crash(world);
    }

    /// Reads what there is, and does what is to be done.
    pub async fn poll_once(&mut self) {
        let events = self.messenger.as_mut().unwrap().poll().await.unwrap();
        self.told.extend(events);
    }

    /// The texts that it was told, with who has sent them.
    pub fn texts(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Message { sender, text, .. } => Some(format!("{}: {text}", sender.user())),
            _ => None,
        };
        self.told.iter().filter_map(text).collect()
    }

    pub fn was_told(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.told.iter().filter(|event| what(event)).count()
    }

    pub fn members(&mut self) -> Vec<String> {
        self.roster(&chat()).unwrap().into_iter().map(|member| member.device.to_string()).collect()
    }

    pub fn epoch(&mut self) -> u64 {
        self.group(&chat()).unwrap().epoch().unwrap().0
    }
}

/// A store that takes a number of writes, and then no more.
struct Dying {
    records: MemoryStore,
    writes: AtomicU64,
}

impl Store for Dying {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.records.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.records.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let left = |left: u64| left.checked_sub(1);
        match self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.records.apply(batch),
            Err(_) => Err(StoreError::new("write", "the process dies")),
        }
    }
}

/// All read and do until nothing is left to be done.
pub async fn settle(devices: &mut [&mut Device]) {
    for _ in 0..8 {
        for device in devices.iter_mut() {
            device.poll_once().await;
        }
    }
}

/// The first makes the group and adds the others' users.
pub async fn make_group(devices: &mut [&mut Device]) {
    devices[0].create_group(&chat()).await.unwrap();
    let own = devices[0].device().user().clone();
    let users: Vec<_> = devices.iter().map(|device| device.device().user().clone()).collect();
    for user in users.into_iter().filter(|user| *user != own) {
        devices[0].add_user(&chat(), &user).await.unwrap();
        settle(devices).await;
    }
}

#[track_caller]
pub fn assert_together(devices: &mut [&mut Device]) {
    let states: Vec<_> =
        devices.iter_mut().map(|device| device.group(&chat()).unwrap().epoch_authenticator().unwrap()).collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "they are in different states");
}

/// An engine and a connection, without what keeps them honest.
pub struct Hostile {
    pub client: Client,
    pub connection: Connection,
    now: Timestamp,
}

impl Hostile {
    /// Joins and follows the group, as far as it goes.
    pub async fn read(&mut self) -> Vec<api::Delivery> {
        let start = regrow_delivery_service::Cursor::START;
        let page = self.connection.deliveries(start, 1000, Duration::ZERO).await.unwrap();
        for delivery in &page.deliveries {
            match delivery.kind {
                api::DeliveryKind::Welcome => drop(self.client.join(&delivery.bytes.0, self.now)),
                _ => drop(self.client.receive(&delivery.bytes.0, self.now)),
            }
        }
        page.deliveries
    }

    /// Follows the group, and returns what the new messages carry inside the encryption.
    pub async fn overhear(&mut self) -> Vec<Vec<u8>> {
        let start = regrow_delivery_service::Cursor::START;
        let page = self.connection.deliveries(start, 1000, Duration::ZERO).await.unwrap();
        let received = page.deliveries.iter().map(|delivery| self.client.receive(&delivery.bytes.0, self.now));
        let texts = received.filter_map(|received| match received.ok()?.event {
            regrow_engine::ReceivedEvent::Message(message) => Some(message.text.to_vec()),
            _ => None,
        });
        texts.collect()
    }

    /// Withdraws the device's key packages, and uploads its own.
    pub async fn upload(&mut self) {
        let key_packages = self.client.key_packages(3, self.now).unwrap();
        let key_packages = key_packages.into_iter().map(|it| it.into_bytes().into()).collect();
        let upload = api::UploadRequest { key_packages, last_resort: None };
        self.connection.replace_key_packages(&upload).await.unwrap();
    }

    /// Adds a device without a look at any list.
    pub async fn add(&mut self, device: &DeviceId) {
        let claim = api::ClaimRequest { user: device.user().clone(), device: Some(device.device().into()) };
        let claimed = self.connection.claim_key_packages(&claim).await.unwrap().key_packages;
        let key_packages: Vec<_> =
            claimed.into_iter().map(|it| regrow_engine::KeyPackageBytes::new(it.key_package.0)).collect();
        let pending = self.client.group(&chat()).unwrap().add(&key_packages, self.now).unwrap();
        self.connection.submit_commit(&chat(), &commit_request(&pending)).await.unwrap();
    }

    /// Has a commit ordered that nobody can carry out.
    pub async fn submit_rubbish(&mut self) -> api::Accepted {
        let pending = self.client.group(&chat()).unwrap().update().unwrap();
        let mut commit = pending.commit().to_vec();
        *commit.last_mut().unwrap() ^= 1;
        let request = api::CommitRequest {
            commit: commit.into(),
            welcome: None,
            group_info: pending.group_info().map(Into::into),
            added: Vec::new(),
            removed: Vec::new(),
        };
        self.connection.submit_commit(&chat(), &request).await.unwrap()
    }

    /// Sends these bytes, which are in no envelope but what they are themselves.
    pub async fn send(&mut self, bytes: &[u8]) -> api::Accepted {
        let message = self.client.group(&chat()).unwrap().send(bytes).unwrap();
        self.connection.submit_message(&chat(), &message).await.unwrap()
    }

    /// Commits, and says of it that it removes these users.
    pub async fn lie_about(&mut self, users: &[&str]) {
        self.read().await;
        let pending = self.client.group(&chat()).unwrap().update().unwrap();
        let name = |user: &&str| DeviceId::new(user, "phone").unwrap();
        let request = api::CommitRequest {
            commit: pending.commit().into(),
            welcome: None,
            group_info: pending.group_info().map(Into::into),
            added: Vec::new(),
            removed: users.iter().map(name).collect(),
        };
        self.connection.submit_commit(&chat(), &request).await.unwrap();
    }

    pub async fn report(&mut self, sequence: u64) -> api::ReportAnswer {
        self.connection.report(&chat(), regrow_delivery_service::Sequence(sequence)).await.unwrap()
    }
}
