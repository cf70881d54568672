//! The memory of a server while clients do not read answers, or do not finish their requests.
//!
//! The server is a separate process with the default limits. There are enough attacking devices to
//! fill its memory budget. Each attack has a limited duration. The test measures the resident size
//! of the process. The allocator has the setting that `docs/operators.md` requires.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]
#![cfg(all(feature = "server", target_os = "linux"))]

#[path = "it/common/mod.rs"]
mod common;
#[path = "it/h2/mod.rs"]
mod h2;
#[path = "it/http/mod.rs"]
mod http;
#[path = "it/test_directory/mod.rs"]
mod test_directory;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use h2::{INITIAL_WINDOW, get, preface, window_update};
use http::{Device, World};
use regrow_delivery_service::{HandshakeMode, SqliteStore, server::settings::ServerLimits};
use test_directory::TestDirectory;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// Devices that attack. The budgets of eight devices fill the budget of the server.
const ATTACKERS: usize = 10;

/// Connections of each attacker, as many as a device may have.
const CONNECTIONS: usize = 16;

/// The duration of each attack after all requests have been sent.
const HOLD: Duration = Duration::from_secs(4);

/// The memory that each connection may use beside the budget, see `docs/operators.md`.
const CONNECTION_BYTES: usize = 256 * 1024;

/// The largest documented growth with this number of connections: the budget, the free pieces that
/// the allocator keeps between used ones, and the connections.
fn documented(connections: usize) -> usize {
    let budget = ServerLimits::default().memory_bytes;
    budget + budget / 8 + connections * CONNECTION_BYTES
}

/// A server in a separate process. It is killed when this value is dropped.
struct ServerProcess {
    child: Child,
    devices: SocketAddr,
    operators: SocketAddr,
}

impl ServerProcess {
    fn start(directory: &TestDirectory) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_regrow-ds"))
            .args(["serve", "--listen", "127.0.0.1:0", "--listen-operators", "127.0.0.1:0", "--log-level", "warn"])
            .current_dir(directory.root())
            .env_clear()
            .env("MIMALLOC_PURGE_DELAY", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addresses = line.trim().strip_prefix("listening on http://").unwrap();
        let (devices, operators) = addresses.split_once(", for operators on http://").unwrap();
        Self { devices: devices.parse().unwrap(), operators: operators.parse().unwrap(), child }
    }

    /// The resident size of the process, in bytes.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        let mut stream = TcpStream::connect(self.devices).await.unwrap();
        stream.write_all(&request(path, token)).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()[9..].parse().unwrap()
    }

    async fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.operators).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// The devices that the store contains.
struct Devices {
    /// Members of one group. Six messages of 3.9 MB wait for each of them.
    attackers: Vec<Device>,
    innocent: Device,
    /// The path of the first page with these messages.
    page: String,
}

/// Registers the devices and stores the messages.
async fn prepare(directory: &TestDirectory) -> Devices {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let store = SqliteStore::open(directory.store_path()).unwrap();
    let world = World::started_at(now, store, |_| {}).await;
    let mut attackers = Vec::new();
    for number in 0..ATTACKERS {
        attackers.push(world.device(&format!("mallory{number}"), "phone").await);
    }
    let innocent = world.device("alice", "phone").await;
    let mut members = world.group(HandshakeMode::Opaque, &attackers.iter().collect::<Vec<_>>()).await;
    let after = world.read(&attackers[1].token, 0).await.last().unwrap().cursor;
    for number in 0..6 {
        let message = members[0].send(&number.to_string().repeat(3_900_000));
        world.message(&attackers[0], &message).await.is(axum::http::StatusCode::OK);
    }
    world.server.stop().await;
    Devices { attackers, innocent, page: format!("/v1/deliveries?limit=1000&after={after}") }
}

/// Connects and writes. The server may refuse or close the connection.
async fn connect(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    // With the default buffer, the system takes some megabytes although the client does not read.
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(address).await.ok()?;
    let written = tokio::time::timeout(Duration::from_secs(2), stream.write_all(bytes)).await;
    // The server may stop reading a body. The test expects that, so an error is ignored.
    let _ = written;
    Some(stream)
}

