//! The whole server: both addresses, the certificate, the signals, and the order of the shutdown.
//!
//! At shutdown the server accepts no more connections, ends the streams, and answers the running
//! requests. After the last answer, or when the time is up, the worker makes its calls durable and
//! closes the store. A node of a cluster first gives up the store, and forwards requests until its
//! own end.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware};
use tokio::task::JoinHandle;

use super::{
    Server,
    cluster::{self, ClusterSecret, Node, SecretError},
    listener::Listener,
    log,
    metrics::Metrics,
    operators::{self, Watched},
    router,
    settings::Settings,
    shutdown::{HangUp, Shutdown},
    tls::{self, Certificate, TlsError},
};

/// The addresses of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The address for devices.
    pub devices: SocketAddr,
    /// True if the address for devices uses TLS.
    pub tls: bool,
    /// The address for operators' programs.
    pub operators: SocketAddr,
    /// The address for the other nodes of the cluster, if there is one.
    pub nodes: Option<SocketAddr>,
}

/// The reason why the server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The server cannot listen at an address.
    #[error("cannot listen at {address} (`{setting}`): {error}")]
    Address {
        /// The setting with the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The secret of the nodes cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The system does not allow the process to listen to signals.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] io::Error),
}

/// Sockets that another process, such as systemd, has opened. They stay open while one server
/// replaces another. So clients wait in between, and the system does not refuse them.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The socket for devices. It replaces `listen`.
    pub devices: Option<TcpListener>,
    /// The socket for operators' programs. It replaces `listen_operators`.
    pub operators: Option<TcpListener>,
}

/// Listens at both addresses. Clients can connect and wait, but the server accepts no connection
/// yet.
#[derive(Debug)]
pub struct Listening {
    devices: Listener,
    operators: Listener,
    nodes: Option<Listener>,
    certificate: Option<Arc<Certificate>>,
    hang_up: HangUp,
    addresses: Addresses,
    drain: Duration,
}

