//! Proposals by reference (RFC 9420, 12.1), which a later commit of the same epoch may apply.

use openmls::{
    framing::{ContentType, ProtocolMessage},
    group::{PublicGroup, QueuedProposal},
};
use regrow_crypto::DefaultCrypto;

use super::{Abort, Attempt, OrderingContext, Submitted, log_entry::EntryKind, present, submission};
use crate::{
    HandshakeMode,
    handshake::{DecodedHandshake, PresentState, PublicGroups, VerdictKind, verify_proposal},
    limits::Limits,
    names::DeviceId,
    outcome::{Outcome, RejectReason},
    store::Transaction,
};

/// A decoded proposal, with the verdict on it if there is one.
pub(crate) type DecodedProposal = Result<DecodedHandshake<QueuedProposal>, RejectReason>;

/// A verdict on a proposal depends on the tree alone. The verification of the commit finds
/// proposals that do not go together.
impl VerdictKind for QueuedProposal {
    const COUNTS_FOR_EPOCH: bool = true;
}

/// Decodes a proposal, and verifies it if it is a member's proposal to a public group in memory.
/// [`submit`] reports a fault.
pub(crate) fn check(
    public_groups: &PublicGroups,
    crypto: &DefaultCrypto,
    limits: &Limits,
    submitted: Submitted<'_>,
) -> DecodedProposal {
    let Submitted { group, sender, bytes } = submitted;
    let mut handshake = DecodedHandshake::read(bytes, limits)?;
    handshake.verify_of_member(public_groups, group, sender, verify(crypto, sender));
    Ok(handshake)
}

/// Verifies a proposal in the group's present state.
pub(crate) fn verify_in(
    decoded: &mut DecodedProposal,
    present: PresentState,
    crypto: &DefaultCrypto,
    limits: &Limits,
    submitted: Submitted<'_>,
) {
    if let Ok(handshake) = decoded {
        handshake.verify_in(present, submitted.bytes, crypto, limits, verify(crypto, submitted.sender));
    }
}

fn verify(
    crypto: &DefaultCrypto,
    sender: &DeviceId,
) -> impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<QueuedProposal, RejectReason> {
    move |group, message| verify_proposal(group, crypto, message, sender)
}

/// Orders a member's proposal. In assisted mode the proposal needs a good verdict, and the public
/// group queues it.
pub(crate) fn submit(
    tx: &mut dyn Transaction,
    public_groups: &PublicGroups,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    decoded: &mut DecodedProposal,
) -> Result<Attempt<()>, Abort<Attempt<()>>> {
    let handshake = decoded.as_mut().map_err(|reason| reason.clone())?;
    if handshake.frame.is_external {
        return Err(RejectReason::ExternalSender.into());
    }
    let hash = handshake.frame.hash;
    let (frame, bytes) = (&handshake.frame, submitted.bytes.len());
    let mut group = submission::admit(tx, context, submitted, frame, ContentType::Proposal, bytes)?;
    let limit = context.limits.max_proposals_per_epoch;
    if group.proposals >= limit {
        return Err(RejectReason::TooManyProposals { limit }.into());
    }
    if group.mode == HandshakeMode::Assisted {
        let proposal = present::verdict(tx, public_groups, submitted.group, &group, handshake)?;
        public_groups.queue(tx, submitted.group, group.epoch, proposal)?;
    }
    group.proposals += 1;
    let (_, receipt) = submission::order(tx, context, submitted, EntryKind::Proposal, group, hash, 0)?;
    Ok(Attempt::Settled(Outcome::Accepted(receipt)))
}
