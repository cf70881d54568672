//! CountedConnection connection: its handshake, its requests, and its end.
//!
//! A connection ends when its client does not get to a first request in time, when it takes nothing
//! of an answer for too long, and, once the server is being stopped, when no request is under way.

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

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Bytes that an HTTP/2 client may send of one body before the server has taken them.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes that an HTTP/2 client may send of all bodies of a connection before the server has taken
/// them. It is what a connection costs at the most beside the memory that is charged.
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Bytes of one answer that HTTP/2 holds back for a client whose window is shut.
const SEND_BUFFER: usize = 32 * 1024;

/// How long a connection without a request under way is kept open once the server is being stopped:
/// a request may be on its way already.
const GRACE: Duration = Duration::from_millis(500);

/// How often a connection is looked at while the server is being stopped.
const LOOK_AT_END: Duration = Duration::from_millis(50);

pub(super) fn http(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
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
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(limits.requests_per_connection)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping);
    http
}

/// A connection as its requests know it: its budget of memory, and the devices that use it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Own>);

struct Own {
    budget: Arc<Semaphore>,
    devices: ConnectionLimit<DeviceId>,
    /// The devices that have made a request here.
    seen: Mutex<Vec<CountedConnection<DeviceId>>>,
}

impl Connection {
    /// The memory that all requests of this connection may use together.
    pub(crate) fn budget(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.budget)
    }

    /// Lets a device use this connection, if it does not use too many others.
    pub(crate) fn admit(&self, device: &DeviceId) -> Result<(), TooManyConnections> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().all(|one| one.key() != device) {
            seen.push(self.0.devices.enter(device.clone())?);
        }
        Ok(())
    }
}

/// The things that every connection is made with.
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
    /// Serves a connection until it ends. CountedConnection of a trusted proxy has no budget of its own.
    pub(super) async fn connection(&self, stream: TcpStream, peer: SocketAddr, is_proxy: bool) {
        let _open = self.metrics.connection();
        // Answers are small, and nobody waits for more of them to fill a packet.
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
            // The client's bytes are not repeated: the name of a host may be among them.
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
        let (app, its) = (self.app.clone(), progress.clone());
        let own = (!is_proxy).then(|| {
            let (budget, devices) = (memory::of_connection(&self.limits), self.devices.clone());
            Connection(Arc::new(Own { budget, devices, seen: Mutex::default() }))
        });
        let service = service_fn(move |mut request: Request<Incoming>| {
            let under_way = its.request();
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(own) = &own {
                request.extensions_mut().insert(own.clone());
            }
            let (app, its) = (app.clone(), its.clone());
            async move {
                let response = app.oneshot(request.map(Body::new)).await?;
                Ok::<_, std::convert::Infallible>(its.answer(response, under_way))
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let tick = self.tick();
        let mut look = interval_at(Instant::now() + tick, tick);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Instant::now();
        let mut ending: Option<Ending> = None;
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
                    ending = Some(Ending { since: Instant::now(), told: false });
                    look = interval_at(Instant::now() + LOOK_AT_END, LOOK_AT_END);
                }
            }
            // hyper would end a connection that has asked for nothing yet, although a request may be on its way.
            if let Some(ending) = ending.as_mut().filter(|ending| !ending.told && progress.came()) {
                ending.told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    /// How often a connection is looked at: twice in the time that a client has.
    fn tick(&self) -> Duration {
        let shorter = self.limits.write_seconds.min(self.limits.header_seconds);
        (Duration::from_secs(shorter) / 2).max(Duration::from_millis(1))
    }

    /// Whether the connection is not to go on.
    fn is_over(&self, progress: &Progress, begun: Instant, ending: Option<&Ending>) -> bool {
        if progress.is_stuck(Duration::from_secs(self.limits.write_seconds)) {
            self.metrics.connection_stuck();
            tracing::debug!("a client took nothing of an answer for too long");
            return true;
        }
        // hyper waits for the first bytes for as long as it takes.
        if !progress.came() && begun.elapsed() >= Duration::from_secs(self.limits.header_seconds) {
            tracing::debug!("a connection without a request took too long");
            return true;
        }
        ending.is_some_and(|ending| progress.is_idle(ending.since, GRACE))
    }
}

/// The end of a connection because the server is being stopped.
struct Ending {
    since: Instant,
    /// Whether the client was told so.
    told: bool,
}

/// The kind of error that ended a connection. Its text may repeat what the client sent.
fn reason(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_timeout() => "it took too long",
        Some(error) if error.is_parse() => "it is not HTTP",
        Some(error) if error.is_incomplete_message() => "it ended within a request",
        Some(error) if error.is_body_write_aborted() || error.is_canceled() => "an answer broke off",
        _ => "the network failed",
    }
}
