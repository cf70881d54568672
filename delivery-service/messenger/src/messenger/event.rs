//! The events that a messenger reports to its application.

use std::{fmt, sync::Arc, time::Duration};

use regrow_engine::{DeviceId, Epoch, EpochChange, GroupId, MessageId, Proposed, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{intent::Intent, scope::FailureScope};
use crate::{RejectCode, device_list::DeviceCard, error::Error, names::Sequence, receipt::Equivocation};

/// An event that the application receives from [`Messenger`](super::Messenger).
///
/// Messages and changes by other members arrive exactly once at an application that stores each
/// event before it asks for the next. All other events are notices: a crash may lose them, and the
/// application can query the facts that they report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message has arrived.
    Message {
        /// The group.
        group: GroupId,
        /// The message's identifier. It is the same at every member and at every repetition of the
        /// event. If the sender had to send the text twice, two messages carry it, and each member
        /// receives one of them.
        id: MessageId,
        /// The sending device.
        sender: DeviceId,
        /// The epoch of the message.
        epoch: Epoch,
        /// The text.
        text: Text,
    },
    /// This device was added to a group.
    Joined {
        /// The group.
        group: GroupId,
        /// The device that has added this one, as the service says.
        by: DeviceId,
    },
    /// A device without [permission](super::Options::may_add) has added this device to a group.
    ///
    /// The messenger reads the group already. A person [accepts](super::Messenger::accept_group) or
    /// [declines](super::Messenger::decline_group) it. After 30 days without an answer the service
    /// stops delivering the group to this device.
    Invited {
        /// The group.
        group: GroupId,
        /// The device that has added this one, as the service says.
        by: DeviceId,
    },
    /// A commit of this device or of another has moved a group to a new epoch.
    Changed {
        /// The group.
        group: GroupId,
        /// The changes.
        change: EpochChange,
    },
    /// A member has proposed a change. A later commit carries it out.
    Proposed {
        /// The group.
        group: GroupId,
        /// The proposing device.
        by: DeviceId,
        /// The proposed change.
        change: Proposed,
    },
    /// This device is no longer in the group.
    Removed {
        /// The group.
        group: GroupId,
        /// The device that has removed this one, if it is known.
        by: Option<DeviceId>,
    },
    /// An intent cannot be carried out. The messenger has given it up.
    Refused {
        /// The group.
        group: GroupId,
        /// The intent, if the refusal concerns a single one.
        intent: Option<Intent>,
        /// The reason, for people.
        reason: String,
    },
    /// An attempt has failed, and the messenger tries again later.
    ///
    /// Only the given scope waits; everything else goes on. The event appears once until the scope
    /// works again.
    Delayed {
        /// The concern that waits.
        scope: FailureScope,
        /// The failure.
        cause: Arc<Error>,
        /// The time until the next attempt.
        again: Duration,
    },
    /// One device of a user cannot be added now. The user's other devices are still added.
    NotAdded {
        /// The group.
        group: GroupId,
        /// The device. To try again, [add the user](super::Messenger::add_user) again.
        device: DeviceId,
        /// The failure: the device's key package is unusable, or the service has none of it.
        cause: Arc<Error>,
    },
    /// The service has refused key packages of this device.
    ///
    /// The device erases them and makes new ones. Nothing else waits for that. If the event
    /// repeats, read the reason: usually a clock is wrong.
    KeyPackagesRefused {
        /// The number of refused key packages.
        key_packages: usize,
        /// The service's reason, if this version of the crate knows it.
        reason: Option<RejectCode>,
        /// The service's reason, for people.
        detail: String,
        /// The time until the device makes new ones.
        again: Duration,
    },
    /// The clocks of this device and of the service differ by more than
    /// [`MAX_CLOCK_SKEW`](super::MAX_CLOCK_SKEW).
    ///
    /// Until they agree, the messenger uses the service's time and judges no member inactive. Ask a
    /// person to set the clock.
    ClockSkew {
        /// The time by this device's clock.
        own: Timestamp,
        /// The time by the service's clock.
        service: Timestamp,
    },
    /// The service has removed a device of this user, as
    /// [requested](super::Messenger::remove_device).
    DeviceRemoved {
        /// The device.
        device: DeviceId,
    },
    /// This device is not on the list of its user's devices, so that nobody adds it to groups.
    ///
    /// Show the card to a device on the list, which [links](super::Messenger::link_device) this
    /// one. Each process reports the event once.
    Unlisted {
        /// This device's name and public keys.
        card: DeviceCard,
    },
    /// A device was not put on the list of this user's devices.
    NotLinked {
        /// The device. To try again, [link it](super::Messenger::link_device) again.
        device: DeviceId,
        /// The failure.
        cause: Arc<Error>,
    },
    /// The list of a user's devices has changed.
    ///
    /// The user is this device's user, or a user that this device has added to a group or seen
    /// added. A person should recognize each device of the own list.
    DevicesChanged {
        /// The user.
        user: UserId,
        /// Devices that are now on the list.
        added: Vec<DeviceId>,
        /// Devices that are no longer on the list.
        removed: Vec<DeviceId>,
        /// True if the list has begun anew, so that no former device vouches for it. The user's
        /// devices are not added to groups until a person
        /// [accepts](super::Messenger::accept_devices) the list.
        begun_anew: bool,
    },
    /// The service shows a forged list of a user's devices.
    ///
    /// The list contradicts an earlier list of the service, or no device has signed it. The user's
    /// devices are not added to groups. An honest reason is possible, such as a service that was
    /// restored from a backup: then a person can [accept](super::Messenger::accept_devices) the
    /// list.
    DeviceListForged {
        /// The user.
        user: UserId,
        /// The contradiction, for people.
        detail: String,
    },
    /// A member has added a device that is not on the list of its user's devices.
    ///
    /// The member believed a false list, or acts against the group. A person should ask the user.
    UnlistedMember {
        /// The group.
        group: GroupId,
        /// The device.
        device: DeviceId,
    },
    /// The service does not remove a device of this user. The groups still remove it.
    DeviceNotRemoved {
        /// The device. To try again, [remove it](super::Messenger::remove_device) again.
        device: DeviceId,
        /// The failure.
        cause: Arc<Error>,
    },
    /// A text could not be sent. The messenger has given it up.
    Undeliverable {
        /// The group.
        group: GroupId,
        /// The text.
        text: Text,
        /// The reason, for people.
        reason: String,
    },
    /// A message or proposal cannot be read: it is forged, damaged, or in an unknown format.
    Unreadable {
        /// The group.
        group: GroupId,
        /// The device that has submitted it, as the service says.
        sender: DeviceId,
        /// The reason, for people.
        reason: String,
    },
    /// The service has ordered a commit that this device cannot follow.
    ///
    /// The device reports the commit. Then the service takes the commit back, or this device
    /// rejoins.
    BadCommit {
        /// The group.
        group: GroupId,
        /// The commit's sequence in the group's log.
        sequence: Sequence,
        /// The device that has submitted it, as the service says.
        sender: DeviceId,
        /// The reason, for people.
        reason: String,
    },
    /// The service has taken back a commit and the proposals after it. Messages stay in the log.
    ///
    /// The device sends its texts of that time again, and members that have read them do not
    /// receive them twice. The application has to repeat the intents of its own commit.
    RolledBack {
        /// The group.
        group: GroupId,
        /// The commit's sequence.
        commit: Sequence,
        /// True if this device had followed the commit. Then it rejoins; if the commit had added
        /// it, it is no longer in the group.
        followed: bool,
    },
    /// The state of this device is of no use in the group any more. It rejoins by external commit.
    Rejoining {
        /// The group.
        group: GroupId,
        /// The reason.
        why: Rejoin,
    },
    /// This device has rejoined. It cannot read the messages that were sent in between.
    Rejoined {
        /// The group.
        group: GroupId,
    },
    /// This device cannot rejoin for now. It tries again after the next entry of the group.
    Stranded {
        /// The group.
        group: GroupId,
        /// The reason, for people.
        reason: String,
    },
    /// Entries of the group's log are missing: the service has deleted them or withholds them.
    Gap {
        /// The group.
        group: GroupId,
        /// The sequence of the last entry before the gap.
        after: Sequence,
        /// The sequence of the first entry after the gap.
        before: Sequence,
    },
    /// The service has signed two histories of the group.
    ///
    /// The proof convinces everybody who has the service's key. This device sends nothing in the
    /// group until the application calls [`Messenger::trust_again`](super::Messenger::trust_again).
    Equivocation {
        /// The group.
        group: GroupId,
        /// Two receipts that contradict each other.
        proof: Equivocation,
    },
    /// An entry does not continue the hash chain that the service has signed.
    ///
    /// This device knows it but cannot prove it to others. It sends nothing in the group, as after
    /// [`Event::Equivocation`].
    BrokenChain {
        /// The group.
        group: GroupId,
        /// The entry's sequence.
        sequence: Sequence,
    },
    /// The service's roster differs from the group's members.
    ///
    /// In an opaque group a committer has declared a false roster change, or the service itself
    /// delivers to other devices than the members.
    RosterLie {
        /// The group.
        group: GroupId,
        /// Devices that read at the service and are no members.
        intruders: Vec<DeviceId>,
        /// Members that the service does not deliver to.
        left_out: Vec<DeviceId>,
    },
}

/// The reason why a device rejoins a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejoin {
    /// The service did not take back a commit that the device cannot follow.
    BadCommit,
    /// The device has followed a commit that the service took back.
    RolledBack,
    /// The device has missed a commit, has confirmed a commit that the service did not order, or
    /// could not process a commit because of its clock.
    Missed,
    /// The device's storage was put back to an older state, or copied.
    Restored,
    /// The device was added, but cannot open the welcome.
    Welcome,
    /// The device could not process an entry of the group, or the messenger's record of the group
    /// is damaged.
    Failed,
}

/// A text. Dropping it erases it from memory, and `{:?}` does not show it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(pub Zeroizing<Vec<u8>>);

impl Text {
    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl fmt::Display for Text {
    /// Shows the bytes as UTF-8; replaces bytes that are no UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
