//! The place where the delivery service runs: in this process, or at a server over the network.
//!
//! Both give the same outcomes. Fault injection and reproducible transcripts need the service in
//! this process.

use std::sync::Arc;

use regrow_delivery_service::{
    ClaimOutcome, CommitSubmission, Cursor, Delivery, DeliveryService, DeviceId, DeviceKey, Expired, GroupId,
    HandshakeMode, KeyPackageCount, Limits, Outcome, Roster, ServiceKey, SqliteStore, StoreError, Timestamp,
    UploadOutcome,
};

#[cfg(feature = "remote")]
use super::remote::Remote;
use super::{WriteCounter, WrittenBytes};
use crate::world::fault_injection::{FaultInjection, InjectedStore};

/// A delivery service that the world can call.
pub(in crate::world) enum Endpoint<'s> {
    /// The ordering code in this process, and the counter of its store.
    Local(DeliveryService<InjectedStore<'s>>, Arc<WriteCounter>),
    /// A server over the network.
    #[cfg(feature = "remote")]
    Remote(Remote),
}

/// A service that no scenario can use.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the delivery service at `{address}`: {error}; give the address of a running server, such as \
         http://127.0.0.1:8765, or leave --service out"
)]
pub struct UnusableService {
    address: String,
    error: StoreError,
}

/// Checks that a delivery service answers at this address.
///
/// # Errors
///
/// [`UnusableService`] if the address is wrong, if nobody answers, or if this build has no network.
pub fn check_service(address: &str) -> Result<(), UnusableService> {
    let unusable = |error| UnusableService { address: address.to_owned(), error };
    Endpoint::remote(address).map(drop).map_err(unusable)
}

/// Defines methods that call the method of the same name at either place.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> Result<$answer:ty, $error:ty>;)*) => {
        impl Endpoint<'_> {
            $($(#[$doc])*
            pub(in crate::world) fn $name(&self $(, $argument: $type)*) -> Result<$answer, $error> {
                match self {
                    Self::Local(service, _) => service.$name($($argument),*),
                    #[cfg(feature = "remote")]
                    Self::Remote(service) => service.$name($($argument),*),
                }
            })*
        }
    };
}

calls! {
    fn create_group(
        &self, group: &GroupId, creator: &DeviceId, mode: HandshakeMode, group_info: &[u8], now: Timestamp
    ) -> Result<Outcome, StoreError>;
    fn submit_commit(&self, submission: &CommitSubmission, now: Timestamp) -> Result<Outcome, StoreError>;
    fn submit_proposal(
        &self, group: &GroupId, sender: &DeviceId, proposal: &[u8], now: Timestamp
    ) -> Result<Outcome, StoreError>;
    fn submit_message(
        &self, group: &GroupId, sender: &DeviceId, message: &[u8], now: Timestamp
    ) -> Result<Outcome, StoreError>;
    fn group_info(&self, group: &GroupId) -> Result<Option<Vec<u8>>, StoreError>;
    fn roster(&self, group: &GroupId) -> Result<Option<Roster>, StoreError>;
    fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError>;
    fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError>;
    fn key_packages_left(&self, device: &DeviceId, now: Timestamp) -> Result<KeyPackageCount, StoreError>;
    fn upload_key_packages(
        &self, device: &DeviceId, key_packages: &[Vec<u8>], last_resort: Option<&[u8]>, now: Timestamp
    ) -> Result<UploadOutcome, StoreError>;
    fn replace_key_packages(
        &self, device: &DeviceId, key_packages: &[Vec<u8>], last_resort: Option<&[u8]>, now: Timestamp
    ) -> Result<UploadOutcome, StoreError>;
    fn claim_key_package(
        &self, device: &DeviceId, claimer: &DeviceId, now: Timestamp
    ) -> Result<ClaimOutcome, StoreError>;
    fn expire(&self, now: Timestamp) -> Result<Expired, StoreError>;
}

impl<'s> Endpoint<'s> {
    /// A service in this process, over a new store with these faults.
    pub(in crate::world) fn local(faults: &'s dyn FaultInjection) -> Result<Self, StoreError> {
        let counter = Arc::default();
        let store = InjectedStore::new(SqliteStore::in_memory()?, faults, Arc::clone(&counter));
        // Receipts do not matter to a scenario, so the service has the same key in each run.
        let key = ServiceKey::from_seed(&[0; 32]);
        DeliveryService::open(store, Limits::default(), key).map(|service| Self::Local(service, counter))
    }

    /// The server at that address.
    #[cfg(feature = "remote")]
    pub(in crate::world) fn remote(address: &str) -> Result<Self, StoreError> {
        Remote::at(address).map(Self::Remote)
    }

    /// Fails, because this build has no network.
    #[cfg(not(feature = "remote"))]
    pub(in crate::world) fn remote(address: &str) -> Result<Self, StoreError> {
        let detail = format!("this build cannot reach {address}; build it with the feature `remote`");
        Err(StoreError::Backend(detail.into()))
    }

    /// Registers a device. A server registers a device at its first request instead.
    pub(in crate::world) fn register(&self, device: &DeviceId, now: Timestamp) -> Result<(), StoreError> {
        match self {
            // No device opens a session in this process, so the key does not matter.
            Self::Local(service, _) => service.register_device(device, DeviceKey([0; 32]), None, now).map(drop),
            #[cfg(feature = "remote")]
            Self::Remote(_) => Ok(()),
        }
    }

    /// Accepts the group for a device that another user has added. A device that its own user has
    /// added needs no acceptance.
    pub(in crate::world) fn accept(
        &self,
        group: &GroupId,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Local(service, _) => service.accept_invitation(group, device, now).map(drop),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.accept(group, device),
        }
    }

    /// Starts to count the bytes that the service writes for a submission.
    pub(super) fn count_writes(&self) {
        match self {
            Self::Local(_, counter) => counter.restart(),
            #[cfg(feature = "remote")]
            Self::Remote(_) => {}
        }
    }

    /// The bytes that the service has written since then. [`None`] for a service over the network.
    pub(super) fn written(&self) -> Option<WrittenBytes> {
        match self {
            Self::Local(_, counter) => Some(counter.written()),
            #[cfg(feature = "remote")]
            Self::Remote(_) => None,
        }
    }

    /// The suffix of all names of this run. It separates the runs at one server, and is empty in
    /// this process.
    pub(in crate::world) fn suffix(&self) -> &str {
        match self {
            Self::Local(..) => "",
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.suffix(),
        }
    }
}
