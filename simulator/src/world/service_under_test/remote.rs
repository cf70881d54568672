//! A delivery service over the network, with one connection and one session for each device.
//!
//! The server gives the same outcomes as the ordering code in this process. The server has its own
//! clock: a `wait` step advances the time of the devices only.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use regrow_delivery_service::{
    ClaimOutcome, ClaimedKeyPackage, CommitSubmission, Cursor, Delivery, DeviceId, Epoch, Expired, GroupId,
    HandshakeMode, KeyPackageCount, Outcome, RejectCode, RejectReason, Roster, ServicePublicKey, StoreError, Timestamp,
    UploadOutcome,
    api::{
        self, ClaimRequest, Code, CommitRequest, CreateGroupRequest, KeyPackagesLeft, Problem, UploadAnswer,
        UploadRequest,
    },
};
use regrow_messenger::{Connection, ConnectionError, Retry, ServiceAddress, TransportKey};
use tokio::runtime::Runtime;

/// The number of attempts for a call. A scenario may send more requests in a second than the server
/// permits a device.
const ATTEMPTS: u32 = 20;

/// A server, with the connections to it.
pub(in crate::world) struct Remote {
    runtime: Runtime,
    server: ServiceAddress,
    service: ServicePublicKey,
    suffix: String,
    connections: Mutex<BTreeMap<DeviceId, Arc<Mutex<Connection>>>>,
}

