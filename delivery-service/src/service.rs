//! The delivery service, as its callers see it. Every call is one transaction of the store.

mod admission;
mod checker;
pub(crate) mod effect;
mod membership;
mod operators;
mod upkeep;
mod wake_up;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use regrow_crypto::DefaultCrypto;

use self::effect::Effects;
pub use self::{
    checker::{CheckedGroup, CheckedHandshake, CheckedMessage, CheckedUpload, Checker, PresentGroup},
    effect::Effect,
};
use crate::{
    Delivery, HandshakeMode,
    error::StoreError,
    handshake::{PublicGroups, wire::Frame},
    limits::Limits,
    names::{Cursor, DeviceId, Epoch, GroupId, Sequence, Timestamp},
    ordering::{
        Abort, OrderingContext, Submitted,
        commit::CommitSubmission,
        creation::{self, Creation},
        ending,
        expiry::{self, Expired},
        group,
        handout::{self, ClaimOutcome},
        key_package::{self, KeyPackageCount, UploadOutcome},
        message, reading, retention,
        rollback::{self, ReportOutcome},
        roster, service_state, trees,
    },
    outcome::{Outcome, Reply},
    receipt::{ServiceKey, ServicePublicKey},
    store::{Batch, Store, Transaction},
};

/// The roster of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The epoch of the roster.
    pub epoch: Epoch,
    /// The member devices.
    pub devices: BTreeSet<DeviceId>,
}

/// The delivery service without a network: it orders the submissions of groups, hands out key
/// packages, and routes welcomes.
///
/// Many threads may make calls; the service makes them one after the other. Each call takes the
/// current time and happens as a whole or not at all. A call returns `Err` only if the store
/// failed; a mistake of a client is in the [`Outcome`]. Calls that come at the same time become
/// durable together in a [`batch`](Self::batch).
pub struct DeliveryService<S> {
    rules: Arc<Rules>,
    store: Mutex<S>,
    effects: Effects,
}

/// The values that the service uses besides the store.
struct Rules {
    key: ServiceKey,
    limits: Limits,
    crypto: DefaultCrypto,
    /// The public groups in memory. The store has them as well.
    public_groups: PublicGroups,
}

/// The cryptography that verifies handshakes, with all ciphersuites of this build.
fn crypto() -> DefaultCrypto {
    #[cfg(feature = "post-quantum")]
    return DefaultCrypto::post_quantum(regrow_crypto::SystemRandom);
    #[cfg(not(feature = "post-quantum"))]
    DefaultCrypto::default()
}

