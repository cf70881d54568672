//! The application's data in a group: a few bytes in the group context, on which all members agree.
//!
//! They are an extension of a private-use type (RFC 9420, 17.3), which every member has to support (RFC 9420, 11.1) and which
//! changes by a GroupContextExtensions proposal (RFC 9420, 12.1.7). All other extensions stay as they are.

use openmls::{
    group::{GroupContext, MlsGroup},
    prelude::{Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension, UnknownExtension},
};

use regrow_protocol::profile::{GROUP_DATA_EXTENSION, GROUP_DATA_VERSION};

use super::{Group, PendingCommit, intent::Intent};
use crate::error::{Error, Refusal};

/// The longest data of a group, in bytes. They are signed with every message of the group, and are in every welcome.
pub const MAX_GROUP_DATA_BYTES: usize = 4096;

impl Group<'_> {
    /// The application's data in this group; empty until it is [set](Self::set_data). All members of an epoch have the
    /// same.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn data(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |_, group| Ok(of(group.mls.extensions())?.to_vec()))
    }

    /// Sets the application's data in this group, in one commit (RFC 9420, 12.1.7): a group's name, its settings, who is its
    /// administrator. Every member learns it by [`Change::Data`](crate::Change::Data), and who joins later has it as well.
    /// The wish outlives lost races; of several the last counts.
    ///
    /// What is agreed on is authentic: who set it is a member and was [permitted](crate::Authenticate::may) to. It is
    /// **not secret**: the delivery service of an [assisted](crate::Handshake::Assisted) group reads it, and so does
    /// whoever gets a group info, in either mode. Encrypt what is to be secret, with a key that outlives the epoch.
    ///
    /// # Errors
    /// [`Refusal::DataLength`] if it is longer than [`MAX_GROUP_DATA_BYTES`]; [`Error::DataUnsupported`] if the group was
    /// made without support for it; [`Error::NothingToCommit`] if this is the group's data already (a wish
    /// for other data that has not happened yet is kept then: [`abandon`](Self::abandon) it);
    /// [`Error::Refused`] if the application does not permit it; [`Error::CommitPending`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Change, Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// # let mut alice = Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())?;
    /// let mut chat = alice.create_group(GroupId::new("chat")?, now)?;
    ///
    /// let pending = chat.set_data(b"name: The chess club")?;
    ///
    /// let change = alice.confirm(pending, now)?;
    /// assert_eq!(change.changes, [Change::Data(b"name: The chess club".to_vec())]);
    /// assert_eq!(alice.group(&GroupId::new("chat")?)?.data()?, b"name: The chess club");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn set_data(&mut self, data: &[u8]) -> Result<PendingCommit, Error> {
        self.intend(|_, group| {
            fits(data)?;
            if !is_supported(&group.mls) {
                return Err(Error::DataUnsupported);
            }
            Ok(Intent::Data(data.to_vec()))
        })
    }
}

/// The type that a leaf says it supports.
pub(crate) fn extension_type() -> ExtensionType {
    ExtensionType::Unknown(GROUP_DATA_EXTENSION)
}

/// The extensions of a new group: all members support its data.
pub(crate) fn required() -> Result<Extensions<GroupContext>, Error> {
    let required = RequiredCapabilitiesExtension::new(&[extension_type()], &[], &[]);
    Extensions::single(Extension::RequiredCapabilities(required)).map_err(internal)
}

/// Whether all members of the group support its data, for it requires that.
pub(crate) fn is_supported(group: &MlsGroup) -> bool {
    let required = group.extensions().required_capabilities();
    required.is_some_and(|required| required.extension_types().contains(&extension_type()))
}

/// The data in a group context with these extensions.
pub(crate) fn of(extensions: &Extensions<GroupContext>) -> Result<&[u8], Refusal> {
    let Some(UnknownExtension(content)) = extensions.unknown(GROUP_DATA_EXTENSION) else { return Ok(&[]) };
    match content.split_first() {
        Some((&GROUP_DATA_VERSION, data)) => fits(data).map(|()| data),
        other => Err(Refusal::DataVersion { version: other.map(|(version, _)| *version) }),
    }
}

/// The group's extensions, with other data.
pub(crate) fn with(group: &MlsGroup, data: &[u8]) -> Result<Extensions<GroupContext>, Error> {
    let mut extensions = group.extensions().clone();
    match data.is_empty() {
        true => drop(extensions.remove(extension_type())),
        false => {
            let content = UnknownExtension([&[GROUP_DATA_VERSION], data].concat());
            extensions.add_or_replace(Extension::Unknown(GROUP_DATA_EXTENSION, content)).map_err(internal)?;
        }
    }
    Ok(extensions)
}

/// The data that a group of these extensions would have by a proposal of those.
///
/// # Errors
/// [`Refusal::GroupContext`] if anything else would change, or be in another order.
pub(crate) fn proposed<'p>(
    present: &Extensions<GroupContext>,
    proposed: &'p Extensions<GroupContext>,
) -> Result<&'p [u8], Refusal> {
    let is_other = |extension: &&Extension| extension.extension_type() != extension_type();
    if present.iter().filter(is_other).ne(proposed.iter().filter(is_other)) {
        return Err(Refusal::GroupContext);
    }
    of(proposed)
}

fn fits(data: &[u8]) -> Result<(), Refusal> {
    if data.len() <= MAX_GROUP_DATA_BYTES { Ok(()) } else { Err(Refusal::DataLength { bytes: data.len() }) }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal { action: "make a group context", detail: error.to_string() }
}
