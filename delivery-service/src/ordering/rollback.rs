//! Takes back a commit that the members cannot process.
//!
//! The service cannot check all of a commit: a hostile member can have one ordered that the others
//! cannot process (RFC 9750, 5.3). Then the service is in epoch n + 1 and the members are in epoch
//! n. The members report the commit. After enough reports the service takes the commit back: the
//! group is in the epoch before it again, and an entry of the log says so. Members that have
//! processed the commit rejoin by external commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use serde::{Deserialize, Serialize};

use super::{
    Abort, OrderingContext, Submitted,
    claim::{self, Claim},
    group::{self, Group},
    invitation, log,
    log_entry::EntryKind,
    remembered,
    roster::{self, FormerMember, RosterEntry},
    submission,
};
use crate::{
    error::StoreError,
    handshake::{
        PublicGroups,
        wire::{self, Hash},
    },
    names::{Cursor, DeviceId, GroupId, Sequence, Timestamp, UserId},
    outcome::RejectReason,
    receipt::Receipt,
    service::effect::Effect,
    store::{
        Table, Transaction, identity,
        key::{self, Key},
    },
};

/// The time in seconds for which an added user does not vote on the removal of the user that added
/// it.
const NEW_MEMBER_SECONDS: u64 = 7 * 24 * 60 * 60;

/// The smallest number of reporting users that takes a commit back.
const MIN_REPORTS: u64 = 2;

/// The answer to a report of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The service has noted the report. A repeated report gets the same answer.
    Noted {
        /// The number of asked users that have reported the commit.
        reports: u64,
        /// The number of reports that takes the commit back.
        needed: u64,
    },
    /// This report was the last that was needed. The commit is taken back; this is the receipt of
    /// the entry that says so.
    RolledBack(Receipt),
    /// The service has not noted the report.
    Rejected(RejectReason),
}

impl From<RejectReason> for ReportOutcome {
    fn from(reason: RejectReason) -> Self {
        Self::Rejected(reason)
    }
}

/// The last commit of a group, and the values that a rollback restores. The store still has the
/// public group and the group info of the epoch before the commit.
#[derive(Serialize, Deserialize)]
pub(crate) struct LastCommit {
    pub(crate) before: Group,
    #[serde(with = "identity")]
    pub(crate) sender: DeviceId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: Hash,
    /// The time at which the commit was accepted.
    pub(crate) time: Timestamp,
    #[serde(with = "identity::set")]
    pub(crate) added: BTreeSet<DeviceId>,
    /// The members that the commit removed, with their records from before.
    pub(crate) former: Vec<FormerMember>,
    /// Devices that the commit has marked as removed by others.
    #[serde(with = "identity::set")]
    pub(crate) noted_removals: BTreeSet<DeviceId>,
    /// Devices that were marked as removed before, and that the commit has added again.
    #[serde(with = "identity::set")]
    pub(crate) undone_removals: BTreeSet<DeviceId>,
    /// The claims that the additions of the commit have used.
    pub(crate) claims: Vec<Claim>,
    pub(crate) cursor: Cursor,
    pub(crate) sequence: Sequence,
}

impl LastCommit {
    /// Saves the commit as the group's last commit, without reports.
    pub(crate) fn save(&self, tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
        forget_reports(tx, id)?;
        key::put(tx, Table::LastCommits, &Key::group(id), self)
    }

    /// Returns true if the commit began the epoch that the group is in.
    pub(crate) fn leads_to(&self, group: &Group) -> bool {
        self.before.epoch.0.checked_add(1) == Some(group.epoch.0) && self.sequence <= group.sequence
    }

    /// Returns true if the device can report the commit: it was a member before the commit, and has
    /// not sent it.
    fn concerns(&self, device: &DeviceId) -> bool {
        *device != self.sender && !self.added.contains(device)
    }

    /// Returns the users that are asked if they can process the commit: all users that have
    /// accepted the group, without these:
    ///
    /// - the committer's user;
    /// - the users whose devices the commit removes;
    /// - the users that the commit adds;
    /// - users that joined by themselves in the seven days before the commit, because any user that
    ///   knows the group info can do so;
    /// - users that an excluded user other than the committer's has added in those seven days.
    fn asked(&self, tx: &mut dyn Transaction, id: &GroupId) -> Result<BTreeSet<UserId>, StoreError> {
        let members = roster::entries(tx, id)?;
        let is_new = |member: &RosterEntry| member.since.plus(NEW_MEMBER_SECONDS) > self.time;
        let before: BTreeSet<_> = members
            .iter()
            .filter(|(device, _)| !self.added.contains(device))
            .map(|(device, _)| device.user())
            .collect();
        let removed = self.former.iter().map(|former| former.device.user());
        let added = self.added.iter().map(DeviceId::user).filter(|user| !before.contains(user));
        let mut excluded: BTreeSet<&UserId> = removed.chain(added).collect();
        let mut added_by: BTreeMap<&UserId, Vec<&UserId>> = BTreeMap::new();
        for (device, member) in members.iter().filter(|(_, member)| is_new(member)) {
            match &member.added_by {
                Some(by) if by != device.user() => added_by.entry(by).or_default().push(device.user()),
                _ => drop(excluded.insert(device.user())),
            }
        }
        let mut to_follow: Vec<_> = excluded.iter().copied().collect();
        while let Some(user) = to_follow.pop() {
            for added in added_by.remove(user).unwrap_or_default() {
                excluded.insert(added);
                to_follow.push(added);
            }
        }
        excluded.insert(self.sender.user());
        let mut asked = BTreeSet::new();
        for (device, _) in members.iter().filter(|(device, _)| !excluded.contains(device.user())) {
            let present = roster::present_membership(tx, id, device)?;
            if present.is_some_and(|membership| membership.invitation.is_none()) {
                asked.insert(device.user().clone());
            }
        }
        Ok(asked)
    }
}

