//! A group in the messenger: its condition and the facts beside it. The engine has a state of its
//! own.
//!
//! [`Condition`] names the states that exclude each other. The table of states and events stands in
//! [`machine`](super::machine).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    time::Duration,
};

use regrow_engine::DeviceId;
use serde_bytes::ByteBuf;

use super::{
    addition::{AdditionProgress, AdditionTarget},
    delivered::DeliveredTexts,
    event::Rejoin,
    intent::Intent,
    records::{BadCommit, InvitationAnswer, StoredGroup},
};
use crate::{
    audit::Audit,
    names::{Epoch, Sequence},
};

/// The condition of a group on this device. It decides the next request.
#[derive(Default)]
pub(super) enum Condition {
    /// This device has made the group. The service has not confirmed it.
    Creating {
        /// The group info that the service creates the group from.
        group_info: ByteBuf,
        /// Set if this device has to rejoin as soon as the service has created the group.
        rejoin: Option<Rejoin>,
    },
    /// This device follows the group and submits to it.
    #[default]
    Following,
    /// This device submits nothing more before it has read an entry of the group.
    AwaitingEntry,
    /// This device cannot follow a commit, and waits for the service to take it back.
    AwaitingRollback {
        /// The commit.
        bad: BadCommit,
        /// The time when this process met the commit, by the monotonic clock. [`None`] if an
        /// earlier process met it, until this process has waited for the rollback.
        since: Option<Duration>,
    },
    /// This device comes back by external commit.
    Rejoining {
        /// The reason.
        why: Rejoin,
        /// The next step.
        step: RejoinStep,
    },
}

/// The step of a rejoin.
pub(super) enum RejoinStep {
    /// The device makes an external commit from the service's group info, or submits the one it has
    /// made.
    NeedsGroupInfo,
    /// The group info lacks the ratchet tree of this epoch.
    NeedsRatchetTree { group_info: Vec<u8>, epoch: Epoch },
    /// The service has ordered the external commit, or is in another epoch. An entry comes next.
    Submitted,
    /// The rejoin is not possible before another entry of the group. The application knows it.
    Stranded,
}

/// The invitation of this device to a group.
#[derive(Default)]
pub(super) enum InvitationState {
    /// There is nothing to answer.
    #[default]
    None,
    /// A person has not answered yet. The device has added this one.
    Open { by: DeviceId },
    /// The service has to learn the answer.
    Answered(InvitationAnswer),
}

/// The stored facts about a group that do not depend on its condition.
#[derive(Default)]
pub(super) struct GroupFacts {
    pub(super) audit: Audit,
    /// The sequence of the entry that brought this device into the group. 0 if this device made it.
    pub(super) joined: u64,
    /// The intents that the engine does not know yet.
    pub(super) intents: VecDeque<Intent>,
    /// Devices that were removed from the group while their users stayed. Only a person adds them
    /// again.
    pub(super) banned: BTreeSet<DeviceId>,
    pub(super) invitation: InvitationState,
    /// True while this device sends nothing because of a lie of the service.
    pub(super) suspended: bool,
    /// True if entries of this epoch are missing: later messages may be too far ahead to be read.
    pub(super) has_gap: bool,
    /// The texts that the application has received and that their senders may send again.
    pub(super) delivered: DeliveredTexts,
}

/// A group in the messenger.
#[derive(Default)]
pub(super) struct MessengerGroup {
    condition: Condition,
    facts: GroupFacts,
    /// True if the stored record differs from this group.
    unsaved: bool,
    /// True if the application knows that this device cannot rejoin, until the next entry.
    is_stranding_told: bool,
    /// The group's epoch at the service, after the service has refused a submission of another
    /// epoch.
    ///
    /// If the stream ends before that epoch, this device has missed a commit.
    pub(super) service_epoch: Option<u64>,
    /// True if the engine may have intents to carry out again.
    pub(super) resume_due: bool,
    /// True until the service's roster of the present epoch is compared.
    pub(super) roster_unchecked: bool,
    /// The time of the first proposal of this epoch, by the monotonic clock.
    pub(super) first_proposal_at: Option<Duration>,
    /// The devices that proposals of this epoch remove.
    pub(super) proposed_removals: BTreeSet<DeviceId>,
    /// The devices that have proposed to leave in this epoch.
    pub(super) leavers: BTreeSet<DeviceId>,
    /// The progress of the additions to this group.
    pub(super) additions: BTreeMap<AdditionTarget, AdditionProgress>,
}

