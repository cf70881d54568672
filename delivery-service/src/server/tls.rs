//! TLS 1.3 and 1.2 by rustls, with certificates that are replaced while the server runs.
//!
//! New files are taken when they fit each other. If they do not, because one is not written yet or is not PEM, the
//! certificate in use stays, and the log says why.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::time::MissedTickBehavior;

use super::{
    metrics::Metrics,
    settings::Tls,
    shutdown::{HangUp, Shutdown},
};

/// How often the files are looked at. Whoever renews certificates does it days ahead.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("cannot read the {what} in {}: {error}", .path.display())]
    File {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// The key is not the certificate's, or rustls does not know its kind.
    #[error("the certificate in {} cannot be used with the key in {}: {error}", .certificate.display(), .key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// rustls cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// The certificate that is shown to clients, and the files that it comes from.
pub struct Certificate {
    files: Tls,
    current: RwLock<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    seen: Seen,
}

/// What tells one version of the two files from another, without reading them.
type Seen = [Option<(SystemTime, u64)>; 2];

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn load(files: &Tls) -> Result<Arc<Self>, TlsError> {
        let seen = look_at(files);
        let key = read(files)?;
        Ok(Arc::new(Self { files: files.clone(), current: RwLock::new(Current { key, seen }) }))
    }

    /// Reads the files again, and uses them from the next handshake on.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used. Then the certificate stays what it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let seen = look_at(&self.files);
        let read = read(&self.files);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Also if they are not good: they are not looked at again until they have changed.
        current.seen = seen;
        current.key = read?;
        Ok(())
    }

    /// Reads the files again if they have changed. Returns whether they had.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let seen = self.current.read().unwrap_or_else(PoisonError::into_inner).seen;
        if seen == look_at(&self.files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// When it expires, in seconds since 1970. `None` if it cannot be told.
    pub fn expires(&self) -> Option<i64> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (_, certificate) = x509_parser::parse_x509_certificate(current.key.cert.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    fn count(&self, metrics: &Metrics) {
        match self.expires() {
            Some(at) => metrics.certificate_expires(at),
            None => tracing::warn!("it cannot be told when the certificate expires"),
        }
    }

    /// Follows the files until the server ends: looks at them every now and then, and reads them at SIGHUP. When the
    /// certificate expires is among the metrics.
    pub async fn follow(self: Arc<Self>, every: Duration, metrics: &Metrics, mut hang_up: HangUp, shutdown: Shutdown) {
        self.count(metrics);
        let mut look = tokio::time::interval(every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                () = shutdown.begun() => return,
                _ = look.tick() => self.reload_if_changed(),
                () = hang_up.next() => self.reload().map(|()| true),
            };
            match result {
                Ok(true) => {
                    self.count(metrics);
                    tracing::info!("the certificate was read again");
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the new certificate cannot be used, and the old one stays"),
            }
        }
    }

    /// How to accept connections with it.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

fn look_at(files: &Tls) -> Seen {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &Tls) -> Result<Arc<CertifiedKey>, TlsError> {
    let Tls { certificate, key } = files;
    let unreadable = |what, path: &PathBuf| {
        let path = path.clone();
        move |error| TlsError::File { what, path, error }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(unreadable("certificate", certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("private key", key))?;
    let provider: CryptoProvider = ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map(Arc::new).map_err(|error| TlsError::Unfit {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })
}
