//! Handshakes that are decoded and verified beside the store: see `docs/decisions/0070`.
//!
//! A verdict counts for one state of one group. The ordering rules take it in that state, and verify nothing themselves.

use openmls::{framing::ProtocolMessage, group::PublicGroup};
use openmls_rust_crypto::RustCrypto;

use super::{
    followed::{Followed, Following, public_group_of},
    verify::is_from_member,
    wire::{self, Frame},
};
use crate::{
    limits::Limits,
    names::{DeviceId, GroupId},
    outcome::RejectReason,
};

/// A group in its present state, to verify a handshake in it.
pub(crate) enum Present {
    /// The public group that the service follows.
    Followed(Following),
    /// An opaque group: the group info of its present epoch, which is the service's only view of it.
    Described(Vec<u8>),
}

/// The state of a group that a verdict was made in.
enum State {
    Followed(StateNumbers),
    Described(Vec<u8>),
}

/// The numbers of a state of a followed group. No other state, of whatever group, has them while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateNumbers {
    /// The state, with the proposals that are queued.
    pub(crate) state: u64,
    /// The epoch: all states have it that differ in their queued proposals only.
    pub(crate) epoch: u64,
}

/// A verdict of one kind of handshake.
pub(crate) trait Verified {
    /// Whether the verdict is one on the epoch. It does not change with the proposals that are queued.
    const IS_ON_EPOCH: bool;
}

/// A commit or a proposal, decoded, and the verdict on it if there is one.
pub(crate) struct Handshake<T> {
    pub(crate) frame: Frame,
    /// The decoded message, unless a verification has taken it.
    message: Option<ProtocolMessage>,
    verdict: Option<Verdict<T>>,
}

/// The result of a verification.
struct Verdict<T> {
    made_in: State,
    result: Result<T, RejectReason>,
}

impl<T: Verified> Handshake<T> {
    /// Decodes a handshake.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, RejectReason> {
        let message = wire::protocol_message(bytes, limits)?;
        Ok(Self { frame: Frame::of(bytes, &message), message: Some(message), verdict: None })
    }

    /// Verifies a handshake of the member `sender` in the group's present state in memory.
    ///
    /// There is no verdict if the group is not in memory or in another epoch, or if the handshake names another sender:
    /// before the store has found that the sender may submit it, only a member makes the service verify anything.
    pub(crate) fn verify_of_member(
        &mut self,
        followed: &Followed,
        id: &GroupId,
        sender: &DeviceId,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) {
        let Some(Following { group, numbers }) = followed.in_memory(id) else { return };
        if self.frame.epoch.0 != group.group_context().epoch().as_u64() {
            return;
        }
        if let Some(message) = self.message.take_if(|message| is_from_member(&group, message, sender)) {
            self.verdict = Some(Verdict { made_in: State::Followed(numbers), result: verify(&group, message) });
        }
    }

    /// Verifies a handshake that the ordering rules have asked a verdict for. `bytes` are those of the handshake.
    pub(crate) fn verify_in(
        &mut self,
        present: Present,
        bytes: &[u8],
        crypto: &RustCrypto,
        limits: &Limits,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) {
        let message = self.message.take().map_or_else(|| wire::protocol_message(bytes, limits), Ok);
        self.verdict = Some(match present {
            Present::Followed(Following { group, numbers }) => Verdict {
                made_in: State::Followed(numbers),
                result: message.and_then(|message| verify(&group, message)),
            },
            Present::Described(group_info) => {
                let group =
                    wire::group_info(&group_info, limits).and_then(|group_info| public_group_of(crypto, group_info));
                let result = group.and_then(|group| verify(&group, message?));
                Verdict { made_in: State::Described(group_info), result }
            }
        });
    }

    /// Takes the verdict for the group's present state. `None` if there is no verdict, or one for another state.
    pub(crate) fn take_verdict(&mut self, present: &Present) -> Option<Result<T, RejectReason>> {
        let verdict = self.verdict.take_if(|verdict| match (&verdict.made_in, present) {
            (State::Followed(made_in), Present::Followed(Following { numbers, .. })) => {
                made_in == numbers || T::IS_ON_EPOCH && made_in.epoch == numbers.epoch
            }
            (State::Described(made_in), Present::Described(group_info)) => made_in == group_info,
            _ => false,
        });
        verdict.map(|verdict| verdict.result)
    }

    /// Whether there is a verdict, for whatever state.
    pub(crate) fn has_verdict(&self) -> bool {
        self.verdict.is_some()
    }

    /// The value of a good verdict.
    pub(crate) fn found_right(&self) -> Option<&T> {
        self.verdict.as_ref()?.result.as_ref().ok()
    }
}
