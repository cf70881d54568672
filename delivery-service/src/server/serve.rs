//! The server as a whole: both addresses, the certificate, the signals, and the order in which it all ends.
//!
//! To end: no connection is accepted any more, streams are told, requests that are under way are answered, and when the
//! last has been, or the time is up, the worker makes durable what it has taken and lets go of the store.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::middleware;

use super::{
    Server,
    listener::Listener,
    log,
    metrics::Metrics,
    operators, router,
    settings::Settings,
    shutdown::{HangUp, Shutdown},
    tls::{self, Certificate, TlsError},
};

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For devices.
    pub devices: SocketAddr,
    /// Whether they speak TLS there.
    pub tls: bool,
    /// For operators' programs.
    pub operators: SocketAddr,
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address} (`{setting}`): {error}")]
    Address {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system does not let us listen to signals.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] io::Error),
}

/// Sockets that another process has opened, such as systemd. They stay open while one server follows another, so that
/// clients wait in between and are not refused.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The socket for devices. It takes the place of `listen`.
    pub devices: Option<TcpListener>,
    /// The socket for operators' programs. It takes the place of `listen_operators`.
    pub operators: Option<TcpListener>,
}

/// Listens at both addresses. Nothing is accepted yet, but clients can connect, and wait.
#[derive(Debug)]
pub struct Listening {
    devices: Listener,
    operators: Listener,
    certificate: Option<Arc<Certificate>>,
    hang_up: HangUp,
    addresses: Addresses,
    drain: Duration,
}

impl Listening {
    /// Reads the certificate, and takes the addresses.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(settings: &Settings) -> Result<Self, ServeError> {
        Self::adopt(settings, Sockets::default()).await
    }

    /// Reads the certificate, and takes the sockets, and the addresses of those that are missing.
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
        let addresses = Addresses { devices: devices_at, tls: certificate.is_some(), operators: operators_at };
        let drain = Duration::from_secs(settings.drain_seconds);
        Ok(Self { devices, operators, certificate, hang_up, addresses, drain })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Answers for `server` until `shutdown` begins, and then ends both.
    pub async fn run(self, server: Server, shutdown: Shutdown) {
        let Self { devices, operators, certificate, mut hang_up, addresses: _, drain } = self;
        let metrics = server.state().metrics().clone();
        // Operators are answered until the very end: `/readyz` says that it is ending.
        let operators_end = Shutdown::default();
        let watched = tokio::spawn(operators.serve(
            operators::router(server.state()),
            // Not among the connections that are counted: those are devices'.
            Metrics::default(),
            Duration::ZERO,
            operators_end.clone(),
        ));
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
        let end_streams = async {
            shutdown.begun().await;
            server.end_streams();
        };
        // Outermost, so that it sees what all other layers answer.
        let app = router(server.state()).layer(middleware::from_fn_with_state(metrics.clone(), log::follow));
        let serve = devices.serve(app, metrics.clone(), drain, shutdown.clone());
        let (cut_off, (), ()) = tokio::join!(serve, follow, end_streams);
        if cut_off > 0 {
            tracing::warn!(connections = cut_off, "not every request was answered in time");
        }
        server.stop().await;
        operators_end.begin();
        let _ = watched.await;
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
