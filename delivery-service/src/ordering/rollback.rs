//! The way out of 'service at n + 1, members at n'.
//!
//! The service cannot check all of a commit: a hostile member can have one ordered that the others cannot process
//! (RFC 9750, 5.3). They report it, and when enough of them have, it is taken back: the group is in the epoch before it
//! again, and an entry of the log says so. Those who had followed the commit rejoin by external commit.

use std::{collections::BTreeSet, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{
    Call, Halt, Submitted,
    answers::{self, Hash},
    claim::{self, Claim},
    group::{self, Group},
    log::{self, EntryKind},
    roster, submission,
};
use crate::{
    error::StoreError,
    handshake::{Followed, wire},
    names::{Cursor, DeviceId, GroupId, Sequence},
    outcome::RejectReason,
    receipt::Receipt,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It is noted, also if the device had reported the commit before.
    Noted {
        /// How many devices have.
        reports: u64,
        /// How many it takes.
        needed: u64,
    },
    /// It was the last one that it took: the commit is taken back, by an entry of which this is the receipt.
    RolledBack(Receipt),
    /// It is not noted.
    Rejected(RejectReason),
}

/// The last commit of a group, and what it takes to take it back. The public group and the group info of the epoch before
/// it are kept where they were.
#[derive(Serialize, Deserialize)]
pub(crate) struct LastCommit {
    pub(crate) before: Group,
    #[serde(with = "identity")]
    pub(crate) sender: DeviceId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
    #[serde(with = "identity::set")]
    pub(crate) added: BTreeSet<DeviceId>,
    #[serde(with = "identity::set")]
    pub(crate) removed: BTreeSet<DeviceId>,
    /// Whom it made one who was removed by others.
    #[serde(with = "identity::set")]
    pub(crate) remembered: BTreeSet<DeviceId>,
    /// Who was one, and has been added again.
    #[serde(with = "identity::set")]
    pub(crate) forgotten: BTreeSet<DeviceId>,
    /// The claims that its additions have used.
    pub(crate) claims: Vec<Claim>,
    pub(crate) cursor: Cursor,
    pub(crate) sequence: Sequence,
}

impl LastCommit {
    /// Saves it as the group's last commit, which nobody has reported yet.
    pub(crate) fn save(&self, tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
        forget_reports(tx, id)?;
        key::put(tx, Table::LastCommits, &Key::group(id), self)
    }

    /// Whether it is the one that led to the epoch that the group is in.
    pub(crate) fn leads_to(&self, group: &Group) -> bool {
        self.before.epoch.0.checked_add(1) == Some(group.epoch.0) && self.sequence <= group.sequence
    }

    /// Whether the device is asked about it: it was a member before, is one still, and did not make it.
    fn concerns(&self, device: &DeviceId) -> bool {
        *device != self.sender && !self.added.contains(device)
    }
}

/// Notes that the device cannot process the group's last commit, and takes that back if enough others have said so.
pub(crate) fn report(
    tx: &mut dyn Transaction,
    followed: &Followed,
    call: Call<'_>,
    id: &GroupId,
    device: &DeviceId,
    sequence: Sequence,
) -> Result<ReportOutcome, Halt<ReportOutcome>> {
    let reject = |reason| Halt::answer(ReportOutcome::Rejected(reason));
    let group = group::load(tx, id)?.ok_or(reject(RejectReason::UnknownGroup))?;
    if !roster::is_member(tx, id, device)? {
        return Err(reject(RejectReason::NotAMember));
    }
    let last: LastCommit =
        key::get(tx, Table::LastCommits, &Key::group(id))?.ok_or(reject(RejectReason::NotReportable))?;
    if last.sequence != sequence || !last.concerns(device) {
        return Err(reject(RejectReason::NotReportable));
    }
    tx.put(Table::Reports, Key::group(id).then_device(device).as_bytes(), &[])?;
    let asked = roster::members(tx, id)?.iter().filter(|member| last.concerns(member)).count() as u64;
    let needed = asked * u64::from(call.limits.rollback_percent) / 100 + 1;
    let reports = reporters(tx, id)?.len() as u64;
    if reports < needed {
        return Ok(ReportOutcome::Noted { reports, needed });
    }
    followed.forget(id);
    roll_back(tx, call, id, group, last, device).map(ReportOutcome::RolledBack).map_err(Halt::Failed)
}

fn roll_back(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    id: &GroupId,
    mut group: Group,
    last: LastCommit,
    reporter: &DeviceId,
) -> Result<Receipt, StoreError> {
    let LastCommit {
        before, hash, added, removed, remembered, forgotten, claims, cursor: voided_from, sequence, ..
    } = last;
    // What came in the epoch that is void nobody will read.
    let end = log::end(tx)?.next();
    log::forget_range(tx, id, &mut group, voided_from..end)?;
    answers::void(tx, id, &hash)?;
    group.return_to(&before);
    let submitted = Submitted { group: id, sender: reporter, bytes: &[] };
    let kind = EntryKind::Rollback { voided: sequence };
    // No submission has this hash: the name is not an MLSMessage.
    let name = [b"rollback of ".as_slice(), &voided_from.0.to_be_bytes()].concat();
    let (cursor, receipt) = submission::order(tx, call, submitted, kind, group, wire::hash(&name))?;

    for device in added.difference(&removed) {
        roster::leave(tx, id, device, cursor)?;
    }
    for device in removed.difference(&added) {
        roster::join(tx, id, device, cursor, false)?;
    }
    for device in &remembered {
        roster::unmark_removed(tx, id, device)?;
    }
    for device in &forgotten {
        roster::mark_removed(tx, id, device)?;
    }
    claim::give_back(tx, call, claims)?;
    tx.delete(Table::LastCommits, Key::group(id).as_bytes())?;
    forget_reports(tx, id)?;
    Ok(receipt)
}

/// The keys of the reports of the last commit.
fn reporters(tx: &mut dyn Transaction, id: &GroupId) -> Result<Vec<Vec<u8>>, StoreError> {
    let range = Key::group(id).everything_below();
    let mut reporters = Vec::new();
    tx.scan(Table::Reports, &range.start..&range.end, &mut |key, _| {
        reporters.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(reporters)
}

fn forget_reports(tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
    for key in reporters(tx, id)? {
        tx.delete(Table::Reports, &key)?;
    }
    Ok(())
}
