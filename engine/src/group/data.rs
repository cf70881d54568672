//! The group data: a few bytes of the application in the group context, on which all members
//! agree.
//!
//! The group data is an extension of a private-use type (RFC 9420, 17.3). Every member must
//! support it (RFC 9420, 11.1). A GroupContextExtensions proposal changes it (RFC 9420, 12.1.7).
//! All other extensions never change.

use openmls::{
    group::{GroupContext, MlsGroup},
    prelude::{Extension, ExtensionType, Extensions, RequiredCapabilitiesExtension, UnknownExtension},
};

use regrow_protocol::profile::{GROUP_DATA_EXTENSION, GROUP_DATA_VERSION};

use super::{Group, PendingCommit, intent::Intent};
use crate::error::{Error, Refusal};

/// The maximum length of the group data, in bytes. The data is signed with every message of the
/// group, and is in every welcome.
pub const MAX_GROUP_DATA_BYTES: usize = 4096;

impl Group<'_> {
    /// Returns the group data of this group. It is empty until it is [set](Self::set_data). All
    /// members of an epoch have the same data.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    pub fn data(&mut self) -> Result<Vec<u8>, Error> {
        self.client.with_group(&self.id, |_, group| Ok(of(group.mls.extensions())?.to_vec()))
    }

    /// Sets the group data of this group, in one commit (RFC 9420, 12.1.7). Examples are the
    /// group's name, its settings, or its administrator. Every member learns the change by
    /// [`Change::Data`](crate::Change::Data), and later members get the data when they join. The
    /// intent survives lost races. Of several such intents, the last one counts.
    ///
    /// The group data is authentic: a member has set it, and was
    /// [permitted](crate::Authenticate::may) to do so. It is **not secret**. The delivery service
    /// of an [assisted](crate::HandshakeMode::Assisted) group can read it. In both modes, everyone
    /// with a group info can read it. Encrypt secret data with a key that is valid for longer than
    /// the epoch.
    ///
    /// # Errors
    /// [`Refusal::DataLength`] if the data is longer than [`MAX_GROUP_DATA_BYTES`];
    /// [`Error::DataUnsupported`] if the group was created without support for group data;
    /// [`Error::Refused`] if the application does not permit the change; [`Error::CommitPending`].
    /// [`Error::NothingToCommit`] if the group already has this data. (Then an open intent for
    /// other data is still stored: [`abandon`](Self::abandon) it.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Change, Client, DeviceId, Error, GroupId, MemoryStore, Policy, Timestamp,
    /// #     default_crypto,
    /// # };
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let id = DeviceId::new("alice", "phone").expect("a short name");
    /// # let store = Arc::new(MemoryStore::new());
    /// # let mut alice = Client::create(store, default_crypto(), id, Policy::default())?;
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

/// Returns the extension type that a leaf lists in its capabilities.
pub(crate) fn extension_type() -> ExtensionType {
    ExtensionType::Unknown(GROUP_DATA_EXTENSION)
}

/// Returns the extensions of a new group. They require all members to support group data.
pub(crate) fn required() -> Result<Extensions<GroupContext>, Error> {
    let required = RequiredCapabilitiesExtension::new(&[extension_type()], &[], &[]);
    Extensions::single(Extension::RequiredCapabilities(required)).map_err(internal)
}

/// True if the group requires all members to support group data.
pub(crate) fn is_supported(group: &MlsGroup) -> bool {
    let required = group.extensions().required_capabilities();
    required.is_some_and(|required| required.extension_types().contains(&extension_type()))
}

/// Returns the group data in these extensions.
pub(crate) fn of(extensions: &Extensions<GroupContext>) -> Result<&[u8], Refusal> {
    let Some(UnknownExtension(content)) = extensions.unknown(GROUP_DATA_EXTENSION) else { return Ok(&[]) };
    match content.split_first() {
        Some((&GROUP_DATA_VERSION, data)) => fits(data).map(|()| data),
        other => Err(Refusal::DataVersion { version: other.map(|(version, _)| *version) }),
    }
}

/// Returns the group's extensions with new group data.
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

/// Returns the group data that a proposal with the `proposed` extensions would set.
///
/// # Errors
/// [`Refusal::GroupContext`] if any other extension would change, or if their order would change.
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
