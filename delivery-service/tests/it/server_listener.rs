//! Connections: HTTP/1.1 and HTTP/2, TLS certificates, slow clients, and the shutdown.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(feature = "server")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::http::World;
use axum::{Router, extract::ConnectInfo, routing::get};
use regrow_delivery_service::server::{
    Server,
    listener::Listener,
    metrics::Metrics,
    serve::{Addresses, Listening, ServeError},
    settings::{ServerLimits, Settings, Tls},
    shutdown::{HangUp, Shutdown},
    tls::{Certificate, TlsError},
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A running server with its addresses.
struct RunningServer {
    addresses: Addresses,
    shutdown: Shutdown,
    ended: JoinHandle<()>,
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    settings.listen_operators.set_port(0);
    settings
}

async fn listen(server: Server, settings: &Settings) -> RunningServer {
    let listening = Listening::bind(settings).await.unwrap();
    let (addresses, shutdown) = (listening.addresses(), Shutdown::default());
    let ended = tokio::spawn(listening.run(server, shutdown.clone()));
    RunningServer { addresses, shutdown, ended }
}

async fn start_server(change: impl FnOnce(&mut Settings)) -> RunningServer {
    let mut settings = settings();
    change(&mut settings);
    listen(World::new().await.server, &settings).await
}

/// A listener that serves the router of a test.
struct ListenerUnderTest {
    address: SocketAddr,
    metrics: Metrics,
    shutdown: Shutdown,
    ended: JoinHandle<usize>,
}

async fn start_listener(app: Router, drain: Duration, change: impl FnOnce(&mut ServerLimits)) -> ListenerUnderTest {
    let mut limits = ServerLimits::default();
    change(&mut limits);
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None, &limits).await.unwrap();
    let (address, metrics, shutdown) = (listener.address().unwrap(), Metrics::default(), Shutdown::default());
    let ended = tokio::spawn(listener.serve(app, metrics.clone(), drain, shutdown.clone()));
    ListenerUnderTest { address, metrics, shutdown, ended }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads an answer with a `content-length`, and leaves the connection open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        answer.push(stream.read_u8().await.unwrap());
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
    }
}