/// Requests a path on all connections of all attackers, and reads no answer.
async fn unread_answers(server: &ServerProcess, attackers: &[Device], path: &str) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for device in attackers {
        for _ in 0..CONNECTIONS {
            open.extend(connect(server.devices, &request(path, &device.token)).await);
        }
    }
    open
}

/// Requests the page on many HTTP/2 streams whose windows stay small.
async fn windows(server: &ServerProcess, attackers: &[Device], page: &str, window: u32) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for device in attackers {
        for _ in 0..2 {
            let streams: Vec<_> = (0..60).map(|number| 2 * number + 1).collect();
            let asked = streams.iter().flat_map(|stream| get(*stream, page, &device.token));
            let bytes: Vec<u8> = preface(&[(INITIAL_WINDOW, window)]).into_iter().chain(asked).collect();
            let mut stream = connect(server.devices, &bytes).await.unwrap();
            for _ in 0..if window == 0 { 0 } else { 20 } {
                let updates: Vec<u8> = streams.iter().flat_map(|stream| window_update(*stream, 1)).collect();
                let _ = stream.write_all(&updates).await;
            }
            open.push(stream);
        }
    }
    open
}

/// Sends about half of a large body on all connections of all attackers.
async fn half_bodies(server: &ServerProcess, attackers: &[Device]) -> Vec<TcpStream> {
    let body = vec![b' '; 6_000_000];
    let mut asked = tokio::task::JoinSet::new();
    let head = |path: &str, token: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
        .into_bytes()
    };
    for device in attackers {
        for _ in 0..CONNECTIONS {
            let bytes = [head("/v1/key-packages", &device.token, 11_000_000), body.clone()].concat();
            let address = server.devices;
            asked.spawn(async move { connect(address, &bytes).await });
        }
    }
    for _ in 0..40 {
        let bytes = [head("/v1/challenges", "none", 64_000), body[..60_000].to_vec()].concat();
        let address = server.devices;
        asked.spawn(async move { connect(address, &bytes).await });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

/// Measures the largest growth of the resident size while the connections are open, and compares it
/// with the documented growth. Another device must get answers meanwhile.
async fn measure(server: &ServerProcess, innocent: &Device, before: usize, what: &str, open: Vec<TcpStream>) {
    let (begun, mut most) = (Instant::now(), server.resident());
    let mut served = 0;
    while begun.elapsed() < HOLD || (served == 0 && begun.elapsed() < 3 * HOLD) {
        most = most.max(server.resident());
        let status = tokio::time::timeout(HOLD, server.status("/v1/key-packages", &innocent.token)).await;
        served += usize::from(matches!(status, Ok(200)));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let charged = server.metric("regrow_ds_memory_bytes").await;
    let grown = most.saturating_sub(before);
    eprintln!(
        "{what}: {} connections, resident {} MiB more, {} MiB charged, {served} answers to another device",
        open.len(),
        grown >> 20,
        charged >> 20
    );
    assert!(served > 0, "{what}: the other device got no answer");
    let most = documented(open.len());
    assert!(grown <= most, "{what}: {} MiB, but the documented maximum is {} MiB", grown >> 20, most >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_raise_memory_by_the_budget_at_most() {
    let directory = TestDirectory::new();
    let Devices { attackers, innocent, page } = prepare(&directory).await;
    let server = ServerProcess::start(&directory);
    // One request fills the store's cache before the measurement.
    assert_eq!(server.status(&page, &attackers[0].token).await, 200);
    let before = server.resident();
    let settled = async || {
        let begun = Instant::now();
        while server.metric("regrow_ds_memory_bytes").await > 1 << 20 && begun.elapsed() < HOLD {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for attack in ["unread answers", "window of 0", "windows of 1", "unread streams", "half bodies"] {
        settled().await;
        let open = match attack {
            "unread answers" => unread_answers(&server, &attackers, &page).await,
            "window of 0" => windows(&server, &attackers, &page, 0).await,
            "windows of 1" => windows(&server, &attackers, &page, 1).await,
            "unread streams" => unread_answers(&server, &attackers, "/v1/stream").await,
            _ => half_bodies(&server, &attackers).await,
        };
        measure(&server, &innocent, before, attack, open).await;
    }
}
