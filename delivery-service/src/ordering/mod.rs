//! The ordering rules: what is accepted, who may read it, and when it goes.
//!
//! Every function here works within one store transaction that its caller opened, and leaves the decision to keep or to
//! undo it to the caller: it is kept if and only if the submission is accepted.

pub(crate) mod block;
pub(crate) mod claim;
pub(crate) mod commit;
pub(crate) mod creation;
pub(crate) mod deadlines;
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

use openmls_rust_crypto::RustCrypto;

use crate::{
    error::StoreError,
    limits::Limits,
    names::{DeviceId, GroupId, Timestamp},
    outcome::{Outcome, RejectReason},
    receipt::ServiceKey,
    service::effect::Effects,
};

/// What every call works with.
#[derive(Clone, Copy)]
pub(crate) struct OrderingContext<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) crypto: &'a RustCrypto,
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

/// The end of an attempt to order a handshake.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt<T> {
    /// The handshake has its answer.
    Settled(Outcome),
    /// The handshake has no verdict for the group's present state, in which it could be accepted. Nothing has changed.
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
    /// The client has its answer.
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
