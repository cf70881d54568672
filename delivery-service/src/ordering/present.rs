//! The present state of a group, and the verdicts that count in it.

use super::{
    Abort, Attempt,
    group::{Group, group_info},
};
use crate::{
    HandshakeMode,
    handshake::{DecodedHandshake, PresentState, PublicGroups, VerdictKind},
    names::GroupId,
    outcome::RejectReason,
    store::Transaction,
};

/// The verdict on a handshake in the group's present state. A handshake without a verdict costs no look at that state.
pub(crate) fn verdict<T: VerdictKind>(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    id: &GroupId,
    group: &Group,
    handshake: &mut DecodedHandshake<T>,
) -> Result<T, Abort<Attempt<()>>> {
    let unverified = || Abort::answer(Attempt::Unverified(()));
    if !handshake.has_verdict() {
        let is_seen = group.mode == HandshakeMode::Assisted || group.has_group_info();
        return Err(if is_seen { unverified() } else { RejectReason::NoGroupInfo.into() });
    }
    let present = present(tx, public_groups, id, group)?;
    Ok(handshake.take_verdict(&present).ok_or_else(unverified)??)
}

/// The group's present state, as far as the service sees it.
pub(crate) fn present(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    id: &GroupId,
    group: &Group,
) -> Result<PresentState, Abort> {
    match group.mode {
        HandshakeMode::Assisted => Ok(PresentState::Public(public_groups.group(tx, id, group.epoch)?)),
        HandshakeMode::Opaque => {
            let group_info = group_info(tx, id, group.epoch)?.ok_or(RejectReason::NoGroupInfo)?;
            Ok(PresentState::GroupInfo(group_info))
        }
    }
}
