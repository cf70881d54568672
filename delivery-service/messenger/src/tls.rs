//! The authorities that may certify the service: those of the caller, or those that the platform
//! trusts.

use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::error::ConnectionError;

/// Trusts the authorities in that PEM and no others. Without a PEM, trusts the platform's
/// authorities.
pub(super) fn trust(builder: ClientBuilder, authorities: Option<&[u8]>) -> Result<ClientBuilder, ConnectionError> {
    let Some(pem) = authorities else {
        // The platform's verifier uses the process's provider. The application's choice has
        // precedence.
        let _ = aws_lc_rs::default_provider().install_default();
        return Ok(builder);
    };
    configured(builder, roots(pem).and_then(trusting))
}

/// Trusts no authority, for a connection without encryption.
pub(super) fn nobody(builder: ClientBuilder) -> Result<ClientBuilder, ConnectionError> {
    configured(builder, trusting(RootCertStore::empty()))
}

/// Reads the authorities in a PEM. Fails with the defect of the PEM.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem) {
        let authority = authority.map_err(|error| error.to_string())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in the PEM".into()) } else { Ok(roots) }
}

/// Trusts these authorities, with the cryptography of AWS-LC and not the process's choice.
fn trusting(roots: RootCertStore) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
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
    fn a_pem_without_a_certificate_is_refused() {
        for pem in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let built = trust(reqwest::Client::builder(), Some(pem));
            assert!(matches!(built, Err(ConnectionError::Certificate { .. })));
        }
    }
}
