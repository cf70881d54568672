//! The listener: it accepts connections up to a limit, until the server ends. What becomes of each is
//! in `connection`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::{Connect, http},
    connection_limits::{ConnectionLimit, TooManyConnections},
    metrics::Metrics,
    proxies::{Network, Proxies},
    rates::block_of,
    settings::ServerLimits,
    shutdown::Shutdown,
};

/// How long accepting pauses when the system has nothing left to accept with, such as file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

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
        Ok(Self::over(TcpListener::bind(address).await?, tls, limits))
    }

    /// Listens at a socket that another process has opened.
    ///
    /// # Errors
    /// The system refuses the socket.
    pub fn adopt(
        socket: std::net::TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &ServerLimits,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::over(TcpListener::from_std(socket)?, tls, limits))
    }

    fn over(socket: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, limits: &ServerLimits) -> Self {
        Self { socket, tls, limits: limits.clone(), proxies: Proxies::default() }
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
    /// Every request has the address that it comes from. Returns how many connections had to be cut off.
    pub async fn serve(self, app: Router, metrics: Metrics, drain: Duration, shutdown: Shutdown) -> usize {
        let Self { socket, tls, limits, proxies } = self;
        let connect = Connect {
            app,
            tls: tls.map(TlsAcceptor::from),
            http: http(&limits),
            limits: limits.clone(),
            devices: ConnectionLimit::new(limits.connections_per_device),
            metrics,
            shutdown: shutdown.clone(),
        };
        let connect = Arc::new(connect);
        let connection_limits = ConnectionLimit::new(limits.connections_per_address);
        let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&socket, &places) => accepted,
                () = shutdown.begun() => break,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let is_proxy = proxies.trust(peer.ip());
                    let one = if is_proxy { None } else { Some(connection_limits.enter(block_of(peer.ip()))) };
                    match one.transpose() {
                        Ok(one) => {
                            let connect = Arc::clone(&connect);
                            connections.spawn(async move {
                                connect.connection(stream, peer, is_proxy).await;
                                drop((place, one));
                            });
                        }
                        // Closed at once: to say why would take a handshake.
                        Err(TooManyConnections) => connect.metrics.connection_refused(),
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = shutdown.begun() => break,
                    }
                }
            }
            // Connections that have ended are forgotten.
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
