//! The ordering rules: which submissions the service accepts, which devices read an entry, and when
//! the service deletes a record.
//!
//! Every function here works within one store transaction that its caller opened. The caller keeps
//! the changes of the transaction if and only if the submission is accepted. The callers are the
//! methods of [`DeliveryService`](crate::DeliveryService) and the admission rules. The store check
//! reads the records.
//!
//! # Where each rule is
//!
//! A layer uses only itself and the layers above it in this table.
//!
//! | layer | module | rule |
//! | --- | --- | --- |
//! | records | `group` | the record of a group: mode, epoch, counts, the last two group infos |
//! | | `log_entry` | the stored form of a log entry |
//! | | `welcome` | splits a welcome: a shared part, and a part for each joiner |
//! | | `key_package` | verifies, stores, counts and withdraws key packages |
//! | | `remembered` | returns the earlier outcome to a device that submits the same bytes again |
//! | | `block` | users that a user has blocked |
//! | | `tally` | counts that the limits are compared with |
//! | | `service_state` | the service's own records: signing key, confirmed time |
//! | log and readers | `log` | appends entries with their receipts, and deletes entries |
//! | | `membership` | which device may read which entry: an interval of the log |
//! | | `roster` | member devices, and removed devices that may not join by external commit |
//! | | `retention` | acknowledgements: deletes an entry after its last reader has acknowledged it |
//! | claims | `claim` | which handed-out key package an addition may use |
//! | | `handout` | which key package the service hands out |
//! | | `invitation` | accepts and declines a group |
//! | submissions | `submission` | checks every submission; tells two commits of one epoch apart |
//! | | `present` | the present state of a group, and the verdict on a handshake |
//! | | `creation` | creates a group |
//! | | `commit` | orders a commit, and changes epoch, roster, welcome and group info with it |
//! | | `proposal` | orders a proposal |
//! | | `message` | orders an application message |
//! | | `rollback` | counts reports, and takes the last commit back |
//! | | `ending` | ends a group |
//! | reading and upkeep | `reading` | a device's stream over all of its groups |
//! | | `trees` | the ratchet trees that devices ask for |
//! | | `expiry` | deletes expired entries, outcomes, key packages, claims and invitations |
//!
//! Two commits of one epoch: the first accepted commit advances the epoch in the group's record, so
//! that the check of the epoch in `submission` finds the second commit stale.

pub(crate) mod block;
pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod creation;
pub(crate) mod ending;
pub(crate) mod expiry;
pub(crate) mod group;
pub(crate) mod handout;
pub(crate) mod invitation;
pub(crate) mod key_package;
pub(crate) mod log;
pub(crate) mod log_entry;
pub(crate) mod membership;
pub(crate) mod message;
pub(crate) mod present;
pub(crate) mod proposal;
pub(crate) mod reading;
pub(crate) mod remembered;
pub(crate) mod retention;
pub(crate) mod rollback;
pub(crate) mod roster;
pub(crate) mod service_state;
pub(crate) mod submission;
pub(crate) mod tally;
pub(crate) mod trees;
pub(crate) mod welcome;

use regrow_crypto::DefaultCrypto;

use crate::{
    error::StoreError,
    limits::Limits,
    names::{DeviceId, GroupId, Timestamp},
    outcome::{Outcome, RejectReason},
    receipt::ServiceKey,
    service::effect::Effects,
};

/// The values that an ordering rule uses besides the store.
#[derive(Clone, Copy)]
pub(crate) struct OrderingContext<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) crypto: &'a DefaultCrypto,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
    pub(crate) effects: &'a Effects,
}

/// Bytes that a device submits to a group.
#[derive(Clone, Copy)]
pub(crate) struct Submitted<'a> {
    pub(crate) group: &'a GroupId,
    pub(crate) sender: &'a DeviceId,
    pub(crate) bytes: &'a [u8],
}

/// The result of an attempt to order a handshake.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt<T> {
    /// The handshake has its outcome.
    Settled(Outcome),
    /// The handshake could be accepted in the group's present state, but it has no verdict for that
    /// state. Nothing has changed.
    Unverified(T),
}

impl<T> From<RejectReason> for Attempt<T> {
    fn from(reason: RejectReason) -> Self {
        Self::Settled(reason.into())
    }
}

/// Why a transaction ends without a change.
#[derive(Debug)]
pub(crate) enum Abort<T = Outcome> {
    /// The client gets this answer.
    Answer(Box<T>),
    /// The store failed.
    Failed(StoreError),
}

impl<T> Abort<T> {
    pub(crate) fn answer(answer: T) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl<T> From<Abort> for Abort<Attempt<T>> {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Answer(outcome) => Self::answer(Attempt::Settled(*outcome)),
            Abort::Failed(error) => Self::Failed(error),
        }
    }
}

impl<T> From<StoreError> for Abort<T> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl<T: From<RejectReason>> From<RejectReason> for Abort<T> {
    fn from(reason: RejectReason) -> Self {
        Self::answer(reason.into())
    }
}
