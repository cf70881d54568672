//! Whose certificate the service's has to be: of the authorities that the caller names, or of those that the platform trusts.

use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::error::ConnectionError;

/// With the authorities in that PEM and no others, or with the platform's.
pub(super) fn trust(builder: ClientBuilder, authorities: Option<&[u8]>) -> Result<ClientBuilder, ConnectionError> {
    let Some(pem) = authorities else {
        // The platform's verifier takes the process's provider. If the application has chosen one, that is it.
        let _ = ring::default_provider().install_default();
        return Ok(builder);
    };
    configured(builder, roots(pem).and_then(trusting))
}

/// With nobody's, for a connection that is not to be encrypted.
pub(super) fn nobody(builder: ClientBuilder) -> Result<ClientBuilder, ConnectionError> {
    configured(builder, trusting(RootCertStore::empty()))
}

/// The authorities in a PEM. Fails with what is wrong with it.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem) {
        let authority = authority.map_err(|error| error.to_string())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in the PEM".into()) } else { Ok(roots) }
}

/// With these authorities, and with the cryptography of ring, whatever the process has chosen.
fn trusting(roots: RootCertStore) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn configured(builder: ClientBuilder, config: Result<ClientConfig, String>) -> Result<ClientBuilder, ConnectionError> {
    let config = config.map_err(|detail| ConnectionError::Certificate { detail })?;
    Ok(builder.tls_backend_preconfigured(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let built = trust(reqwest::Client::builder(), Some(pem));
            assert!(matches!(built, Err(ConnectionError::Certificate { .. })));
        }
    }
}