impl MessengerGroup {
    /// A group that this device has made from this group info.
    pub(super) fn created_here(group_info: Vec<u8>) -> Self {
        let condition = Condition::Creating { group_info: group_info.into(), rejoin: None };
        Self { condition, unsaved: true, ..Self::default() }
    }

    /// The group as an earlier process has stored it.
    pub(super) fn load(record: StoredGroup<'_>) -> Self {
        let condition = match (record.creating, record.rejoin, record.bad) {
            (Some(group_info), rejoin, bad) => Condition::Creating {
                group_info: group_info.into_owned(),
                rejoin: rejoin.or(bad.map(|_| Rejoin::BadCommit)),
            },
            (None, Some(why), _) => Condition::Rejoining { why, step: RejoinStep::NeedsGroupInfo },
            (None, None, Some(bad)) => Condition::AwaitingRollback { bad: bad.into_owned(), since: None },
            (None, None, None) => Condition::Following,
        };
        let invitation = match (record.answer, record.invited_by) {
            (Some(answer), _) => InvitationState::Answered(answer),
            (None, Some(by)) => InvitationState::Open { by: by.into_owned() },
            (None, None) => InvitationState::None,
        };
        let facts = GroupFacts {
            audit: record.audit.into_owned(),
            joined: record.joined,
            intents: record.intents.into_owned(),
            banned: record.banned.into_owned(),
            invitation,
            suspended: record.suspended,
            has_gap: record.has_gap,
            delivered: record.delivered.into_owned(),
        };
        Self { condition, facts, ..Self::default() }
    }

