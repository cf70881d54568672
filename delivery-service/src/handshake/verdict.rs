//! Decoded handshakes, and the verdicts on them. A verdict is the result of a verification beside
//! the store: see `docs/decisions/0070`.
//!
//! A verdict counts for one state of one group. The ordering rules take it in that state, and
//! verify nothing themselves.

use openmls::{framing::ProtocolMessage, group::PublicGroup};
use regrow_crypto::DefaultCrypto;

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

/// The present state of a group, in which a handshake is verified.
pub(crate) enum PresentState {
    /// The public group that the service tracks.
    Public(PublicGroupState),
    /// The group info of an opaque group in its present epoch. The service sees no more of the
    /// group.
    GroupInfo(Vec<u8>),
}

/// The state of a group in which a verdict was made.
enum VerifiedState {
    Public(GroupVersion),
    GroupInfo(Vec<u8>),
}

/// The value of a good verdict, for one kind of handshake.
pub(crate) trait VerdictKind {
    /// True if the verdict counts for the whole epoch, because queued proposals do not change it.
    const COUNTS_FOR_EPOCH: bool;
}

/// A decoded commit or proposal, and the verdict on it if there is one.
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
    /// Makes no verdict if the group is not in memory or is in another epoch, or if the handshake
    /// names another sender. The store has not yet confirmed that the sender may submit the
    /// handshake, and until then only a member makes the service verify anything.
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

    /// Verifies a handshake for which the ordering rules need a verdict. `bytes` are the bytes of
    /// the handshake.
    pub(crate) fn verify_in(
        &mut self,
        present: PresentState,
        bytes: &[u8],
        crypto: &DefaultCrypto,
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

    /// Takes the verdict for the group's present state. `None` if there is no verdict, or if the
    /// verdict is for another state.
    pub(crate) fn take_verdict(&mut self, present: &PresentState) -> Option<Result<T, RejectReason>> {
        let verdict = self.verdict.take_if(|verdict| match (&verdict.made_in, present) {
            (VerifiedState::Public(made_in), PresentState::Public(PublicGroupState { version, .. })) => {
                made_in == version || T::COUNTS_FOR_EPOCH && made_in.epoch == version.epoch
            }
            (VerifiedState::GroupInfo(made_in), PresentState::GroupInfo(group_info)) => made_in == group_info,
            _ => false,
        });
        verdict.map(|verdict| verdict.result)
    }

    /// Returns true if there is a verdict, for this state or another one.
    pub(crate) fn has_verdict(&self) -> bool {
        self.verdict.is_some()
    }

    /// Returns the value of a good verdict.
    pub(crate) fn good_verdict(&self) -> Option<&T> {
        self.verdict.as_ref()?.result.as_ref().ok()
    }
}
