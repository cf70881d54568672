//! Handshakes that are decoded and verified beside the store: see `docs/decisions/0070`.
//!
//! A verdict counts for one state of one group. The ordering rules take it in that state, and verify nothing themselves.

use openmls::{framing::ProtocolMessage, group::PublicGroup};
use openmls_rust_crypto::RustCrypto;

use super::{
    public_groups::{GroupVersion, PublicGroupState, PublicGroups, public_group_of},
    verify::is_from_member,
    wire::{self, Frame},
};
use crate::{
    limits::Limits,
    names::{DeviceId, GroupId},
    outcome::RejectReason,
};

/// A group in its present state, to verify a handshake in it.
pub(crate) enum PresentState {
    /// The public group that the service follows.
    Public(PublicGroupState),
    /// An opaque group: the group info of its present epoch, which is the service's only view of it.
    GroupInfo(Vec<u8>),
}

/// The state of a group that a verdict was made in.
enum VerifiedState {
    Public(GroupVersion),
    GroupInfo(Vec<u8>),
}

/// A verdict of one kind of handshake.
pub(crate) trait VerdictKind {
    /// Whether the verdict is one on the epoch. It does not change with the proposals that are queued.
    const IS_ON_EPOCH: bool;
}

/// A commit or a proposal, decoded, and the verdict on it if there is one.
pub(crate) struct DecodedHandshake<T> {
    pub(crate) frame: Frame,
    /// The decoded message, unless a verification has taken it.
    message: Option<ProtocolMessage>,
    verdict: Option<Verdict<T>>,
}

/// The result of a verification.
struct Verdict<T> {
    made_in: VerifiedState,
    result: Result<T, RejectReason>,
}

impl<T: VerdictKind> DecodedHandshake<T> {
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
        public_groups: &PublicGroups,
        id: &GroupId,
        sender: &DeviceId,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) {
        let Some(PublicGroupState { group, version }) = public_groups.in_memory(id) else { return };
        if self.frame.epoch.0 != group.group_context().epoch().as_u64() {
            return;
        }
        if let Some(message) = self.message.take_if(|message| is_from_member(&group, message, sender)) {
            self.verdict = Some(Verdict { made_in: VerifiedState::Public(version), result: verify(&group, message) });
        }
    }

    /// Verifies a handshake that the ordering rules have asked a verdict for. `bytes` are those of the handshake.
    pub(crate) fn verify_in(
        &mut self,
        present: PresentState,
        bytes: &[u8],
        crypto: &RustCrypto,
        limits: &Limits,
        verify: impl FnOnce(&PublicGroup, ProtocolMessage) -> Result<T, RejectReason>,
    ) {
        let message = self.message.take().map_or_else(|| wire::protocol_message(bytes, limits), Ok);
        self.verdict = Some(match present {
            PresentState::Public(PublicGroupState { group, version }) => Verdict {
                made_in: VerifiedState::Public(version),
                result: message.and_then(|message| verify(&group, message)),
            },
            PresentState::GroupInfo(group_info) => {
                let group =
                    wire::group_info(&group_info, limits).and_then(|group_info| public_group_of(crypto, group_info));
                let result = group.and_then(|group| verify(&group, message?));
                Verdict { made_in: VerifiedState::GroupInfo(group_info), result }
            }
        });
    }

    /// Takes the verdict for the group's present state. `None` if there is no verdict, or one for another state.
    pub(crate) fn take_verdict(&mut self, present: &PresentState) -> Option<Result<T, RejectReason>> {
        let verdict = self.verdict.take_if(|verdict| match (&verdict.made_in, present) {
            (VerifiedState::Public(made_in), PresentState::Public(PublicGroupState { version, .. })) => {
                made_in == version || T::IS_ON_EPOCH && made_in.epoch == version.epoch
            }
            (VerifiedState::GroupInfo(made_in), PresentState::GroupInfo(group_info)) => made_in == group_info,
            _ => false,
        });
        verdict.map(|verdict| verdict.result)
    }

    /// Whether there is a verdict, for whatever state.
    pub(crate) fn has_verdict(&self) -> bool {
        self.verdict.is_some()
    }

    /// The value of a good verdict.
    pub(crate) fn good_verdict(&self) -> Option<&T> {
        self.verdict.as_ref()?.result.as_ref().ok()
    }
}
