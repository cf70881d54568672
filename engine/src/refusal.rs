//! The reasons why this device does not accept an authentic message.

use openmls_traits::types::Ciphersuite;
use regrow_protocol::{DeviceId, InvalidName};
use serde::{Deserialize, Serialize};

use crate::{Change, limits::MAX_GROUP_DATA_BYTES};

/// The reason why an authentic message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A credential does not name a user and a device.
    #[error("a credential does not name a device: {0}")]
    Credential(InvalidName),
    /// A leaf would name another device than before. A device cannot become another device (RFC
    /// 9420, 5.3.1).
    #[error("the leaf of {from} would become the leaf of {to}")]
    Succession {
        /// The device that the leaf names now.
        from: DeviceId,
        /// The device that the leaf would name.
        to: DeviceId,
    },
    /// The application's [authentication service](crate::Authenticate) does not accept the key as
    /// the device's key.
    #[error("the signature key is not accepted for {device}: {reason}")]
    Unauthenticated {
        /// The device that the leaf names.
        device: DeviceId,
        /// The authentication service's reason.
        reason: String,
    },
    /// The application does not [permit](crate::Authenticate::may) this change.
    #[error("{by} may not make this change ({change}): {reason}")]
    Forbidden {
        /// The device that proposed the change.
        by: DeviceId,
        /// The forbidden change.
        change: Box<Change>,
        /// The application's reason.
        reason: String,
    },
    /// A key package has a key of another device's leaf (RFC 9420, 7.3). Ask for a new key
    /// package.
    #[error("the key package of {device} has a key of {owner}")]
    KeyInUse {
        /// The device that the key package would add.
        device: DeviceId,
        /// The device that already has the key.
        owner: DeviceId,
    },
    /// A device would be in the group twice.
    #[error("{0} would be in the group twice")]
    Duplicate(DeviceId),
    /// An external commit removes another device than the joining device (RFC 9420, 12.4.3.2).
    #[error("the external commit of {joiner} removes {removed}")]
    ForeignRemoval {
        /// The joining device.
        joiner: DeviceId,
        /// The device that would be removed.
        removed: DeviceId,
    },
    /// An external commit replaces a device's leaf, but has another signature key than that leaf.
    /// Its creator knows the device's name and has none of its keys.
    #[error("the external commit replaces the leaf of {device} without its signature key")]
    SignatureKeyChanged {
        /// The device whose leaf would be replaced.
        device: DeviceId,
    },
    /// The key package is not usable now, or would be usable for longer than any device accepts
    /// (RFC 9420, 7.2). Ask for a new key package.
    #[error(
        "the key package is for use from {not_before} to {until} (Unix time), which is not acceptable now; ask for a new one"
    )]
    Lifetime {
        /// The first second of its lifetime, since the Unix epoch.
        not_before: u64,
        /// The first second at which the key package is no longer usable.
        until: u64,
    },
    /// A part of the message uses another ciphersuite than the group.
    #[error("the ciphersuite {0:?} is not the group's ciphersuite")]
    Ciphersuite(Ciphersuite),
    /// A proposal changes another part of the group context than the [group
    /// data](crate::Group::set_data).
    #[error("the group context would change in another part than the group data")]
    GroupContext,
    /// The group data would be too long.
    #[error("the group data has {bytes} bytes; the maximum is {max}", max = MAX_GROUP_DATA_BYTES)]
    DataLength {
        /// The length of the data.
        bytes: usize,
    },
    /// The group data has a version that this engine does not support. Use a newer version of the
    /// engine.
    #[error("the group data has the unknown version {version:?}")]
    DataVersion {
        /// The first byte of the data, if there is one.
        version: Option<u8>,
    },
    /// A device's leaf has a fault, so every member would refuse a commit with it (RFC 9420, 7.3).
    /// Ask the device for a new key package, or use a client that creates correct ones.
    #[error("the leaf of {device} cannot be in the group: {fault}")]
    Leaf {
        /// The device that the leaf names.
        device: DeviceId,
        /// The leaf's fault.
        fault: LeafFault,
    },
    /// The proposal comes from an external sender, or from a device that wants to join (RFC 9420,
    /// 12.1.8). The engine accepts proposals only from members.
    #[error("the proposal does not come from a member of the group")]
    OutsideProposal,
    /// No commit can contain the proposal or the addition. The reason is only found while the
    /// commit is created, for example if a key package has expired by the system's clock.
    #[error("no commit can contain this change: {detail}")]
    NotCommittable {
        /// OpenMLS's reason.
        detail: String,
    },
    /// The engine does not support this type of proposal.
    #[error("proposals of this type are not accepted: {0}")]
    ProposalType(String),
}

impl Refusal {
    /// True if the reason is a feature that Regrow does not support at all, whichever device uses
    /// it.
    pub(crate) fn is_outside_profile(&self) -> bool {
        matches!(
            self,
            Self::Credential(_)
                | Self::ProposalType(_)
                | Self::OutsideProposal
                | Self::GroupContext
                | Self::DataLength { .. }
                | Self::DataVersion { .. }
        )
    }
}

/// The fault of a leaf that no commit can bring into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LeafFault {
    /// The leaf has an extension that its capabilities do not list (RFC 9420, 7.2). OpenMLS counts
    /// GREASE among these.
    #[error("it has the extension {extension:#06x}, which its capabilities do not list")]
    UndeclaredExtension {
        /// The extension's type.
        extension: u16,
    },
    /// The leaf has an extension that is not allowed in a leaf (RFC 9420, 17.3).
    #[error("it has the extension {extension:#06x}, which cannot be in a leaf")]
    MisplacedExtension {
        /// The extension's type.
        extension: u16,
    },
    /// The leaf's capabilities do not list the version mls10.
    #[error("its capabilities do not list the version mls10")]
    Version,
    /// The leaf's capabilities do not list the group's ciphersuite.
    #[error("its capabilities do not list the group's ciphersuite")]
    Ciphersuite,
    /// The leaf's capabilities do not list the credential type basic, which all members use.
    #[error("its capabilities do not list the credential type basic")]
    CredentialType,
    /// The leaf does not support an extension that the group has or requires (RFC 9420, 11.1). Its
    /// device uses other software, or software that is too old.
    #[error("it does not support the extension {extension:#06x}, which the group needs")]
    GroupExtension {
        /// The extension's type.
        extension: u16,
    },
    /// The leaf does not support a proposal or credential type that the group requires (RFC 9420,
    /// 11.1).
    #[error("it does not support a proposal or credential type that the group requires")]
    RequiredCapability,
    /// The leaf of an update has the encryption key of the leaf that it replaces (RFC 9420,
    /// 12.1.2).
    #[error("it keeps the encryption key of the leaf that it replaces")]
    EncryptionKeyKept,
}
