//! What was accepted before, so that the very same bytes get the same answer, and when that is forgotten.

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
    /// The entry was a commit, and was taken back.
    voided: bool,
}

/// What is to be forgotten at a deadline.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExpiringOutcome {
    pub(crate) group: GroupId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
}

/// Halts with the answer that these bytes had before. Another device that submits them is refused: it can only have
/// copied them, and one entry has one sender.
pub(crate) fn abort_if_known(
    tx: &mut dyn Transaction,
    group: &GroupId,
    hash: &Hash,
    sender: &DeviceId,
) -> Result<(), Abort> {
    let Some(answer) = key::get::<RememberedOutcome>(tx, Table::Answers, &Key::group(group).then_last(hash))? else {
        return Ok(());
    };
    if answer.sender != *sender {
        return Err(RejectReason::SubmittedByAnother.into());
    }
    if answer.voided {
        return Err(RejectReason::RolledBack.into());
    }
    Err(Abort::answer(Outcome::Accepted(answer.receipt.of(group))))
}

/// Remembers the receipt of the entry at `cursor`, and until when both are kept.
pub(crate) fn remember(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    hash: Hash,
    receipt: &Receipt,
    cursor: Cursor,
) -> Result<(), StoreError> {
    let answer = RememberedOutcome { sender: submitted.sender.clone(), receipt: receipt.into(), voided: false };
    key::put(tx, Table::Answers, &Key::group(submitted.group).then_last(&hash), &answer)?;
    let deadline = context.now.plus(context.limits.retention_seconds);
    let due = ExpiringOutcome { group: submitted.group.clone(), hash };
    key::put(tx, Table::Deadlines, &Key::number(deadline.0).then(cursor.0), &due)
}

/// The commit of this hash has been taken back: submitted again, it is refused.
pub(crate) fn void(tx: &mut dyn Transaction, group: &GroupId, hash: &Hash) -> Result<(), StoreError> {
    let key = Key::group(group).then_last(hash);
    match key::get::<RememberedOutcome>(tx, Table::Answers, &key)? {
        Some(answer) => key::put(tx, Table::Answers, &key, &RememberedOutcome { voided: true, ..answer }),
        None => Ok(()),
    }
}

/// Forgets an answer. Returns whether it was there.
pub(crate) fn forget(tx: &mut dyn Transaction, due: &ExpiringOutcome) -> Result<bool, StoreError> {
    tx.delete(Table::Answers, Key::group(&due.group).then_last(&due.hash).as_bytes())
}
