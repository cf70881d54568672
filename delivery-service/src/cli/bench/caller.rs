//! A minimal client of the server, for the load of the benchmark.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{Stream, TryStreamExt as _};
use openmls::prelude::{KeyPackage, MlsMessageOut};
use regrow_delivery_service::{
    DeviceId, ServicePublicKey,
    api::{
        CBOR, Challenge, ChallengeRequest, ClaimRequest, RegisterRequest, ServiceInfo, Session, SessionRequest,
        UploadRequest, proof,
    },
};
use reqwest::{Method, header};
use serde::{Serialize, de::DeserializeOwned};

/// A registered device with an open session.
#[derive(Clone)]
pub(super) struct BenchCaller {
    http: reqwest::Client,
    address: String,
    token: String,
}

/// Makes an HTTP client that many callers share.
pub(super) fn http() -> anyhow::Result<reqwest::Client> {
    // The connection has no TLS, so the client needs no certificates.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder().pool_max_idle_per_host(usize::MAX).tcp_nodelay(true);
    Ok(builder.tls_backend_preconfigured(tls).build()?)
}

/// Encodes a body in CBOR. The caller can send it several times.
pub(super) fn encoded(body: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(body, &mut bytes).context("cannot encode a request")?;
    Ok(bytes)
}

impl BenchCaller {
    /// Registers the device with a new key and opens a session.
    pub(super) async fn register(http: &reqwest::Client, address: &str, device: &DeviceId) -> anyhow::Result<Self> {
        let mut caller = Self { http: http.clone(), address: address.to_owned(), token: String::new() };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow!("no randomness: {error}"))?;
        let key = SigningKey::from_bytes(&seed);
        let info: ServiceInfo = caller.get("/v1/service").await?;
        let service =
            info.key.0.as_slice().try_into().map(ServicePublicKey).context("the service's key has a wrong length")?;
        let public = key.verifying_key().to_bytes();

        let challenge = caller.challenge(device).await?;
        let signed = proof::registration(&service, &challenge.challenge.0, device, &public);
        let request = RegisterRequest {
            device: device.clone(),
            key: public.as_slice().into(),
            challenge: challenge.challenge,
            signature: key.sign(&signed).to_bytes().as_slice().into(),
            admission: None,
        };
        caller.send("/v1/devices", encoded(&request)?).await?;

        let challenge = caller.challenge(device).await?;
        let signed = proof::session(&service, &challenge.challenge.0, device);
        let request = SessionRequest {
            device: device.clone(),
            challenge: challenge.challenge,
            signature: key.sign(&signed).to_bytes().as_slice().into(),
        };
        let session: Session = caller.post("/v1/sessions", &request).await?;
        caller.token = session.token;
        Ok(caller)
    }

    /// The same device with another HTTP client.
    pub(super) fn on(&self, http: reqwest::Client) -> Self {
        Self { http, ..self.clone() }
    }

    async fn challenge(&self, device: &DeviceId) -> anyhow::Result<Challenge> {
        self.post("/v1/challenges", &ChallengeRequest { device: device.clone() }).await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        decoded(&self.fetch(path).await?)
    }

    /// Gets a path. Returns the encoded body of the answer.
    pub(super) async fn fetch(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut request = self.http.get(format!("{}{path}", self.address));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.header(header::ACCEPT, CBOR).send().await?;
        Ok(checked(response).await?.bytes().await?.to_vec())
    }

    /// Posts a body, and reads the answer.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        decoded(&checked(self.posted(path, encoded(body)?).await?).await?.bytes().await?)
    }

    /// Posts an encoded body. Checks only the status of the answer.
    pub(super) async fn send(&self, path: &str, body: Vec<u8>) -> anyhow::Result<()> {
        let response = self.posted(path, body).await?;
        checked(response).await?.bytes().await?;
        Ok(())
    }

    /// Makes each owner upload its key package, and claims it.
    pub(super) async fn claim(&self, owners: &[Self], key_packages: &[KeyPackage]) -> anyhow::Result<()> {
        for (owner, key_package) in owners.iter().zip(key_packages) {
            let identity = key_package.leaf_node().credential().serialized_content();
            let device = DeviceId::from_identity(identity)?;
            let bytes = MlsMessageOut::from(key_package.clone()).to_bytes()?.into();
            let upload = UploadRequest { key_packages: vec![bytes], last_resort: None };
            owner.send("/v1/key-packages", encoded(&upload)?).await?;
            let claim = ClaimRequest { user: device.user().clone(), device: Some(device.device().to_owned()) };
            self.send("/v1/key-packages/claims", encoded(&claim)?).await?;
        }
        Ok(())
    }

    async fn posted(&self, path: &str, body: Vec<u8>) -> reqwest::Result<reqwest::Response> {
        self.requested(Method::POST, path, body).await
    }

    /// Sends a request, and returns the answer with any status.
    pub(super) async fn requested(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<reqwest::Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        request.header(header::ACCEPT, CBOR).header(header::CONTENT_TYPE, CBOR).body(body).send().await
    }

    /// Opens the event stream from its beginning. The items are the raw bytes of the answer.
    pub(super) async fn stream(
        &self,
    ) -> anyhow::Result<impl Stream<Item = reqwest::Result<impl AsRef<[u8]> + use<>>> + Unpin + use<>> {
        let request = self.http.get(format!("{}/v1/stream", self.address)).bearer_auth(&self.token);
        let response = checked(request.header(header::ACCEPT, "text/event-stream").send().await?).await?;
        Ok(Box::pin(response.bytes_stream().into_stream()))
    }
}

async fn checked(response: reqwest::Response) -> anyhow::Result<reqwest::Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, body) = (response.status(), response.bytes().await.unwrap_or_default());
    Err(anyhow!("the server answers {status}: {}", String::from_utf8_lossy(&body)))
}

pub(super) fn decoded<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    ciborium::from_reader(body).context("cannot read an answer")
}
