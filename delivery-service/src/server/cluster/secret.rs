//! The secret that all nodes share, and TLS between the nodes.
//!
//! An Ed25519 key follows from the secret. Both ends of a connection show this key as a raw public
//! key (RFC 7250) in TLS 1.3, and accept no other. So the operator distributes one file, and needs
//! no certificates.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ed25519_dalek::SigningKey;
use hmac::Mac as _;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use sha2::{Digest as _, Sha256};

use crate::server::mac::mac;

/// The shortest secret. A reader of the database can try secrets, because the key follows from
/// the secret alone.
const SHORTEST: usize = 32;

const LABEL: &[u8] = b"Regrow cluster channel 1";

/// An Ed25519 key as PKCS #8 (RFC 8410, 7) begins with these bytes, and a public key (RFC 8410, 4)
/// with the others.
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The reason why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {} (`cluster.secret_file`): {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The secret is too short.
    #[error(
        "the secret in {} (`cluster.secret_file`) is shorter than {SHORTEST} characters; make one with \
         `openssl rand -hex 32`",
        .path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
    },
    /// The setup of rustls failed.
    #[error("TLS between nodes cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The secret of the nodes.
pub struct ClusterSecret {
    key: Arc<CertifiedKey>,
    verifier: Arc<SameKey>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSecret").field("public", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl ClusterSecret {
    /// Reads the secret from its file. White space at both ends does not count.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text =
            fs::read_to_string(path).map_err(|error| SecretError::Unreadable { path: path.to_owned(), error })?;
        let secret = text.trim();
        if secret.len() < SHORTEST {
            return Err(SecretError::TooShort { path: path.to_owned() });
        }
        Self::of(secret.as_bytes())
    }

    fn of(secret: &[u8]) -> Result<Self, SecretError> {
        let seed: [u8; 32] = mac(&Sha256::digest(secret).into(), &[LABEL]).finalize().into_bytes().into();
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let public = SubjectPublicKeyInfoDer::from([&PUBLIC_PREFIX[..], &public].concat());
        let private = PrivatePkcs8KeyDer::from([&PRIVATE_PREFIX[..], &seed].concat());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let private = provider.key_provider.load_private_key(PrivateKeyDer::from(private))?;
        let shown = CertificateDer::from(public.to_vec());
        let key = Arc::new(CertifiedKey::new(vec![shown], private));
        Ok(Self { key, verifier: Arc::new(SameKey { public, provider }) })
    }

    /// A text that shows if two nodes have the same secret. It does not reveal the secret.
    pub(super) fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.verifier.public);
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the configuration for connections of other nodes.
    ///
    /// # Errors
    /// [`SecretError::Setup`].
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, SecretError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.verifier.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::<SameKey>::clone(&self.verifier))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Returns the configuration for connections to other nodes.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, SecretError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.verifier.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<SameKey>::clone(&self.verifier))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Accepts the key of the own secret, and no other.
#[derive(Debug)]
struct SameKey {
    public: SubjectPublicKeyInfoDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl SameKey {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if shown.as_ref() == self.public.as_ref() {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify(&self, message: &[u8], signed: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &self.public, signed, algorithms)
    }
}

/// TLS 1.2 has no raw public keys.
fn only_tls13() -> rustls::Error {
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic)
}

impl ServerCertVerifier for SameKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for SameKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    fn secret(letter: char) -> ClusterSecret {
        ClusterSecret::of(letter.to_string().repeat(32).as_bytes()).expect("a secret")
    }

    /// Passes the messages of a handshake between both ends, until one of them fails.
    fn handshake(client: ClientConfig, server: &ClusterSecret) -> Result<(), rustls::Error> {
        let name = ServerName::try_from("node").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(server.server_config().expect("a configuration"))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("bytes");
            server.read_tls(&mut &bytes[..]).expect("bytes");
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).expect("bytes");
            client.read_tls(&mut &bytes[..]).expect("bytes");
            client.process_new_packets()?;
        }
        Ok(())
    }

    fn client(secret: &ClusterSecret) -> ClientConfig {
        ClientConfig::clone(&secret.client_config().expect("a configuration"))
    }

    #[test]
    fn nodes_with_the_same_secret_connect() {
        assert_eq!(handshake(client(&secret('a')), &secret('a')), Ok(()));
    }

    #[test]
    fn other_secrets_and_clients_without_one_are_refused() {
        assert!(handshake(client(&secret('a')), &secret('b')).is_err());
        // A client that accepts every node, but cannot show the key.
        let (own, other) = (secret('a'), secret('b'));
        let provider = || ClientConfig::builder_with_provider(Arc::clone(&own.verifier.provider));
        let builder = || {
            let builder = provider().with_protocol_versions(&[&TLS13]).expect("a version");
            builder.dangerous().with_custom_certificate_verifier(Arc::<SameKey>::clone(&own.verifier))
        };
        let foreign = Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&other.key)));
        assert!(handshake(builder().with_client_cert_resolver(foreign), &own).is_err());
        assert!(handshake(builder().with_no_client_auth(), &own).is_err());
    }

    #[test]
    fn no_output_contains_the_secret() {
        assert!(!format!("{:?}", secret('a')).contains("aaaa"));
    }
}
