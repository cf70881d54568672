//! Handshakes that are decoded, and verified as far as that needs no store: see `docs/decisions/0038`.
//!
//! A verdict counts for one state of one group. The ordering rules take it in that state, and verify again in any other.

use openmls::{framing::ProtocolMessage, group::PublicGroup};

use super::{
    followed::{Followed, Following},
    verify::is_from_member,
    wire::{self, Frame},
};
use crate::{
    limits::Limits,
    names::{DeviceId, GroupId},
    outcome::RejectReason,
};

/// A commit or a proposal, decoded, and the verdict on it if there is one.
pub(crate) struct Handshake<T> {
    pub(crate) frame: Frame,
    /// The decoded message, unless a verification has taken it.
    message: Option<ProtocolMessage>,
    verdict: Option<Verdict<T>>,
}

/// The result of a verification.
struct Verdict<T> {
    /// The state of the group that it was made in.
    state: u64,
    result: Result<T, RejectReason>,
}

impl<T> Handshake<T> {
    /// Decodes a handshake.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, RejectReason> {
        let message = wire::protocol_message(bytes, limits)?;
        Ok(Self { frame: Frame::of(bytes, &message), message: Some(message), verdict: None })
    }

    /// Verifies a handshake of the member `sender` in the group's present state in memory.
    ///
    /// There is no verdict if the group is not in memory or in another epoch, or if the handshake names another sender:
    /// nobody but a member makes the service verify anything.
    pub(crate) fn verify_beside(
        &mut self,
        followed: &Followed,
        id: &GroupId,
        sender: &DeviceId,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) {
        let Some(Following { group, state }) = followed.in_memory(id) else { return };
        if self.frame.epoch.0 != group.group_context().epoch().as_u64() {
            return;
        }
        if let Some(message) = self.message.take_if(|message| is_from_member(&group, message, sender)) {
            self.verdict = Some(Verdict { state, result: verify(&group, message) });
        }
    }

    /// The verdict for the group's present state: the one from before, or else a new one. `bytes` are those of the handshake.
    pub(crate) fn verified(
        self,
        present: &Following,
        bytes: &[u8],
        limits: &Limits,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) -> Result<T, RejectReason> {
        match self.verdict {
            Some(verdict) if verdict.state == present.state => verdict.result,
            _ => verify(&present.group, self.into_message(bytes, limits)?),
        }
    }

    /// The decoded message. `bytes` are those of the handshake.
    pub(crate) fn into_message(self, bytes: &[u8], limits: &Limits) -> Result<ProtocolMessage, RejectReason> {
        self.message.map_or_else(|| wire::protocol_message(bytes, limits), Ok)
    }

    /// The value of a good verdict.
    pub(crate) fn found_right(&self) -> Option<&T> {
        self.verdict.as_ref()?.result.as_ref().ok()
    }
}
