//! What every submission to a group goes through first.

use openmls::framing::{ContentType, ProtocolMessage};

use super::{
    Call, Halt, Submitted,
    answers::{self, Hash},
    group::{self, Group, HandshakeMode},
    log::{self, EntryKind},
    membership, roster,
};
use crate::{
    error::StoreError,
    handshake::wire,
    names::{Cursor, Epoch},
    outcome::{Outcome, RejectReason},
    receipt::Receipt,
    service::effect::Effect,
    store::Transaction,
};

/// A submission in its group's current epoch, from one who may submit it.
pub(crate) struct Admitted {
    pub(crate) group: Group,
    pub(crate) message: ProtocolMessage,
    pub(crate) hash: Hash,
    /// An external commit: the sender need not be a member.
    pub(crate) is_external_commit: bool,
}

/// Checks, in this order: that the group exists and is the message's own; that these bytes are new; that the sender is
/// a member, or joins and may; that content and wire format are what belongs here; that the epoch is the current one.
///
/// Known bytes come first, so that a device that was removed in between still gets the answer it missed. Membership
/// comes before the epoch, so that strangers learn nothing about the group.
///
/// A device that submits something to a group has accepted the group.
pub(crate) fn admit(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    submitted: Submitted<'_>,
    message: ProtocolMessage,
    content_type: ContentType,
) -> Result<Admitted, Halt> {
    let Submitted { group: id, sender, bytes } = submitted;
    let group = group::load(tx, id)?.ok_or(RejectReason::UnknownGroup)?;
    if message.group_id().as_slice() != id.as_bytes() {
        return Err(RejectReason::WrongGroup.into());
    }
    let hash = wire::hash(bytes);
    answers::halt_if_known(tx, id, &hash, sender)?;
    let is_external_commit = content_type == ContentType::Commit && wire::is_external_commit(&message);
    let is_member = roster::is_member(tx, id, sender)?;
    if !is_member {
        if !is_external_commit {
            return Err(RejectReason::NotAMember.into());
        }
        if !roster::may_join_by_itself(tx, id, &group, sender)? {
            return Err(RejectReason::Removed.into());
        }
    }
    if message.content_type() != content_type {
        return Err(RejectReason::WrongContentType.into());
    }
    check_wire_format(&message, content_type, group.mode, is_external_commit)?;
    check_epoch(Epoch(message.epoch().as_u64()), group.epoch)?;
    if is_member {
        membership::accept(tx, call, id, sender)?;
    }
    Ok(Admitted { group, message, hash, is_external_commit })
}

fn check_wire_format(
    message: &ProtocolMessage,
    content_type: ContentType,
    mode: HandshakeMode,
    is_external_commit: bool,
) -> Result<(), RejectReason> {
    // RFC 9420, 6: application data must be encrypted. An external joiner has no key to encrypt its commit with.
    let must_be_public = match content_type {
        ContentType::Application => false,
        ContentType::Proposal | ContentType::Commit => mode == HandshakeMode::Assisted || is_external_commit,
    };
    if matches!(message, ProtocolMessage::PublicMessage(_)) == must_be_public {
        Ok(())
    } else {
        Err(RejectReason::WrongWireFormat)
    }
}

fn check_epoch(made_in: Epoch, current_epoch: Epoch) -> Result<(), Halt> {
    match made_in.cmp(&current_epoch) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Halt::answer(Outcome::Stale { current_epoch })),
        std::cmp::Ordering::Greater => Err(RejectReason::EpochAhead { current_epoch }.into()),
    }
}

/// Appends an admitted submission to the log, with all that `group` has become.
pub(crate) fn order(
    tx: &mut dyn Transaction,
    call: Call<'_>,
    submitted: Submitted<'_>,
    kind: EntryKind,
    mut group: Group,
    hash: Hash,
) -> Result<(Cursor, Receipt), StoreError> {
    let (cursor, receipt) = log::append(tx, call, submitted, &mut group, kind)?;
    group::save(tx, submitted.group, &group)?;
    answers::remember(tx, call, submitted, hash, &receipt, cursor)?;
    call.effects.note(Effect::Entry(submitted.group.clone()));
    Ok((cursor, receipt))
}
