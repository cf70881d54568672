//! The requests of a messenger's state machine, and the service's responses: the border between deciding and asking.

use std::time::Duration;

use regrow_engine::{DeviceId, GroupId, PendingCommit, UserId};

use super::{kept::Sealed, lane::Scope, step::commit_request};
use crate::{
    api,
    connection::Connection,
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
    /// Removes a device of this user at the service.
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
    /// Accepts the group, which another user has added this device to.
    Accept,
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
    /// Asks for the devices of a user that is to be added.
    Devices(UserId),
    /// Claims key packages of a user that is to be added: of all devices, or of one.
    Claim(UserId, Option<DeviceId>),
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
        use super::Wish;
        match self {
            Self::Acknowledge(_) => Some(Scope::Device),
            Self::KeyPackagesLeft | Self::Upload { .. } => Some(Scope::KeyPackages),
            Self::RemoveDevice(device) => Some(Scope::Removal(device.clone())),
            Self::Group(group, Step::Devices(user) | Step::Claim(user, _)) => {
                Some(Scope::Wish { group: group.clone(), wish: Wish::AddUser(user.clone()) })
            }
            Self::Group(group, _) => Some(Scope::Group(group.clone())),
            Self::Deliveries { .. } | Self::WelcomeTree(..) => None,
        }
    }
}

impl Request {
    /// The lane that works if the request is carried out. [`None`] for a request that only prepares another one: a rejoin
    /// asks for the group info first, and a wish that claims works when it is granted.
    pub(super) fn proves(&self) -> Option<Scope> {
        match self {
            Self::Group(_, Step::Info | Step::Devices(_) | Step::Claim(..)) => None,
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
    /// The devices of a user.
    Devices(api::Devices) = devices;
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
        Step::Accept => connection.accept_invitation(group).await.map(Response::Done),
        Step::End => connection.end_group(group).await.map(Response::Done),
        Step::Report(commit) => connection.report(group, *commit).await.map(Response::Reported),
        Step::Info => connection.group_info(group).await.map(Response::Info),
        Step::Tree(epoch) => connection.ratchet_tree(group, *epoch).await.map(Response::Tree),
        Step::Commit(pending) => {
            connection.submit_commit(group, &commit_request(pending)).await.map(Response::Accepted)
        }
        Step::Devices(user) => connection.devices(user).await.map(Response::Devices),
        Step::Claim(user, device) => {
            let device = device.as_ref().map(|device| device.device().to_owned());
            let claim = api::ClaimRequest { user: user.clone(), device };
            connection.claim_key_packages(&claim).await.map(Response::Claimed)
        }
        Step::Proposal(_, sealed) => connection.submit_proposal(group, &sealed.bytes).await.map(Response::Accepted),
        Step::Message(_, sealed) => connection.submit_message(group, &sealed.bytes).await.map(Response::Accepted),
        Step::Roster(_) => connection.group(group).await.map(Response::State),
    }
}
