//! The profile of the devices: the service refuses proposals and extensions that Regrow's devices
//! do not support. See [`regrow_protocol::profile`].

use openmls::{extensions::Extensions, group::GroupContext, messages::proposals::Proposal};
use regrow_protocol::profile::{GROUP_CONTEXT_EXTENSIONS, GROUP_DATA_EXTENSION, GROUP_DATA_VERSION, PROPOSAL_TYPES};

use super::credential::basic_identity;
use crate::outcome::{RejectReason, Unsupported};

/// Checks a proposal, by reference or in a commit.
pub(super) fn check_proposal(proposal: &Proposal) -> Result<(), RejectReason> {
    let kind = u16::from(proposal.proposal_type());
    if !PROPOSAL_TYPES.contains(&kind) {
        return Err(RejectReason::Unsupported(Unsupported::Proposal { kind }));
    }
    match proposal {
        Proposal::Add(add) => basic_identity(add.key_package().leaf_node().credential()).map(drop),
        Proposal::GroupContextExtensions(change) => check_extensions(change.extensions()),
        _ => Ok(()),
    }
}

/// Checks the extensions of a group context.
pub(super) fn check_extensions(extensions: &Extensions<GroupContext>) -> Result<(), RejectReason> {
    for extension in extensions.iter() {
        let kind = u16::from(extension.extension_type());
        if !GROUP_CONTEXT_EXTENSIONS.contains(&kind) {
            return Err(RejectReason::Unsupported(Unsupported::GroupContextExtension { kind }));
        }
    }
    match extensions.unknown(GROUP_DATA_EXTENSION).map(|data| data.0.first().copied()) {
        None | Some(Some(GROUP_DATA_VERSION)) => Ok(()),
        Some(version) => Err(RejectReason::Unsupported(Unsupported::DataVersion { version: version.unwrap_or(0) })),
    }
}