impl Listening {
    /// Reads the certificate and opens both addresses.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, ServeError> {
        Self::adopt(settings, Sockets::default()).await
    }

    /// Reads the certificate, takes over the given sockets, and opens the addresses of missing
    /// sockets.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn adopt(settings: &Settings, sockets: Sockets) -> Result<Self, ServeError> {
        let hang_up = HangUp::listen().map_err(ServeError::Signals)?;
        let certificate = settings.tls.as_ref().map(Certificate::load).transpose()?;
        let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
        let listen = ListenAddress { setting: "listen", address: settings.listen, socket: sockets.devices };
        let (devices, devices_at) = listen.take(tls, settings).await?;
        let devices = devices.behind(&settings.trusted_proxies);
        let (setting, address) = ("listen_operators", settings.listen_operators);
        let (operators, operators_at) =
            ListenAddress { setting, address, socket: sockets.operators }.take(None, settings).await?;
        let (nodes, nodes_at) = match &settings.cluster {
            Some(cluster) => {
                let tls = ClusterSecret::read(&cluster.secret_file)?.server_config()?;
                let (setting, address) = ("cluster.listen", cluster.listen);
                let (nodes, at) = ListenAddress { setting, address, socket: None }.take(Some(tls), settings).await?;
                (Some(nodes.for_nodes()), Some(at))
            }
            None => (None, None),
        };
        let tls = certificate.is_some();
        let addresses = Addresses { devices: devices_at, tls, operators: operators_at, nodes: nodes_at };
        let drain = Duration::from_secs(settings.drain_seconds);
        Ok(Self { devices, operators, nodes, certificate, hang_up, addresses, drain })
    }

    /// The addresses where the server listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves `server` until `shutdown` begins, and then stops the server.
    pub async fn run(self, server: Server, shutdown: Shutdown) {
        let (state, metrics) = (server.state(), server.state().metrics().clone());
        let end_streams = async {
            shutdown.begun().await;
            server.end_streams();
        };
        let operators = self.serve_devices(router(state.clone()), metrics, operators::router(state), shutdown.clone());
        let (operators, ()) = tokio::join!(operators, end_streams);
        server.stop().await;
        operators.end().await;
    }

    /// Serves as a node until `shutdown` begins. Then the node gives up the store, and stops. `part`
    /// is the task of [`Node::join`].
    pub async fn run_node(mut self, node: Node, part: JoinHandle<()>, shutdown: Shutdown) {
        let metrics = node.metrics().clone();
        let (leaving, closing) = (node.clone(), node.closing().clone());
        let nodes = self.nodes.take().map(|nodes| {
            // The metrics count only the connections of devices.
            let inside = cluster::inside_router(node.clone());
            tokio::spawn(nodes.serve(inside, Metrics::default(), self.drain, closing.clone()))
        });
        // The addresses stay open until another node owns the store. Requests of the meantime go there.
        let leave = async {
            shutdown.begun().await;
            leaving.leave();
            let _ = part.await;
            leaving.closing().begin();
        };
        let watched = operators::router(Watched::Node(node.clone()));
        let operators = self.serve_devices(cluster::router(node), metrics, watched, closing);
        let (operators, ()) = tokio::join!(operators, leave);
        if let Some(nodes) = nodes {
            let _ = nodes.await;
        }
        operators.end().await;
    }

    /// Serves devices with `app` until `shutdown` begins and the running requests have ended. The
    /// address for operators answers until the end: `/readyz` tells that the server is stopping.
    async fn serve_devices(
        self,
        app: Router,
        metrics: Metrics,
        operators_app: Router,
        shutdown: Shutdown,
    ) -> OperatorsTask {
        let Self { devices, operators, nodes: _, certificate, mut hang_up, addresses: _, drain } = self;
        let end = Shutdown::default();
        // The metrics do not count these connections: they count only connections of devices.
        let serving = operators.serve(operators_app, Metrics::default(), Duration::ZERO, end.clone());
        let operators = OperatorsTask { task: tokio::spawn(serving), end };
        let follow = async {
            match certificate {
                Some(certificate) => certificate.follow(tls::LOOK_EVERY, &metrics, hang_up, shutdown.clone()).await,
                None => loop {
                    tokio::select! {
                        () = shutdown.begun() => return,
                        () = hang_up.next() => tracing::info!("there is no certificate to read again"),
                    }
                },
            }
        };
        // This layer is the outermost one, so that it sees the answers of all other layers.
        let app = app.layer(middleware::from_fn_with_state(metrics.clone(), log::follow));
        let serve = devices.serve(app, metrics.clone(), drain, shutdown.clone());
        let (cut_off, ()) = tokio::join!(serve, follow);
        if cut_off > 0 {
            tracing::warn!(connections = cut_off, "closed connections whose requests were not answered in time");
        }
        operators
    }
}

/// The task that answers operators.
struct OperatorsTask {
    task: JoinHandle<usize>,
    end: Shutdown,
}

impl OperatorsTask {
    async fn end(self) {
        self.end.begin();
        let _ = self.task.await;
    }
}

/// An address to listen at, or a socket that listens already.
struct ListenAddress {
    setting: &'static str,
    address: SocketAddr,
    socket: Option<TcpListener>,
}

impl ListenAddress {
    async fn take(
        self,
        tls: Option<Arc<rustls::ServerConfig>>,
        settings: &Settings,
    ) -> Result<(Listener, SocketAddr), ServeError> {
        let Self { setting, address, socket } = self;
        let failed = |error| ServeError::Address { setting, address, error };
        let listener = match socket {
            Some(socket) => Listener::adopt(socket, tls, &settings.limits),
            None => Listener::bind(address, tls, &settings.limits).await,
        };
        let listener = listener.map_err(failed)?;
        let at = listener.address().map_err(failed)?;
        Ok((listener, at))
    }
}
