//! A pending commit: a commit of this device that the delivery service has not ordered yet.

use serde::{Deserialize, Serialize};

use super::left_out::LeftOut;
use crate::{
    Change, DeviceId, SignaturePublicKey,
    names::{Epoch, GroupId, MessageId},
};

/// A pending commit, which has not yet changed the group (RFC 9420, 12.4). Submit it to the
/// delivery service. Then pass it to [`Client::confirm`](crate::Client::confirm) if the service
/// has accepted it, or to [`Client::discard`](crate::Client::discard) if not.
///
/// A pending commit survives a restart: see [`Group::pending`](crate::Group::pending).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a commit changes nothing until the delivery service has ordered it and it is confirmed"]
pub struct PendingCommit {
    pub(crate) group: GroupId,
    pub(crate) epoch: Epoch,
    pub(crate) commit: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) group_info: Option<Vec<u8>>,
    pub(crate) changes: Vec<Change>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) new_signature_key: Option<SignaturePublicKey>,
    pub(crate) external: bool,
}

impl PendingCommit {
    /// Returns the group of the commit.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// Returns the epoch in which the commit was created. The accepted commit starts the next
    /// epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the commit, an MLSMessage.
    pub fn commit(&self) -> &[u8] {
        &self.commit
    }

    /// Returns the welcome for the added devices, an MLSMessage, if the commit adds devices.
    /// Release it only after the commit is accepted.
    pub fn welcome(&self) -> Option<&[u8]> {
        self.welcome.as_deref()
    }

    /// Returns the group info of the commit's new epoch, an MLSMessage, if the policy asks for
    /// one.
    pub fn group_info(&self) -> Option<&[u8]> {
        self.group_info.as_deref()
    }

    /// Returns the devices that the commit adds.
    pub fn added(&self) -> impl Iterator<Item = &DeviceId> {
        Change::added(&self.changes)
    }

    /// Returns the devices that the commit removes. A device that rejoins is both removed and
    /// added.
    pub fn removed(&self) -> impl Iterator<Item = &DeviceId> {
        Change::removed(&self.changes)
    }

    /// Returns the changes of the commit, in the order of its proposals.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns the proposals and wanted additions that the commit leaves out, because no commit
    /// can contain them. Inform the person who wanted the addition. A member that repeatedly sends
    /// such proposals can be removed.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// True for an external commit, by which this device joins the group (RFC 9420, 12.4.3.2).
    pub fn is_external(&self) -> bool {
        self.external
    }

    pub(crate) fn id(&self) -> MessageId {
        MessageId::of(&self.commit)
    }
}
