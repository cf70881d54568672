//! Proposals by reference (RFC 9420, 12.1), which a later commit of the same epoch may carry out.

use openmls::framing::ContentType;

use super::{Call, Halt, Submitted, group::HandshakeMode, log::EntryKind, submission};
use crate::{
    handshake::{Followed, verify_proposal, wire},
    outcome::{Outcome, RejectReason},
    store::Transaction,
};

/// Orders a member's proposal. In assisted mode it is verified, and queued in the public group.
pub(crate) fn submit(
    tx: &mut dyn Transaction,
    followed: &Followed,
    call: Call<'_>,
    submitted: Submitted<'_>,
) -> Result<Outcome, Halt> {
    let message = wire::protocol_message(submitted.bytes, call.limits)?;
    if message.is_external() {
        return Err(RejectReason::ExternalSender.into());
    }
    let admitted = submission::admit(tx, call, submitted, message, ContentType::Proposal)?;
    let mut group = admitted.group;
    let limit = call.limits.max_proposals_per_epoch;
    if group.proposals >= limit {
        return Err(RejectReason::TooManyProposals { limit }.into());
    }
    if group.mode == HandshakeMode::Assisted {
        let public_group = followed.group(tx, submitted.group, group.epoch)?.group;
        let proposal = verify_proposal(&public_group, call.crypto, admitted.message, submitted.sender)?;
        followed.queue(tx, submitted.group, group.epoch, proposal)?;
    }
    group.proposals += 1;
    let (_, receipt) = submission::order(tx, call, submitted, EntryKind::Proposal, group, admitted.hash)?;
    Ok(Outcome::Accepted(receipt))
}
