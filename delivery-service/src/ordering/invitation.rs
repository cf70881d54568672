//! Invitations to groups: a device accepts or declines a group that another user has added it to
//! (`docs/decisions/0060`). These are not the invitations to register a device, which are in
//! `admission`. `DeliveryService`, `submission` and `rollback` call [`accept`], and `expiry` ends
//! old invitations.

use super::{
    Abort, OrderingContext, claim,
    membership::{Invitation, Membership, check_group_count},
    retention, roster,
};
use crate::{
    deadlines,
    error::StoreError,
    names::{DeviceId, GroupId, Timestamp},
    outcome::RejectReason,
    service::effect::Effect,
    store::{
        Table, Transaction,
        key::{self, Key},
    },
};

/// Accepts the group for the device of the present `membership`, if the device is invited. Returns
/// true if the device has accepted the group, now or before.
pub(crate) fn accept<T: From<RejectReason>>(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    membership: Option<Membership>,
) -> Result<bool, Abort<T>> {
    let Some(membership) = membership else {
        return Ok(false);
    };
    let inviter = match &membership.invitation {
        None => return Ok(true),
        Some(invitation) if invitation.declined => return Ok(false),
        Some(invitation) => invitation.inviter.clone(),
    };
    let device = membership.device.clone();
    check_group_count(tx, context.limits, &device)?;
    membership.answer(tx, None)?;
    claim::accepted(tx, &inviter, &device)?;
    Ok(true)
}

/// Declines the group for a device that has not accepted it. The device stays on the roster until
/// members commit its removal, and no log waits for it.
pub(crate) fn decline<T: From<RejectReason>>(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    group: &GroupId,
    device: &DeviceId,
) -> Result<(), Abort<T>> {
    let Some(membership) = roster::present_membership(tx, group, device)? else {
        return Err(Abort::answer(RejectReason::NotAMember.into()));
    };
    match membership.invitation {
        None => Err(Abort::answer(RejectReason::NotInvited.into())),
        Some(Invitation { declined: true, .. }) => Ok(()),
        Some(_) => {
            end_invitation(tx, membership)?;
            context.effects.note(Effect::Readers(group.clone(), vec![device.clone()]));
            Ok(())
        }
    }
}

fn end_invitation(tx: &mut dyn Transaction, membership: Membership) -> Result<(), StoreError> {
    let group = membership.group.clone();
    let invitation = membership.invitation.clone().map(|invitation| Invitation { declined: true, ..invitation });
    membership.answer(tx, invitation)?;
    retention::trim(tx, &group).map(drop)
}

/// Ends a batch of invitations that have expired at `now`. Returns true if there may be more.
pub(crate) fn expire_batch(tx: &mut dyn Transaction, now: Timestamp) -> Result<bool, StoreError> {
    let passed = deadlines::passed_keys(tx, Table::InvitationDeadlines, now)?;
    for (_, membership) in &passed {
        let membership = Key::from_bytes(membership.clone());
        let corrupt = StoreError::Corrupt(Table::InvitationDeadlines);
        let membership: Membership = key::get(tx, Table::Memberships, &membership)?.ok_or(corrupt)?;
        end_invitation(tx, membership)?;
    }
    Ok(passed.len() == deadlines::BATCH)
}
