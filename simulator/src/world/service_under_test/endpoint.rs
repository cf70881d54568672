//! The place where the delivery service runs: in this process, or at a server over the network.
//!
//! Both give the same outcomes. Fault injection and reproducible transcripts need the service in
//! this process.

use std::time::Duration;

use regrow_delivery_service::{
    ClaimOutcome, CommitSubmission, Cursor, Delivery, DeviceId, DeviceKey, Epoch, Expired, GroupId, HandshakeMode,
    KeyPackageCount, Limits, Outcome, Roster, ServicePublicKey, StoreError, Timestamp, UploadOutcome,
};

#[cfg(feature = "remote")]
use super::remote::Remote;
use super::{LocalService, WrittenBytes};
use crate::{scenario::ClockJump, world::fault_injection::FaultInjection};

/// A delivery service that the world can call.
pub(in crate::world) enum Endpoint<'s> {
    /// The ordering code in this process.
    Local(LocalService<'s>),
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

/// Defines methods that call the method of the same name at either place. The time after the
/// semicolon is the devices' time; the service has a clock of its own.
macro_rules! calls {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)* $(; $now:ident)?) -> Result<$answer:ty, $error:ty>;)*) => {
        impl Endpoint<'_> {
            $(pub(in crate::world) fn $name(
                &self $(, $argument: $type)* $(, $now: Timestamp)?
            ) -> Result<$answer, $error> {
                match self {
                    Self::Local(local) => local.service.$name($($argument,)* $(local.time($now))?),
                    #[cfg(feature = "remote")]
                    Self::Remote(service) => service.$name($($argument,)* $($now)?),
                }
            })*
        }
    };
}

calls! {
    fn create_group(
        &self, group: &GroupId, creator: &DeviceId, mode: HandshakeMode, group_info: &[u8]; now
    ) -> Result<Outcome, StoreError>;
    fn submit_commit(&self, submission: &CommitSubmission; now) -> Result<Outcome, StoreError>;
    fn submit_proposal(
        &self, group: &GroupId, sender: &DeviceId, proposal: &[u8]; now
    ) -> Result<Outcome, StoreError>;
    fn submit_message(
        &self, group: &GroupId, sender: &DeviceId, message: &[u8]; now
    ) -> Result<Outcome, StoreError>;
    fn group_info(&self, group: &GroupId) -> Result<Option<Vec<u8>>, StoreError>;
    fn roster(&self, group: &GroupId) -> Result<Option<Roster>, StoreError>;
    fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError>;
    fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError>;
    fn key_packages_left(&self, device: &DeviceId; now) -> Result<KeyPackageCount, StoreError>;
    fn upload_key_packages(
        &self, device: &DeviceId, key_packages: &[Vec<u8>], last_resort: Option<&[u8]>; now
    ) -> Result<UploadOutcome, StoreError>;
    fn replace_key_packages(
        &self, device: &DeviceId, key_packages: &[Vec<u8>], last_resort: Option<&[u8]>; now
    ) -> Result<UploadOutcome, StoreError>;
    fn claim_key_package(
        &self, device: &DeviceId, claimer: &DeviceId; now
    ) -> Result<ClaimOutcome, StoreError>;
    fn expire(&self; now) -> Result<Expired, StoreError>;
}

