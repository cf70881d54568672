//! The delivery service, as the world calls it: the ordering code in this process, or a server over the network.
//!
//! Both give the same answers. What a scenario does to its service from inside, and what is to be the same byte for byte in every
//! run, takes the one in this process.

use regrow_delivery_service::{
    ClaimOutcome, CommitSubmission, Cursor, Delivery, DeliveryService, DeviceId, DeviceKey, Expired, GroupId,
    HandshakeMode, KeyPackageCount, Limits, Outcome, Roster, ServiceKey, SqliteStore, StoreError, Timestamp, Upload,
};

use super::{
    remote::Remote,
    fault_injection::{InjectedStore, FaultInjection},
};

/// A delivery service.
pub(super) enum Post<'s> {
    /// In this process.
    Here(DeliveryService<InjectedStore<'s>>),
    /// Somewhere else.
    There(Remote),
}

/// Calls the same method of either.
macro_rules! calls {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> Result<$answer:ty, $error:ty>;)*) => {
        impl Post<'_> {
            $($(#[$doc])*
            pub(super) fn $name(&self $(, $argument: $type)*) -> Result<$answer, $error> {
                match self {
                    Self::Here(service) => service.$name($($argument),*),
                    Self::There(service) => service.$name($($argument),*),
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
    ) -> Result<Upload, StoreError>;
    fn replace_key_packages(
        &self, device: &DeviceId, key_packages: &[Vec<u8>], last_resort: Option<&[u8]>, now: Timestamp
    ) -> Result<Upload, StoreError>;
    fn claim_key_package(
        &self, device: &DeviceId, claimer: &DeviceId, now: Timestamp
    ) -> Result<ClaimOutcome, StoreError>;
    fn expire(&self, now: Timestamp) -> Result<Expired, StoreError>;
}

impl<'s> Post<'s> {
    /// A service in this process, over a new store within surroundings.
    pub(super) fn here(fault_injection: &'s dyn FaultInjection) -> Result<Self, StoreError> {
        let store = InjectedStore::new(SqliteStore::in_memory()?, fault_injection);
        // Receipts do not matter to a scenario: its service has the same key in every one.
        let key = ServiceKey::from_seed(&[0; 32]);
        DeliveryService::open(store, Limits::default(), key).map(Self::Here)
    }

    /// The server at that address.
    pub(super) fn there(address: &str) -> Result<Self, StoreError> {
        Remote::at(address).map(Self::There)
    }

    /// Makes a device known. A server registers it when it first asks for something.
    pub(super) fn register(&self, device: &DeviceId, now: Timestamp) -> Result<(), StoreError> {
        match self {
            // Nobody opens a session in this process, so that the key does not matter.
            Self::Here(service) => service.register_device(device, DeviceKey([0; 32]), None, now).map(drop),
            Self::There(_) => Ok(()),
        }
    }

    /// Accepts a group that another user has added the device to. A device that its own user has added is not asked.
    pub(super) fn accept(&self, group: &GroupId, device: &DeviceId, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Here(service) => service.accept_invitation(group, device, now).map(drop),
            Self::There(remote) => remote.accept(group, device),
        }
    }

    /// What sets the names of this run apart from those of others at the same service. In this process there are no others.
    pub(super) fn suffix(&self) -> &str {
        match self {
            Self::Here(_) => "",
            Self::There(remote) => remote.suffix(),
        }
    }
}
