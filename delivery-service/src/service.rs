//! The delivery service as its callers see it. Every call is one transaction of the store.

use std::{collections::BTreeSet, sync::Mutex};

use openmls_rust_crypto::RustCrypto;

use crate::{
    error::StoreError,
    handshake::Followed,
    limits::Limits,
    names::{Cursor, DeviceId, Epoch, GroupId, Timestamp},
    ordering::{
        Call, Halt, Submitted,
        commit::{self, CommitSubmission},
        expiry::{self, Expired},
        group::{self, HandshakeMode},
        key_package::{self, ClaimedKeyPackage, KeyPackageCount, UploadError},
        message, proposal,
        reading::{self, Delivery},
        roster,
    },
    outcome::Outcome,
    store::{Store, Transaction},
};

/// Who is in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The epoch that this is the roster of.
    pub epoch: Epoch,
    /// The member devices.
    pub devices: BTreeSet<DeviceId>,
}

/// Orders what groups send, hands out key packages, routes welcomes: the rules, without a network.
///
/// Calls may be made from many threads. Each takes the current time, happens as a whole or not at all, and returns
/// `Err` only if the store failed; what a client did wrong is in the [`Outcome`].
pub struct DeliveryService<S> {
    store: S,
    limits: Limits,
    crypto: RustCrypto,
    /// Locked before the store, and for the whole call, so that what is in memory is what the store has.
    followed: Mutex<Followed>,
}

impl<S: Store> DeliveryService<S> {
    /// A service over `store`, which goes on where it left off.
    pub fn new(store: S, limits: Limits) -> Self {
        Self { store, limits, crypto: RustCrypto::default(), followed: Mutex::new(Followed::new()) }
    }

    /// Stores key packages (RFC 9420, 10) of `device` for others to claim, each an MLSMessage. With `last_resort`, the
    /// one that is handed out when no other is left is replaced. Key packages that were uploaded before are left out,
    /// so that a request whose answer was lost can be made again.
    ///
    /// # Errors
    ///
    /// [`UploadError`] if any one is refused, if there are too many, or if the store failed. Then none is stored.
    pub fn upload_key_packages(
        &self,
        device: &DeviceId,
        key_packages: &[Vec<u8>],
        last_resort: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<KeyPackageCount, UploadError> {
        let call = self.call(now);
        // Verifying is slow and needs no store; what is beyond the limit is not even looked at.
        if key_packages.len() > self.limits.max_key_packages_per_device {
            return Err(UploadError::TooMany { limit: self.limits.max_key_packages_per_device });
        }
        let verify = |index, bytes, is_last_resort| {
            key_package::verify(call, device, bytes, is_last_resort)
                .map(|not_after| key_package::Verified { bytes, not_after })
                .map_err(|reason| UploadError::Refused { index, reason })
        };
        let verified = key_packages
            .iter()
            .enumerate()
            .map(|(index, bytes)| verify(index, bytes.as_slice(), false))
            .collect::<Result<Vec<_>, _>>()?;
        let last_resort = last_resort.map(|bytes| verify(key_packages.len(), bytes, true)).transpose()?;
        self.store.transaction(|tx| key_package::upload(tx, call, device, &verified, last_resort.as_ref()))
    }

    /// Hands out a key package of `device`: the oldest that has not expired, each once; the last-resort one if there is
    /// no other; `None` if there is not even that.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn claim_key_package(
        &self,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<Option<ClaimedKeyPackage>, StoreError> {
        self.store.transaction(|tx| key_package::claim(tx, device, now))
    }

    /// How many key packages of `device` can still be handed out.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn key_packages_left(&self, device: &DeviceId, now: Timestamp) -> Result<KeyPackageCount, StoreError> {
        self.store.transaction(|tx| key_package::left(tx, device, now))
    }

