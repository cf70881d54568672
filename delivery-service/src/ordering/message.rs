//! Application messages (RFC 9420, 6.3). The service orders them and cannot read them.

use openmls::framing::ContentType;

use super::{Abort, OrderingContext, Submitted, log_entry::EntryKind, submission};
use crate::{
    handshake::wire::Frame,
    outcome::{Outcome, RejectReason},
    store::Transaction,
};

/// Orders an application message that was encrypted in the current epoch. A message of a past epoch
/// is stale: a member that has deleted its past epochs could not read it. The sender encrypts the
/// message again, so that nothing is lost.
pub(crate) fn submit(
    tx: &mut dyn Transaction,
    context: OrderingContext<'_>,
    submitted: Submitted<'_>,
    frame: Result<Frame, RejectReason>,
) -> Result<Outcome, Abort> {
    let frame = frame?;
    let group = submission::admit(tx, context, submitted, &frame, ContentType::Application, submitted.bytes.len())?;
    let (_, receipt) = submission::order(tx, context, submitted, EntryKind::Message, group, frame.hash, 0)?;
    Ok(Outcome::Accepted(receipt))
}
