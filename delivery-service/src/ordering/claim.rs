//! Claims: key packages that the service has handed out, and that no commit has used yet. An addition uses one up, so
//! that nobody adds a device with a key package that does not come from that device by way of this service.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{
    Call, Halt, expiry, key_package, roster,
    tally::{Counts, Tally},
};
use crate::{
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp},
    outcome::RejectReason,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// Seconds for which a claim can be used. A device that was away for a week claims again.
pub(crate) const CLAIM_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Claims of one key package that a search looks at. Only a last-resort key package has more than one.
const MAX_SEARCHED: usize = 1_000;

pub(crate) const NUMBER: &str = "claim";

/// A claim that no commit has used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The reference of the key package.
    #[serde(with = "serde_bytes")]
    pub(crate) reference: Vec<u8>,
    /// The device that got it.
    #[serde(with = "identity")]
    pub(crate) claimer: DeviceId,
    /// The device that it belongs to.
    #[serde(with = "identity")]
    pub(crate) target: DeviceId,
    /// Tells several claims of one key package by one device apart.
    pub(crate) number: u64,
    pub(crate) expires: Timestamp,
}

impl Claim {
    pub(crate) fn key(&self) -> Key {
        of_claimer(&self.reference, &self.claimer).then(self.number)
    }

    pub(crate) fn target_key(&self) -> Key {
        of_target(&self.claimer, &self.target).then(self.number)
    }

    pub(crate) fn deadline_key(&self) -> Key {
        Key::number(self.expires.0).then(self.number)
    }

    pub(crate) fn recount(&self, counts: &mut Counts) {
        Tally::OpenClaims(self.claimer.user()).recount(counts, 1);
    }

    fn save(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        key::put(tx, Table::Claims, &self.key(), self)?;
        tx.put(Table::ClaimTargets, self.target_key().as_bytes(), &[])?;
        tx.put(Table::ClaimDeadlines, self.deadline_key().as_bytes(), self.key().as_bytes())?;
        Tally::OpenClaims(self.claimer.user()).add(tx, 1)
    }

    fn delete(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        tx.delete(Table::Claims, self.key().as_bytes())?;
        tx.delete(Table::ClaimTargets, self.target_key().as_bytes())?;
        tx.delete(Table::ClaimDeadlines, self.deadline_key().as_bytes())?;
        Tally::OpenClaims(self.claimer.user()).subtract(tx, 1)
    }
}

/// Claims of one key package by one device.
fn of_claimer(reference: &[u8], claimer: &DeviceId) -> Key {
    Key::named(reference).then_device(claimer)
}

/// Claims that devices of the claimer's user have on one device.
fn of_target(claimer: &DeviceId, target: &DeviceId) -> Key {
    Key::user(claimer.user()).then_device(target)
}

/// Opens a claim.
pub(crate) fn open(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    reference: &[u8],
    claimer: &DeviceId,
    target: &DeviceId,
) -> Result<(), StoreError> {
    let (number, expires) = (key::count_up(tx, NUMBER)?, call.now.plus(CLAIM_SECONDS));
    let (claimer, target) = (claimer.clone(), target.clone());
    Claim { reference: reference.to_vec(), claimer, target, number, expires }.save(tx)
}

/// Checks that the claimer's user may have one claim more.
pub(crate) fn check_count(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    claimer: &DeviceId,
) -> Result<(), Halt<key_package::ClaimOutcome>> {
    let limit = call.limits.max_open_claims_per_user;
    if Tally::OpenClaims(claimer.user()).get(tx)? < limit {
        return Ok(());
    }
    Err(RejectReason::TooManyClaims { limit }.into())
}

/// Whether the claimer's user has as many open claims on the device as it may have. A user's own devices have no such limit.
pub(crate) fn is_target_spent(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    claimer: &DeviceId,
    target: &DeviceId,
) -> Result<bool, StoreError> {
    if claimer.user() == target.user() {
        return Ok(false);
    }
    let (range, limit) = (of_target(claimer, target).everything_below(), call.limits.max_open_claims_per_target);
    let mut open = 0;
    tx.scan(Table::ClaimTargets, &range.start..&range.end, &mut |_, _| {
        open += 1;
        Ok(if open < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(open >= limit)
}

/// Device that an addition may have its key package from.
#[derive(Clone, Copy)]
pub(crate) enum Claimer<'a> {
    /// The committer, or the member that proposed the addition.
    One(&'a DeviceId, &'a DeviceId),
    /// The committer, or else any member: in opaque mode the service does not see the proposer.
    Member(&'a DeviceId, &'a GroupId),
}

/// Uses up a claim on the key package of that reference for the addition of `device`. Returns the claim.
pub(crate) fn consume(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    reference: &[u8],
    device: &DeviceId,
    claimer: Claimer<'_>,
) -> Result<Claim, Halt> {
    let claim = match claimer {
        Claimer::One(committer, proposer) => match first(tx, call, reference, committer)? {
            Some(claim) => Some(claim),
            None => first(tx, call, reference, proposer)?,
        },
        Claimer::Member(committer, group) => match first(tx, call, reference, committer)? {
            Some(claim) => Some(claim),
            None => first_of_member(tx, call, reference, group)?,
        },
    };
    // A key package that was withdrawn, or has expired, has no owner any more.
    let owner = key_package::owner(tx, reference)?;
    match claim {
        Some(claim) if claim.target == *device && owner.as_ref() == Some(device) => {
            claim.delete(tx)?;
            Ok(claim)
        }
        _ => Err(RejectReason::UnclaimedKeyPackage { device: device.clone() }.into()),
    }
}

/// The first claim of a device that has not expired.
fn first(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    reference: &[u8],
    claimer: &DeviceId,
) -> Result<Option<Claim>, StoreError> {
    Ok(below(tx, call, &of_claimer(reference, claimer), 1)?.pop())
}

fn first_of_member(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    reference: &[u8],
    group: &GroupId,
) -> Result<Option<Claim>, StoreError> {
    for claim in below(tx, call, &Key::named(reference), MAX_SEARCHED)? {
        if roster::is_member(tx, group, &claim.claimer)? {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

/// The first claims below a key that have not expired.
fn below(tx: &mut dyn Transaction, call: Call<'_>, key: &Key, most: usize) -> Result<Vec<Claim>, StoreError> {
    let range = key.everything_below();
    let mut claims = Vec::new();
    tx.scan(Table::Claims, &range.start..&range.end, &mut |_, value| {
        let claim: Claim = key::decode(Table::Claims, value)?;
        if claim.expires > call.now {
            claims.push(claim);
        }
        Ok(if claims.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(claims)
}

/// Gives back the claims that a commit used, because it was taken back. They can be used for as long as new ones.
pub(crate) fn give_back(tx: &mut dyn Transaction, call: Call<'_>, claims: Vec<Claim>) -> Result<(), StoreError> {
    let expires = call.now.plus(CLAIM_SECONDS);
    claims.into_iter().try_for_each(|claim| Claim { expires, ..claim }.save(tx))
}

/// Deletes a batch of claims that have expired at `now`. Returns whether there may be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let passed = expiry::passed_keys(tx, Table::ClaimDeadlines, now)?;
    for (_, claim) in &passed {
        let claim = Key::from_bytes(claim.clone());
        let claim: Claim = key::get(tx, Table::Claims, &claim)?.ok_or(StoreError::Corrupt(Table::ClaimDeadlines))?;
        claim.delete(tx)?;
    }
    Ok(passed.len() == expiry::BATCH)
}
