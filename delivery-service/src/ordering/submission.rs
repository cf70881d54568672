//! What every submission to a group goes through first.

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

/// Checks, in this order: that the group exists and is the message's own; that these bytes are new; that the sender is
/// a member, or joins and may; that content and wire format are what belongs here; that the epoch is the current one.
/// Returns the group.
///
/// Known bytes come first, so that a device that was removed in between still gets the answer it missed. Membership
/// comes before the epoch, so that strangers learn nothing about the group.
///
/// A device that submits something to a group has accepted the group.
pub(crate) fn admit(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    frame: &Frame,
    content_type: ContentType,
) -> Result<Group, Abort> {
    let Submitted { group: id, sender, bytes } = submitted;
    let group = group::load(tx, id)?.ok_or(RejectReason::UnknownGroup)?;
    if !frame.is_of(id) {
        return Err(RejectReason::WrongGroup.into());
    }
    remembered::abort_if_known(tx, id, &frame.hash, sender)?;
    let is_external_commit = content_type == ContentType::Commit && frame.is_external_commit;
    let is_member = roster::is_member(tx, id, sender)?;
    if !is_member {
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
    Tally::check_bytes(tx, context.limits, sender.user(), bytes.len())?;
    if is_member {
        invitation::accept(tx, context, id, sender)?;
    }
    Ok(group)
}

fn check_wire_format(frame: &Frame, mode: HandshakeMode) -> Result<(), RejectReason> {
    // RFC 9420, 6: application data must be encrypted. An external joiner has no key to encrypt its commit with.
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

/// Appends an admitted submission to the log, with all that `group` has become. `welcome` has the bytes of its welcome.
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