    /// Creates a group from the group info of its epoch 0 (an MLSMessage with the ratchet tree in it), in which
    /// `creator` is the only member. In assisted mode that is verified, in opaque mode it is believed.
    ///
    /// The answer is [`Outcome::Accepted`] with sequence 0 and epoch 0, also if the same creator makes the same request
    /// again; [`crate::RejectReason::GroupExists`] if the name is taken.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn create_group(
        &self,
        group: &GroupId,
        creator: &DeviceId,
        mode: HandshakeMode,
        group_info: &[u8],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let submitted = Submitted { group, sender: creator, bytes: group_info };
        let call = self.call(now);
        self.handshake(group, |tx, followed| group::create(tx, followed, call, submitted, mode))
    }

    /// Orders a commit (RFC 9420, 12.4): accepted if and only if it was made in the group's current epoch, and valid as
    /// far as the group's mode lets the service see. Then the epoch advances, the roster changes, the welcome goes to
    /// the joiners' streams and the group info is replaced, all at once.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn submit_commit(&self, submission: &CommitSubmission, now: Timestamp) -> Result<Outcome, StoreError> {
        let call = self.call(now);
        self.handshake(&submission.group, |tx, followed| commit::submit(tx, followed, call, submission))
    }

    /// Orders a proposal by reference (RFC 9420, 12.1) of the current epoch.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn submit_proposal(
        &self,
        group: &GroupId,
        sender: &DeviceId,
        proposal: &[u8],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let submitted = Submitted { group, sender, bytes: proposal };
        let call = self.call(now);
        self.handshake(group, |tx, followed| proposal::submit(tx, followed, call, submitted))
    }

    /// Orders an application message (RFC 9420, 6.3) of the current epoch. If the answer is [`Outcome::Stale`], the
    /// sender processes what has been ordered since and encrypts its message again.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn submit_message(
        &self,
        group: &GroupId,
        sender: &DeviceId,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let submitted = Submitted { group, sender, bytes: message };
        settle(self.store.transaction(|tx| message::submit(tx, self.call(now), submitted)))
    }

    /// The group info of the current epoch, for an external commit (RFC 9420, 12.4.3.2). `None` if there is no such
    /// group, or if its last commit came without one. Whoever has it can read the members' names in its ratchet tree.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn group_info(&self, group: &GroupId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.transaction(|tx| group::group_info(tx, group))
    }

    /// The group's epoch, and the devices that are members in it. `None` if there is no such group.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn roster(&self, group: &GroupId) -> Result<Option<Roster>, StoreError> {
        self.store.transaction(|tx| {
            let Some(record) = group::load(tx, group)? else {
                return Ok(None);
            };
            Ok(Some(Roster { epoch: record.epoch, devices: roster::members(tx, group)? }))
        })
    }

    /// The group's epoch. `None` if there is no such group.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn epoch(&self, group: &GroupId) -> Result<Option<Epoch>, StoreError> {
        self.store.transaction(|tx| Ok(group::load(tx, group)?.map(|record| record.epoch)))
    }

    /// The next entries of the device's stream: at most `limit` of those after `after`, over all of its groups, in the
    /// order in which they were accepted. A device reads each membership from the entry that added it to the entry that
    /// removed it. Reading changes nothing: the same call may return the same entries again until they are
    /// acknowledged by every reader, or gone.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.store.transaction(|tx| reading::read(tx, device, after, limit))
    }

    /// Says that the device has processed everything up to `up_to`. Entries that every reader has acknowledged are
    /// deleted; how many is returned. An acknowledgement beyond the end counts up to the end.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
        self.store.transaction(|tx| roster::acknowledge(tx, device, up_to))
    }

    /// Deletes what is past its time at `now`: entries and remembered answers past the retention time, and key packages
    /// past their lifetime. To be called now and then; works in small transactions, each complete in itself.
    ///
    /// # Errors
    ///
    /// The store failed. What the transactions before have deleted is deleted.
    pub fn expire(&self, now: Timestamp) -> Result<Expired, StoreError> {
        let mut expired = Expired::default();
        while self.store.transaction(|tx| expiry::expire_batch(tx, now, &mut expired))? {}
        Ok(expired)
    }

    fn call(&self, now: Timestamp) -> Call<'_> {
        Call { crypto: &self.crypto, limits: &self.limits, now }
    }

    /// One transaction that may change the public group in memory along with the store.
    fn handshake(
        &self,
        group: &GroupId,
        work: impl FnOnce(&mut dyn Transaction, &mut Followed) -> Result<Outcome, Halt>,
    ) -> Result<Outcome, StoreError> {
        let mut followed = self.followed.lock().unwrap_or_else(|poisoned| {
            // A panic may have left a group half-changed in memory. The store is what counts.
            let mut followed = poisoned.into_inner();
            *followed = Followed::new();
            self.followed.clear_poison();
            followed
        });
        let result = self.store.transaction(|tx| work(tx, &mut followed));
        if matches!(result, Err(Halt::Failed(_))) {
            followed.forget(group);
        }
        settle(result)
    }
}

fn settle(result: Result<Outcome, Halt>) -> Result<Outcome, StoreError> {
    match result {
        Ok(outcome) | Err(Halt::Answer(outcome)) => Ok(outcome),
        Err(Halt::Failed(error)) => Err(error),
    }
}
