//! The listener: it accepts connections up to a limit until the server ends. The module
//! `connection` serves each of them.

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
    cluster::peers,
    connection::{Connect, Windows, http},
    connection_limits::{ConnectionLimit, TooManyConnections},
    metrics::Metrics,
    proxies::{Network, Proxies},
    rates::block_of,
    settings::ServerLimits,
    shutdown::Shutdown,
};

/// The pause after the system has no resources for another connection, such as file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Accepts connections and answers their requests.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: ServerLimits,
    proxies: Proxies,
    windows: Windows,
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
        let (limits, proxies) = (limits.clone(), Proxies::default());
        Self { socket, tls, limits, proxies, windows: Windows::OF_DEVICES }
    }

    /// Sets the trusted proxies. The limit of connections of one address does not apply to them.
    #[must_use]
    pub fn behind(self, proxies: &[Network]) -> Self {
        Self { proxies: Proxies::new(proxies), ..self }
    }

    /// Prepares the listener for the connections of other nodes, which TLS admits. Each connection
    /// carries requests of many clients.
    #[must_use]
    pub fn for_nodes(self) -> Self {
        let mut limits = self.limits;
        limits.requests_per_connection = peers::REQUESTS;
        // One slow client must not end the requests of all. The other node ends its own.
        limits.write_seconds = u64::MAX;
        let (stream, connection) = (peers::STREAM_WINDOW, peers::CONNECTION_WINDOW);
        let windows = Windows { stream, connection, resets: peers::REQUESTS as usize };
        Self { limits, proxies: Proxies::new(&Network::everything()), windows, ..self }
    }

    /// The address of the listener. If the caller asked for port 0, it contains the port that the
    /// system chose.
    ///
    /// # Errors
    /// The system does not know the address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers requests with `app` until the server ends. Then the running requests have the time
    /// `drain` to finish. Each request carries the address of its peer. Returns the number of
    /// connections that the server had to cut off.
    pub async fn serve(self, app: Router, metrics: Metrics, drain: Duration, shutdown: Shutdown) -> usize {
        let Self { socket, tls, limits, proxies, windows } = self;
        let connect = Connect {
            app,
            tls: tls.map(TlsAcceptor::from),
            http: http(&limits, windows),
            limits: limits.clone(),
            devices: ConnectionLimit::new(limits.connections_per_device),
            metrics,
            shutdown: shutdown.clone(),
        };
        let connect = Arc::new(connect);
        let per_address = ConnectionLimit::new(limits.connections_per_address);
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
                    let counted = if is_proxy { None } else { Some(per_address.enter(block_of(peer.ip()))) };
                    match counted.transpose() {
                        Ok(counted) => {
                            let connect = Arc::clone(&connect);
                            connections.spawn(async move {
                                connect.connection(stream, peer, is_proxy).await;
                                drop((place, counted));
                            });
                        }
                        // The server closes the connection at once: an answer would need a TLS
                        // handshake.
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
            // The set forgets the connections that have ended.
            while connections.try_join_next().is_some() {}
        }
        // From now on the system refuses new connections.
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

/// Returns the next connection as soon as there is a place for it. Until then clients wait in the
/// queue of the system.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, place))
}

/// True if the error concerns only one client, which has disconnected already. The next call may
/// succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
