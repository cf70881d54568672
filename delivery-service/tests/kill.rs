//! Kills the server many times while devices write and read, over both kinds of stores, and kills
//! the database of a server. No acknowledged write may be lost.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(unix)]
#[path = "it/common/postgres.rs"]
mod postgres;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use regrow_delivery_service::{
    Cursor, Delivery, Epoch, GroupId, HandshakeMode, ServicePublicKey,
    api::{self, ClaimRequest, Code, CreateGroupRequest, UploadRequest, proof},
};
use regrow_engine::{Client, DeviceId, KeyPackageBytes, MemoryStore, PendingCommit, Policy, default_crypto};
use regrow_messenger::{Connection, ConnectionError, Retry, ServiceAddress, TransportKey, commit_request};
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinHandle;

/// The number of times the test kills the server over a file.
const KILLS: u64 = 200;
/// The number of times the database's server is killed, and its standby promoted.
const PROMOTIONS: u64 = 20;
/// The longest time without an acknowledged write. A server that has stopped for good has none.
const LONGEST_GAP: Duration = Duration::from_secs(60);
const GROUPS: usize = 4;
/// Members of each group. They write and read during the whole test.
const WRITERS: usize = 3;
/// Devices for each member to add.
const NEWCOMERS: usize = 10;

/// The process of the server. Dropping it kills the process.
struct ServerProcess {
    directory: PathBuf,
    database: Option<String>,
    child: Child,
    address: String,
}

