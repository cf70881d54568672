//! One connection: its handshake, its requests and its end.
//!
//! The server ends a connection in three cases: the client does not send a first request in time;
//! the client takes nothing of an answer for too long; or the server is stopping and no request is
//! open.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{
    connection_limits::{ConnectionLimit, CountedConnection, TooManyConnections},
    memory,
    metrics::Metrics,
    progress::{Progress, Watched},
    settings::ServerLimits,
    shutdown::Shutdown,
};
use crate::names::DeviceId;

/// The most headers of one request. A browser sends about twenty.
const HEADERS: usize = 100;

/// The smallest buffer that hyper accepts.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// The bytes that an HTTP/2 client may send of one body before the server has taken them.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The bytes that an HTTP/2 client may send of all bodies of a connection before the server has
/// taken them. A connection costs at most this much beside the charged memory.
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// The requests of a device's connection that may end before they have begun.
const RESETS: usize = 20;

/// The bytes of one answer that HTTP/2 buffers for a client whose window is shut.
const SEND_BUFFER: usize = 32 * 1024;

/// The time for which the server keeps an idle connection open while it is stopping. A request may
/// be on its way already.
const GRACE: Duration = Duration::from_millis(500);

/// The pause between two checks of a connection while the server is stopping.
const LOOK_AT_END: Duration = Duration::from_millis(50);

/// The bytes that an HTTP/2 client may send before the server has taken them, and the requests that
/// it may end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// The bytes of one body.
    pub(super) stream: u32,
    /// The bytes of all bodies of a connection.
    pub(super) connection: u32,
    /// The requests that the client has ended before the server has begun them. A client with more
    /// loses its connection (CVE-2023-44487).
    pub(super) resets: usize,
}

impl Windows {
    /// The windows of devices.
    pub(super) const OF_DEVICES: Self = Self { stream: STREAM_WINDOW, connection: CONNECTION_WINDOW, resets: RESETS };
}

pub(super) fn http(limits: &ServerLimits, windows: Windows) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    let ping = Duration::from_secs(limits.ping_seconds);
    let header_bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX).max(SMALLEST_BUFFER);
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_seconds))
        .max_headers(HEADERS)
        .max_buf_size(header_bytes);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(windows.resets)
        .max_concurrent_streams(limits.requests_per_connection)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping);
    http
}

/// A connection as its requests see it: its memory budget and the devices that use it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<ConnectionState>);

struct ConnectionState {
    budget: Arc<Semaphore>,
    devices: ConnectionLimit<DeviceId>,
    /// The devices that have sent a request on this connection.
    seen: Mutex<Vec<CountedConnection<DeviceId>>>,
}

impl Connection {
    /// The memory budget that all requests of this connection share.
    pub(crate) fn budget(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.budget)
    }

    /// Lets a device use this connection. Fails if the device already uses too many other
    /// connections.
    pub(crate) fn admit(&self, device: &DeviceId) -> Result<(), TooManyConnections> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().all(|one| one.key() != device) {
            seen.push(self.0.devices.enter(device.clone())?);
        }
        Ok(())
    }
}

/// The parts that every connection needs.
pub(super) struct Connect {
    pub(super) app: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) limits: ServerLimits,
    pub(super) devices: ConnectionLimit<DeviceId>,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
}

impl Connect {
    /// Serves a connection until it ends. A connection of a trusted proxy has no budget of its own.
    pub(super) async fn connection(&self, stream: TcpStream, peer: SocketAddr, is_proxy: bool) {
        let _open = self.metrics.connection();
        // Answers are small, so the server sends each packet at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        let progress = Progress::default();
        let stream = Watched::new(stream, progress.clone());
        let Some(tls) = &self.tls else {
            return self.requests(stream, peer, is_proxy, progress).await;
        };
        let handshake_time = Duration::from_secs(self.limits.handshake_seconds);
        let handshake = tokio::select! {
            handshake = timeout(handshake_time, tls.accept(stream)) => handshake,
            () = self.shutdown.begun() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.requests(stream, peer, is_proxy, progress).await,
            // The log does not repeat bytes of the client: they may contain the name of a host.
            Ok(Err(error)) => {
                self.metrics.handshake_failed();
                tracing::debug!(kind = %error.kind(), "a TLS handshake failed");
            }
            Err(_) => {
                self.metrics.handshake_failed();
                tracing::debug!("a TLS handshake took too long");
            }
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        is_proxy: bool,
        progress: Progress,
    ) {
        let (app, requests) = (self.app.clone(), progress.clone());
        let connection_state = (!is_proxy).then(|| {
            let (budget, devices) = (memory::of_connection(&self.limits), self.devices.clone());
            Connection(Arc::new(ConnectionState { budget, devices, seen: Mutex::default() }))
        });
        let service = service_fn(move |mut request: Request<Incoming>| {
            let open_request = requests.request();
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(state) = &connection_state {
                request.extensions_mut().insert(state.clone());
            }
            let (app, requests) = (app.clone(), requests.clone());
            async move {
                let response = app.oneshot(request.map(Body::new)).await?;
                Ok::<_, std::convert::Infallible>(requests.answer(response, open_request))
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let tick = self.tick();
        let mut look = interval_at(Instant::now() + tick, tick);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Instant::now();
        let mut ending: Option<ConnectionEnd> = None;
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(reason = reason(&*error), "a connection ended in an error");
                    }
                    return;
                }
                _ = look.tick() => {
                    if self.is_over(&progress, begun, ending.as_ref()) {
                        return;
                    }
                }
                () = self.shutdown.begun(), if ending.is_none() => {
                    ending = Some(ConnectionEnd { since: Instant::now(), told: false });
                    look = interval_at(Instant::now() + LOOK_AT_END, LOOK_AT_END);
                }
            }
            // hyper would end a connection without any request at once, although a request may be
            // on its way.
            if let Some(ending) = ending.as_mut().filter(|ending| !ending.told && progress.had_request()) {
                ending.told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    /// The pause between two checks of a connection: half of the time that a client has.
    fn tick(&self) -> Duration {
        let shorter = self.limits.write_seconds.min(self.limits.header_seconds);
        (Duration::from_secs(shorter) / 2).max(Duration::from_millis(1))
    }

    /// True if the server has to close the connection.
    fn is_over(&self, progress: &Progress, begun: Instant, ending: Option<&ConnectionEnd>) -> bool {
        if progress.is_stuck(Duration::from_secs(self.limits.write_seconds)) {
            self.metrics.connection_stuck();
            tracing::debug!("a client took nothing of an answer for too long");
            return true;
        }
        // hyper itself waits for the first bytes without a limit.
        if !progress.had_request() && begun.elapsed() >= Duration::from_secs(self.limits.header_seconds) {
            tracing::debug!("a connection without a request took too long");
            return true;
        }
        ending.is_some_and(|ending| progress.is_idle(ending.since, GRACE))
    }
}

/// The end of a connection because the server is stopping.
struct ConnectionEnd {
    since: Instant,
    /// True if the server has told the client.
    told: bool,
}

/// Returns the kind of error that ended a connection. The text of the error may repeat bytes of the
/// client.
fn reason(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_timeout() => "it took too long",
        Some(error) if error.is_parse() => "it is not HTTP",
        Some(error) if error.is_incomplete_message() => "it ended within a request",
        Some(error) if error.is_body_write_aborted() || error.is_canceled() => "an answer broke off",
        _ => "the network failed",
    }
}
