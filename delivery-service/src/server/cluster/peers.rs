//! Connections to the owner of the store: HTTP/2 over TLS with the key of the cluster.
//!
//! One connection carries many requests. Its window has room for the windows of all of them. So a
//! client that takes no data holds up its own answer, and no other.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::body::Body;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// The most requests at a time on one connection. A lost connection interrupts no more.
pub(crate) const REQUESTS: u32 = 256;

/// The bytes of one body that a node has received and not passed on.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// The bytes of all bodies of a connection that a node has received and not passed on.
pub(crate) const CONNECTION_WINDOW: u32 = REQUESTS * STREAM_WINDOW;

/// The time for a connection and its handshakes.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The owner cannot be reached. No request has left.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("the network: {0}")]
    Network(#[from] std::io::Error),
    #[error("HTTP/2: {0}")]
    Http(#[from] hyper::Error),
    #[error("a connection takes too long")]
    Slow,
    #[error("the configuration has no name for nodes")]
    Name,
}

/// The connections of a node to the present owner.
pub(super) struct Peers {
    tls: TlsConnector,
    /// The silence after which a connection sends a ping, and the time for its answer.
    ping: Duration,
    open: Mutex<OpenConnections>,
    /// Held while a connection is made, so that requests that wait share it.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct OpenConnections {
    node: Arc<str>,
    connections: Vec<PeerConnection>,
}

struct PeerConnection {
    sender: SendRequest<Body>,
    places: Arc<Semaphore>,
}

/// A place for one request on a connection.
pub(super) struct Place {
    pub(super) sender: SendRequest<Body>,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Peers {
    pub(super) fn new(tls: Arc<ClientConfig>, lease: Duration) -> Self {
        let (open, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { tls: TlsConnector::from(tls), ping: lease / 2, open, connecting }
    }

    /// Returns a place on a connection to that node. Makes a connection if all are full.
    pub(super) async fn place(&self, node: &Arc<str>) -> Result<Place, PeerError> {
        if let Some(place) = self.free_place(node) {
            return Ok(place);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(place) = self.free_place(node) {
            return Ok(place);
        }
        let sender = timeout(CONNECT_WITHIN, self.connect(node)).await.map_err(|_| PeerError::Slow)??;
        let places = Arc::new(Semaphore::new(REQUESTS as usize));
        let permit = Arc::clone(&places).try_acquire_owned().map_err(|_| PeerError::Slow)?;
        let mut open = self.open();
        if open.node == *node {
            open.connections.push(PeerConnection { sender: sender.clone(), places });
        }
        Ok(Place { sender, permit })
    }

    fn free_place(&self, node: &Arc<str>) -> Option<Place> {
        let mut open = self.open();
        if open.node != *node {
            // Requests that are under way keep the connections to the former owner.
            *open = OpenConnections { node: Arc::clone(node), connections: Vec::new() };
        }
        open.connections.retain(|connection| !connection.sender.is_closed());
        open.connections.iter().find_map(|PeerConnection { sender, places }| {
            let permit = Arc::clone(places).try_acquire_owned().ok()?;
            Some(Place { sender: sender.clone(), permit })
        })
    }

    async fn connect(&self, node: &str) -> Result<SendRequest<Body>, PeerError> {
        let stream = TcpStream::connect(node).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("node").map_err(|_| PeerError::Name)?;
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.ping)
            .keep_alive_timeout(self.ping)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the owner of the store has ended");
            }
        });
        Ok(sender)
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
