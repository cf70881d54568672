//! TLS of the server's requests to token issuers and wake-up addresses: with named certificate
//! authorities, or with the platform's. The cryptography is AWS-LC's.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Chooses the cryptography for clients that trust the platform's authorities. Without a choice,
/// TLS cannot begin; an earlier choice is good as well.
pub(crate) fn choose_cryptography() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Returns a configuration that trusts the authorities in that PEM and no others. Fails with the
/// fault of the PEM.
pub(crate) fn trusting(pem: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem) {
        let authority = authority.map_err(|error| error.to_string())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in the PEM".into());
    }
    configured(roots)
}

fn configured(roots: RootCertStore) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
