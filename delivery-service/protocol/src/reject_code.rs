//! Names for the reasons for a rejection, as [`Problem::reason`](crate::api::Problem::reason)
//! contains them.

use std::fmt;

use crate::outcome::RejectReason;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal;)*) => {
        /// The reason for a rejection without its details. The names are part of the interface and
        /// never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum RejectCode {
            $($(#[$doc])* $code,)*
        }

        impl RejectCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Returns the code's name: lower case, with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// Returns the code with that name, or [`None`] if this version of the crate does not
            /// know the name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$code),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// [`RejectReason::Malformed`], or a key package that cannot be read.
    Malformed = "malformed";
    /// [`RejectReason::TooLarge`].
    TooLarge = "too-large";
    /// [`RejectReason::GroupExists`].
    GroupExists = "group-exists";
    /// [`RejectReason::GroupEnded`].
    GroupEnded = "group-ended";
    /// [`RejectReason::NotAlone`].
    NotAlone = "not-alone";
    /// [`RejectReason::UnknownGroup`].
    UnknownGroup = "unknown-group";
    /// [`RejectReason::WrongGroup`].
    WrongGroup = "wrong-group";
    /// [`RejectReason::EpochAhead`].
    EpochAhead = "epoch-ahead";
    /// [`RejectReason::NotAMember`].
    NotAMember = "not-a-member";
    /// [`RejectReason::Removed`].
    Removed = "removed";
    /// [`RejectReason::RolledBack`].
    RolledBack = "rolled-back";
    /// [`RejectReason::NotReportable`].
    NotReportable = "not-reportable";
    /// [`RejectReason::WrongContentType`].
    WrongContentType = "wrong-content-type";
    /// [`RejectReason::WrongWireFormat`].
    WrongWireFormat = "wrong-wire-format";
    /// [`RejectReason::ExternalSender`].
    ExternalSender = "external-sender";
    /// [`RejectReason::NotSignedBySender`].
    NotSignedBySender = "not-signed-by-sender";
    /// [`RejectReason::SubmittedByAnother`].
    SubmittedByAnother = "submitted-by-another";
    /// [`RejectReason::Invalid`], or a key package that is not valid.
    Invalid = "invalid";
    /// [`RejectReason::UnacceptableCredential`].
    UnacceptableCredential = "unacceptable-credential";
    /// [`RejectReason::Unsupported`].
    Unsupported = "unsupported";
    /// [`RejectReason::SignatureKeyChanged`].
    SignatureKeyChanged = "signature-key-changed";
    /// [`RejectReason::RosterMismatch`].
    RosterMismatch = "roster-mismatch";
    /// [`RejectReason::ImpossibleRosterChange`].
    ImpossibleRosterChange = "impossible-roster-change";
    /// [`RejectReason::NoGroupInfo`].
    NoGroupInfo = "no-group-info";
    /// [`RejectReason::GroupFull`].
    GroupFull = "group-full";
    /// [`RejectReason::TooManyGroups`].
    TooManyGroups = "too-many-groups";
    /// [`RejectReason::TooManyProposals`].
    TooManyProposals = "too-many-proposals";
    /// [`RejectReason::WelcomeMismatch`].
    WelcomeMismatch = "welcome-mismatch";
    /// [`RejectReason::GroupInfoMismatch`].
    GroupInfoMismatch = "group-info-mismatch";
    /// [`RejectReason::UnknownDevice`].
    UnknownDevice = "unknown-device";
    /// [`RejectReason::UnclaimedKeyPackage`].
    UnclaimedKeyPackage = "unclaimed-key-package";
    /// [`RejectReason::TooManyClaims`].
    TooManyClaims = "too-many-claims";
    /// [`RejectReason::Blocked`].
    Blocked = "blocked";
    /// [`RejectReason::TooManyInvitations`].
    TooManyInvitations = "too-many-invitations";
    /// [`RejectReason::TooManyBytes`].
    TooManyBytes = "too-many-bytes";
    /// [`RejectReason::NotInvited`].
    NotInvited = "not-invited";
    /// [`RejectReason::TooManyBlocks`].
    TooManyBlocks = "too-many-blocks";
    /// [`RejectReason::TooManyEndedGroups`].
    TooManyEndedGroups = "too-many-ended-groups";
    /// An upload would exceed the number of key packages that the service stores for a device.
    TooManyKeyPackages = "too-many-key-packages";
    /// An uploaded key package belongs to another device.
    OfAnotherDevice = "of-another-device";
    /// An uploaded key package has expired.
    Expired = "expired";
    /// An uploaded key package is not valid yet.
    NotYetValid = "not-yet-valid";
    /// A key package that is marked as last-resort was uploaded as an ordinary one, or the reverse.
    WrongLastResort = "wrong-last-resort";
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RejectReason {
    /// Returns the reason without its details.
    pub fn code(&self) -> RejectCode {
        match self {
            Self::Malformed => RejectCode::Malformed,
            Self::TooLarge { .. } => RejectCode::TooLarge,
            Self::GroupExists => RejectCode::GroupExists,
            Self::GroupEnded => RejectCode::GroupEnded,
            Self::NotAlone => RejectCode::NotAlone,
            Self::UnknownGroup => RejectCode::UnknownGroup,
            Self::WrongGroup => RejectCode::WrongGroup,
            Self::EpochAhead { .. } => RejectCode::EpochAhead,
            Self::NotAMember => RejectCode::NotAMember,
            Self::Removed => RejectCode::Removed,
            Self::RolledBack => RejectCode::RolledBack,
            Self::NotReportable => RejectCode::NotReportable,
            Self::WrongContentType => RejectCode::WrongContentType,
            Self::WrongWireFormat => RejectCode::WrongWireFormat,
            Self::ExternalSender => RejectCode::ExternalSender,
            Self::NotSignedBySender => RejectCode::NotSignedBySender,
            Self::SubmittedByAnother => RejectCode::SubmittedByAnother,
            Self::Invalid(_) => RejectCode::Invalid,
            Self::UnacceptableCredential => RejectCode::UnacceptableCredential,
            Self::Unsupported(_) => RejectCode::Unsupported,
            Self::SignatureKeyChanged => RejectCode::SignatureKeyChanged,
            Self::RosterMismatch => RejectCode::RosterMismatch,
            Self::ImpossibleRosterChange => RejectCode::ImpossibleRosterChange,
            Self::NoGroupInfo => RejectCode::NoGroupInfo,
            Self::GroupFull { .. } => RejectCode::GroupFull,
            Self::TooManyGroups { .. } => RejectCode::TooManyGroups,
            Self::TooManyProposals { .. } => RejectCode::TooManyProposals,
            Self::UnknownDevice { .. } => RejectCode::UnknownDevice,
            Self::UnclaimedKeyPackage { .. } => RejectCode::UnclaimedKeyPackage,
            Self::TooManyClaims { .. } => RejectCode::TooManyClaims,
            Self::Blocked { .. } => RejectCode::Blocked,
            Self::TooManyInvitations { .. } => RejectCode::TooManyInvitations,
            Self::TooManyBytes { .. } => RejectCode::TooManyBytes,
            Self::NotInvited => RejectCode::NotInvited,
            Self::TooManyBlocks { .. } => RejectCode::TooManyBlocks,
            Self::TooManyEndedGroups { .. } => RejectCode::TooManyEndedGroups,
            Self::WelcomeMismatch => RejectCode::WelcomeMismatch,
            Self::GroupInfoMismatch => RejectCode::GroupInfoMismatch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_name() {
        for code in RejectCode::ALL {
            assert_eq!(RejectCode::from_name(code.name()), Some(*code));
        }
        assert_eq!(RejectCode::from_name("something-new"), None);
    }
}