/// The server gave an answer that the protocol does not allow.
#[derive(Debug, thiserror::Error)]
#[error("the delivery service answers with {0}")]
struct Nonsense(&'static str);

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Backend(error.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked leaves a whole connection or a whole map of connections.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Connects to the server at that address.
    pub(super) fn at(address: &str) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(failed)?;
        // If the server does not answer at first, the address is probably wrong.
        let mut server = ServiceAddress { retry: Retry::never(), ..ServiceAddress::at(address) };
        let (_, service) = runtime.block_on(Connection::service(&server)).map_err(failed)?;
        server.retry = Retry { attempts: ATTEMPTS, ..Retry::default() };
        // Each run has names of its own, because the server never gives the name of a removed
        // device again.
        let random = TransportKey::generate().map_err(failed)?.public();
        let suffix = random.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { runtime, server, service, suffix, connections: Mutex::default() })
    }

    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The connection of a device. The first call registers the device.
    fn connection(&self, device: &DeviceId) -> Result<Arc<Mutex<Connection>>, StoreError> {
        if let Some(connection) = lock(&self.connections).get(device) {
            return Ok(Arc::clone(connection));
        }
        let key = TransportKey::generate().map_err(failed)?;
        let mut connection = Connection::new(&self.server, device.clone(), key, self.service).map_err(failed)?;
        self.runtime.block_on(connection.register(None)).map_err(failed)?;
        let connection = Arc::new(Mutex::new(connection));
        lock(&self.connections).insert(device.clone(), Arc::clone(&connection));
        Ok(connection)
    }

    /// Makes a call in a device's name.
    fn as_device<T>(
        &self,
        device: &DeviceId,
        call: impl AsyncFnOnce(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Result<Result<T, Problem>, StoreError> {
        let connection = self.connection(device)?;
        let result = self.runtime.block_on(call(&mut lock(&connection)));
        match result {
            Ok(answer) => Ok(Ok(answer)),
            Err(ConnectionError::Problem(problem)) => Ok(Err(*problem)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Makes a call in the name of one device after the other, until the server permits it.
    fn as_anybody<T>(
        &self,
        mut call: impl AsyncFnMut(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Result<Option<T>, StoreError> {
        let devices: Vec<_> = lock(&self.connections).keys().cloned().collect();
        for device in devices {
            match self.as_device(&device, async |connection| call(connection).await)? {
                Ok(answer) => return Ok(Some(answer)),
                Err(problem) if problem.code == Code::NotFound => {}
                Err(problem) => return Err(failed(problem)),
            }
        }
        Ok(None)
    }

    pub(super) fn create_group(
        &self,
        group: &GroupId,
        creator: &DeviceId,
        mode: HandshakeMode,
        group_info: &[u8],
        _now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let request = CreateGroupRequest { group: group.clone(), handshake: mode, group_info: group_info.into() };
        let answer = self.as_device(creator, async |connection| connection.create_group(&request).await)?;
        outcome(group, answer)
    }

    pub(super) fn submit_commit(&self, submission: &CommitSubmission, _now: Timestamp) -> Result<Outcome, StoreError> {
        let CommitSubmission { group, sender, commit, welcome, group_info, roster_change } = submission;
        let request = CommitRequest {
            commit: commit.as_slice().into(),
            welcome: welcome.as_deref().map(Into::into),
            group_info: group_info.as_deref().map(Into::into),
            added: roster_change.added.iter().cloned().collect(),
            removed: roster_change.removed.iter().cloned().collect(),
        };
        let answer = self.as_device(sender, async |connection| connection.submit_commit(group, &request).await)?;
        outcome(group, answer)
    }

    pub(super) fn submit_proposal(
        &self,
        group: &GroupId,
        sender: &DeviceId,
        proposal: &[u8],
        _now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let answer = self.as_device(sender, async |connection| connection.submit_proposal(group, proposal).await)?;
        outcome(group, answer)
    }

    pub(super) fn submit_message(
        &self,
        group: &GroupId,
        sender: &DeviceId,
        message: &[u8],
        _now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let answer = self.as_device(sender, async |connection| connection.submit_message(group, message).await)?;
        outcome(group, answer)
    }

    /// The group info, which a member fetches for a device that joins by external commit.
    pub(super) fn group_info(&self, group: &GroupId) -> Result<Option<Vec<u8>>, StoreError> {
        let info = self.as_anybody(async |connection| connection.group_info(group).await)?;
        Ok(info.map(|info| info.group_info.0))
    }

    pub(super) fn roster(&self, group: &GroupId) -> Result<Option<Roster>, StoreError> {
        let Some(state) = self.as_anybody(async |connection| connection.group(group).await)? else {
            return Ok(None);
        };
        Ok(Some(Roster { epoch: Epoch(state.epoch), devices: state.devices.into_iter().collect() }))
    }

    pub(super) fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let page =
            self.as_device(device, async |connection| connection.deliveries(after, limit, Duration::ZERO).await)?;
        let deliveries = page.map_err(failed)?.deliveries.into_iter();
        deliveries.map(|delivery| Delivery::try_from(delivery).map_err(failed)).collect()
    }

    /// Acknowledges deliveries. The answer counts the deleted entries.
    pub(super) fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
        let answer = self.as_device(device, async |connection| connection.acknowledge(up_to).await)?;
        answer.map(|acknowledged| acknowledged.deleted).map_err(failed)
    }

    pub(super) fn key_packages_left(&self, device: &DeviceId, _now: Timestamp) -> Result<KeyPackageCount, StoreError> {
        let left = self.as_device(device, async |connection| connection.key_packages_left().await)?;
        left.map(count).map_err(failed)
    }

    pub(super) fn upload_key_packages(
        &self,
        device: &DeviceId,
        key_packages: &[Vec<u8>],
        last_resort: Option<&[u8]>,
        _now: Timestamp,
    ) -> Result<UploadOutcome, StoreError> {
        let request = upload_request(key_packages, last_resort);
        uploaded(self.as_device(device, async |connection| connection.upload_key_packages(&request).await)?)
    }

    pub(super) fn replace_key_packages(
        &self,
        device: &DeviceId,
        key_packages: &[Vec<u8>],
        last_resort: Option<&[u8]>,
        _now: Timestamp,
    ) -> Result<UploadOutcome, StoreError> {
        let request = upload_request(key_packages, last_resort);
        uploaded(self.as_device(device, async |connection| connection.replace_key_packages(&request).await)?)
    }

    pub(super) fn claim_key_package(
        &self,
        device: &DeviceId,
        claimer: &DeviceId,
        _now: Timestamp,
    ) -> Result<ClaimOutcome, StoreError> {
        let request = ClaimRequest { user: device.user().clone(), device: Some(device.device().to_owned()) };
        let answer = self.as_device(claimer, async |connection| connection.claim_key_packages(&request).await)?;
        let claimed = answer.map_err(failed)?.key_packages.pop();
        Ok(claimed.map_or(ClaimOutcome::NoneLeft, |claimed| {
            ClaimOutcome::Claimed(ClaimedKeyPackage {
                bytes: claimed.key_package.0,
                last_resort: claimed.last_resort,
                left: count(claimed.left),
            })
        }))
    }

    /// Accepts the group. A device without an invitation is no failure.
    pub(super) fn accept(&self, group: &GroupId, device: &DeviceId) -> Result<(), StoreError> {
        self.as_device(device, async |connection| connection.accept_invitation(group).await).map(drop)
    }

    /// The ratchet tree for a device that joins.
    pub(super) fn ratchet_tree(
        &self,
        group: &GroupId,
        device: &DeviceId,
        epoch: Epoch,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let answer = self.as_device(device, async |connection| connection.ratchet_tree(group, epoch).await)?;
        match answer {
            Ok(tree) => Ok(Some(tree.ratchet_tree.0)),
            Err(problem) if problem.code == Code::NotFound => Ok(None),
            Err(problem) => Err(failed(problem)),
        }
    }

    /// Does nothing: the server deletes expired records by its own clock.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the local service has the same signature")]
    pub(super) fn expire(&self, _now: Timestamp) -> Result<Expired, StoreError> {
        Ok(Expired::default())
    }
}

fn upload_request(key_packages: &[Vec<u8>], last_resort: Option<&[u8]>) -> UploadRequest {
    UploadRequest {
        key_packages: key_packages.iter().map(|bytes| bytes.as_slice().into()).collect(),
        last_resort: last_resort.map(Into::into),
    }
}

fn uploaded(answer: Result<UploadAnswer, Problem>) -> Result<UploadOutcome, StoreError> {
    let answer = answer.map_err(failed)?;
    match answer.refused.is_empty() {
        true => Ok(UploadOutcome { left: count(answer.key_packages), refused: Vec::new() }),
        false => Err(failed(Nonsense("a refusal of good key packages"))),
    }
}

fn count(left: KeyPackagesLeft) -> KeyPackageCount {
    let KeyPackagesLeft { left, last_resort, last_resort_used } = left;
    KeyPackageCount { left, last_resort, last_resort_used }
}

fn outcome(group: &GroupId, answer: Result<api::Accepted, Problem>) -> Result<Outcome, StoreError> {
    let problem = match answer {
        Ok(accepted) => {
            let receipt = accepted.receipt.of(group).ok_or_else(|| failed(Nonsense("a receipt that is none")))?;
            return Ok(Outcome::Accepted(receipt));
        }
        Err(problem) => problem,
    };
    match (problem.code, problem.current_epoch, problem.reject_code()) {
        (Code::Stale, Some(epoch), _) => Ok(Outcome::Stale { current_epoch: Epoch(epoch) }),
        (Code::NotFound, ..) => Ok(Outcome::Rejected(RejectReason::NotAMember)),
        (Code::Rejected, _, Some(RejectCode::Removed)) => Ok(Outcome::Rejected(RejectReason::Removed)),
        (Code::Rejected | Code::GroupExists | Code::TooLarge | Code::LimitReached, ..) => {
            Ok(Outcome::Rejected(RejectReason::Invalid(problem.to_string())))
        }
        _ => Err(failed(problem)),
    }
}
