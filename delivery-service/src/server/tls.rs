//! TLS 1.3 and 1.2 by rustls, with certificates that the server replaces while it runs.
//!
//! The server takes new files if they fit each other. They do not fit if one is not written yet or
//! is not PEM. Then the certificate in use stays, and the log gives the reason.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
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

/// The pause between two checks of the files. Operators renew certificates days before they expire.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The reason why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server cannot read a file, or the file is not PEM.
    #[error("cannot read the {what} in {}: {error}", .path.display())]
    File {
        /// The kind of the file: certificate or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        error: rustls::pki_types::pem::Error,
    },
    /// The key does not belong to the certificate, or rustls does not support its kind.
    #[error("the certificate in {} cannot be used with the key in {}: {error}", .certificate.display(), .key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls.
        error: rustls::Error,
    },
    /// The setup of rustls failed.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// The certificate for clients, and its files.
pub struct Certificate {
    files: Tls,
    current: RwLock<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    versions: FileVersions,
}

/// The modification times and sizes of the two files. They show a change without a read.
type FileVersions = [Option<(SystemTime, u64)>; 2];

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used.
    pub fn load(files: &Tls) -> Result<Arc<Self>, TlsError> {
        let versions = versions_of(files);
        let key = read(files)?;
        Ok(Arc::new(Self { files: files.clone(), current: RwLock::new(Current { key, versions }) }))
    }

    /// Reads the files again, and uses them from the next handshake on.
    ///
    /// # Errors
    /// [`TlsError`] if the files cannot be used. Then the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let versions = versions_of(&self.files);
        let read = read(&self.files);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // The versions are noted even for invalid files: the server reads them again only after
        // another change.
        current.versions = versions;
        current.key = read?;
        Ok(())
    }

    /// Reads the files again if they have changed. Returns true if they have changed.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let versions = self.current.read().unwrap_or_else(PoisonError::into_inner).versions;
        if versions == versions_of(&self.files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Returns the expiry of the certificate in seconds since 1970, or `None` if it cannot be read.
    pub fn expires(&self) -> Option<i64> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (_, certificate) = x509_parser::parse_x509_certificate(current.key.cert.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    fn count(&self, metrics: &Metrics) {
        match self.expires() {
            Some(at) => metrics.certificate_expires(at),
            None => tracing::warn!("cannot read the expiry of the certificate"),
        }
    }

    /// Keeps the certificate up to date until the server ends: checks the files at the interval
    /// `every`, and reads them at SIGHUP. Puts the expiry of the certificate into the metrics.
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
                Err(error) => tracing::error!(%error, "cannot use the new certificate; the old one stays in use"),
            }
        }
    }

    /// Returns the TLS configuration with this certificate.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
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

fn versions_of(files: &Tls) -> FileVersions {
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
    let provider: CryptoProvider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map(Arc::new).map_err(|error| TlsError::Unfit {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })
}
