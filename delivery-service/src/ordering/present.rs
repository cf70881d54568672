//! The present state of a group, and the verdict on a handshake in that state. The module verifies
//! nothing. `commit` and `proposal` take their verdicts here, and `DeliveryService` reads the state
//! for a [`Checker`](crate::Checker).

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

/// Takes the verdict on a handshake in the group's present state. For a handshake without a
/// verdict, it does not load that state.
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

/// Returns the group's present state, as far as the service sees it.
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
