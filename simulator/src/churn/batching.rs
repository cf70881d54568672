//! Commits of a churn: direct, or by proposals that wait for one commit.

use std::{collections::BTreeSet, time::Duration};

use super::instant::Instant;

/// The largest number of proposals in one epoch. The delivery service refuses more than 2,000.
pub const MAX_BATCH: u32 = 1_000;

/// The longest time from a proposal to its commit. A claim on a key package ends after seven days;
/// the rest is a reserve for the time in which no member is online.
pub const MAX_PROPOSAL_WAIT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The way from a wanted change to a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commits {
    /// Each change is a commit of its own.
    #[default]
    Direct,
    /// Each change is a proposal. A commit follows this time after the first proposal.
    Window(Duration),
    /// Each change is a proposal. A commit follows as soon as this number of proposals waits, at the
    /// latest after [`MAX_PROPOSAL_WAIT`].
    Batch(u32),
}

/// The changes of one commit, by the numbers of the members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// The members that the commit adds, in the order of their proposals.
    pub(crate) adds: Vec<u32>,
    /// The members that it removes.
    pub(crate) removes: Vec<u32>,
    /// The members that have proposed an update.
    pub(crate) updates: BTreeSet<u32>,
}

/// The proposals that wait for a commit.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    commits: Commits,
    pub(crate) changes: Changes,
    first: Option<u32>,
    due: Instant,
    /// True if the commit was due, and no member could act.
    overdue: bool,
}

impl Waiting {
    pub(crate) fn new(commits: Commits) -> Self {
        Self { commits, changes: Changes::default(), first: None, due: Instant::NEVER, overdue: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// True if an update proposal of the member waits.
    pub(crate) fn updates(&self, member: u32) -> bool {
        self.changes.updates.contains(&member)
    }

    /// Notes the author and the time of a proposal.
    pub(crate) fn proposed(&mut self, now: Instant, by: u32) {
        if self.first.is_none() {
            self.first = Some(by);
            let most = match self.commits {
                Commits::Window(window) => window.min(MAX_PROPOSAL_WAIT),
                Commits::Direct | Commits::Batch(_) => MAX_PROPOSAL_WAIT,
            };
            self.due = now.after_duration(most);
        }
    }

    /// The author of the first proposal.
    pub(crate) fn first(&self) -> Option<u32> {
        self.first
    }

    /// The time of the commit. [`Instant::NEVER`] if nothing waits, or the commit was put off.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Puts the commit off: no member can act.
    pub(crate) fn put_off(&mut self) {
        (self.due, self.overdue) = (Instant::NEVER, true);
    }

    /// True if the commit was due, and no member could act.
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// True if the number of proposals asks for a commit.
    pub(crate) fn is_full(&self) -> bool {
        let most = match self.commits {
            Commits::Batch(most) => most,
            Commits::Direct | Commits::Window(_) => MAX_BATCH,
        };
        let Changes { adds, removes, updates } = &self.changes;
        adds.len() + removes.len() + updates.len() >= most as usize
    }

    /// True if a member cannot commit these proposals by reference, because all of them are its own
    /// updates (RFC 9420, 12.2).
    pub(crate) fn is_only_update_of(&self, member: u32) -> bool {
        let Changes { adds, removes, updates } = &self.changes;
        adds.is_empty() && removes.is_empty() && updates.iter().all(|by| *by == member)
    }
}