impl ServerProcess {
    /// Starts the server over the store in the directory or in the database, at `address`.
    fn start(directory: &Path, database: Option<&str>, address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_regrow-ds"))
            .arg("serve")
            .current_dir(directory)
            .envs(database.map(|url| ("REGROW_DS_DATABASE", url)))
            .env("REGROW_DS_LISTEN", address)
            .env("REGROW_DS_LISTEN_OPERATORS", "127.0.0.1:0")
            .env("REGROW_DS_LIMITS__DEVICE_REQUESTS_PER_SECOND", "1000000")
            .env("REGROW_DS_LIMITS__DEVICE_BURST", "1000000")
            .env("REGROW_DS_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "1000000")
            .env("REGROW_DS_LIMITS__ADDRESS_BURST", "1000000")
            .env("REGROW_DS_LOG__LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap();
        let address = address.trim_end_matches(',').to_owned();
        Self { directory: directory.to_owned(), database: database.map(str::to_owned), child, address }
    }

    /// Kills the process with SIGKILL, and starts it again.
    fn restart(&mut self) {
        self.end();
        *self = Self::start(&self.directory, self.database.as_deref(), &self.address);
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// State that all devices share.
struct Shared {
    service: ServicePublicKey,
    server: ServiceAddress,
    /// The number of acknowledged writes of all devices.
    acknowledged: AtomicU64,
    /// True when the devices stop writing.
    stop: AtomicBool,
}

/// Reads a device's event stream. It reopens a broken stream after the last received event.
struct Listener {
    http: reqwest::Client,
    address: String,
    service: ServicePublicKey,
    name: DeviceId,
    key: TransportKey,
    received: Arc<Mutex<Vec<api::Delivery>>>,
}

impl Listener {
    fn of(device: &Device, shared: &Shared) -> Self {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Self {
            http: reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap(),
            address: shared.server.address.clone(),
            service: shared.service,
            name: device.name.clone(),
            key: device.key.clone(),
            received: Arc::default(),
        }
    }

    async fn listen(self) {
        let mut token = None;
        loop {
            // Errors are ignored: the server is down for a moment.
            if let Err(error) = self.listen_once(&mut token).await
                && error.status() == Some(reqwest::StatusCode::UNAUTHORIZED)
            {
                token = None;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Opens a session. All streams use the same one, because a device may have only a few.
    async fn session(&self) -> reqwest::Result<String> {
        let challenge = api::ChallengeRequest { device: self.name.clone() };
        let api::Challenge { challenge, .. } = self.post("/v1/challenges", &challenge).await?;
        let signed = proof::session(&self.service, &challenge.0, &self.name);
        let signature = SigningKey::from_bytes(self.key.seed()).sign(&signed).to_bytes().as_slice().into();
        let session = api::SessionRequest { device: self.name.clone(), challenge, signature };
        Ok(self.post::<api::Session>("/v1/sessions", &session).await?.token)
    }

    async fn listen_once(&self, token: &mut Option<String>) -> reqwest::Result<()> {
        if token.is_none() {
            *token = Some(self.session().await?);
        }
        let token = token.as_deref().unwrap();
        let mut request = self.http.get(format!("{}/v1/stream", self.address)).bearer_auth(token);
        if let Some(last) = self.received.lock().unwrap().last() {
            request = request.header("last-event-id", last.cursor.to_string());
        }
        let mut response = request.send().await?.error_for_status()?;
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = rest.drain(..end + 2).collect();
                let data = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
                self.received.lock().unwrap().extend(data.map(|data| serde_json::from_slice(data).unwrap()));
            }
        }
        Ok(())
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> reqwest::Result<T> {
        let request = self.http.post(format!("{}{path}", self.address)).header("content-type", api::JSON);
        let answer = request.body(serde_json::to_vec(body).unwrap()).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?).unwrap())
    }
}

/// A device that writes and reads, and its records for the final checks.
struct Device {
    name: DeviceId,
    key: TransportKey,
    connection: Connection,
    client: Client,
    group: GroupId,
    cursor: Cursor,
    /// The deliveries that it has read, in order.
    read: Vec<api::Delivery>,
    /// Its acknowledged writes with their receipts.
    written: Vec<(Vec<u8>, api::Receipt)>,
    /// The devices that it has added.
    added: Vec<DeviceId>,
    rng: TestRng,
}

fn now() -> regrow_engine::Timestamp {
    regrow_engine::Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

impl Device {
    async fn new(shared: &Shared, group: usize, member: &str, seed: u8) -> Self {
        let name = DeviceId::new(format!("{member}-of-{group}"), "phone").unwrap();
        let mut client =
            Client::create(Arc::new(MemoryStore::new()), default_crypto(), name.clone(), Policy::default()).unwrap();
        let key = TransportKey::generate().unwrap();
        let mut connection = Connection::new(&shared.server, name.clone(), key.clone(), shared.service).unwrap();
        connection.register(None).await.unwrap();
        // Ten key packages: each claim whose answer is lost uses up one.
        let key_packages = client.key_packages(10, now()).unwrap();
        let key_packages = key_packages.into_iter().map(|bytes| bytes.into_bytes().into()).collect();
        connection.upload_key_packages(&UploadRequest { key_packages, last_resort: None }).await.unwrap();
        Self {
            name,
            key,
            connection,
            client,
            group: GroupId::new(format!("group {group}")).unwrap(),
            cursor: Cursor::START,
            read: Vec::new(),
            written: Vec::new(),
            added: Vec::new(),
            rng: TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
        }
    }

    fn group(&self) -> GroupId {
        self.group.clone()
    }

    async fn create(&mut self) {
        let group_info = self.client.create_group(self.group.clone(), now()).unwrap().group_info().unwrap();
        let request = CreateGroupRequest {
            group: self.group.clone(),
            handshake: HandshakeMode::Assisted,
            group_info: group_info.into(),
        };
        self.connection.create_group(&request).await.unwrap();
    }

    async fn claim(&mut self, device: &DeviceId) -> KeyPackageBytes {
        let request = ClaimRequest { user: device.user().clone(), device: Some(device.device().to_owned()) };
        let claimed = self.connection.claim_key_packages(&request).await.unwrap();
        KeyPackageBytes::new(claimed.key_packages[0].key_package.0.clone())
    }

    /// Reads and processes all available deliveries.
    async fn sync(&mut self) {
        loop {
            let page = self.connection.deliveries(self.cursor, 100, Duration::ZERO).await.unwrap().deliveries;
            for delivery in &page {
                // The client ignores its own messages and commits that lost a race. The checks at
                // the end find a lost delivery.
                if delivery.kind == api::DeliveryKind::Welcome {
                    self.client.join(&delivery.bytes.0, now()).unwrap();
                } else {
                    self.client.receive(&delivery.bytes.0, now()).unwrap();
                    self.client.acknowledge().unwrap();
                }
                self.cursor = Cursor(delivery.cursor);
            }
            let done = page.is_empty();
            self.read.extend(page);
            if done {
                return;
            }
        }
    }

    /// Records an acknowledged write. Returns false if the submission is stale.
    fn record(&mut self, shared: &Shared, bytes: &[u8], answer: Result<api::Accepted, ConnectionError>) -> bool {
        match answer {
            Ok(accepted) => {
                self.written.push((bytes.to_vec(), accepted.receipt));
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(ConnectionError::Problem(problem)) if problem.code == Code::Stale => false,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    async fn send(&mut self, shared: &Shared) {
        let text = format!("{} says {}", self.name, self.written.len());
        let bytes = self.client.group(&self.group).unwrap().send(text.as_bytes()).unwrap();
        let answer = self.connection.submit_message(&self.group(), &bytes).await;
        self.record(shared, &bytes, answer);
    }

    async fn commit(&mut self, shared: &Shared, pending: PendingCommit) -> bool {
        let request = commit_request(&pending);
        let answer = self.connection.submit_commit(&self.group(), &request).await;
        let accepted = self.record(shared, &request.commit.0, answer);
        if accepted {
            self.client.confirm(pending, now()).unwrap();
        } else {
            self.client.discard(pending).unwrap();
            self.client.group(&self.group).unwrap().abandon().unwrap();
        }
        accepted
    }

    async fn add(&mut self, shared: &Shared, device: &DeviceId) {
        let key_package = self.claim(device).await;
        let pending = self.client.group(&self.group).unwrap().add(&[key_package], now()).unwrap();
        if self.commit(shared, pending).await {
            self.added.push(device.clone());
        }
    }

    /// Writes and reads until the test stops it. `newcomers` are the devices that it may add.
    async fn write_and_read(mut self, shared: Arc<Shared>, mut newcomers: Vec<DeviceId>) -> Self {
        while !shared.stop.load(Ordering::Relaxed) {
            self.sync().await;
            match self.rng.next_u32() % 10 {
                0..6 => self.send(&shared).await,
                6..9 => {
                    let pending = self.client.group(&self.group).unwrap().update().unwrap();
                    self.commit(&shared, pending).await;
                }
                _ => {
                    if let Some(device) = newcomers.pop() {
                        self.add(&shared, &device).await;
                    }
                }
            }
        }
        self
    }

    /// Reads all deliveries of the device from the beginning.
    async fn read_all(&mut self) -> Vec<api::Delivery> {
        let (mut all, mut cursor) = (Vec::new(), Cursor::START);
        loop {
            let page = self.connection.deliveries(cursor, 1_000, Duration::ZERO).await.unwrap().deliveries;
            let Some(last) = page.last() else { return all };
            cursor = Cursor(last.cursor);
            all.extend(page);
        }
    }
}

#[test]
fn acknowledged_writes_survive_two_hundred_kills() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(None, KILLS, async |server| server.restart()));
}

#[cfg(unix)]
#[test]
fn acknowledged_writes_survive_two_hundred_kills_over_postgresql() {
    let Some(cluster) = postgres::Cluster::start(&[]) else { return };
    let address = cluster.schema();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Some(&address.url()), KILLS, async |server| server.restart()));
    assert_eq!(address.open_beside().check().unwrap(), []);
}

/// The server stays, and the database fails over: the primary is killed, and its synchronous
/// standby takes its place.
#[cfg(unix)]
#[test]
fn acknowledged_writes_survive_twenty_promotions_of_the_standby() {
    let Some(mut primary) = postgres::Cluster::start(&[]) else { return };
    let address = primary.schema();
    let mut standby = primary.standby(0);
    let url = address.url_with_standby(standby.port());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(Some(&url), PROMOTIONS, async |_| {
        primary.kill();
        standby.promote();
        // The next standby has the address of the killed server.
        let next = standby.standby(primary.port());
        primary = std::mem::replace(&mut standby, next);
    }));
    let address = postgres::StoreAddress { port: primary.port(), ..address };
    assert_eq!(address.open_beside().check().unwrap(), []);
}

/// Causes this many faults, and checks the deliveries that the devices have written and read.
async fn run(database: Option<&str>, faults: u64, mut fault: impl AsyncFnMut(&mut ServerProcess)) {
    let directory = tempfile::tempdir().unwrap();
    let mut process = ServerProcess::start(directory.path(), database, "127.0.0.1:0");
    let address = process.address.clone();
    // A device that cannot reach the server retries soon and without limit.
    let retry = Retry {
        attempts: u32::MAX,
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        ..Retry::default()
    };
    let server = ServiceAddress { retry, ..ServiceAddress::at(format!("http://{address}")) };
    let (_, service) = Connection::service(&server).await.unwrap();
    let shared = Arc::new(Shared { service, server, acknowledged: AtomicU64::new(0), stop: AtomicBool::new(false) });

    let mut running = Running::default();
    for group in 0..GROUPS {
        start_group(&shared, group, &mut running).await;
    }
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[99; 32]);
    for _ in 0..faults {
        wait_for_writes(&shared, u64::from(1 + rng.next_u32() % 12), &mut running.writers).await;
        fault(&mut process).await;
    }
    shared.stop.store(true, Ordering::Relaxed);
    check(&shared, running).await;
}

/// The tasks of all devices, and the devices that may be added.
#[derive(Default)]
struct Running {
    /// The members that write, in the order of their groups.
    writers: Vec<JoinHandle<Device>>,
    streams: Vec<OpenStream>,
    newcomers: BTreeMap<DeviceId, Device>,
}

/// The event stream of one member.
struct OpenStream {
    member: DeviceId,
    received: Arc<Mutex<Vec<api::Delivery>>>,
    reading: JoinHandle<()>,
}

/// Creates a group with its members, starts them, and registers the devices that they may add.
async fn start_group(shared: &Arc<Shared>, group: usize, running: &mut Running) {
    let mut members = Vec::new();
    for member in 0..WRITERS {
        let seed = u8::try_from(group * WRITERS + member).unwrap();
        members.push(Device::new(shared, group, &format!("member{member}"), seed).await);
    }
    let names: Vec<_> = members.iter().map(|member| member.name.clone()).collect();
    members[0].create().await;
    for name in &names[1..] {
        members[0].add(shared, name).await;
    }
    let listener = Listener::of(&members[1], shared);
    running.streams.push(OpenStream {
        member: members[1].name.clone(),
        received: Arc::clone(&listener.received),
        reading: tokio::spawn(listener.listen()),
    });
    for (index, mut member) in members.into_iter().enumerate() {
        member.sync().await;
        let mut candidates = Vec::new();
        for number in 0..NEWCOMERS {
            let device = Device::new(shared, group, &format!("newcomer{index}.{number}"), 0).await;
            candidates.push(device.name.clone());
            running.newcomers.insert(device.name.clone(), device);
        }
        running.writers.push(tokio::spawn(member.write_and_read(Arc::clone(shared), candidates)));
    }
}

/// Waits until the server has acknowledged `count` more writes. Other writes are in flight then.
async fn wait_for_writes(shared: &Shared, count: u64, writers: &mut Vec<JoinHandle<Device>>) {
    let until = shared.acknowledged.load(Ordering::Relaxed) + count;
    let begun = Instant::now();
    while shared.acknowledged.load(Ordering::Relaxed) < until {
        assert!(begun.elapsed() < LONGEST_GAP, "the server acknowledges nothing any more");
        // A writer ends before the stop only by a panic, for example after a lost write. The
        // `unwrap` passes the panic on.
        if let Some(ended) = writers.iter().position(JoinHandle::is_finished) {
            let _ = writers.swap_remove(ended).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// Waits for all writers, and checks every group and every stream.
async fn check(shared: &Shared, running: Running) {
    let Running { writers, streams, mut newcomers } = running;
    let mut members: Vec<Vec<Device>> = (0..GROUPS).map(|_| Vec::new()).collect();
    for (index, writer) in writers.into_iter().enumerate() {
        members[index / WRITERS].push(writer.await.unwrap());
    }
    for group in &mut members {
        check_group(shared, group, &mut newcomers).await;
    }
    for stream in streams {
        let member = members.iter().flatten().find(|member| member.name == stream.member).unwrap();
        check_stream(member, &stream.received).await;
        stream.reading.abort();
    }
}

/// Checks that the log contains every acknowledged write once, and that all devices agree with it.
async fn check_group(shared: &Shared, members: &mut [Device], newcomers: &mut BTreeMap<DeviceId, Device>) {
    for member in members.iter_mut() {
        member.sync().await;
    }
    // No device has acknowledged a delivery, so the log is complete. The creator may read all.
    let log = members[0].read_all().await;
    let sequences: Vec<_> = log.iter().map(|delivery| delivery.receipt.sequence).collect();
    assert_eq!(sequences, (1..=log.len() as u64).collect::<Vec<_>>(), "the log has a gap or a repeated entry");

    let mut epoch = 0;
    let mut head = None;
    for delivery in &log {
        let receipt = delivery.receipt.of(&members[0].group()).unwrap();
        assert_eq!(receipt.verify(&shared.service), Ok(()));
        if let Some(head) = head {
            let delivery = Delivery::try_from(delivery.clone()).unwrap();
            assert_eq!(delivery.chained(head), Some(receipt.head), "the hash chain is broken");
        }
        head = Some(receipt.head);
        epoch += u64::from(delivery.kind == api::DeliveryKind::Commit);
        assert_eq!(receipt.epoch, Epoch(epoch), "an epoch does not follow from one commit");
    }

    let mut written = 0;
    for member in members.iter() {
        for (bytes, receipt) in &member.written {
            let there: Vec<_> = log.iter().filter(|delivery| delivery.bytes.0 == *bytes).collect();
            assert_eq!(there.len(), 1, "an acknowledged write is not in the log once");
            assert_eq!(there[0].receipt, *receipt, "the log has another receipt");
            written += 1;
        }
    }
    assert_eq!(written, log.len(), "the log has an entry that no device has written");

    let mut added: BTreeSet<_> = members.iter().flat_map(|member| member.added.clone()).collect();
    for member in members.iter_mut() {
        // The device has read every entry once, although the server was killed meanwhile.
        assert_eq!(member.read_all().await, member.read, "{}", member.name);
        check_one_welcome(member, &log);
        added.remove(&member.name);
    }
    for name in added {
        let mut newcomer = newcomers.remove(&name).unwrap();
        newcomer.sync().await;
        check_one_welcome(&newcomer, &log);
    }
    let epochs: BTreeSet<_> = members
        .iter_mut()
        .map(|member| {
            let group = member.group.clone();
            let mut group = member.client.group(&group).unwrap();
            (group.epoch().unwrap().0, group.epoch_authenticator().unwrap().as_bytes().to_vec())
        })
        .collect();
    assert_eq!(epochs.len(), 1, "members are in different states");
}

/// Checks that the stream has shown all deliveries of the device, once and in order.
async fn check_stream(member: &Device, received: &Mutex<Vec<api::Delivery>>) {
    let end = member.read.last().unwrap().cursor;
    let all_received = async {
        while received.lock().unwrap().last().is_none_or(|last| last.cursor < end) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_received).await.unwrap();
    assert_eq!(*received.lock().unwrap(), member.read, "{}", member.name);
}

/// Checks that an added device has one welcome, and has read every entry of the log after it.
fn check_one_welcome(device: &Device, log: &[api::Delivery]) {
    let welcomes = device.read.iter().filter(|delivery| delivery.kind == api::DeliveryKind::Welcome).count();
    let creator = device.read.first().is_some_and(|delivery| delivery.receipt.sequence == 1 && welcomes == 0);
    assert!(creator || welcomes == 1, "{} has {welcomes} welcomes", device.name);
    let from = device.read[0].receipt.sequence;
    let read: Vec<_> = device.read.iter().map(|delivery| delivery.receipt.clone()).collect();
    let there: Vec<_> = log
        .iter()
        .filter(|delivery| delivery.receipt.sequence >= from)
        .map(|delivery| delivery.receipt.clone())
        .collect();
    assert_eq!(read, there, "{}", device.name);
}
