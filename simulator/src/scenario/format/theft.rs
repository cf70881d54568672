//! The stolen part of a device, and the actions of a thief.

/// The action of a thief in the name of the device that it stole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThiefAction {
    /// The thief sends an application message.
    Send,
    /// The thief commits an update of the leaf.
    Commit,
    /// The thief takes the leaf's place by an external commit.
    Rejoin,
}

/// The stolen part of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TheftScope {
    /// The whole device: its storage and its memory.
    #[default]
    Device,
    /// The files of the device's storage, without their key.
    Disk,
    /// The latest backup of the device, with its passphrase.
    Backup,
}
