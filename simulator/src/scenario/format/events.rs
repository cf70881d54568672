//! The expectation on the events that a device tells its application.

use super::ExpectScope;
use crate::scenario::name::MemberName;

/// An expectation on the events of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventExpectation {
    /// The members whose devices tell the event. It counts for each of them.
    pub to: Vec<MemberName>,
    /// The event.
    pub event: EventKind,
    /// The members that the event is about. It counts for each of them. [`None`] if the event can be
    /// about anybody.
    pub about: Option<Vec<MemberName>>,
    /// The exact number of such events. At least one if not set.
    pub times: Option<u32>,
    /// The part of the run whose events count.
    pub of: ExpectScope,
}

/// An event that the engine of a device tells its application. The names are those of the engine and
/// of the messenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// The device has joined the group.
    Joined,
    /// The device was removed from the group.
    Removed,
    /// The device cannot continue with its state.
    Lost,
    /// The group is in a new epoch.
    Commit,
    /// A member was added.
    MemberAdded,
    /// Another member was removed.
    MemberRemoved,
    /// A member has a key that the device has not seen before.
    NewKey,
    /// A member has a key that nobody has compared, so it is no longer verified.
    NoLongerVerified,
    /// The group data are new.
    DataChanged,
    /// A member has proposed a change.
    Proposal,
    /// The device has refused an entry.
    Refused,
    /// The device has found an entry that is not valid.
    Invalid,
}

impl EventExpectation {
    /// The expectation with other members. [`None`] if one of its lists would be empty.
    pub(crate) fn with_names(&self, names: impl Fn(&[MemberName]) -> Vec<MemberName>) -> Option<Self> {
        let (to, about) = (names(&self.to), self.about.as_deref().map(&names));
        let is_empty = to.is_empty() || about.as_ref().is_some_and(Vec::is_empty);
        (!is_empty).then(|| Self { to, about, ..self.clone() })
    }
}

impl EventKind {
    /// The meaning of the event, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Joined => "The device has joined the group, by a welcome or by its own external commit.",
            Self::Removed => "The device was removed, and its keys of the group are erased.",
            Self::Lost => "The device cannot go on with its state of the group, and has to rejoin.",
            Self::Commit => "The device is in a new epoch. Its own commits count, too.",
            Self::MemberAdded => "A commit has added a member. A device that joins by external commit adds itself.",
            Self::MemberRemoved => "A commit has removed another member.",
            Self::NewKey => {
                "A received entry shows a signature key of a member that is new to the device, and the application has to \
                 accept it."
            }
            Self::NoLongerVerified => {
                "A member has a new key or a new device, so people have to compare safety numbers again."
            }
            Self::DataChanged => "A commit has set the group data.",
            Self::Proposal => "A member has proposed a change, and a later commit carries it out.",
            Self::Refused => {
                "The device refuses an entry by its rules, for example because its application refuses a key."
            }
            Self::Invalid => "The device refuses an entry because it is forged or damaged.",
        }
    }

    /// The member that the event is about, in words. [`None`] if it is about nobody.
    #[must_use]
    pub fn subject(self) -> Option<&'static str> {
        match self {
            Self::Joined => Some("the member that added the device"),
            Self::Removed => Some("the member that removed the device"),
            Self::Lost => None,
            Self::Commit | Self::DataChanged => Some("the member that committed"),
            Self::MemberAdded => Some("the added member"),
            Self::MemberRemoved => Some("the removed member"),
            Self::NewKey => Some("the member with the key"),
            Self::NoLongerVerified => Some("the member that was verified"),
            Self::Proposal => Some("the member that proposed"),
            Self::Refused | Self::Invalid => Some("the sender of the entry, as the service says"),
        }
    }
}
