//! The state of a member at one moment, as its own device sees it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::scenario::{GroupName, MemberName};

/// The states of a member at the beginning and at the end of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStates {
    /// The member.
    pub who: MemberName,
    /// The state before the step.
    pub before: MemberState,
    /// The state after the step.
    pub after: MemberState,
}

/// The state of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// True if the member is connected to the delivery service.
    pub online: bool,
    /// True if the member's device is locked.
    pub locked: bool,
    /// The groups as the device sees them. A group of which it has no state is not here.
    pub groups: BTreeMap<GroupName, GroupView>,
    /// The status of each message that the delivery service has ordered, in its order.
    pub messages: Vec<MessageStatus>,
}

/// A group as one device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The device's epoch.
    pub epoch: u64,
    /// True if the device knows that it cannot go on in the group, and has to rejoin.
    pub lost: bool,
    /// The members, in the order of their leaves.
    pub members: Vec<String>,
    /// True if a commit of the device waits for the delivery service's answer.
    pub pending_commit: bool,
    /// The number of proposals that wait for a commit.
    pub proposals: usize,
}

/// The status of an application message at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// The member has sent it.
    Sent,
    /// The member has read it.
    Read,
    /// It reached the member, and the member could not read it.
    Unreadable(Unreadable),
    /// A delivery rule holds it back.
    Held,
    /// A delivery rule lost it.
    Dropped,
    /// It did not reach the member, which was not in the group in the epoch of the message.
    NotAMember,
    /// It has not reached the member yet, because the member is offline.
    Offline,
    /// It has not reached the member yet, because the member's device is locked.
    Locked,
    /// It did not reach the member, because the delivery service keeps entries back from it.
    Withheld,
    /// It did not reach the member, because the delivery service shows the member another history.
    OtherHistory,
    /// It did not reach the member.
    Missing,
}

/// The reason why a member cannot read a message that reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// The member was not in the epoch of the message.
    NotInEpoch,
    /// The member has erased the epoch of the message.
    ErasedEpoch,
    /// Too many later messages of the sender have been read before.
    BehindWindow,
    /// Too many earlier messages of the sender are missing.
    AheadOfWindow,
    /// The member has read a message with the same generation.
    ReadBefore,
}
