//! The service's interface as typed calls over HTTP: one method for each route.
//!
//! A connection opens a session when it needs one, and another when that has ended. It repeats
//! requests that may be repeated. It does not know the engine and does not verify the bodies of
//! responses: [`Messenger`](super::Messenger) does.

mod exchange;
mod session;

use std::time::Duration;

use reqwest::{Method, Url};

use self::{
    exchange::{Http, HttpRequest, Nothing, ResponseBody},
    session::DeviceSessions,
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

/// The address of a service, and the rules for calling it.
#[derive(Clone, Debug)]
pub struct ServiceAddress {
    /// The URL: `https://ds.example`, or `http://127.0.0.1:8765` on the same machine. Without TLS,
    /// a machine in between can hand out key packages of other devices and take over the session.
    pub address: String,
    /// The certificates (PEM) of the authorities that may certify the service. [`None`]: the
    /// authorities that the platform trusts.
    pub authorities: Option<Vec<u8>>,
    /// The rule for repeated attempts.
    pub retry: Retry,
    /// The longest time of one attempt, in addition to the wait of a long poll. Default 30 s.
    pub timeout: Duration,
}

impl ServiceAddress {
    /// The service at that URL, with the defaults.
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
    sessions: DeviceSessions,
}

impl Connection {
    /// A connection of that device to the service with that key. It sends nothing yet. `key` is the
    /// device's key.
    ///
    /// # Errors
    /// [`ConnectionError::Address`], [`ConnectionError::Certificate`].
    pub fn new(
        address: &ServiceAddress,
        device: DeviceId,
        key: TransportKey,
        service: ServicePublicKey,
    ) -> Result<Self, ConnectionError> {
        let (http, base) = client(address)?;
        let sessions = DeviceSessions::new(device, key, service);
        Ok(Self { http, base, retry: address.retry.clone(), timeout: address.timeout, sessions })
    }

    /// The same connection with one attempt for each call: the caller decides when to try again.
    pub(crate) fn without_retries(self) -> Self {
        Self { retry: Retry::never(), ..self }
    }

    /// Takes the service's time in the last response, in seconds since the Unix epoch (RFC 9110,
    /// 6.6.1).
    ///
    /// [`None`] if no response has come since the last call of this method, or the response had no
    /// time.
    pub fn take_service_time(&mut self) -> Option<Timestamp> {
        self.http.take_time()
    }

    /// Reads a service's description of itself, without a session. `GET /v1/service`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn service(address: &ServiceAddress) -> Result<(ServiceInfo, ServicePublicKey), ConnectionError> {
        let (http, base) = client(address)?;
        let request = HttpRequest::new(&base, Method::GET, &["v1", "service"], address.timeout)?;
        let info: ServiceInfo = exchange::retried(&http, &request, None, &address.retry).await?;
        let key = session::key_of(&info)?;
        Ok((info, key))
    }

    /// Registers the device with the service. A registered device with this key is a success.
    /// `POST /v1/devices`
    ///
    /// # Errors
    /// [`ConnectionError::Problem`] with [`NotAdmitted`](crate::api::Code::NotAdmitted) if the
    /// service requires another admission, or with [`DeviceExists`](crate::api::Code::DeviceExists)
    /// if another device has the name.
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
    /// [`ConnectionError`]. The session expires later.
    pub async fn end_session(&mut self) -> Result<(), ConnectionError> {
        if self.sessions.is_open() {
            let request = self.request(Method::DELETE, &["v1", "sessions", "current"])?;
            self.call::<Nothing>(request).await?;
            self.sessions.close();
        }
        Ok(())
    }

    /// Removes a device of the same user, or this one, from the service.
    /// `DELETE /v1/devices/{user}/{device}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn remove_device(&mut self, device: &DeviceId) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "devices", device.user().as_str(), device.device()])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Accepts a group that another user has added this device to.
    /// `PUT /v1/groups/{group}/membership`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn accept_invitation(&mut self, group: &GroupId) -> Result<(), ConnectionError> {
        let request = self.request(Method::PUT, &["v1", "groups", &in_path(group), "membership"])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Declines a group that another user has added this device to.
    /// `DELETE /v1/groups/{group}/membership`
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

    /// Blocks a user: the user's devices can no longer add devices of this user to groups.
    /// `PUT /v1/blocks/{user}`
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

    /// Registers an address that the service calls when an entry waits for this device while it
    /// sleeps. `PUT /v1/wake-up`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn register_wake_up(&mut self, url: &str) -> Result<(), ConnectionError> {
        let body = WakeUpRequest { url: url.to_owned() };
        let request = self.request(Method::PUT, &["v1", "wake-up"])?.with(&body)?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Deletes the wake-up address. `DELETE /v1/wake-up`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn remove_wake_up(&mut self) -> Result<(), ConnectionError> {
        let request = self.request(Method::DELETE, &["v1", "wake-up"])?;
        self.call::<Nothing>(request).await.map(drop)
    }

    /// Reads the devices of a user. `GET /v1/users/{user}/devices`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn devices(&mut self, user: &UserId) -> Result<Devices, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "users", user.as_str(), "devices"])?;
        self.call(request).await
    }

    /// Reads the list of a user's devices after the entry with that number.
    /// `GET /v1/users/{user}/device-list`
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

    /// Reads the number of key packages of this device at the service. `GET /v1/key-packages`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn key_packages_left(&mut self) -> Result<KeyPackagesLeft, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "key-packages"])?;
        self.call(request).await
    }

    /// Claims key packages of a user or device. A lost response loses them as well.
    /// `POST /v1/key-packages/claims`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn claim_key_packages(&mut self, claim: &ClaimRequest) -> Result<ClaimAnswer, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "key-packages", "claims"])?.with(claim)?;
        self.call(request).await
    }

    /// Creates a group. `POST /v1/groups`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn create_group(&mut self, group: &CreateGroupRequest) -> Result<Accepted, ConnectionError> {
        let request = self.request(Method::POST, &["v1", "groups"])?.with(group)?;
        self.call(request).await
    }

    /// Reads the state of a group at the service. `GET /v1/groups/{group}`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn group(&mut self, group: &GroupId) -> Result<GroupState, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "groups", &in_path(group)])?;
        self.call(request).await
    }

    /// Reads the group info, which an external commit needs. `GET /v1/groups/{group}/info`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn group_info(&mut self, group: &GroupId) -> Result<GroupInfo, ConnectionError> {
        let request = self.request(Method::GET, &["v1", "groups", &in_path(group), "info"])?;
        self.call(request).await
    }

    /// Reads the ratchet tree of an epoch, which a welcome or a group info without it needs.
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

    /// Reports that this device cannot process a commit. `POST /v1/groups/{group}/reports`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn report(&mut self, group: &GroupId, commit: Sequence) -> Result<ReportAnswer, ConnectionError> {
        let body = ReportRequest { sequence: commit.0 };
        let request = self.request(Method::POST, &["v1", "groups", &in_path(group), "reports"])?.with(&body)?;
        self.call(request).await
    }

    /// Reads the next entries of the stream, at most `limit`. If there is none, the service waits
    /// up to `wait` for one. `GET /v1/deliveries`
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

    /// Acknowledges all entries up to a cursor. `POST /v1/acknowledgements`
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn acknowledge(&mut self, up_to: Cursor) -> Result<Acknowledged, ConnectionError> {
        let body = AcknowledgeRequest { up_to: up_to.0 };
        let request = self.request(Method::POST, &["v1", "acknowledgements"])?.with(&body)?;
        self.call(request).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<HttpRequest, ConnectionError> {
        HttpRequest::new(&self.base, method, path, self.timeout)
    }

    /// Makes a call in this device's name.
    async fn call<T: ResponseBody>(&mut self, request: HttpRequest) -> Result<T, ConnectionError> {
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

    async fn attempt<T: ResponseBody>(&mut self, request: &HttpRequest) -> Result<T, ConnectionError> {
        let token = self.sessions.token(&self.http, &self.base, self.timeout).await?;
        exchange::once(&self.http, request, Some(&token)).await
    }
}

fn client(address: &ServiceAddress) -> Result<(Http, Url), ConnectionError> {
    let invalid = |detail: String| ConnectionError::Address { detail };
    let base = Url::parse(&address.address).map_err(|e| invalid(e.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
        return Err(invalid("it does not begin with https:// or http://".into()));
    }
    // A redirect could carry the token to another server.
    let builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(address.timeout);
    let builder = match (base.scheme(), &address.authorities) {
        // Without TLS the service is on the same machine or network: no proxy may see the request,
        // and no authority is needed.
        ("http", None) => tls::nobody(builder)?.no_proxy(),
        (_, authorities) => tls::trust(builder, authorities.as_deref())?,
    };
    let http = builder.build().map_err(|e| invalid(e.without_url().to_string()))?;
    Ok((Http::new(http), base))
}

fn in_path(group: &GroupId) -> String {
    group.to_base64url()
}
