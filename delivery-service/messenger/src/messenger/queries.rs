//! The readable state of a messenger: its groups, members, and the service's receipts.

use regrow_engine::{Client, DeviceId, GroupId, Member, SafetyNumber, UserId};

use super::{Messenger, view::GroupView};
use crate::{
    error::Error,
    receipt::{Equivocation, Receipt, ServicePublicKey},
};

impl Messenger {
    /// The device.
    pub fn device(&self) -> &DeviceId {
        self.machine.device()
    }

    /// The key of the service that this device is registered with.
    pub fn service(&self) -> ServicePublicKey {
        self.machine.service()
    }

    /// The engine's client, for reading. The messenger's own methods make all changes.
    pub fn engine(&self) -> &Client {
        &self.machine.client
    }

    /// A group, for reading.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not in it.
    pub fn group(&mut self, group: &GroupId) -> Result<GroupView<'_>, Error> {
        Ok(GroupView(self.machine.client.group(group)?))
    }

    /// The members of a group.
    ///
    /// # Errors
    /// [`Error::Engine`] if this device is not one of them.
    pub fn roster(&mut self, group: &GroupId) -> Result<Vec<Member>, Error> {
        Ok(self.group(group)?.roster()?)
    }

    /// The number that two people compare to make sure that nobody is between them.
    ///
    /// # Errors
    /// [`Error::Engine`] if one of the two is not in the group.
    pub fn safety_number(&mut self, group: &GroupId, user: &UserId) -> Result<SafetyNumber, Error> {
        Ok(self.group(group)?.safety_number(user)?)
    }

    /// Marks a user as verified, after two people have compared this number: see
    /// [`Group::verify_user`](regrow_engine::Group::verify_user).
    ///
    /// # Errors
    /// [`SafetyNumberChanged`](regrow_engine::Error::SafetyNumberChanged) if the number has changed
    /// since; [`UnknownUser`](regrow_engine::Error::UnknownUser).
    pub fn verify_user(&mut self, group: &GroupId, user: &UserId, compared: &SafetyNumber) -> Result<(), Error> {
        Ok(self.machine.client.group(group)?.verify_user(user, compared)?)
    }

    /// The receipt of the group's last entry that this device has read. A person can carry the
    /// receipt to another member, who [compares](Self::compare) it.
    pub fn receipt(&self, group: &GroupId) -> Option<Receipt> {
        self.machine.receipt(group)
    }

    /// Compares a receipt of another member with this device's receipts. Returns the proof, if they
    /// contradict each other.
    ///
    /// The receipt may have come in any way. The messenger itself compares the receipts inside
    /// messages.
    ///
    /// # Errors
    /// [`Error::ForgedReceipt`] if the service has not signed the
    /// receipt.
    pub fn compare(&mut self, receipt: &Receipt) -> Result<Option<Equivocation>, Error> {
        self.machine.compare(receipt)
    }

    /// The proofs that the service has shown two histories of the group.
    pub fn equivocations(&self, group: &GroupId) -> Vec<Equivocation> {
        self.machine.equivocations(group)
    }

    /// True if this device sends nothing in the group because the service was caught in a lie
    /// there.
    pub fn is_suspended(&self, group: &GroupId) -> bool {
        self.machine.is_suspended(group)
    }

    /// Sends in the group again, after a person has looked into the service's lie. The proofs stay.
    ///
    /// # Errors
    /// [`Error::Engine`] if the store fails.
    pub fn trust_again(&mut self, group: &GroupId) -> Result<(), Error> {
        self.machine.end_suspension(group)
    }
}
