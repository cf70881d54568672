//! The delivery service as its callers see it. Every call is one transaction of the store.

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

use openmls_rust_crypto::RustCrypto;

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
/// Calls may be made from many threads, and happen one after the other. Each takes the current time, happens as a whole or not at all, and returns
/// `Err` only if the store failed; what a client did wrong is in the [`Outcome`]. Calls that come at the same time are
/// made durable together by [`batch`](Self::batch).
pub struct DeliveryService<S> {
    rules: Arc<Rules>,
    store: Mutex<S>,
    effects: Effects,
}

/// What it works with beside the store.
struct Rules {
    key: ServiceKey,
    limits: Limits,
    crypto: RustCrypto,
    /// What is stored of public groups, and is in memory as well.
    public_groups: PublicGroups,
}

impl<S: Store> DeliveryService<S> {
    /// A service over `store`, which goes on where it left off. A new one signs its receipts with `fresh_key`, an old
    /// one with the key that it has.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn open(mut store: S, limits: Limits, fresh_key: ServiceKey) -> Result<Self, StoreError> {
        let key = store.transaction(|tx| service_state::key(tx, fresh_key))?;
        let rules = Rules { key, limits, crypto: RustCrypto::default(), public_groups: PublicGroups::default() };
        Ok(Self::over(store, Arc::new(rules), Effects::default()))
    }

    fn over(store: S, rules: Arc<Rules>, effects: Effects) -> Self {
        Self { rules, store: Mutex::new(store), effects }
    }

    fn call(&self, now: Timestamp) -> OrderingContext<'_> {
        let Rules { key, limits, crypto, .. } = &*self.rules;
        OrderingContext { key, crypto, limits, now, effects: &self.effects }
    }

    /// The key that receipts are verified with.
    pub fn public_key(&self) -> ServicePublicKey {
        self.rules.key.public()
    }

    /// The limits that it keeps.
    pub fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// Makes many calls at the price of one: `work` makes them of the service that it is given. Each is whole or nothing
    /// by itself, and all are durable when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// The store failed: then nothing of what `work` did has happened, whatever it was answered.
    pub fn batch<T>(&self, work: impl FnOnce(&DeliveryService<Batch<'_>>) -> T) -> Result<T, StoreError> {
        let mut store = self.store();
        let result = store.transaction(|tx| {
            let batch = DeliveryService::over(Batch::new(tx), Arc::clone(&self.rules), Effects::collected());
            let result = work(&batch);
            match batch.into_store().broken {
                Some(error) => Err(error),
                None => Ok(result),
            }
        });
        // Before anybody else has the store.
        if result.is_err() {
            self.rules.public_groups.forget_all();
        }
        result
    }

    /// Stores key packages (RFC 9420, 10) of `device` for others to claim, each an MLSMessage. With `last_resort`, the
    /// one that is handed out when no other is left is replaced. Key packages that were uploaded before are left out,
    /// so that a request whose answer was lost can be made again. A key package that is refused keeps out no other.
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

    /// Stores key packages likewise, and withdraws all others of `device` in the same step, the last-resort one included:
    /// none is handed out any more, and no commit can use one that was. For a device that has a new signature key, or
    /// whose keys may have been stolen.
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

    /// Hands out a key package of `device` to `claimer`: the oldest that has not expired, each once; the last-resort one
    /// if there is no other, or if devices of the claimer's user have
    /// [as many others](Limits::max_open_claims_per_target) as they may.
    ///
    /// The claim lasts seven days. A commit that adds the device uses it up, if the claimer makes that commit or proposed
    /// the addition. A commit that is taken back gives it back.
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

    /// How many key packages of `device` can still be handed out.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn key_packages_left(&self, device: &DeviceId, now: Timestamp) -> Result<KeyPackageCount, StoreError> {
        self.store().transaction(|tx| key_package::left(tx, device, now))
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
        let creation = Creation::verify(&self.rules.crypto, self.limits(), submitted, mode);
        self.handshake(group, now, |tx, public_groups, context| {
            creation::create(tx, public_groups, context, submitted, creation)
        })
    }

    /// Orders a commit (RFC 9420, 12.4): accepted if and only if it was made in the group's current epoch, and valid as
    /// far as the group's mode lets the service see. Then the epoch advances, the roster changes, the welcome goes to
    /// the joiners' streams and the group info is replaced, all at once.
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
        let frame = Frame::read(message, self.limits());
        self.ordered(|tx| message::submit(tx, self.call(now), submitted, frame))
    }

    /// The group info of the current epoch, for an external commit (RFC 9420, 12.4.3.2). `None` if there is no such
    /// group, or if its last commit came without one. Whoever has it can read the members' names in its ratchet tree.
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

    /// The ratchet tree (RFC 9420, 12.4.3.3) of a group's present epoch, or of the one before, for an external commit with a
    /// group info that does not have it in it. `None` if the service does not follow the group, which is opaque or not
    /// there, and for every other epoch.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn ratchet_tree(&self, group: &GroupId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
        self.store().transaction(|tx| trees::ratchet_tree(tx, &self.rules.public_groups, group, epoch))
    }

    /// The ratchet tree of the epoch that the device was welcomed to, for a welcome that does not have it in it. It is kept
    /// for as long as the welcome is, whatever the group's epoch is by then. `None` if the device was not welcomed to that
    /// epoch, or if the tree was sent with the welcome's group info.
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

    /// The group's epoch, and the devices that are members in it. `None` if there is no such group.
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

    /// Says that `device` cannot process the last commit of the group, whose number is `sequence`. When more than
    /// [`Limits::rollback_percent`] of the users that are asked, and at least two, have said so, the commit is taken back:
    /// the group is in the epoch before it again, with the roster of that epoch, and an entry of the log tells everybody.
    /// The entries of the commit and of the proposals after it are deleted; those of messages stay in the log before it.
    ///
    /// Asked are the users who have accepted the group, without the committer's user, the users whose devices the commit
    /// removes, the users that it adds, and users that any of the last two have added in the seven days before.
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

    /// Ends a group whose only member is `device`: its log, its tree, its roster and its group info are deleted. Its name is
    /// never given again, so that two groups never have receipts under one name. The same device is answered the same
    /// again. [`RejectReason::NotAlone`](crate::RejectReason::NotAlone) if there are other members: they are removed first.
    /// [`RejectReason::TooManyEndedGroups`](crate::RejectReason::TooManyEndedGroups) if the user has ended too many.
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

    /// The effects of the calls that were accepted in this batch, since they were taken last. Outside a
    /// [`batch`](Self::batch) there are none.
    pub fn take_effects(&self) -> Vec<Effect> {
        self.effects.take()
    }

    /// The group's epoch. `None` if there is no such group.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn epoch(&self, group: &GroupId) -> Result<Option<Epoch>, StoreError> {
        self.store().transaction(|tx| Ok(group::load(tx, group)?.map(|record| record.epoch)))
    }

    /// The next entries of the device's stream: at most `limit` of those after `after`, over all of its groups, in the
    /// order in which they were accepted. A device reads each membership from the entry that added it to the entry that
    /// removed it. Reading changes nothing: the same call returns the same entries again until the device has
    /// acknowledged them, or they are gone.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn read(&self, device: &DeviceId, after: Cursor, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.store().transaction(|tx| reading::read(tx, device, after, limit))
    }

    /// Says that the device has processed everything up to `up_to`. Entries that every reader has acknowledged are
    /// deleted; how many is returned. An acknowledgement beyond the end counts up to the end.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn acknowledge(&self, device: &DeviceId, up_to: Cursor) -> Result<u64, StoreError> {
        self.store().transaction(|tx| retention::acknowledge(tx, device, up_to))
    }

    /// Deletes what is past its time at `now`: entries and remembered answers past the retention time, and key packages
    /// past their lifetime. To be called now and then; works in small transactions, each complete in itself.
    ///
    /// # Errors
    ///
    /// The store failed. What the transactions before have deleted is deleted.
    pub fn expire(&self, now: Timestamp) -> Result<Expired, StoreError> {
        let mut expired = Expired::default();
        while self.store().transaction(|tx| expiry::expire_batch(tx, now, &mut expired))? {}
        Ok(expired)
    }

    /// One transaction that may change the public group in memory along with the store.
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
        // Before anybody else has the store.
        if matches!(result, Err(Abort::Failed(_))) {
            public_groups.forget(group);
        }
        if result.is_err() {
            self.effects.keep(noted);
        }
        settle(result)
    }

    /// One transaction whose effects count if it is accepted.
    fn ordered<T>(&self, work: impl FnOnce(&mut dyn Transaction) -> Result<T, Abort<T>>) -> Result<T, StoreError> {
        let mut store = self.store();
        let noted = self.effects.count();
        let result = store.transaction(work);
        if result.is_err() {
            self.effects.keep(noted);
        }
        settle(result)
    }

    fn store(&self) -> MutexGuard<'_, S> {
        self.store.lock().unwrap_or_else(|poisoned| {
            // It has rolled its transaction back, and may have left a group changed in memory. The store is what counts.
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
