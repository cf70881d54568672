//! The parts that a commit leaves out, because no commit can contain them.

use openmls::{
    group::{MlsGroup, QueuedProposal},
    prelude::{KeyPackage, Sender},
};
use serde::{Deserialize, Serialize};

use super::{leaves::device_at, proposal_effect::describe};
use crate::{DeviceId, Proposed, Refusal, error::Error, identity::device_of_key_package};

/// A proposal, or an addition of this device's intents, that a commit leaves out because no commit
/// can contain it.
///
/// The commit's new epoch ends the proposal, and the intent to add the device is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The device that proposed or wanted the change.
    pub by: DeviceId,
    /// The change that does not happen.
    pub change: Proposed,
    /// The reason why no commit can contain the change.
    pub reason: Refusal,
}

/// Returns the record of an addition that a commit leaves out.
pub(crate) fn left_out_addition(own: &DeviceId, addition: &KeyPackage, reason: Refusal) -> Result<LeftOut, Error> {
    Ok(LeftOut { by: own.clone(), change: Proposed::Add(device_of_key_package(addition)?), reason })
}

/// Returns the record of a proposal that a commit leaves out; [`None`] if its sender is not a
/// member.
pub(crate) fn left_out_proposal(
    queued: &QueuedProposal,
    group: &MlsGroup,
    reason: Refusal,
) -> Result<Option<LeftOut>, Error> {
    let Sender::Member(leaf) = queued.sender() else { return Ok(None) };
    let Some(by) = device_at(group, *leaf)? else { return Ok(None) };
    Ok(Some(LeftOut { by, change: describe(queued, group)?, reason }))
}