async fn get_text(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest_client().get(format!("http://{address}{path}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn reqwest_client() -> reqwest::Client {
    // The client needs a provider, although no request here uses TLS.
    let _ = aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

/// Writes a certificate for `localhost` and its key. `seconds` orders the modification times of the
/// files. Returns the certificate.
fn write_certificate(files: &Tls, seconds: u64) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&files.certificate, &made.cert.pem(), seconds);
    write(&files.key, &made.signing_key.serialize_pem(), seconds);
    made.cert.der().clone()
}

fn write(path: &Path, text: &str, seconds: u64) {
    fs::write(path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn files(directory: &tempfile::TempDir) -> Tls {
    Tls { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") }
}

fn trusting(
    certificate: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn handshake(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// True if a server with this configuration shows the trusted certificate.
async fn shows_certificate(server: &Arc<rustls::ServerConfig>, trusted: &CertificateDer<'static>) -> bool {
    let (client, accepted) = tokio::io::duplex(64 * 1024);
    let accept = TlsAcceptor::from(Arc::clone(server)).accept(accepted);
    let connector = TlsConnector::from(trusting(trusted, &[&TLS13], &[]));
    let connect = connector.connect(ServerName::try_from("localhost").unwrap(), client);
    let (_, connected) = tokio::join!(accept, connect);
    connected.is_ok()
}

#[tokio::test]
async fn the_server_speaks_http_1() {
    let server = start_listener(hello(), Duration::ZERO, |_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(REQUEST).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test]
async fn the_server_speaks_http_2_without_tls() {
    let _ = aws_lc_rs::default_provider().install_default();
    let server = start_listener(hello(), Duration::ZERO, |_| {}).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let response = client.get(format!("http://{}/", server.address)).send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_request_carries_its_peer_address() {
    let app = Router::new().route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()));
    let server = start_listener(app, Duration::ZERO, |_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let own = stream.local_addr().unwrap().to_string();
    assert!(answer(&mut stream).await.ends_with(&own));
}

#[tokio::test]
async fn the_server_speaks_tls_and_negotiates_http() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_certificate(&files(&directory), 0);
    let server = start_server(|settings| settings.tls = Some(files(&directory))).await;
    assert!(server.addresses.tls);
    for version in [&TLS13, &TLS12] {
        for (offered, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
        {
            let stream =
                handshake(server.addresses.devices, trusting(&certificate, &[version], offered)).await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes));
        }
    }
}

#[tokio::test]
async fn the_api_is_behind_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = write_certificate(&files(&directory), 0);
    let server = start_server(|settings| settings.tls = Some(files(&directory))).await;
    let config = trusting(&certificate, &[&TLS13], &["http/1.1"]);
    let mut stream = handshake(server.addresses.devices, config).await.unwrap();
    let request = b"GET /v1/service HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
}

#[tokio::test]
async fn a_changed_certificate_file_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let old = write_certificate(&files(&directory), 0);
    let certificate = Certificate::load(&files(&directory)).unwrap();
    let server = certificate.server_config().unwrap();
    assert!(!certificate.reload_if_changed().unwrap());
    assert!(shows_certificate(&server, &old).await);

    let new = write_certificate(&files(&directory), 1);
    assert!(shows_certificate(&server, &old).await, "the certificate changes before the reload");
    assert!(certificate.reload_if_changed().unwrap());
    assert!(shows_certificate(&server, &new).await && !shows_certificate(&server, &old).await);
}

#[tokio::test]
async fn the_old_certificate_stays_while_the_new_is_unusable() {
    let directory = tempfile::tempdir().unwrap();
    let old = write_certificate(&files(&directory), 0);
    let certificate = Certificate::load(&files(&directory)).unwrap();
    let server = certificate.server_config().unwrap();

    write(&files(&directory).certificate, "not PEM", 1);
    assert!(matches!(certificate.reload_if_changed(), Err(TlsError::File { what: "certificate", .. })));
    assert!(shows_certificate(&server, &old).await);
    assert!(!certificate.reload_if_changed().unwrap(), "the same file is tried twice");

    // The key of the new certificate is not there yet.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&files(&directory).certificate, &other.cert.pem(), 2);
    assert!(matches!(certificate.reload_if_changed(), Err(TlsError::Unfit { .. })));
    assert!(shows_certificate(&server, &old).await);
    write(&files(&directory).key, &other.signing_key.serialize_pem(), 3);
    assert!(certificate.reload_if_changed().unwrap());
    assert!(shows_certificate(&server, other.cert.der()).await);
}

/// Writes a certificate that expires at the beginning of `year`. Returns that time.
fn write_certificate_until(files: &Tls, year: i32, seconds: u64) -> i64 {
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    write(&files.certificate, &parameters.self_signed(&key).unwrap().pem(), seconds);
    write(&files.key, &key.serialize_pem(), seconds);
    parameters.not_after.unix_timestamp()
}

const EXPIRES: &str = "regrow_ds_certificate_expires_timestamp_seconds ";

#[tokio::test]
async fn operators_see_when_the_certificate_expires() {
    let directory = tempfile::tempdir().unwrap();
    let expires = write_certificate_until(&files(&directory), 2030, 0);
    assert_eq!(expires, 1_893_456_000);
    let server = start_server(|settings| settings.tls = Some(files(&directory))).await;
    // The first request may come before the server has read the files.
    let line = within_ten_seconds(async {
        loop {
            let (_, metrics) = get_text(server.addresses.operators, "/metrics").await;
            if let Some(line) = metrics.lines().find(|line| line.starts_with(EXPIRES)) {
                return line.to_owned();
            }
        }
    })
    .await;
    assert_eq!(line, format!("{EXPIRES}{expires}"));

    let server = start_server(|_| {}).await;
    let (_, metrics) = get_text(server.addresses.operators, "/metrics").await;
    assert!(!metrics.lines().any(|line| line.starts_with(EXPIRES)), "the metric exists without a certificate");
}

#[tokio::test]
async fn operators_see_when_a_new_certificate_expires() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate_until(&files(&directory), 2030, 0);
    let certificate = Certificate::load(&files(&directory)).unwrap();
    let expires = write_certificate_until(&files(&directory), 2031, 1);
    let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
    let expected = format!("{EXPIRES}{expires}");
    let seen = async {
        while !metrics.text().lines().any(|line| line == expected) {
            tokio::task::yield_now().await;
        }
        shutdown.begin();
    };
    let hang_up = HangUp::listen().unwrap();
    let follow = certificate.follow(Duration::from_millis(1), &metrics, hang_up, shutdown.clone());
    within_ten_seconds(async { tokio::join!(follow, seen) }).await;
}

#[tokio::test]
async fn without_a_certificate_nothing_listens() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.tls = Some(files(&directory));
    assert!(matches!(Listening::bind(&settings).await, Err(ServeError::Tls(TlsError::File { .. }))));
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let server = start_listener(hello(), Duration::ZERO, |limits| limits.header_seconds = 1).await;
    // Nothing, half a request, half an HTTP/2 preface, and a whole preface without frames.
    let beginnings: [&[u8]; 4] =
        [b"", b"GET / HTTP/1.1\r\nhost:", b"PRI * HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let mut waiting = Vec::new();
    for beginning in beginnings {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        waiting.push(stream);
    }
    for mut stream in waiting {
        // The connection ends, with or without an answer.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// Waits for the future, at most 10 seconds.
async fn within_ten_seconds<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.unwrap()
}

/// Sends a request whose body arrives slowly, one byte per tick. Returns the answer, which is read
/// until the connection ends.
async fn answer_to_slow_body(address: SocketAddr, parts: usize, length: usize) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = "POST /v1/challenges HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    write.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let send = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..parts {
            tick.tick().await;
            // The server may have closed the connection meanwhile.
            let _ = write.write_all(b" ").await;
        }
        std::future::pending::<()>().await;
    };
    let answered = async {
        // The server may answer data after the end of the connection with a reset.
        let _ = read.read_to_end(&mut answer).await;
    };
    tokio::select! { () = answered => {}, () = send => {} }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let world = World::with(|settings| settings.limits.request_seconds = 1).await;
    let server = listen(world.server, &settings()).await;
    let at = server.addresses.devices;
    // One body stops in the middle. The other sends a byte per tick and would end after three
    // seconds.
    let (half, trickle) = tokio::join!(
        within_ten_seconds(answer_to_slow_body(at, 1, 2)),
        within_ten_seconds(answer_to_slow_body(at, 30, 30))
    );
    for answer in [half, trickle] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn an_unfinished_handshake_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    write_certificate(&files(&directory), 0);
    let server = start_server(|settings| {
        settings.tls = Some(files(&directory));
        settings.limits.handshake_seconds = 1;
    });
    let server = server.await;
    let mut stream = TcpStream::connect(server.addresses.devices).await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let (_, metrics) = get_text(server.addresses.operators, "/metrics").await;
    assert!(metrics.contains("regrow_ds_handshake_failures_total 1"), "{metrics}");
}

