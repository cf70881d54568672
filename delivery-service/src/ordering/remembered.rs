//! Remembered outcomes. A device that submits the very same bytes again gets the outcome that it
//! got before. An outcome is remembered for the retention time.

use serde::{Deserialize, Serialize};

use super::{Abort, OrderingContext, Submitted};
use crate::{
    error::StoreError,
    handshake::wire::Hash,
    names::{Cursor, DeviceId, GroupId},
    outcome::{Outcome, RejectReason},
    receipt::{Receipt, StoredReceipt},
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

#[derive(Serialize, Deserialize)]
pub(crate) struct RememberedOutcome {
    #[serde(with = "identity")]
    sender: DeviceId,
    pub(crate) receipt: StoredReceipt,
    /// True if the entry was a commit that was taken back.
    voided: bool,
}

/// The outcome that a deadline deletes. The key of the deadline also has the cursor of the entry.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExpiringOutcome {
    pub(crate) group: GroupId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
}

/// Aborts with the outcome that these bytes had before. Another device that submits them is
/// rejected: it can only have copied them, and one entry has one sender.
pub(crate) fn abort_if_known(
    tx: &mut dyn Transaction,
    group: &GroupId,
    hash: &Hash,
    sender: &DeviceId,
) -> Result<(), Abort> {
    let Some(outcome) =
        key::get::<RememberedOutcome>(tx, Table::RememberedOutcomes, &Key::group(group).then_last(hash))?
    else {
        return Ok(());
    };
    if outcome.sender != *sender {
        return Err(RejectReason::SubmittedByAnother.into());
    }
    if outcome.voided {
        return Err(RejectReason::RolledBack.into());
    }
    Err(Abort::answer(Outcome::Accepted(outcome.receipt.of(group))))
}

/// Remembers the outcome for the entry at `cursor`, and stores the deadline of the entry and the
/// outcome.
pub(crate) fn remember(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    hash: Hash,
    receipt: &Receipt,
    cursor: Cursor,
) -> Result<(), StoreError> {
    let outcome = RememberedOutcome { sender: submitted.sender.clone(), receipt: receipt.into(), voided: false };
    key::put(tx, Table::RememberedOutcomes, &Key::group(submitted.group).then_last(&hash), &outcome)?;
    let deadline = context.now.plus(context.limits.retention_seconds);
    let expiring = ExpiringOutcome { group: submitted.group.clone(), hash };
    key::put(tx, Table::Deadlines, &Key::number(deadline.0).then(cursor.0), &expiring)
}

/// Marks the commit of this hash as taken back, so that the service rejects it when it comes again.
pub(crate) fn void(tx: &mut dyn Transaction, group: &GroupId, hash: &Hash) -> Result<(), StoreError> {
    let key = Key::group(group).then_last(hash);
    match key::get::<RememberedOutcome>(tx, Table::RememberedOutcomes, &key)? {
        Some(outcome) => key::put(tx, Table::RememberedOutcomes, &key, &RememberedOutcome { voided: true, ..outcome }),
        None => Ok(()),
    }
}

/// Forgets an outcome. Returns true if it was remembered.
pub(crate) fn forget(tx: &mut dyn Transaction, expiring: &ExpiringOutcome) -> Result<bool, StoreError> {
    tx.delete(Table::RememberedOutcomes, Key::group(&expiring.group).then_last(&expiring.hash).as_bytes())
}
