//! The service's interface as typed calls over HTTP: one method for each route.
//!
//! A connection opens a session when it needs one, and another when that has ended; it tries again what may be tried
//! again. It does not know the engine, and believes nothing of what it is answered: that is for
//! [`Messenger`](super::Messenger).

mod exchange;
mod session;

use std::time::Duration;

use reqwest::{Method, Url};

use self::{
    exchange::{Answer, Http, Nothing, Request},
    session::Sessions,
};
use super::{error::ConnectionError, retry::Retry, tls, transport_key::TransportKey};
use crate::{
    api::{
        Accepted, AcknowledgeRequest, Acknowledged, Admission, ClaimAnswer, ClaimRequest, CommitRequest,
        CreateGroupRequest, DeliveryPage, DeviceListEntry, DeviceListHead, DeviceListPage, Devices, GroupInfo,
        GroupState, KeyPackagesLeft, MessageRequest, ProposalRequest, RatchetTree, ReportAnswer, ReportRequest,
        ServiceInfo, UploadAnswer, UploadRequest, WakeUpRequest,
    },
    names::{Cursor, DeviceId, Epoch, GroupId, Sequence, Timestamp, UserId},
    receipt::ServicePublicKey,
};

/// Where a service is, and how it is called.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address: `https://ds.example`, or `http://127.0.0.1:8765` on the same machine. Without TLS, whoever is in
    /// between can hand out other devices' key packages and take the session.
    pub address: String,
    /// The certificates (PEM) of the authorities that the service's may be of. [`None`]: those that the platform trusts.
    pub authorities: Option<Vec<u8>>,
    /// How often a call is tried.
    pub retry: Retry,
    /// How long one attempt may take, beside what a long poll waits. Default 30 s.
    pub timeout: Duration,
}

impl Server {
    /// The service at that address, with what is usual.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), authorities: None, retry: Retry::default(), timeout: Duration::from_secs(30) }
    }
}

/// One device's connection to one service.
#[derive(Debug)]
pub struct Connection {
    http: Http,
    base: Url,
    retry: Retry,
    timeout: Duration,
    sessions: Sessions,
}

impl Connection {
    /// A connection of that device, whose key this is, to a service that is known by its key. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ConnectionError::Address`], [`ConnectionError::Certificate`].
    pub fn new(
        server: &Server,
        device: DeviceId,
        key: TransportKey,
        service: ServicePublicKey,
    ) -> Result<Self, ConnectionError> {
        let (http, base) = client(server)?;
        let sessions = Sessions::new(device, key, service);
        Ok(Self { http, base, retry: server.retry.clone(), timeout: server.timeout, sessions })
    }

    /// The same connection, which tries each call once: the caller decides when to try again.
    pub(crate) fn without_retries(self) -> Self {
        Self { retry: Retry::never(), ..self }
    }

    /// The service's time in the answer that came last, in seconds since the Unix epoch (RFC 9110, 6.6.1). [`None`] if no
    /// answer has come since the last call of this method, or the answer had no time.
    pub fn take_service_time(&mut self) -> Option<Timestamp> {
        self.http.take_time()
    }