#[tokio::test]
async fn headers_that_are_too_long_are_refused() {
    let server = start_listener(hello(), Duration::ZERO, |limits| limits.header_bytes = 8 * 1024).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let long = "x".repeat(16 * 1024);
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = start_listener(hello(), Duration::ZERO, |limits| limits.connections = 1).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(REQUEST).await.unwrap();
    answer(&mut first).await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    // The server still serves the first connection, and only this one.
    first.write_all(REQUEST).await.unwrap();
    answer(&mut first).await;
    assert!(server.metrics.text().contains("regrow_ds_connections_accepted_total 1"));
    drop(first);
    assert!(answer(&mut second).await.ends_with("hello"));
}

/// Opens a connection. Returns it if the server answers, and `None` if the server closes it.
async fn connect_if_served(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have closed the connection already, so an error is ignored.
    let _ = stream.write_all(REQUEST).await;
    let mut first = [0];
    match stream.read(&mut first).await {
        Ok(1) => Some(stream),
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more() {
    let server = start_listener(hello(), Duration::ZERO, |limits| limits.connections_per_address = 2).await;
    let one = connect_if_served(server.address).await.unwrap();
    let _two = connect_if_served(server.address).await.unwrap();
    assert!(connect_if_served(server.address).await.is_none());
    let metrics = server.metrics.text();
    assert!(metrics.contains("regrow_ds_connections_refused_total 1"), "{metrics}");
    assert!(metrics.contains("regrow_ds_connections_accepted_total 2"), "{metrics}");
    // After a connection ends, a new one is allowed.
    drop(one);
    within_ten_seconds(async {
        while connect_if_served(server.address).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_has_no_connection_limit() {
    let limits = ServerLimits { connections_per_address: 1, ..ServerLimits::default() };
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None, &limits).await.unwrap();
    let listener = listener.behind(&["127.0.0.0/8".parse().unwrap()]);
    let address = listener.address().unwrap();
    tokio::spawn(listener.serve(hello(), Metrics::default(), Duration::ZERO, Shutdown::default()));
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connect_if_served(address).await.unwrap());
    }
}

/// A router that answers after `go`. It notifies `begun` when the request arrives.
fn slow(begun: &Arc<Notify>, go: &Arc<Notify>) -> Router {
    let (begun, go) = (Arc::clone(begun), Arc::clone(go));
    let wait = async move || {
        begun.notify_one();
        go.notified().await;
        "late"
    };
    Router::new().route("/", get(wait))
}

#[tokio::test]
async fn running_requests_are_answered_before_the_shutdown() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start_listener(slow(&begun, &go), Duration::from_secs(60), |_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    begun.notified().await;

    server.shutdown.begin();
    // The server accepts no new connections.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("late") && answer.contains("connection: close"), "{answer}");
    assert_eq!(server.ended.await.unwrap(), 0, "a connection was cut off");
}

#[tokio::test]
async fn slow_requests_are_cut_off_at_the_shutdown() {
    let (begun, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = start_listener(slow(&begun, &never), Duration::from_millis(50), |_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    begun.notified().await;
    server.shutdown.begin();
    assert_eq!(server.ended.await.unwrap(), 1);
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_shutdown() {
    let server = start_listener(hello(), Duration::from_secs(3_600), |_| {}).await;
    let mut used = TcpStream::connect(server.address).await.unwrap();
    used.write_all(REQUEST).await.unwrap();
    answer(&mut used).await;
    let _unused = TcpStream::connect(server.address).await.unwrap();
    server.shutdown.begin();
    assert_eq!(server.ended.await.unwrap(), 0);
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let world = World::new().await;
    let device = world.device("alice", "phone").await;
    let server = listen(world.server, &settings()).await;
    let request = format!("http://{}/v1/stream", server.addresses.devices);
    let stream = reqwest_client().get(request).bearer_auth(&device.token).send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    server.shutdown.begin();
    stream.text().await.unwrap();
    server.ended.await.unwrap();
}

#[tokio::test]
async fn operators_see_that_the_server_is_ready() {
    let server = start_server(|_| {}).await;
    let operators = server.addresses.operators;
    assert_eq!(get_text(operators, "/healthz").await, (200, "alive\n".into()));
    assert_eq!(get_text(operators, "/readyz").await, (200, "ready\n".into()));
    assert_eq!(get_text(server.addresses.devices, "/metrics").await.0, 404, "devices can read the metrics");
}

#[tokio::test]
async fn operators_see_that_the_server_is_stopping() {
    let world = World::new().await;
    let state = world.server.state();
    let router = regrow_delivery_service::server::operators::router(state);
    world.server.end_streams();
    let request =
        axum::http::Request::get("/readyz").header("host", "localhost").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let server = start_server(|_| {}).await;
    for path in ["/v1/service", "/v1/users/alice/devices", "/v1/no/such/thing"] {
        get_text(server.addresses.devices, path).await;
    }
    let (_, metrics) = get_text(server.addresses.operators, "/metrics").await;
    for line in [
        r#"regrow_ds_requests_total{method="GET",route="/v1/service",status="2xx"} 1"#,
        r#"regrow_ds_requests_total{method="GET",route="/v1/users/{user}/devices",status="4xx"} 1"#,
        r#"regrow_ds_requests_total{method="GET",route="none",status="4xx"} 1"#,
    ] {
        assert!(metrics.lines().any(|counted| counted == line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("alice"), "{metrics}");
}
