//! Claims: key packages that the service has handed out. An addition uses one up. So a device can
//! be added only with a key package that it has uploaded to this service.
//!
//! A used claim stays until the device accepts a group of the claiming user, or until it expires.
//! So a stranger that adds the device again and again gets no more of its key packages than a
//! stranger that adds no device.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{
    Abort, OrderingContext, key_package, roster,
    tally::{Tally, TallyCounts},
};
use crate::{
    deadlines,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp, UserId},
    outcome::RejectReason,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// The time in seconds for which a claim can be used. A claimer that was away for a week claims
/// again.
pub(crate) const CLAIM_SECONDS: u64 = 7 * 24 * 60 * 60;

/// The maximum number of claims that a search reads: the claims on one key package, of which only a
/// last-resort one has several, or the claims of one user on one device.
const MAX_SEARCHED: usize = 1_000;

pub(crate) const NUMBER: &str = "claim";

/// A claim on one key package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The reference of the key package.
    #[serde(with = "serde_bytes")]
    pub(crate) reference: Vec<u8>,
    /// The device that claimed the key package.
    #[serde(with = "identity")]
    pub(crate) claimer: DeviceId,
    /// The device that owns the key package.
    #[serde(with = "identity")]
    pub(crate) target: DeviceId,
    /// The number of the claim. It separates several claims of one device on one key package.
    pub(crate) number: u64,
    pub(crate) expires: Timestamp,
    /// True if the key package is the last-resort one, which the service hands out repeatedly.
    last_resort: bool,
    /// True if a commit has used the claim.
    used: bool,
}

impl Claim {
    pub(crate) fn key(&self) -> Key {
        of_claimer(&self.reference, &self.claimer).then(self.number)
    }

    pub(crate) fn target_key(&self) -> Key {
        of_target(self.claimer.user(), &self.target).then(self.number)
    }

    pub(crate) fn deadline_key(&self) -> Key {
        Key::number(self.expires.0).then(self.number)
    }

    pub(crate) fn recount(&self, counts: &mut TallyCounts) {
        if !self.used {
            Tally::OpenClaims(self.claimer.user()).recount(counts, 1);
        }
    }

    fn save(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        key::put(tx, Table::Claims, &self.key(), self)?;
        tx.put(Table::ClaimTargets, self.target_key().as_bytes(), self.key().as_bytes())?;
        tx.put(Table::ClaimDeadlines, self.deadline_key().as_bytes(), self.key().as_bytes())?;
        if self.used { Ok(()) } else { Tally::OpenClaims(self.claimer.user()).add(tx, 1) }
    }

    fn delete(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        tx.delete(Table::Claims, self.key().as_bytes())?;
        tx.delete(Table::ClaimTargets, self.target_key().as_bytes())?;
        tx.delete(Table::ClaimDeadlines, self.deadline_key().as_bytes())?;
        if self.used { Ok(()) } else { Tally::OpenClaims(self.claimer.user()).subtract(tx, 1) }
    }

    /// Notes that a commit uses the claim. A used claim is kept only if it counts: claims on a
    /// last-resort key package and on devices of the claimer's own user are not limited.
    fn use_up(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        self.delete(tx)?;
        if self.last_resort || self.claimer.user() == self.target.user() {
            return Ok(());
        }
        Self { used: true, ..self.clone() }.save(tx)
    }
}

/// Returns the prefix of one device's claims on one key package.
fn of_claimer(reference: &[u8], claimer: &DeviceId) -> Key {
    Key::named(reference).then_device(claimer)
}

/// Returns the prefix of the claims of one user's devices on one device.
fn of_target(claimer: &UserId, target: &DeviceId) -> Key {
    Key::user(claimer).then_device(target)
}

/// Opens a claim.
pub(crate) fn open(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    reference: &[u8],
    claimer: &DeviceId,
    target: &DeviceId,
    last_resort: bool,
) -> Result<(), StoreError> {
    let (number, expires) = (key::count_up(tx, NUMBER)?, context.now.plus(CLAIM_SECONDS));
    let (claimer, target) = (claimer.clone(), target.clone());
    Claim { reference: reference.to_vec(), claimer, target, number, expires, last_resort, used: false }.save(tx)
}

/// Checks that the claimer's user may have one more claim.
pub(crate) fn check_count<T: From<RejectReason>>(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    claimer: &DeviceId,
) -> Result<(), Abort<T>> {
    let limit = context.limits.max_open_claims_per_user;
    if Tally::OpenClaims(claimer.user()).get(tx)? < limit {
        return Ok(());
    }
    Err(RejectReason::TooManyClaims { limit }.into())
}

