//! The expectation on costs.

use std::fmt;

use super::ExpectScope;

/// The limits of the costs of a step or of a run. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostExpectation {
    /// The part of the run whose costs count.
    pub of: ExpectScope,
    /// The limits, each figure at most once, in the order of [`CostFigure::ALL`].
    pub limits: Vec<CostLimit>,
}

/// The limits of one figure. At least one of them is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostLimit {
    /// The figure.
    pub figure: CostFigure,
    /// The smallest number of bytes.
    pub at_least: Option<u64>,
    /// The largest number of bytes. With 0, there is no such message.
    pub at_most: Option<u64>,
}

/// A figure of the costs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CostFigure {
    /// The size of each commit.
    Commit,
    /// The size of each proposal.
    Proposal,
    /// The size of each welcome, for all of its joiners.
    Welcome,
    /// The size of the largest part of each welcome that one joiner gets.
    JoinerWelcome,
    /// The size of each group info that a device publishes.
    GroupInfo,
    /// All handshakes that the service received, with their welcomes and group infos.
    HandshakesUploaded,
    /// All handshakes and welcomes that the service delivered.
    HandshakesDelivered,
    /// All application messages that the service received.
    MessagesUploaded,
    /// All application messages that the service delivered.
    MessagesDelivered,
}

impl CostFigure {
    /// Every figure, in the order of a file.
    pub const ALL: [Self; 9] = [
        Self::Commit,
        Self::Proposal,
        Self::Welcome,
        Self::JoinerWelcome,
        Self::GroupInfo,
        Self::HandshakesUploaded,
        Self::HandshakesDelivered,
        Self::MessagesUploaded,
        Self::MessagesDelivered,
    ];

    /// The field of `costs` that has the limits of the figure.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Commit => "commit_bytes",
            Self::Proposal => "proposal_bytes",
            Self::Welcome => "welcome_bytes",
            Self::JoinerWelcome => "joiner_welcome_bytes",
            Self::GroupInfo => "group_info_bytes",
            Self::HandshakesUploaded => "handshakes_uploaded_bytes",
            Self::HandshakesDelivered => "handshakes_delivered_bytes",
            Self::MessagesUploaded => "messages_uploaded_bytes",
            Self::MessagesDelivered => "messages_delivered_bytes",
        }
    }
}

impl CostLimit {
    /// True if a number of bytes is within the limits.
    pub(crate) fn permits(&self, bytes: u64) -> bool {
        self.at_least.is_none_or(|least| bytes >= least) && self.at_most.is_none_or(|most| bytes <= most)
    }

    /// True if the limits ask for the absence of such messages.
    pub(crate) fn asks_for_none(&self) -> bool {
        self.at_most == Some(0)
    }
}

impl fmt::Display for CostLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) if least == most => write!(f, "exactly {least} bytes"),
            (Some(least), Some(most)) => write!(f, "between {least} and {most} bytes"),
            (Some(least), None) => write!(f, "at least {least} bytes"),
            (None, most) => write!(f, "at most {} bytes", most.unwrap_or(u64::MAX)),
        }
    }
}