    /// What a service says of itself, asked without being anybody. `GET /v1/service`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn service(server: &Server) -> Result<(ServiceInfo, ServicePublicKey), ConnectionError> {
        let (http, base) = client(server)?;
        let request = Request::new(&base, Method::GET, &["v1", "service"], server.timeout)?;
        let info: ServiceInfo = exchange::retried(&http, &request, None, &server.retry).await?;
        let key = session::key_of(&info)?;
        Ok((info, key))
    }

    /// Makes the device known to the service. If it is already, with this key, that is as good. `POST /v1/devices`
    ///
    /// # Errors
    /// [`ConnectionError::Problem`] with [`NotAdmitted`](crate::api::Code::NotAdmitted) if the service wants another
    /// admission, or with [`DeviceExists`](crate::api::Code::DeviceExists) if another has the name.
    pub async fn register(&mut self, admission: Option<Admission>) -> Result<(), ConnectionError> {
        let mut attempt = 0;
        loop {
            let error = match self.sessions.register(&self.http, &self.base, self.timeout, admission.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(wait) = self.retry.after(attempt, &error) else { return Err(error) };
            attempt += 1;
            self.retry.pause(wait).await;
        }
    }

    /// Ends the session. `DELETE /v1/sessions/current`
    ///
    /// # Errors
    /// [`ConnectionError`]. The session ends by itself later.
    pub async fn end_session(&mut self) -> Result<(), ConnectionError> {
        if self.sessions.is_open() {
            let request = self.request(Method::DELETE, &["v1", "sessions", "current"])?;
            self.call::<Nothing>(request).await?;
            self.sessions.close();
        }
        Ok(())
    }

    /// Takes a device of the same user, or this one, from the service. `DELETE /v1/devices/{user}/{device}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn remove_device(&mut self, device: &DeviceId) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "devices", device.user().as_str(), device.device()])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Accepts a group that another user has added this device to. `PUT /v1/groups/{group}/membership`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn accept_invitation(&mut self, group: &GroupId) -> Result<(), ConnectionError> {
        let request = self.request(Method::PUT, &["v1", "groups", &in_path(group), "membership"])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Declines a group that another user has added this device to. `DELETE /v1/groups/{group}/membership`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn decline_invitation(&mut self, group: &GroupId) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "groups", &in_path(group), "membership"])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Ends a group of which this device is the only member. `DELETE /v1/groups/{group}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn end_group(&mut self, group: &GroupId) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "groups", &in_path(group)])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Blocks a user, whose devices can no longer add devices of this user to groups. `PUT /v1/blocks/{user}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn block_user(&mut self, user: &UserId) -> Result<(), ConnectionError> {
        let request = self.request(Method::PUT, &["v1", "blocks", user.as_str()])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Unblocks a user. `DELETE /v1/blocks/{user}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn unblock_user(&mut self, user: &UserId) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "blocks", user.as_str()])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Registers an address that the service calls when something waits for this device while it sleeps. `PUT /v1/wake-up`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn register_wake_up(&mut self, url: &str) -> Result<(), ConnectionError> {
        let body = WakeUpRequest { url: url.to_owned() };
        let request = self.request(Method::PUT, &["v1", "wake-up"])?.with(&body)?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Erases that address. `DELETE /v1/wake-up`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn remove_wake_up(&mut self) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "wake-up"])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// The devices of a user. `GET /v1/users/{user}/devices`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn devices(&mut self, user: &UserId) -> Result<Devices, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "users", user.as_str(), "devices"])?;
        self.call(request).await
    }

    /// The entries of a user's list of devices after the entry with that number. `GET /v1/users/{user}/device-list`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn device_list(&mut self, user: &UserId, after: u64) -> Result<DeviceListPage, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "users", user.as_str(), "device-list"])?;
        self.call(request.asking(&[("after", after)])).await
    }

    /// Appends an entry to the list of this user's devices. `POST /v1/device-list`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn append_to_device_list(&mut self, entry: &[u8]) -> Result<DeviceListHead, ConnectionError> {
        let body = DeviceListEntry { entry: entry.into() };
        let request = self.request(Method::POST, &["v1", "device-list"])?.with(&body)?;
        self.call(request).await
    }

    /// Uploads key packages. `POST /v1/key-packages`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn upload_key_packages(&mut self, upload: &UploadRequest) -> Result<UploadAnswer, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "key-packages"])?.with(upload)?;
        self.call(request).await
    }

    /// Uploads key packages, and withdraws all others of this device. `PUT /v1/key-packages`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn replace_key_packages(&mut self, upload: &UploadRequest) -> Result<UploadAnswer, ConnectionError> {
        let request = self.request(Method::PUT, &["v1", "key-packages"])?.with(upload)?;
        self.call(request).await
    }

    /// How many key packages of this device the service has. `GET /v1/key-packages`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn key_packages_left(&mut self) -> Result<KeyPackagesLeft, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "key-packages"])?;
        self.call(request).await
    }

    /// Takes key packages of somebody's. If the answer is lost, they are lost with it. `POST /v1/key-packages/claims`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn claim_key_packages(&mut self, claim: &ClaimRequest) -> Result<ClaimAnswer, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "key-packages", "claims"])?.with(claim)?;
        self.call(request).await
    }

    /// Makes a group. `POST /v1/groups`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn create_group(&mut self, group: &CreateGroupRequest) -> Result<Accepted, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "groups"])?.with(group)?;
        self.call(request).await
    }

    /// A group as the service knows it. `GET /v1/groups/{group}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn group(&mut self, group: &GroupId) -> Result<GroupState, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "groups", &in_path(group)])?;
        self.call(request).await
    }

    /// What an external commit needs. `GET /v1/groups/{group}/info`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn group_info(&mut self, group: &GroupId) -> Result<GroupInfo, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "groups", &in_path(group), "info"])?;
        self.call(request).await
    }

    /// What joining needs beside a welcome or a group info without the ratchet tree.
    /// `GET /v1/groups/{group}/trees/{epoch}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn ratchet_tree(&mut self, group: &GroupId, epoch: Epoch) -> Result<RatchetTree, ConnectionError> {
        let epoch = epoch.0.to_string();
        let request = self.request(Method::GET, &["v1", "groups", &in_path(group), "trees", &epoch])?;
        self.call(request).await
    }

    /// Submits a commit. `POST /v1/groups/{group}/commits`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn submit_commit(
        &mut self,
        group: &GroupId,
        commit: &CommitRequest,
    ) -> Result<Accepted, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "groups", &in_path(group), "commits"])?.with(commit)?;
        self.call(request).await
    }

    /// Submits a proposal. `POST /v1/groups/{group}/proposals`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn submit_proposal(&mut self, group: &GroupId, proposal: &[u8]) -> Result<Accepted, ConnectionError> {
        let body = ProposalRequest { proposal: proposal.into() };
        let request = self.request(Method::POST, &["v1", "groups", &in_path(group), "proposals"])?.with(&body)?;
        self.call(request).await
    }

    /// Submits an application message. `POST /v1/groups/{group}/messages`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn submit_message(&mut self, group: &GroupId, message: &[u8]) -> Result<Accepted, ConnectionError> {
        let body = MessageRequest { message: message.into() };
        let request = self.request(Method::POST, &["v1", "groups", &in_path(group), "messages"])?.with(&body)?;
        self.call(request).await
    }

    /// Says that this device cannot process a commit. `POST /v1/groups/{group}/reports`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn report(&mut self, group: &GroupId, commit: Sequence) -> Result<ReportAnswer, ConnectionError> {
        let body = ReportRequest { sequence: commit.0 };
        let request = self.request(Method::POST, &["v1", "groups", &in_path(group), "reports"])?.with(&body)?;
        self.call(request).await
    }

    /// The next entries of the stream, at most `limit`; if there is none, the answer waits up to `wait` for one.
    /// `GET /v1/deliveries`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn deliveries(
        &mut self,
        after: Cursor,
        limit: usize,
        wait: Duration,
    ) -> Result<DeliveryPage, ConnectionError> {
        let query = [("after", after.0), ("limit", limit as u64), ("wait", wait.as_secs())];
        let request = self.request(Method::GET, &["v1", "deliveries"])?.asking(&query).patient(wait);
        self.call(request).await
    }

    /// Says that everything up to a cursor is processed. `POST /v1/acknowledgements`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn acknowledge(&mut self, up_to: Cursor) -> Result<Acknowledged, ConnectionError> {
        let body = AcknowledgeRequest { up_to: up_to.0 };
        let request = self.request(Method::POST, &["v1", "acknowledgements"])?.with(&body)?;
        self.call(request).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<Request, ConnectionError> {
        Request::new(&self.base, method, path, self.timeout)
    }

    /// A call in this device's name.
    async fn call<T: Answer>(&mut self, request: Request) -> Result<T, ConnectionError> {
        let (mut attempt, mut renewed) = (0, false);
        loop {
            let error = match self.attempt(&request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if session::is_over(&error) && !renewed {
                self.sessions.close();
                renewed = true;
                continue;
            }
            let Some(wait) = self.retry.after(attempt, &error) else { return Err(error) };
            attempt += 1;
            self.retry.pause(wait).await;
        }
    }

    async fn attempt<T: Answer>(&mut self, request: &Request) -> Result<T, ConnectionError> {
        let token = self.sessions.token(&self.http, &self.base, self.timeout).await?;
        exchange::once(&self.http, request, Some(&token)).await
    }
}

fn client(server: &Server) -> Result<(Http, Url), ConnectionError> {
    let address = |detail: String| ConnectionError::Address { detail };
    let base = Url::parse(&server.address).map_err(|e| address(e.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
        return Err(address("it does not begin with https:// or http://".into()));
    }
    // A redirect would take the token to who knows where.
    let builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(server.timeout);
    let builder = match (base.scheme(), &server.authorities) {
        // In the clear it is the same machine or the same network: no proxy is to see it, and no authority is needed.
        ("http", None) => tls::nobody(builder)?.no_proxy(),
        (_, authorities) => tls::trust(builder, authorities.as_deref())?,
    };
    let http = builder.build().map_err(|e| address(e.without_url().to_string()))?;
    Ok((Http::new(http), base))
}

fn in_path(group: &GroupId) -> String {
    group.to_base64url()
}
