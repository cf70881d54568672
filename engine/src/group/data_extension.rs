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

use crate::{Refusal, error::Error, limits::MAX_GROUP_DATA_BYTES};

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

/// Refuses group data that is too long.
pub(crate) fn fits(data: &[u8]) -> Result<(), Refusal> {
    if data.len() <= MAX_GROUP_DATA_BYTES { Ok(()) } else { Err(Refusal::DataLength { bytes: data.len() }) }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal { action: "make a group context", detail: error.to_string() }
}
