//! The requests of a messenger's state machine, and the service's responses: the border between deciding and asking.

use std::time::Duration;

use regrow_engine::{DeviceId, GroupId, PendingCommit, UserId};

use super::{
    claim::Addition,
    kept::{Answer, Sealed},
    lane::Scope,
    step::commit_request,
};
use crate::{
    api,
    connection::Connection,
    device_list::ListEntry,
    error::ConnectionError,
    names::{Cursor, Epoch, Sequence},
};

/// A request. To carry it out again has no other effect than once, so that a lost response costs nothing.
pub(super) enum Request {
    /// Acknowledges the entries up to this position.
    Acknowledge(Cursor),
    /// Asks how many key packages are left.
    KeyPackagesLeft,
    /// Uploads key packages.
    Upload {
        /// The key packages.
        upload: api::UploadRequest,
        /// Whether all others are withdrawn.
        replaces: bool,
    },
    /// Reads on in the list of a user's devices, after the entry of this number.
    DeviceList(UserId, u64),
    /// Appends an entry to the list of this user's devices.
    AppendToDeviceList(UserId, Box<ListEntry>),
    /// Removes a device of this user at the service that is not on the list.
    RemoveDevice(DeviceId),
    /// Submits to a group, or asks about it.
    Group(GroupId, Step),
    /// Reads the stream.
    Deliveries {
        /// The position before the first entry.
        after: Cursor,
        /// The number of entries.
        limit: usize,
        /// How long the service may wait for an entry.
        wait: Duration,
    },
    /// Asks for the ratchet tree that a welcome lacks.
    WelcomeTree(GroupId, Epoch),
}

/// A request that concerns one group.
pub(super) enum Step {
    /// Creates the group from its group info.
    Create(api::CreateGroupRequest),
    /// Accepts or declines the group, which another user has added this device to.
    Answer(Answer),
    /// Ends the group, of which this device is the only member.
    End,
    /// Reports a commit that cannot be followed.
    Report(Sequence),
    /// Asks for the group info, for an external commit.
    Info,
    /// Asks for the ratchet tree that the group info lacks.
    Tree(Epoch),
    /// Submits a commit.
    Commit(Box<PendingCommit>),
    /// Reads on in the list of the devices of a user that is to be added, after the entry of this number.
    DeviceList(Addition, u64),
    /// Claims a key package of a device that is to be added.
    Claim(Addition, DeviceId),
    /// Submits the proposal that is kept under this name.
    Proposal(String, Sealed),
    /// Submits the message that is kept under this name.
    Message(String, Sealed),
    /// Asks for the roster that belongs to this epoch.
    Roster(u64),
}

impl Request {
    /// The lane that fails if the request does. [`None`] for reading, which never waits for a lane.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Self::Acknowledge(_) => Some(Scope::Device),
            Self::KeyPackagesLeft | Self::Upload { .. } => Some(Scope::KeyPackages),
            Self::DeviceList(user, _) | Self::AppendToDeviceList(user, _) => Some(Scope::DeviceList(user.clone())),
            Self::RemoveDevice(device) => Some(Scope::DeviceList(device.user().clone())),
            Self::Group(group, Step::DeviceList(added, _) | Step::Claim(added, _)) => {
                Some(Scope::Intent { group: group.clone(), intent: added.intent() })
            }
            Self::Group(group, _) => Some(Scope::Group(group.clone())),
            Self::Deliveries { .. } | Self::WelcomeTree(..) => None,
        }
    }
}

impl Request {
    /// The lane that works if the request is carried out. [`None`] for a request that only prepares another one: a rejoin
    /// asks for the group info first, and an intent that claims works when it is granted.
    pub(super) fn proves(&self) -> Option<Scope> {
        match self {
            Self::Group(_, Step::Info | Step::DeviceList(..) | Step::Claim(..)) => None,
            _ => self.scope(),
        }
    }
}

