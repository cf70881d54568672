//! Application messages (RFC 9420, 6.3). The service orders them and cannot read them.

use openmls::framing::ContentType;

use super::{Call, Halt, Submitted, log::EntryKind, submission};
use crate::{handshake::wire, outcome::Outcome, store::Transaction};

/// Orders an application message that was encrypted in the current epoch. One of a past epoch is stale: a member that
/// keeps no past epochs could not read it, so its sender encrypts it again and nothing is lost.
pub(crate) fn submit(tx: &mut dyn Transaction, call: Call<'_>, submitted: Submitted<'_>) -> Result<Outcome, Halt> {
    let message = wire::protocol_message(submitted.bytes, call.limits)?;
    let admitted = submission::admit(tx, call, submitted, message, ContentType::Application)?;
    let (_, receipt) = submission::order(tx, call, submitted, EntryKind::Message, admitted.group, admitted.hash)?;
    Ok(Outcome::Accepted(receipt))
}
