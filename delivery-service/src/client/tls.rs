//! Whose certificate the service's has to be: of the authorities that the caller names, or of those that the platform trusts.

use reqwest::ClientBuilder;
use rustls::{ClientConfig, crypto::ring};

use super::error::ConnectionError;
use crate::authorities;

/// With the authorities in that PEM and no others, or with the platform's.
pub(super) fn trust(builder: ClientBuilder, authorities: Option<&[u8]>) -> Result<ClientBuilder, ConnectionError> {
    let Some(pem) = authorities else {
        // The platform's verifier takes the process's provider. If the application has chosen one, that is it.
        let _ = ring::default_provider().install_default();
        return Ok(builder);
    };
    configured(builder, authorities::trusting(pem))
}

/// With nobody's, for a connection that is not to be encrypted.
pub(super) fn nobody(builder: ClientBuilder) -> Result<ClientBuilder, ConnectionError> {
    configured(builder, authorities::trusting_nobody())
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