impl<'s> Endpoint<'s> {
    /// A service in this process, over a new store with these faults.
    pub(in crate::world) fn local(
        faults: &'s dyn FaultInjection,
        retention: Option<Duration>,
    ) -> Result<Self, StoreError> {
        LocalService::new(faults, retention).map(Self::Local)
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
            Self::Local(local) => {
                local.service.register_device(device, DeviceKey([0; 32]), None, local.time(now)).map(drop)
            }
            #[cfg(feature = "remote")]
            Self::Remote(_) => Ok(()),
        }
    }

    /// Removes a device for ever, as an operator of the service can.
    pub(in crate::world) fn remove_device(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.in_this_process().ok_or_else(no_cooperation)?.service.remove_device(device).map(drop)
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
            Self::Local(local) => local.service.accept_invitation(group, device, local.time(now)).map(drop),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.accept(group, device),
        }
    }

    /// The ratchet tree for a device that joins in this epoch, if the service has the tree.
    pub(in crate::world) fn ratchet_tree(
        &self,
        group: &GroupId,
        device: &DeviceId,
        epoch: Epoch,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Local(local) => match local.service.welcome_tree(group, device, epoch)? {
                None => local.service.ratchet_tree(group, epoch),
                welcomed => Ok(welcomed),
            },
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.ratchet_tree(group, device, epoch),
        }
    }

    /// Starts to count the bytes that the service writes for a submission.
    pub(super) fn count_writes(&self) {
        match self {
            Self::Local(local) => local.counter().restart(),
            #[cfg(feature = "remote")]
            Self::Remote(_) => {}
        }
    }

    /// The bytes that the service has written since then. [`None`] for a service over the network.
    pub(super) fn written(&self) -> Option<WrittenBytes> {
        match self {
            Self::Local(local) => Some(local.written()),
            #[cfg(feature = "remote")]
            Self::Remote(_) => None,
        }
    }

    /// The suffix of all names of this run. It separates the runs at one server, and is empty in
    /// this process.
    pub(in crate::world) fn suffix(&self) -> &str {
        match self {
            Self::Local(_) => "",
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.suffix(),
        }
    }

    /// The key that verifies the receipts. [`None`] for a server, whose receipts the world does not
    /// audit.
    pub(in crate::world) fn public_key(&self) -> Option<ServicePublicKey> {
        self.in_this_process().map(|local| local.service.public_key())
    }

    /// The service's time at this time of the devices. A server keeps its own time, which nobody
    /// here knows.
    pub(in crate::world) fn time(&self, now: Timestamp) -> Timestamp {
        self.in_this_process().map_or(now, |local| local.time(now))
    }

    /// The time for which the service keeps an entry that a device has not read.
    pub(in crate::world) fn retention(&self) -> Duration {
        let default = || Duration::from_secs(Limits::default().retention_seconds);
        self.in_this_process().map_or_else(default, LocalService::retention)
    }

    /// True if the store refuses every write.
    pub(in crate::world) fn is_disk_full(&self) -> bool {
        self.in_this_process().is_some_and(LocalService::is_disk_full)
    }

    pub(in crate::world) fn set_disk_full(&mut self, full: bool) -> Result<(), StoreError> {
        self.of_this_process()?.set_disk_full(full);
        Ok(())
    }

    pub(in crate::world) fn set_retention(&mut self, time: Duration) -> Result<(), StoreError> {
        self.of_this_process()?.set_retention(time)
    }

    pub(in crate::world) fn jump(&mut self, jump: ClockJump) -> Result<(), StoreError> {
        self.of_this_process()?.jump(jump);
        Ok(())
    }

    /// Ends the process, and opens the store with a new one.
    pub(in crate::world) fn restart(&mut self) -> Result<(), StoreError> {
        self.of_this_process()?.restart()
    }

    /// Makes a call whose process dies within its transaction. [`None`] if it has died.
    pub(super) fn die_within_transaction(
        &self,
        call: impl FnOnce(&Self) -> Result<Outcome, StoreError>,
    ) -> Result<Option<Outcome>, StoreError> {
        match self.in_this_process() {
            Some(local) => local.die_within_transaction(|| call(self)),
            None => call(self).map(Some),
        }
    }

    /// A second service with the same key, over a copy of the store.
    pub(super) fn copy(&self) -> Result<Self, StoreError> {
        self.in_this_process().ok_or_else(no_cooperation)?.copy().map(Self::Local)
    }

    #[cfg_attr(not(feature = "remote"), expect(clippy::unnecessary_wraps, reason = "a server is not in this process"))]
    fn in_this_process(&self) -> Option<&LocalService<'s>> {
        match self {
            Self::Local(local) => Some(local),
            #[cfg(feature = "remote")]
            Self::Remote(_) => None,
        }
    }

    #[cfg_attr(not(feature = "remote"), expect(clippy::unnecessary_wraps, reason = "a server does not cooperate"))]
    fn of_this_process(&mut self) -> Result<&mut LocalService<'s>, StoreError> {
        match self {
            Self::Local(local) => Ok(local),
            #[cfg(feature = "remote")]
            Self::Remote(_) => Err(no_cooperation()),
        }
    }
}

/// The failure of a fault that only a service in this process can have.
fn no_cooperation() -> StoreError {
    StoreError::Backend("a server over the network cannot be told to fail; leave out --service".into())
}