    /// The record of the group, for the store.
    pub(super) fn record(&self) -> StoredGroup<'_> {
        let facts = &self.facts;
        let (mut creating, mut bad) = (None, None);
        match &self.condition {
            Condition::Creating { group_info, .. } => creating = Some(Cow::Borrowed(group_info)),
            Condition::AwaitingRollback { bad: commit, .. } => bad = Some(Cow::Borrowed(commit)),
            Condition::Following | Condition::AwaitingEntry | Condition::Rejoining { .. } => {}
        }
        let (invited_by, answer) = match &facts.invitation {
            InvitationState::None => (None, None),
            InvitationState::Open { by } => (Some(Cow::Borrowed(by)), None),
            InvitationState::Answered(answer) => (None, Some(*answer)),
        };
        StoredGroup {
            audit: Cow::Borrowed(&facts.audit),
            joined: facts.joined,
            creating,
            rejoin: self.rejoins(),
            bad,
            intents: Cow::Borrowed(&facts.intents),
            banned: Cow::Borrowed(&facts.banned),
            invited_by,
            answer,
            suspended: facts.suspended,
            has_gap: facts.has_gap,
            delivered: Cow::Borrowed(&facts.delivered),
        }
    }

    /// The condition.
    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The stored facts.
    pub(super) fn facts(&self) -> &GroupFacts {
        &self.facts
    }

    /// The stored facts, to be changed: the next save writes them.
    pub(super) fn facts_mut(&mut self) -> &mut GroupFacts {
        self.unsaved = true;
        &mut self.facts
    }

    /// Forgets delivered texts that cannot be sent again. The application has stored its events.
    pub(super) fn settle_delivered(&mut self) {
        self.unsaved |= self.facts.delivered.settle();
    }

    /// True if the next save writes the group.
    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// The store has the group as it is.
    pub(super) fn saved(&mut self) {
        self.unsaved = false;
    }

    /// The reason of the rejoin, if this device rejoins now or after the group's creation.
    pub(super) fn rejoins(&self) -> Option<Rejoin> {
        match self.condition {
            Condition::Creating { rejoin, .. } => rejoin,
            Condition::Rejoining { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The sequence of the commit that this device cannot follow.
    pub(super) fn bad_commit(&self) -> Option<Sequence> {
        match &self.condition {
            Condition::AwaitingRollback { bad, .. } => Some(bad.sequence),
            _ => None,
        }
    }

    /// The time when this process met the bad commit, by the monotonic clock.
    pub(super) fn bad_commit_since(&self) -> Option<Duration> {
        match &self.condition {
            Condition::AwaitingRollback { since, .. } => *since,
            _ => None,
        }
    }

    /// True if this device follows the group and may submit to it.
    pub(super) fn is_following(&self) -> bool {
        matches!(self.condition, Condition::Following)
    }

    /// True if some passing of time gives the group work.
    pub(super) fn is_timed(&self) -> bool {
        !self.facts.intents.is_empty()
            || self.bad_commit().is_some()
            || self.first_proposal_at.is_some()
            || self.service_epoch.is_some()
    }

    /// An earlier process has made the group and died before it stored the group info.
    pub(super) fn resume_creation(&mut self, group_info: Vec<u8>) {
        self.condition = Condition::Creating { group_info: group_info.into(), rejoin: self.rejoins() };
    }

    /// The service has created the group.
    pub(super) fn creation_confirmed(&mut self) {
        if let Condition::Creating { rejoin, .. } = self.condition {
            self.unsaved = true;
            self.condition = match rejoin {
                Some(why) => Condition::Rejoining { why, step: RejoinStep::NeedsGroupInfo },
                None => Condition::Following,
            };
        }
    }

    /// This device has read an entry of the group: it may submit again, and a rejoin has a new
    /// chance.
    pub(super) fn entry_read(&mut self) {
        self.is_stranding_told = false;
        self.may_submit_again();
    }

    /// This device may submit again.
    pub(super) fn may_submit_again(&mut self) {
        match &mut self.condition {
            Condition::AwaitingEntry => self.condition = Condition::Following,
            Condition::Rejoining { step: step @ (RejoinStep::Submitted | RejoinStep::Stranded), .. } => {
                *step = RejoinStep::NeedsGroupInfo;
            }
            _ => {}
        }
    }

    /// This device submits nothing more before it has read an entry.
    pub(super) fn await_entry(&mut self) {
        match &mut self.condition {
            Condition::Following => self.condition = Condition::AwaitingEntry,
            Condition::Rejoining { step, .. } => *step = RejoinStep::Submitted,
            _ => {}
        }
    }

    /// Begins to rejoin. Returns false if the group was rejoining already.
    pub(super) fn begin_rejoin(&mut self, why: Rejoin) -> bool {
        match &mut self.condition {
            Condition::Creating { rejoin: Some(_), .. } => return false,
            Condition::Creating { rejoin, .. } => *rejoin = Some(why),
            Condition::Rejoining { .. } => {
                self.may_submit_again();
                return false;
            }
            Condition::Following | Condition::AwaitingEntry | Condition::AwaitingRollback { .. } => {
                self.condition = Condition::Rejoining { why, step: RejoinStep::NeedsGroupInfo };
            }
        }
        self.unsaved = true;
        true
    }

    /// The external commit needs the ratchet tree of this epoch.
    pub(super) fn need_ratchet_tree(&mut self, group_info: Vec<u8>, epoch: Epoch) {
        if let Condition::Rejoining { step, .. } = &mut self.condition {
            *step = RejoinStep::NeedsRatchetTree { group_info, epoch };
        }
    }

    /// Takes the group info that waits for its ratchet tree.
    pub(super) fn take_group_info(&mut self) -> Option<Vec<u8>> {
        let Condition::Rejoining { step, .. } = &mut self.condition else { return None };
        match mem::replace(step, RejoinStep::NeedsGroupInfo) {
            RejoinStep::NeedsRatchetTree { group_info, .. } => Some(group_info),
            other => {
                *step = other;
                None
            }
        }
    }

    /// This device cannot rejoin for now. Returns false if the application knows it already.
    pub(super) fn strand(&mut self) -> bool {
        match &mut self.condition {
            Condition::Rejoining { step, .. } => *step = RejoinStep::Stranded,
            _ => self.await_entry(),
        }
        !mem::replace(&mut self.is_stranding_told, true)
    }

    /// The service has ordered a commit that this device cannot follow. Returns false if the device
    /// rejoins in any case, or waits for a rollback of a later commit.
    pub(super) fn meet_bad_commit(&mut self, bad: BadCommit, now: Duration) -> bool {
        match &self.condition {
            _ if self.rejoins().is_some() => return false,
            Condition::AwaitingRollback { bad: earlier, .. } if earlier.sequence >= bad.sequence => return false,
            Condition::Creating { .. } => {}
            _ => self.condition = Condition::AwaitingRollback { bad, since: Some(now) },
        }
        self.unsaved = true;
        true
    }

    /// The service has counted the report of the bad commit.
    pub(super) fn bad_commit_reported(&mut self) {
        if let Condition::AwaitingRollback { bad, .. } = &mut self.condition {
            bad.reported = true;
            self.unsaved = true;
        }
    }

    /// The time since this device met the bad commit.
    ///
    /// The wall clock counts only for the time before this process, and only if it has not gone
    /// back.
    pub(super) fn waited_for_rollback(&mut self, now: Duration, wall: u64) -> Option<Duration> {
        let Condition::AwaitingRollback { bad, since } = &mut self.condition else { return None };
        let here = now.saturating_sub(*since.get_or_insert(now)).as_secs();
        Some(Duration::from_secs(here.max(wall.saturating_sub(bad.since))))
    }

    /// The service has taken back a commit: a rejoin because of that commit is no longer needed.
    pub(super) fn rolled_back(&mut self) {
        self.entry_read();
        match &mut self.condition {
            Condition::Creating { rejoin, .. } => *rejoin = rejoin.filter(|why| *why != Rejoin::BadCommit),
            Condition::AwaitingRollback { .. } | Condition::Rejoining { why: Rejoin::BadCommit, .. } => {
                self.condition = Condition::Following;
            }
            _ => {}
        }
        self.unsaved = true;
    }

    /// This device is in the group's present epoch, by a welcome or by its own external commit.
    pub(super) fn arrived(&mut self) {
        match &mut self.condition {
            Condition::Creating { rejoin, .. } => *rejoin = None,
            condition => *condition = Condition::Following,
        }
        self.unsaved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(9);

    fn bad(sequence: u64) -> BadCommit {
        BadCommit { sequence: Sequence(sequence), since: 1000, reported: false }
    }

    fn in_condition(condition: Condition) -> MessengerGroup {
        MessengerGroup { condition, ..MessengerGroup::default() }
    }

    fn rejoining(step: RejoinStep) -> MessengerGroup {
        in_condition(Condition::Rejoining { why: Rejoin::Missed, step })
    }

    #[test]
    fn an_entry_ends_each_kind_of_waiting() {
        let mut group = in_condition(Condition::AwaitingEntry);
        group.entry_read();
        assert!(group.is_following());
        for step in [RejoinStep::Submitted, RejoinStep::Stranded] {
            let mut group = rejoining(step);
            group.entry_read();
            assert!(matches!(group.condition, Condition::Rejoining { step: RejoinStep::NeedsGroupInfo, .. }));
        }
    }

    #[test]
    fn a_stranded_device_tries_again_and_is_told_once() {
        let mut group = rejoining(RejoinStep::NeedsGroupInfo);
        assert!(group.strand());
        group.may_submit_again();
        assert!(matches!(group.condition, Condition::Rejoining { step: RejoinStep::NeedsGroupInfo, .. }));
        assert!(!group.strand(), "the application knows it");
        assert!(!group.begin_rejoin(Rejoin::Missed), "the group rejoins already");
        assert!(!group.strand(), "no entry was read since");
        group.entry_read();
        assert!(group.strand(), "the next entry was a new chance");
    }

    #[test]
    fn only_the_first_reason_of_a_rejoin_counts() {
        let mut group = in_condition(Condition::AwaitingRollback { bad: bad(3), since: None });
        assert!(group.begin_rejoin(Rejoin::BadCommit));
        assert!(!group.begin_rejoin(Rejoin::Missed));
        assert!(!group.meet_bad_commit(bad(4), LATER));
        assert_eq!(group.rejoins(), Some(Rejoin::BadCommit));
    }

    #[test]
    fn a_rollback_ends_only_a_bad_commit_rejoin() {
        let mut group = in_condition(Condition::default());
        assert!(group.meet_bad_commit(bad(3), LATER));
        assert!(!group.meet_bad_commit(bad(3), LATER), "the commit is known");
        assert!(group.begin_rejoin(Rejoin::BadCommit));
        group.rolled_back();
        assert!(group.is_following());

        let mut group = rejoining(RejoinStep::Stranded);
        group.rolled_back();
        assert_eq!(group.rejoins(), Some(Rejoin::Missed));
    }

    #[test]
    fn a_rejoin_begins_after_the_creation() {
        let mut group = MessengerGroup::created_here(vec![1]);
        assert!(group.begin_rejoin(Rejoin::Restored));
        assert!(matches!(group.condition, Condition::Creating { .. }));
        group.creation_confirmed();
        assert!(matches!(group.condition, Condition::Rejoining { why: Rejoin::Restored, .. }));
    }

    #[test]
    fn a_restarted_device_counts_the_time_before_its_process() {
        let mut group = in_condition(Condition::AwaitingRollback { bad: bad(3), since: None });
        assert_eq!(group.waited_for_rollback(LATER, 1060), Some(Duration::from_secs(60)));
        assert_eq!(group.waited_for_rollback(LATER, 0), Some(Duration::ZERO), "the wall clock has gone back");
        assert_eq!(group.waited_for_rollback(LATER + LATER, 0), Some(LATER));
    }
}
