//! Connections: they are accepted up to a limit, speak HTTP/1.1 or HTTP/2, and end when the server does.
//!
//! A connection that does not get to its first request in time is closed, whichever way it dawdles: in the handshake, in
//! the first bytes, in the headers. How long a body may take is for whoever reads it.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{
    crowd::{Crowd, Crowded},
    metrics::Metrics,
    proxies::{Network, Proxies},
    settings::ServerLimits,
    shutdown::Shutdown,
};

/// How long accepting pauses when the system has nothing left to accept with, such as file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// The most headers of one request. A browser sends about twenty.
const HEADERS: usize = 100;

/// The smallest buffer that hyper takes.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Accepts connections, and answers their requests.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ServerLimits,
    proxies: Proxies,
}

impl Listener {
    /// Listens at `address`, with TLS if there is a configuration.
    ///
    /// # Errors
    /// The system refuses the address.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &ServerLimits,
    ) -> io::Result<Self> {
        let (socket, limits) = (TcpListener::bind(address).await?, limits.clone());
        Ok(Self { socket, tls, limits, proxies: Proxies::default() })
    }

    /// The same, behind these proxies: each may have more connections than one address may.
    #[must_use]
    pub fn behind(self, proxies: &[Network]) -> Self {
        Self { proxies: Proxies::new(proxies), ..self }
    }

    /// Where it listens: with the port that the system chose, if 0 was asked for.
    ///
    /// # Errors
    /// The system does not know.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers requests with `app` until the server ends; requests that are under way then have until `drain` has passed.
    /// Every request has its [`ConnectInfo`]. Returns how many connections had to be cut off.
    pub async fn serve(self, app: Router, metrics: Metrics, drain: Duration, shutdown: Shutdown) -> usize {
        let Self { socket, tls, limits, proxies } = self;
        let connect = Connect {
            app,
            tls: tls.map(TlsAcceptor::from),
            http: http(&limits),
            header_time: Duration::from_secs(limits.header_seconds),
            handshake_time: Duration::from_secs(limits.handshake_seconds),
            metrics,
            shutdown: shutdown.clone(),
        };
        let connect = Arc::new(connect);
        let crowd = Crowd::new(limits.connections_per_address, proxies);
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&socket, &places) => accepted,
                () = shutdown.begun() => break,
            };
            match accepted {
                Ok((stream, peer, place)) => match crowd.enter(peer.ip()) {
                    Ok(one) => {
                        let connect = Arc::clone(&connect);
                        connections.spawn(async move {
                            connect.connection(stream, peer).await;
                            drop((place, one));
                        });
                    }
                    // Closed at once: to say why would take a handshake.
                    Err(Crowded) => connect.metrics.connection_refused(),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = shutdown.begun() => break,
                    }
                }
            }
            // What has ended is forgotten.
            while connections.try_join_next().is_some() {}
        }
        // New ones are refused by the system from here on.
        drop(socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, drained).await.is_ok() {
            return 0;
        }
        let cut_off = connections.len();
        connections.shutdown().await;
        cut_off
    }
}

/// The next connection, when there is a place for it. Until then clients wait in the system's queue.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, place))
}

/// Whether the error is that of a client which has gone again, and the next may well be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn http(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
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
        .max_concurrent_streams(limits.requests_per_connection)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping);
    http
}

/// What every connection is made with.
struct Connect {
    app: Router,
    tls: Option<TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    header_time: Duration,
    handshake_time: Duration,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Connect {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let _open = self.metrics.connection();
        // Answers are small, and nobody waits for more of them to fill a packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        let Some(tls) = &self.tls else {
            return self.requests(stream, peer).await;
        };
        let handshake = tokio::select! {
            handshake = timeout(self.handshake_time, tls.accept(stream)) => handshake,
            () = self.shutdown.begun() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.requests(stream, peer).await,
            // What the client sent is not repeated: there may be the name of a host in it.
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

    async fn requests(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        let came = Arc::new(AtomicBool::new(false));
        let service = {
            let (app, came) = (self.app.clone(), Arc::clone(&came));
            service_fn(move |mut request: Request<Incoming>| {
                came.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(ConnectInfo(peer));
                app.clone().oneshot(request.map(Body::new))
            })
        };
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        // hyper waits for the first bytes for as long as it takes.
        let mut first = pin!(sleep_until(Instant::now() + self.header_time));
        let mut is_waiting = true;
        let mut is_ending = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(reason = reason(&*error), "a connection ended in an error");
                    }
                    return;
                }
                () = first.as_mut(), if is_waiting => {
                    is_waiting = false;
                    if !came.load(Ordering::Relaxed) {
                        tracing::debug!("a connection without a request took too long");
                        return;
                    }
                }
                () = self.shutdown.begun(), if !is_ending => {
                    is_ending = true;
                    // One that has asked for nothing waits for nothing.
                    if !came.load(Ordering::Relaxed) {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// What kind of error ended a connection. Its text may repeat what the client sent.
fn reason(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_timeout() => "it took too long",
        Some(error) if error.is_parse() => "it is not HTTP",
        Some(error) if error.is_incomplete_message() => "it ended within a request",
        Some(error) if error.is_body_write_aborted() || error.is_canceled() => "an answer broke off",
        _ => "the network failed",
    }
}
