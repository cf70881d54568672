//! The faults and lies of the delivery service, and the expectations on evidence against it.

use std::{fmt, time::Duration};

use crate::scenario::name::MemberName;

/// The `service` of a scenario: the settings of the delivery service. A setting that is not given
/// has the service's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// The time for which the service keeps an entry that a device has not read.
    pub retention: Option<Duration>,
}

/// A fault or a lie of the delivery service, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceFault {
    /// The process stops in order, and opens its store again.
    Restart,
    /// The process dies at this point of the next submission, and starts again.
    Kill(KillPoint),
    /// The service orders the next submission of each member, and the answer is lost.
    LoseReply(Vec<MemberName>),
    /// True: the store refuses every write from now on. False: it writes again.
    DiskFull(bool),
    /// The retention time of later entries.
    Retention(Duration),
    /// The service's clock jumps.
    Clock(ClockJump),
    /// The service keeps entries from devices.
    Withhold {
        /// The members whose devices do not get the entries.
        from: Vec<MemberName>,
        /// The number of withheld entries; every entry from now on if not set.
        entries: Option<u32>,
    },
    /// Devices get the next entries in reverse order.
    Reorder {
        /// The members whose devices get them in this order.
        to: Vec<MemberName>,
        /// The number of reordered entries; at least 2.
        entries: u32,
    },
    /// The service keeps a second history, and shows only this one to some members.
    Equivocate {
        /// The members that see the second history.
        to: Vec<MemberName>,
    },
    /// The service gives members a false answer when they ask for the roster.
    FalseRoster {
        /// The members that get the false answer.
        to: Vec<MemberName>,
        /// The devices of these users are in the answer, and are no members.
        add: Vec<MemberName>,
        /// The devices of these users are members, and are not in the answer.
        hide: Vec<MemberName>,
    },
    /// The service is honest to these members again, and delivers the entries that it kept from
    /// them.
    Release(Vec<MemberName>),
}

/// The point of a submission at which the service's process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KillPoint {
    /// The service has received the submission, and has written nothing.
    BeforeWrite,
    /// The service has written a part of its transaction.
    WithinTransaction,
    /// The transaction is complete, and the service has not answered.
    AfterWrite,
}

/// A jump of the service's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockJump {
    /// True if the clock jumps back.
    pub back: bool,
    /// The length of the jump.
    pub by: Duration,
}

/// Evidence against the delivery service that a member's own checks have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Two receipts contradict each other, an entry breaks the chain of receipts, or two members
    /// have different authenticators of one epoch.
    Equivocation,
    /// An entry is missing: numbers are missing between two entries, or the stream ends before an
    /// entry that the service has ordered.
    Gap,
    /// The service's roster is not the roster of the member's ratchet tree.
    RosterLie,
}

impl Evidence {
    /// Every kind of evidence, in the order of a file.
    pub const ALL: [Self; 3] = [Self::Equivocation, Self::Gap, Self::RosterLie];

    /// The field of `expect` that asks for the evidence.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Equivocation => "equivocation_detected",
            Self::Gap => "gap_reported",
            Self::RosterLie => "roster_lie_detected",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equivocation => "an equivocation",
            Self::Gap => "a gap",
            Self::RosterLie => "a false roster",
        })
    }
}

/// An expectation on evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceExpectation {
    /// The kind of evidence.
    pub what: Evidence,
    /// The members that have found it; [`None`] if no member may have found any.
    pub found: Option<Finders>,
}

/// The members that have found evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finders {
    /// The members. Others may have found it too.
    pub by: Vec<MemberName>,
    /// The largest number of epochs from the beginning of the lie to the finding.
    pub within: Option<u64>,
}

impl ServiceFault {
    /// The fault's name in a file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Kill(_) => "kill",
            Self::LoseReply(_) => "lose_reply",
            Self::DiskFull(_) => "disk_full",
            Self::Retention(_) => "retention",
            Self::Clock(_) => "clock",
            Self::Withhold { .. } => "withhold",
            Self::Reorder { .. } => "reorder",
            Self::Equivocate { .. } => "equivocate",
            Self::FalseRoster { .. } => "false_roster",
            Self::Release(_) => "release",
        }
    }

    /// The members that the fault names, each with its field below the fault's own field.
    pub(crate) fn names(&self) -> Vec<(&'static str, &[MemberName])> {
        match self {
            Self::LoseReply(who) | Self::Release(who) => vec![("", who)],
            Self::Withhold { from, .. } => vec![("from", from)],
            Self::Reorder { to, .. } | Self::Equivocate { to } => vec![("to", to)],
            Self::FalseRoster { to, add, hide } => vec![("to", to), ("add", add), ("hide", hide)],
            Self::Restart | Self::Kill(_) | Self::DiskFull(_) | Self::Retention(_) | Self::Clock(_) => Vec::new(),
        }
    }

    /// The same fault with other names. A list without names removes the fault.
    pub(crate) fn with_names(&self, change: impl Fn(&[MemberName]) -> Vec<MemberName>) -> Option<Self> {
        let some = |names: &[MemberName]| Some(change(names)).filter(|names| !names.is_empty());
        Some(match self {
            Self::LoseReply(who) => Self::LoseReply(some(who)?),
            Self::Release(who) => Self::Release(some(who)?),
            Self::Withhold { from, entries } => Self::Withhold { from: some(from)?, entries: *entries },
            Self::Reorder { to, entries } => Self::Reorder { to: some(to)?, entries: *entries },
            Self::Equivocate { to } => Self::Equivocate { to: some(to)? },
            Self::FalseRoster { to, add, hide } => {
                let (add, hide) = (change(add), change(hide));
                (!add.is_empty() || !hide.is_empty()).then_some(())?;
                Self::FalseRoster { to: some(to)?, add, hide }
            }
            Self::Restart | Self::Kill(_) | Self::DiskFull(_) | Self::Retention(_) | Self::Clock(_) => self.clone(),
        })
    }

    /// The members to which the service lies from this fault on.
    #[must_use]
    pub fn lied_to(&self) -> &[MemberName] {
        match self {
            Self::Withhold { from: to, .. }
            | Self::Reorder { to, .. }
            | Self::Equivocate { to }
            | Self::FalseRoster { to, .. } => to,
            _ => &[],
        }
    }
}

impl EvidenceExpectation {
    /// The same expectation with other names. [`None`] if no name is left.
    pub(crate) fn with_names(&self, change: impl Fn(&[MemberName]) -> Vec<MemberName>) -> Option<Self> {
        let found = match &self.found {
            None => None,
            Some(Finders { by, within }) => {
                let by = change(by);
                (!by.is_empty()).then_some(())?;
                Some(Finders { by, within: *within })
            }
        };
        Some(Self { what: self.what, found })
    }
}