/// Returns true if the claimer's user has as many claims on the device as it may have. Open claims
/// count, and used claims as long as the device has not accepted a group for them. A user's own
/// devices have no such limit.
pub(crate) fn is_target_spent(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    claimer: &DeviceId,
    target: &DeviceId,
) -> Result<bool, StoreError> {
    if claimer.user() == target.user() {
        return Ok(false);
    }
    let (range, limit) =
        (of_target(claimer.user(), target).everything_below(), context.limits.max_open_claims_per_target);
    let mut count = 0;
    tx.scan(Table::ClaimTargets, &range.start..&range.end, &mut |_, _| {
        count += 1;
        Ok(if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(count >= limit)
}

/// Deletes one used claim of the inviting user, because the device accepts a group that the user
/// has added it to.
pub(crate) fn accepted(tx: &mut dyn Transaction, inviter: &UserId, target: &DeviceId) -> Result<(), StoreError> {
    let range = of_target(inviter, target).everything_below();
    let mut claims = Vec::new();
    tx.scan(Table::ClaimTargets, &range.start..&range.end, &mut |_, claim| {
        claims.push(Key::from_bytes(claim.to_vec()));
        Ok(if claims.len() < MAX_SEARCHED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for claim in claims {
        let claim: Claim = key::get(tx, Table::Claims, &claim)?.ok_or(StoreError::Corrupt(Table::ClaimTargets))?;
        if claim.used {
            return claim.delete(tx);
        }
    }
    Ok(())
}

/// The devices whose claim an addition may use.
#[derive(Clone, Copy)]
pub(crate) enum Claimer<'a> {
    /// The committer, or else the member that proposed the addition.
    One(&'a DeviceId, &'a DeviceId),
    /// The committer, or else any member: in opaque mode the service does not see the proposer.
    Member(&'a DeviceId, &'a GroupId),
}

/// Uses up a claim on the key package of that reference, for the addition of `device`. Returns the
/// claim.
pub(crate) fn consume(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    reference: &[u8],
    device: &DeviceId,
    claimer: Claimer<'_>,
) -> Result<Claim, Abort> {
    let claim = match claimer {
        Claimer::One(committer, proposer) => match first(tx, context, reference, committer)? {
            Some(claim) => Some(claim),
            None => first(tx, context, reference, proposer)?,
        },
        Claimer::Member(committer, group) => match first(tx, context, reference, committer)? {
            Some(claim) => Some(claim),
            None => first_of_member(tx, context, reference, group)?,
        },
    };
    // A withdrawn or expired key package has no owner any more.
    let owner = key_package::owner(tx, reference)?;
    match claim {
        Some(claim) if claim.target == *device && owner.as_ref() == Some(device) => {
            claim.use_up(tx)?;
            Ok(claim)
        }
        _ => Err(RejectReason::UnclaimedKeyPackage { device: device.clone() }.into()),
    }
}

/// Returns the first usable claim of a device.
fn first(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    reference: &[u8],
    claimer: &DeviceId,
) -> Result<Option<Claim>, StoreError> {
    Ok(below(tx, context, &of_claimer(reference, claimer), 1)?.pop())
}

fn first_of_member(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    reference: &[u8],
    group: &GroupId,
) -> Result<Option<Claim>, StoreError> {
    for claim in below(tx, context, &Key::named(reference), MAX_SEARCHED)? {
        if roster::is_member(tx, group, &claim.claimer)? {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

/// Returns the first usable claims below a key, at most `most` of them.
fn below(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    key: &Key,
    most: usize,
) -> Result<Vec<Claim>, StoreError> {
    let range = key.everything_below();
    let mut claims = Vec::new();
    tx.scan(Table::Claims, &range.start..&range.end, &mut |_, value| {
        let claim: Claim = key::decode(Table::Claims, value)?;
        if claim.expires > context.now && !claim.used {
            claims.push(claim);
        }
        Ok(if claims.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(claims)
}

/// Gives back the claims of a commit that was taken back. They can be used for as long as new
/// claims.
pub(crate) fn give_back(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    claims: Vec<Claim>,
) -> Result<(), StoreError> {
    let expires = context.now.plus(CLAIM_SECONDS);
    for claim in claims {
        if let Some(used) = key::get::<Claim>(tx, Table::Claims, &claim.key())? {
            used.delete(tx)?;
        }
        Claim { expires, ..claim }.save(tx)?;
    }
    Ok(())
}

/// Deletes a batch of claims that have expired at `now`. Returns true if there may be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let passed = deadlines::passed_keys(tx, Table::ClaimDeadlines, now)?;
    for (_, claim) in &passed {
        let claim = Key::from_bytes(claim.clone());
        let claim: Claim = key::get(tx, Table::Claims, &claim)?.ok_or(StoreError::Corrupt(Table::ClaimDeadlines))?;
        claim.delete(tx)?;
    }
    Ok(passed.len() == deadlines::BATCH)
}