macro_rules! responses {
    ($($(#[doc = $doc:literal])* $name:ident($type:ty) = $accessor:ident;)*) => {
        /// A response, one variant for each kind of answer.
        pub(super) enum Response {
            $($(#[doc = $doc])* $name($type),)*
        }

        impl Response {
            $(pub(super) fn $accessor(self) -> Result<$type, ConnectionError> {
                match self {
                    Self::$name(answer) => Ok(answer),
                    _ => Err(ConnectionError::Protocol { detail: "the response is not of the request's kind".into() }),
                }
            })*
        }
    };
}

responses! {
    /// It is done, and there is nothing to say about it.
    Done(()) = done;
    /// The key packages that are left.
    Left(api::KeyPackagesLeft) = left;
    /// The key packages were uploaded, but for some.
    Uploaded(api::UploadAnswer) = uploaded;
    /// The submission was ordered.
    Accepted(api::Accepted) = accepted;
    /// The report was counted.
    Reported(api::ReportAnswer) = reported;
    /// The group's group info.
    Info(api::GroupInfo) = info;
    /// A ratchet tree.
    Tree(api::RatchetTree) = tree;
    /// A part of the list of a user's devices.
    DeviceList(api::DeviceListPage) = device_list;
    /// The end of the list of this user's devices.
    Head(api::DeviceListHead) = head;
    /// Key packages.
    Claimed(api::ClaimAnswer) = claimed;
    /// The group as the service knows it.
    State(api::GroupState) = state;
    /// Entries of the stream.
    Page(api::DeliveryPage) = page;
}

/// Carries out a request.
pub(super) async fn perform(connection: &mut Connection, request: &Request) -> Result<Response, ConnectionError> {
    match request {
        Request::Acknowledge(up_to) => connection.acknowledge(*up_to).await.map(|_| Response::Done(())),
        Request::KeyPackagesLeft => connection.key_packages_left().await.map(Response::Left),
        Request::Upload { upload, replaces: false } => {
            connection.upload_key_packages(upload).await.map(Response::Uploaded)
        }
        Request::Upload { upload, replaces: true } => {
            connection.replace_key_packages(upload).await.map(Response::Uploaded)
        }
        Request::DeviceList(user, after) => connection.device_list(user, *after).await.map(Response::DeviceList),
        Request::AppendToDeviceList(_, entry) => {
            connection.append_to_device_list(&entry.encode()).await.map(Response::Head)
        }
        Request::RemoveDevice(device) => connection.remove_device(device).await.map(Response::Done),
        Request::Deliveries { after, limit, wait } => {
            connection.deliveries(*after, *limit, *wait).await.map(Response::Page)
        }
        Request::WelcomeTree(group, epoch) => connection.ratchet_tree(group, *epoch).await.map(Response::Tree),
        Request::Group(group, step) => perform_in_group(connection, group, step).await,
    }
}

async fn perform_in_group(
    connection: &mut Connection,
    group: &GroupId,
    step: &Step,
) -> Result<Response, ConnectionError> {
    match step {
        Step::Create(request) => connection.create_group(request).await.map(Response::Accepted),
        Step::Answer(Answer::Accept) => connection.accept_invitation(group).await.map(Response::Done),
        Step::Answer(Answer::Decline) => connection.decline_invitation(group).await.map(Response::Done),
        Step::End => connection.end_group(group).await.map(Response::Done),
        Step::Report(commit) => connection.report(group, *commit).await.map(Response::Reported),
        Step::Info => connection.group_info(group).await.map(Response::Info),
        Step::Tree(epoch) => connection.ratchet_tree(group, *epoch).await.map(Response::Tree),
        Step::Commit(pending) => {
            connection.submit_commit(group, &commit_request(pending)).await.map(Response::Accepted)
        }
        Step::DeviceList(added, after) => connection.device_list(added.user(), *after).await.map(Response::DeviceList),
        Step::Claim(_, device) => {
            let claim = api::ClaimRequest { user: device.user().clone(), device: Some(device.device().to_owned()) };
            connection.claim_key_packages(&claim).await.map(Response::Claimed)
        }
        Step::Proposal(_, sealed) => connection.submit_proposal(group, &sealed.bytes).await.map(Response::Accepted),
        Step::Message(_, sealed) => connection.submit_message(group, &sealed.bytes).await.map(Response::Accepted),
        Step::Roster(_) => connection.group(group).await.map(Response::State),
    }
}
