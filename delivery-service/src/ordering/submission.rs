//! The checks that every submission to a group passes, and the step that appends an accepted
//! submission to the log. `commit`, `proposal` and `message` call [`admit`]; they and `rollback`
//! call [`order`].

use openmls::framing::ContentType;

use super::{
    Abort, OrderingContext, Submitted,
    group::{self, Group},
    invitation, log,
    log_entry::EntryKind,
    membership, remembered, roster,
    tally::Tally,
};
use crate::{
    HandshakeMode,
    error::StoreError,
    handshake::wire::{Frame, Hash},
    names::{Cursor, Epoch},
    outcome::{Outcome, RejectReason},
    receipt::Receipt,
    service::effect::Effect,
    store::Transaction,
};

/// Checks a submission and returns its group. It checks in this order:
///
/// 1. The group exists, and the message belongs to it.
/// 2. The bytes are new.
/// 3. The sender is a member, or joins by an external commit and may do so.
/// 4. The content type and the wire format are right.
/// 5. The epoch is the current one. So of two commits of one epoch, the second is stale.
/// 6. The bytes fit into the limit of the sender's user.
///
/// Known bytes come first, so that a device that was removed in between still gets the outcome that
/// it missed. Membership comes before the epoch, so that strangers learn nothing about the group.
///
/// A device that submits something to a group accepts the invitation to it. `bytes` are all bytes of
/// the submission, with the messages that come with a commit.
pub(crate) fn admit(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    frame: &Frame,
    content_type: ContentType,
    bytes: usize,
) -> Result<Group, Abort> {
    let Submitted { group: id, sender, bytes: _ } = submitted;
    let group = group::load(tx, id)?.ok_or(RejectReason::UnknownGroup)?;
    if !frame.is_of(id) {
        return Err(RejectReason::WrongGroup.into());
    }
    remembered::abort_if_known(tx, id, &frame.hash, sender)?;
    let is_external_commit = content_type == ContentType::Commit && frame.is_external_commit;
    let member = roster::member(tx, id, sender)?;
    if member.is_none() {
        if !is_external_commit {
            return Err(RejectReason::NotAMember.into());
        }
        if !roster::may_join_by_itself(tx, id, &group, sender)? {
            return Err(RejectReason::Removed.into());
        }
    }
    if frame.content_type != content_type {
        return Err(RejectReason::WrongContentType.into());
    }
    check_wire_format(frame, group.mode)?;
    check_epoch(frame.epoch, group.epoch)?;
    Tally::check_bytes(tx, context.limits, sender.user(), bytes)?;
    if let Some(member) = &member {
        let membership = roster::membership_of(tx, id, sender, member)?;
        invitation::accept(tx, context, membership)?;
    }
    Ok(group)
}

fn check_wire_format(frame: &Frame, mode: HandshakeMode) -> Result<(), RejectReason> {
    // RFC 9420, 6: application data must be encrypted. An external joiner has no key that could
    // encrypt its commit.
    let must_be_public = match frame.content_type {
        ContentType::Application => false,
        ContentType::Proposal | ContentType::Commit => mode == HandshakeMode::Assisted || frame.is_external_commit,
    };
    if frame.is_public == must_be_public { Ok(()) } else { Err(RejectReason::WrongWireFormat) }
}

fn check_epoch(made_in: Epoch, current_epoch: Epoch) -> Result<(), Abort> {
    match made_in.cmp(&current_epoch) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Abort::answer(Outcome::Stale { current_epoch })),
        std::cmp::Ordering::Greater => Err(RejectReason::EpochAhead { current_epoch }.into()),
    }
}

/// Appends an admitted submission to the log, and saves `group` with its changes. `welcome` is the
/// number of bytes of its welcome.
pub(crate) fn order(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    kind: EntryKind,
    mut group: Group,
    hash: Hash,
    welcome: usize,
) -> Result<(Cursor, Receipt), StoreError> {
    let (cursor, receipt) = log::append(tx, context, submitted, &mut group, kind, welcome)?;
    membership::note_entry(tx, submitted.group)?;
    group::save(tx, submitted.group, &group)?;
    remembered::remember(tx, context, submitted, hash, &receipt, cursor)?;
    context.effects.note(Effect::Entry(submitted.group.clone()));
    Ok((cursor, receipt))
}
