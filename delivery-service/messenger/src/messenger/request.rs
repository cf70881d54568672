//! The requests that the state machine makes, and the service's responses, as data.

use std::time::Duration;

use regrow_engine::{DeviceId, GroupId, PendingCommit, UserId};

use super::{
    addition::AdditionTarget,
    records::{EncodedMessage, InvitationAnswer},
    scope::FailureScope,
};
use crate::{
    api,
    device_list::ListEntry,
    error::ConnectionError,
    names::{Cursor, Epoch, Sequence},
};

/// A request to the service.
///
/// Carrying it out twice has the effect of carrying it out once, so that a lost response costs
/// nothing.
pub(super) enum Request {
    /// Acknowledges the entries up to this position.
    Acknowledge(Cursor),
    /// Queries the number of key packages that are left.
    KeyPackagesLeft,
    /// Uploads key packages.
    Upload {
        /// The key packages.
        upload: api::UploadRequest,
        /// True if the service withdraws all others.
        replaces: bool,
    },
    /// Reads the list of a user's devices after the entry of this number.
    DeviceList(UserId, u64),
    /// Appends an entry to the list of this user's devices.
    AppendToDeviceList(UserId, Box<ListEntry>),
    /// Removes a device of this user that is not on the list from the service.
    RemoveDevice(DeviceId),
    /// Submits to a group, or queries it.
    Group(GroupId, GroupRequest),
    /// Reads the stream.
    Deliveries {
        /// The position before the first entry.
        after: Cursor,
        /// The largest number of entries.
        limit: usize,
        /// The time that the service may wait for an entry.
        wait: Duration,
    },
    /// Fetches the ratchet tree that a welcome lacks.
    WelcomeTree(GroupId, Epoch),
}

/// A request that concerns one group.
pub(super) enum GroupRequest {
    /// Creates the group from its group info.
    Create(api::CreateGroupRequest),
    /// Accepts or declines the invitation to the group.
    AnswerInvitation(InvitationAnswer),
    /// Ends the group. This device is its only member.
    End,
    /// Reports a commit that the device cannot follow.
    Report(Sequence),
    /// Fetches the group info for an external commit.
    GroupInfo,
    /// Fetches the ratchet tree that the group info lacks.
    RatchetTree(Epoch),
    /// Submits a commit.
    Commit(Box<PendingCommit>),
    /// Reads the device list of a user that the group adds, after the entry of this number.
    DeviceList(AdditionTarget, u64),
    /// Claims a key package of a device that the group adds.
    Claim(AdditionTarget, DeviceId),
    /// Submits the proposal of the outbox item with this name.
    Proposal(String, EncodedMessage),
    /// Submits the message of the outbox item with this name.
    Message(String, EncodedMessage),
    /// Reads the roster that belongs to this epoch.
    Roster(u64),
}

impl Request {
    /// The lane that fails if the request does. [`None`] for reading, which waits for no lane.
    pub(super) fn scope(&self) -> Option<FailureScope> {
        match self {
            Self::Acknowledge(_) => Some(FailureScope::Device),
            Self::KeyPackagesLeft | Self::Upload { .. } => Some(FailureScope::KeyPackages),
            Self::DeviceList(user, _) | Self::AppendToDeviceList(user, _) => {
                Some(FailureScope::DeviceList(user.clone()))
            }
            Self::RemoveDevice(device) => Some(FailureScope::DeviceList(device.user().clone())),
            Self::Group(group, GroupRequest::DeviceList(target, _) | GroupRequest::Claim(target, _)) => {
                Some(FailureScope::Intent { group: group.clone(), intent: target.intent() })
            }
            Self::Group(group, _) => Some(FailureScope::Group(group.clone())),
            Self::Deliveries { .. } | Self::WelcomeTree(..) => None,
        }
    }

    /// The lane that works once the request is carried out.
    ///
    /// [`None`] for a request that only prepares another one: a rejoin fetches the group info
    /// first, and an intent that claims key packages works when its commit is made.
    pub(super) fn proves(&self) -> Option<FailureScope> {
        match self {
            Self::Group(_, GroupRequest::GroupInfo | GroupRequest::DeviceList(..) | GroupRequest::Claim(..)) => None,
            _ => self.scope(),
        }
    }
}

macro_rules! responses {
    ($($(#[doc = $doc:literal])* $name:ident($type:ty) = $accessor:ident;)*) => {
        /// A response, with one variant for each kind of body.
        pub(super) enum Response {
            $($(#[doc = $doc])* $name($type),)*
        }

        impl Response {
            $(pub(super) fn $accessor(self) -> Result<$type, ConnectionError> {
                match self {
                    Self::$name(body) => Ok(body),
                    _ => Err(ConnectionError::Protocol { detail: "the response is not of the request's kind".into() }),
                }
            })*
        }
    };
}

responses! {
    /// The request is carried out. The response has no body.
    Done(()) = done;
    /// The key packages that are left.
    Left(api::KeyPackagesLeft) = left;
    /// The service has stored the key packages, except those that it names.
    Uploaded(api::UploadAnswer) = uploaded;
    /// The service has ordered the submission.
    Accepted(api::Accepted) = accepted;
    /// The service has counted the report.
    Reported(api::ReportAnswer) = reported;
    /// The group's group info.
    GroupInfo(api::GroupInfo) = group_info;
    /// A ratchet tree.
    Tree(api::RatchetTree) = tree;
    /// A part of the list of a user's devices.
    DeviceList(api::DeviceListPage) = device_list;
    /// The end of the list of this user's devices.
    Head(api::DeviceListHead) = head;
    /// The claimed key packages.
    Claimed(api::ClaimAnswer) = claimed;
    /// The state of the group at the service.
    State(api::GroupState) = state;
    /// Entries of the stream.
    Page(api::DeliveryPage) = page;
}
