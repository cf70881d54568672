//! Proposals by reference (RFC 9420, 12.1), which a later commit of the same epoch may carry out.

use openmls::{
    framing::{ContentType, ProtocolMessage},
    group::{PublicGroup, QueuedProposal},
};
use openmls_rust_crypto::RustCrypto;

use super::{Call, Halt, Submitted, group::HandshakeMode, log::EntryKind, submission};
use crate::{
    handshake::{Followed, Handshake, verify_proposal},
    limits::Limits,
    names::DeviceId,
    outcome::{Outcome, RejectReason},
    store::Transaction,
};

/// A proposal, decoded, and verified beside the store if it is a member's to an assisted group in memory.
pub(crate) type Decoded = Result<Handshake<QueuedProposal>, RejectReason>;

/// Decodes a proposal, and verifies it as far as that needs no store. A fault is for [`submit`] to name.
pub(crate) fn check_beside(
    followed: &Followed,
    crypto: &RustCrypto,
    limits: &Limits,
    submitted: Submitted<'_>,
) -> Decoded {
    let Submitted { group, sender, bytes } = submitted;
    let mut handshake = Handshake::read(bytes, limits)?;
    handshake.verify_beside(followed, group, sender, verify(crypto, sender));
    Ok(handshake)
}

fn verify(
    crypto: &RustCrypto,
    sender: &DeviceId,
) -> impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<QueuedProposal, RejectReason> {
    move |group, message| verify_proposal(group, crypto, message, sender)
}

/// Orders a member's proposal. In assisted mode it is verified, and queued in the public group.
pub(crate) fn submit(
    tx: &mut dyn Transaction,
    followed: &Followed,
    call: Call<'_>,
    submitted: Submitted<'_>,
    decoded: Decoded,
) -> Result<Outcome, Halt> {
    let handshake = decoded?;
    if handshake.frame.is_external {
        return Err(RejectReason::ExternalSender.into());
    }
    let hash = handshake.frame.hash;
    let mut group = submission::admit(tx, call, submitted, &handshake.frame, ContentType::Proposal)?;
    let limit = call.limits.max_proposals_per_epoch;
    if group.proposals >= limit {
        return Err(RejectReason::TooManyProposals { limit }.into());
    }
    if group.mode == HandshakeMode::Assisted {
        let present = followed.group(tx, submitted.group, group.epoch)?;
        let verify = verify(call.crypto, submitted.sender);
        let proposal = handshake.verified(&present, submitted.bytes, call.limits, verify)?;
        followed.queue(tx, submitted.group, group.epoch, proposal)?;
    }
    group.proposals += 1;
    let (_, receipt) = submission::order(tx, call, submitted, EntryKind::Proposal, group, hash, 0)?;
    Ok(Outcome::Accepted(receipt))
}