/// Notes that the device cannot process the group's last commit. Takes the commit back if enough
/// other users have reported it.
pub(crate) fn report(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    context: OrderingContext<'_>,
    id: &GroupId,
    device: &DeviceId,
    sequence: Sequence,
) -> Result<ReportOutcome, Abort<ReportOutcome>> {
    let group = group::load(tx, id)?.ok_or(RejectReason::UnknownGroup)?;
    if !roster::is_member(tx, id, device)? {
        return Err(RejectReason::NotAMember.into());
    }
    let last: LastCommit = key::get(tx, Table::LastCommits, &Key::group(id))?.ok_or(RejectReason::NotReportable)?;
    if last.sequence != sequence || !last.concerns(device) {
        return Err(RejectReason::NotReportable.into());
    }
    let membership = roster::present_membership(tx, id, device)?;
    invitation::accept(tx, context, membership)?;
    let asked = last.asked(tx, id)?;
    if !asked.contains(device.user()) {
        return Err(RejectReason::NotReportable.into());
    }
    tx.put(Table::Reports, Key::group(id).then_device(device).as_bytes(), &[])?;
    let needed = (asked.len() as u64 * u64::from(context.limits.rollback_percent) / 100 + 1).max(MIN_REPORTS);
    let reporters = reporters(tx, id)?;
    let reporting: BTreeSet<_> = reporters.iter().map(DeviceId::user).filter(|user| asked.contains(user)).collect();
    let reports = reporting.len() as u64;
    if reports < needed {
        return Ok(ReportOutcome::Noted { reports, needed });
    }
    public_groups.forget(id);
    roll_back(tx, context, id, group, last, device).map(ReportOutcome::RolledBack).map_err(Abort::Failed)
}

/// Takes the last commit back. Deletes the entries of the commit and of the proposals after it. The
/// entries of messages stay, because their senders have receipts for them.
fn roll_back(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    id: &GroupId,
    mut group: Group,
    last: LastCommit,
    reporter: &DeviceId,
) -> Result<Receipt, StoreError> {
    let LastCommit {
        before,
        hash,
        added,
        former,
        noted_removals,
        undone_removals,
        claims,
        cursor: voided_from,
        sequence,
        ..
    } = last;
    log::forget_handshakes(tx, id, &mut group, voided_from)?;
    remembered::void(tx, id, &hash)?;
    group.return_to(&before);
    let submitted = Submitted { group: id, sender: reporter, bytes: &[] };
    let kind = EntryKind::Rollback { voided: sequence };
    // No submission has this hash, because the hashed name is not an MLSMessage.
    let name = [b"rollback of ".as_slice(), &sequence.0.to_be_bytes()].concat();
    let (cursor, receipt) = submission::order(tx, context, submitted, kind, group, wire::hash(&name), 0)?;

    let removed: BTreeSet<_> = former.iter().map(|former| former.device.clone()).collect();
    context.effects.note(Effect::Readers(id.clone(), added.union(&removed).cloned().collect()));
    for device in added.difference(&removed) {
        roster::leave(tx, id, device, cursor)?;
    }
    for former in former.into_iter().filter(|former| !added.contains(&former.device)) {
        roster::restore(tx, id, former, cursor)?;
    }
    for device in &noted_removals {
        roster::unmark_removed(tx, id, device)?;
    }
    for device in &undone_removals {
        roster::mark_removed(tx, id, device)?;
    }
    claim::give_back(tx, context, claims)?;
    tx.delete(Table::LastCommits, Key::group(id).as_bytes())?;
    forget_reports(tx, id)?;
    Ok(receipt)
}

/// Returns the devices that have reported the last commit.
fn reporters(tx: &mut dyn Transaction, id: &GroupId) -> Result<Vec<DeviceId>, StoreError> {
    let range = Key::group(id).everything_below();
    let name_at = range.start.len() + Key::NAME_PREFIX;
    let mut reporters = Vec::new();
    tx.scan(Table::Reports, &range.start..&range.end, &mut |key, _| {
        let device = key.get(name_at..).and_then(|name| DeviceId::from_identity(name).ok());
        reporters.push(device.ok_or(StoreError::Corrupt(Table::Reports))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(reporters)
}

fn forget_reports(tx: &mut dyn Transaction, id: &GroupId) -> Result<(), StoreError> {
    key::delete_all(tx, Table::Reports, &Key::group(id))
}
