//! The view of a group for the application.

use regrow_engine::{
    DeviceId, Epoch, EpochAuthenticator, Error, Group, GroupCode, GroupId, Member, SafetyNumber, UserId,
};
use zeroize::Zeroizing;

/// A group of the device, for reading. The methods of
/// [`Messenger`](super::Messenger) make all changes.
pub struct GroupView<'m>(pub(super) Group<'m>);

impl GroupView<'_> {
    /// The group's identifier.
    pub fn id(&self) -> &GroupId {
        self.0.id()
    }

    /// The epoch that this device is in.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch(&mut self) -> Result<Epoch, Error> {
        self.0.epoch()
    }

    /// The members, in the order of the leaves.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn roster(&mut self) -> Result<Vec<Member>, Error> {
        self.0.roster()
    }

    /// The devices of a user that are members.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn devices_of(&mut self, user: &UserId) -> Result<Vec<DeviceId>, Error> {
        let members = self.0.roster()?.into_iter().map(|member| member.device);
        Ok(members.filter(|device| device.user() == user).collect())
    }

    /// The application's data in the group: see [`Group::data`].
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn data(&mut self) -> Result<Vec<u8>, Error> {
        self.0.data()
    }

    /// The number that two people compare to make sure that nobody is between them: see
    /// [`Group::safety_number`].
    ///
    /// # Errors
    /// [`Error::UnknownUser`] if no device of that user is in the group.
    pub fn safety_number(&mut self, user: &UserId) -> Result<SafetyNumber, Error> {
        self.0.safety_number(user)
    }

    /// The users in the group with only verified keys: see [`Group::verified_users`].
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn verified_users(&mut self) -> Result<Vec<UserId>, Error> {
        self.0.verified_users()
    }

    /// A code that only the members of this epoch know: see [`Group::code`].
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn code(&mut self) -> Result<GroupCode, Error> {
        self.0.code()
    }

    /// The epoch's authenticator (RFC 9420, 8.7): members whose values are equal are in the same
    /// state.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn epoch_authenticator(&mut self) -> Result<EpochAuthenticator, Error> {
        self.0.epoch_authenticator()
    }

    /// A secret for the application (RFC 9420, 8.5): see [`Group::export_secret`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if the ciphersuite's KDF cannot produce that many bytes.
    pub fn export_secret(&mut self, label: &str, context: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.0.export_secret(label, context, length)
    }
}
