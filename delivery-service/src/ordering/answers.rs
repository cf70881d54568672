//! What was accepted before, so that the very same bytes get the same answer, and when that is forgotten.

use serde::{Deserialize, Serialize};

use super::{Call, Halt, Submitted, group::Group};
use crate::{
    error::StoreError,
    names::{Cursor, DeviceId, Epoch, GroupId, Sequence},
    outcome::{Outcome, RejectReason},
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// SHA-256 of submitted bytes.
pub(crate) type Hash = [u8; 32];

#[derive(Serialize, Deserialize)]
struct Answer {
    sender: DeviceId,
    sequence: Sequence,
    epoch: Epoch,
}

/// What is to be forgotten at a deadline.
#[derive(Serialize, Deserialize)]
pub(crate) struct Due {
    pub(crate) group: GroupId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
}

/// Halts with the answer that these bytes had before. Another device that submits them is refused: it can only have
/// copied them, and one entry has one sender.
pub(crate) fn halt_if_known(
    tx: &mut dyn Transaction,
    group: &GroupId,
    hash: &Hash,
    sender: &DeviceId,
) -> Result<(), Halt> {
    let Some(answer) = key::get::<Answer>(tx, Table::Answers, &Key::group(group).then_last(hash))? else {
        return Ok(());
    };
    if answer.sender != *sender {
        return Err(RejectReason::SubmittedByAnother.into());
    }
    Err(Halt::Answer(Outcome::Accepted { sequence: answer.sequence, epoch: answer.epoch }))
}

/// Remembers the answer to the entry at `cursor`, and until when both are kept.
pub(crate) fn remember(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    submitted: Submitted<'_>,
    hash: Hash,
    group: &Group,
    cursor: Cursor,
) -> Result<Outcome, StoreError> {
    let (sequence, epoch) = (group.sequence, group.epoch);
    let answer = Answer { sender: submitted.sender.clone(), sequence, epoch };
    key::put(tx, Table::Answers, &Key::group(submitted.group).then_last(&hash), &answer)?;
    let deadline = call.now.plus(call.limits.retention_seconds);
    let due = Due { group: submitted.group.clone(), hash };
    key::put(tx, Table::Deadlines, &Key::number(deadline.0).then(cursor.0), &due)?;
    Ok(Outcome::Accepted { sequence, epoch })
}

/// Forgets an answer. Returns whether it was there.
pub(crate) fn forget(tx: &mut dyn Transaction, due: &Due) -> Result<bool, StoreError> {
    tx.delete(Table::Answers, Key::group(&due.group).then_last(&due.hash).as_bytes())
}