impl<S: Store> DeliveryService<S> {
    /// Opens a service over `store`, which continues where the store stopped. A new store signs
    /// receipts with `fresh_key`, and an old one with the key that it has.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn open(mut store: S, limits: Limits, fresh_key: ServiceKey) -> Result<Self, StoreError> {
        let key = store.transaction(|tx| service_state::key(tx, fresh_key))?;
        let rules = Rules { key, limits, crypto: crypto(), public_groups: PublicGroups::default() };
        Ok(Self::over(store, Arc::new(rules), Effects::default()))
    }

    fn over(store: S, rules: Arc<Rules>, effects: Effects) -> Self {
        Self { rules, store: Mutex::new(store), effects }
    }

    fn call(&self, now: Timestamp) -> OrderingContext<'_> {
        let Rules { key, limits, crypto, .. } = &*self.rules;
        OrderingContext { key, crypto, limits, now, effects: &self.effects }
    }

    /// Returns the key that verifies the service's receipts.
    pub fn public_key(&self) -> ServicePublicKey {
        self.rules.key.public()
    }

    /// Returns the limits.
    pub fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// Makes many calls durable with one write to the disk. `work` makes the calls on the service
    /// that it receives. Each call happens as a whole or not at all, and all are durable when this
    /// returns `Ok`.
    ///
    /// # Errors
    ///
    /// The store failed. Then none of the calls has happened, whatever its outcome was.
    pub fn batch<T>(&self, work: impl FnOnce(&DeliveryService<Batch<'_>>) -> T) -> Result<T, StoreError> {
        let mut store = self.store();
        let result = store.transaction(|tx| {
            let batch = DeliveryService::over(Batch::new(tx), Arc::clone(&self.rules), Effects::collected());
            let result = work(&batch);
            batch.into_store().write()?;
            Ok(result)
        });
        // The store's lock is held until the groups are dropped.
        if result.is_err() {
            self.rules.public_groups.forget_all();
        }
        result
    }

    /// Stores key packages (RFC 9420, 10) of `device`, so that others can claim them. Each one is
    /// an MLSMessage. `last_resort` replaces the key package that is handed out when no other is
    /// left. Key packages that were uploaded before are skipped, so that a device can repeat a
    /// request whose answer was lost. A refused key package does not affect the others.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn upload_key_packages(
        &self,
        device: &DeviceId,
        key_packages: &[Vec<u8>],
        last_resort: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<UploadOutcome, StoreError> {
        let checked = self.checker().check_upload(device, key_packages.to_vec(), last_resort.map(<[u8]>::to_vec), now);
        self.upload_checked(checked, now)
    }

    /// Stores key packages like [`upload_key_packages`](Self::upload_key_packages), and withdraws
    /// all others of `device` in the same step, with the last-resort one. The service does not hand
    /// them out any more, and no commit can use one that was handed out. A device calls this when
    /// it has a new signature key, or when its keys may have been stolen.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn replace_key_packages(
        &self,
        device: &DeviceId,
        key_packages: &[Vec<u8>],
        last_resort: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<UploadOutcome, StoreError> {
        let checked = self.checker().check_upload(device, key_packages.to_vec(), last_resort.map(<[u8]>::to_vec), now);
        self.replace_checked(checked, now)
    }

    /// Hands out a key package of `device` to `claimer`: the oldest that has not expired, each one
    /// once. The last-resort one is handed out if there is no other, or if devices of the claimer's
    /// user have [as many others](Limits::max_open_claims_per_target) as they may.
    ///
    /// The claim lasts seven days. A commit that adds the device uses it up, if the claimer makes
    /// that commit or proposed the addition. If the commit is taken back, the claim can be used
    /// again.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn claim_key_package(
        &self,
        device: &DeviceId,
        claimer: &DeviceId,
        now: Timestamp,
    ) -> Result<ClaimOutcome, StoreError> {
        settle(self.store().transaction(|tx| handout::hand_out(tx, self.call(now), device, claimer)))
    }

    /// Returns the number of key packages of `device` that can still be handed out.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn key_packages_left(&self, device: &DeviceId, now: Timestamp) -> Result<KeyPackageCount, StoreError> {
        self.store().transaction(|tx| key_package::left(tx, device, now))
    }

    /// Creates a group from the group info of its epoch 0 (an MLSMessage with the ratchet tree), in
    /// which `creator` is the only member. The service verifies the group info in assisted mode,
    /// and believes it in opaque mode.
    ///
    /// The outcome is [`Outcome::Accepted`] with sequence 0 and epoch 0, also if the same creator
    /// repeats the same request. It is [`crate::RejectReason::GroupExists`] if the name is taken.
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
        let creation = Creation::verify(&self.rules.crypto, self.limits(), submitted, mode);
        self.handshake(group, now, |tx, public_groups, context| {
            creation::create(tx, public_groups, context, submitted, creation)
        })
    }

    /// Orders a commit (RFC 9420, 12.4). The service accepts a commit if and only if it was made in
    /// the group's current epoch and is valid. The group's mode limits the checks that the service
    /// can make. With an accepted commit, in one transaction, the epoch advances, the roster
    /// changes, the welcome goes to the joiners' streams, and the group info is replaced.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn submit_commit(&self, submission: &CommitSubmission, now: Timestamp) -> Result<Outcome, StoreError> {
        self.check_and_order(self.checker().check_commit(submission.clone()), now)
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
        let proposal = self.checker().check_proposal(group.clone(), sender.clone(), proposal.to_vec());
        self.check_and_order(proposal, now)
    }

    /// Orders an application message (RFC 9420, 6.3) of the current epoch. If the outcome is
    /// [`Outcome::Stale`], the sender processes the later entries and encrypts its message again.
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
        let frame = Frame::read(message, self.limits());
        self.ordered(|tx| message::submit(tx, self.call(now), submitted, frame))
    }

    /// Returns the group info of the current epoch, for an external commit (RFC 9420, 12.4.3.2).
    /// `None` if there is no such group, or if its last commit came without a group info. A holder
    /// of the group info can read the members' names in its ratchet tree.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn group_info(&self, group: &GroupId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().transaction(|tx| match group::load(tx, group)? {
            Some(record) => group::group_info(tx, group, record.epoch),
            None => Ok(None),
        })
    }

    /// Returns the ratchet tree (RFC 9420, 12.4.3.3) of a group's present epoch, or of the epoch
    /// before. It is for an external commit with a group info that does not have the tree. `None`
    /// for every other epoch, and if the service tracks no public group of this name: the group is
    /// opaque or does not exist.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn ratchet_tree(&self, group: &GroupId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().transaction(|tx| trees::ratchet_tree(tx, &self.rules.public_groups, group, epoch))
    }

    /// Returns the ratchet tree of the epoch that the device was welcomed to, for a welcome that
    /// does not have the tree. The service keeps the tree as long as the welcome, also in later
    /// epochs. `None` if the device was not welcomed to that epoch, or if the tree was sent with
    /// the welcome's group info.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn welcome_tree(
        &self,
        group: &GroupId,
        device: &DeviceId,
        epoch: Epoch,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().transaction(|tx| trees::welcome_tree(tx, group, device, epoch))
    }

    /// Returns the group's epoch and its member devices. `None` if there is no such group.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn roster(&self, group: &GroupId) -> Result<Option<Roster>, StoreError> {
        self.store().transaction(|tx| {
            let Some(record) = group::load(tx, group)? else {
                return Ok(None);
            };
            Ok(Some(Roster { epoch: record.epoch, devices: roster::members(tx, group)? }))
        })
    }

    /// Reports that `device` cannot process the last commit of the group, whose number is
    /// `sequence`. The service takes the commit back when more than [`Limits::rollback_percent`] of
    /// the asked users have reported it, and at least two. Then the group is in the epoch before
    /// the commit again, with the roster of that epoch. An entry of the log tells all members. The
    /// entries of the commit and of the proposals after it are deleted; the entries of messages
    /// stay in the log.
    ///
    /// The asked users are all users that have accepted the group, without these:
    ///
    /// - the committer's user;
    /// - the users whose devices the commit removes;
    /// - the users that the commit adds;
    /// - users that joined by themselves in the seven days before the commit;
    /// - users that an excluded user other than the committer's has added in those seven days.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn report_commit(
        &self,
        group: &GroupId,
        device: &DeviceId,
        sequence: Sequence,
        now: Timestamp,
    ) -> Result<ReportOutcome, StoreError> {
        self.handshake(group, now, |tx, public_groups, context| {
            rollback::report(tx, public_groups, context, group, device, sequence)
        })
    }

    /// Ends a group whose only member is `device`. The service deletes its log, its tree, its
    /// roster and its group info. It never gives the name again, so that two groups never have
    /// receipts under one name. The same device gets the same answer again.
    ///
    /// [`RejectReason::NotAlone`](crate::RejectReason::NotAlone) if there are other members: a
    /// commit has to remove them first.
    /// [`RejectReason::TooManyEndedGroups`](crate::RejectReason::TooManyEndedGroups) if the user
    /// has ended too many groups.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn end_group(&self, group: &GroupId, device: &DeviceId, now: Timestamp) -> Result<Reply, StoreError> {
        self.handshake(group, now, |tx, public_groups, context| {
            let reply = ending::end(tx, public_groups, context, group, device)?;
            context.effects.note(Effect::Readers(group.clone(), vec![device.clone()]));
            Ok(reply)
        })
    }

    /// Takes the effects of the accepted calls of this batch since the last call of this method.
    /// Outside a [`batch`](Self::batch) there are none.
    pub fn take_effects(&self) -> Vec<Effect> {
        self.effects.take()
    }

    /// Returns the group's epoch. `None` if there is no such group.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn epoch(&self, group: &GroupId) -> Result<Option<Epoch>, StoreError> {
        self.store().transaction(|tx| Ok(group::load(tx, group)?.map(|record| record.epoch)))
    }

    /// Returns the next entries of the device's stream: at most `limit` entries after `after`, over
    /// all of its groups, in the order in which they were accepted. A device reads each membership
    /// from the entry that added it to the entry that removed it. To read changes nothing: the same
    /// call returns the same entries again until the device has acknowledged them, or the service
    /// has deleted them.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.store().transaction(|tx| reading::read(tx, device, after, limit))
    }

    /// Acknowledges all entries up to `up_to`, which the device has processed. Deletes the entries
    /// that every reader has acknowledged, and returns their number. An acknowledgement beyond the
    /// end counts up to the end.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
        self.store().transaction(|tx| retention::acknowledge(tx, device, up_to))
    }

    /// Deletes expired records: entries and remembered outcomes after the retention time, key
    /// packages after their lifetime, and claims. Ends invitations to groups that have expired. A
    /// caller calls it from time to time. It works in small transactions, each complete in itself.
    ///
    /// # Errors
    ///
    /// The store failed. The records that earlier transactions have deleted stay deleted.
    pub fn expire(&self, now: Timestamp) -> Result<Expired, StoreError> {
        let mut expired = Expired::default();
        while self.store().transaction(|tx| expiry::expire_batch(tx, now, &mut expired))? {}
        Ok(expired)
    }

    /// Runs one transaction that may also change the public group in memory.
    fn handshake<T>(
        &self,
        group: &GroupId,
        now: Timestamp,
        work: impl FnOnce(&mut dyn Transaction, &PublicGroups, OrderingContext<'_>) -> Result<T, Abort<T>>,
    ) -> Result<T, StoreError> {
        let public_groups = &self.rules.public_groups;
        let mut store = self.store();
        let noted = self.effects.count();
        let result = store.transaction(|tx| work(tx, public_groups, self.call(now)));
        // The store's lock is held until the group is dropped.
        if matches!(result, Err(Abort::Failed(_))) {
            public_groups.forget(group);
        }
        if result.is_err() {
            self.effects.truncate(noted);
        }
        settle(result)
    }

    /// Runs one transaction whose effects count if it is accepted.
    fn ordered<T>(&self, work: impl FnOnce(&mut dyn Transaction) -> Result<T, Abort<T>>) -> Result<T, StoreError> {
        let mut store = self.store();
        let noted = self.effects.count();
        let result = store.transaction(work);
        if result.is_err() {
            self.effects.truncate(noted);
        }
        settle(result)
    }

    fn store(&self) -> MutexGuard<'_, S> {
        self.store.lock().unwrap_or_else(|poisoned| {
            // A call has panicked. Its transaction is rolled back, but a public group in memory may
            // have changed. Only the store is right.
            self.rules.public_groups.forget_all();
            self.store.clear_poison();
            poisoned.into_inner()
        })
    }

    fn into_store(self) -> S {
        let Self { store, rules, .. } = self;
        store.into_inner().unwrap_or_else(|poisoned| {
            rules.public_groups.forget_all();
            poisoned.into_inner()
        })
    }
}

fn settle<T>(result: Result<T, Abort<T>>) -> Result<T, StoreError> {
    match result {
        Ok(answer) => Ok(answer),
        Err(Abort::Answer(answer)) => Ok(*answer),
        Err(Abort::Failed(error)) => Err(error),
    }
}
