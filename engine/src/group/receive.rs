//! Processing of received messages: checks, decisions and merging.

use openmls::{
    framing::errors::{MessageDecryptionError, SecretTreeError},
    group::{ProcessMessageError, ProposalValidationError, QueuedProposal, StageCommitError, ValidationError},
    key_packages::errors::KeyPackageVerifyError,
    prelude::{ContentType, ProcessedMessageContent, ProtocolMessage, Sender, StagedCommit},
    treesync::errors::LeafNodeValidationError,
};

use super::{
    GroupState, check,
    leaf_changes::LeafChanges,
    opened::Opening,
    path,
    proposal_effect::{describe, summarize},
    state::UnsavedChanges,
    trust,
};
use crate::{
    DeviceId, Policy, Proposed, Refusal,
    call::EngineCall,
    error::Error,
    event::{ApplicationMessage, Ignored, Lost, ReceivedEvent},
    identity::device_of_credential,
    names::{self, Epoch, MessageId, Timestamp},
    storage::StorageError,
    verification::VerifiedUser,
};

/// A well-formed message of a group.
pub(crate) struct Incoming<'b> {
    pub(crate) id: MessageId,
    pub(crate) bytes: &'b [u8],
    pub(crate) message: ProtocolMessage,
}

impl GroupState {
    /// Processes one message of this group.
    pub(crate) fn receive(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        policy: &Policy,
        now: Timestamp,
        Incoming { id, bytes, message }: Incoming<'_>,
    ) -> Result<ReceivedEvent, Error> {
        self.expire_epochs(call, policy, now)?;
        if self.member_state().pending.as_ref().is_some_and(|pending| pending.id() == id) {
            return Ok(ReceivedEvent::Commit(self.confirm_pending(call, device, now)?));
        }
        if self.member_state().unordered.contains_key(&id) {
            self.member_state_mut().order(id);
        }
        if self.member_state().ordered.contains(&id) {
            return Ok(ReceivedEvent::Own);
        }

        let (epoch, current) = (names::epoch(message.epoch()), names::epoch(self.mls.epoch()));
        if epoch > current {
            return Err(Error::FutureEpoch { epoch, current });
        }
        let content = message.content_type();
        if epoch < current && content != ContentType::Application {
            return Ok(match content {
                ContentType::Commit if self.is_fork(epoch, id) => ReceivedEvent::Lost(Lost::Fork { epoch }),
                _ => ReceivedEvent::Ignored(Ignored::PastEpoch),
            });
        }
        match self.process(call, device, now, bytes, message) {
            Err(Error::Refused(reason)) if content == ContentType::Commit && reason.is_outside_profile() => {
                Ok(self.give_up(call, Lost::Unsupported(reason)))
            }
            other => other,
        }
    }

    /// Processes one message of the current epoch, or an application message of an earlier epoch.
    fn process(
        &mut self,
        call: &EngineCall<'_>,
        device: &DeviceId,
        now: Timestamp,
        bytes: &[u8],
        message: ProtocolMessage,
    ) -> Result<ReceivedEvent, Error> {
        let (epoch, current) = (names::epoch(message.epoch()), names::epoch(self.mls.epoch()));
        let content = message.content_type();
        // An external commit is public in either mode (RFC 9420, 12.4.3.2).
        let is_sealed_commit = content == ContentType::Commit && matches!(message, ProtocolMessage::PrivateMessage(_));
        let opening = Opening::new(call, is_sealed_commit);
        // Advances the sender's ratchet, if the message is encrypted: the used message key is
        // erased, and the record of the message secrets is written without it.
        let processed = match self.mls.process_message(&opening, message) {
            Ok(processed) => processed,
            Err(ProcessMessageError::InvalidCommit(StageCommitError::OwnCommitMismatch)) => {
                return Ok(self.note_restored());
            }
            Err(error) => {
                self.unsaved.reload = true;
                // OpenMLS reports some failures of the store as an invalid commit.
                return match call.records.failure() {
                    Some(failure) => Err(failure.into()),
                    None => self.unprocessed(error, content),
                };
            }
        };
        let sender = processed.sender().clone();
        let credential = processed.credential().clone();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(text) => Ok(ReceivedEvent::Message(ApplicationMessage {
                sender: device_of_credential(&credential)?,
                epoch,
                text: text.into_bytes().into(),
            })),
            // The known proposals of this device were handled before.
            ProcessedMessageContent::ProposalMessage(_) if sender == Sender::Member(self.mls.own_leaf_index()) => {
                Ok(self.note_restored())
            }
            ProcessedMessageContent::ProposalMessage(queued) => {
                let Some(change) = self.accept_proposal(call, *queued)? else {
                    return Ok(ReceivedEvent::Ignored(Ignored::AlreadyRead));
                };
                Ok(ReceivedEvent::Proposal { by: device_of_credential(&credential)?, change })
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                let by = device_of_credential(&credential)?;
                let opened = opening.content();
                let commit = opened.as_ref().map_or_else(|| path::public_commit(bytes), |opened| Some(opened));
                if let Some(leaf) = staged.update_path_leaf_node()
                    && let Err(detail) = path::refuse_known_keys(commit.unwrap_or_default(), leaf, self.mls.treesync())
                {
                    return Ok(self.give_up(call, Lost::Commit { detail: detail.into() }));
                }
                self.merge(call, now, by, &sender, *staged)
            }
            ProcessedMessageContent::OwnPendingCommit => {
                Ok(ReceivedEvent::Commit(self.confirm_pending(call, device, now)?))
            }
            ProcessedMessageContent::OwnPrivateMessage => {
                let known = epoch < current || self.has_sent(call, bytes)?;
                Ok(if known { ReceivedEvent::Own } else { self.note_restored() })
            }
            ProcessedMessageContent::ExternalJoinProposalMessage(_) => Err(Refusal::OutsideProposal.into()),
        }
    }

    /// Accepts or refuses a proposal of another member, and stores it for a commit of this epoch.
    /// Returns the proposed change; [`None`] if the proposal is stored already.
    fn accept_proposal(&mut self, call: &EngineCall<'_>, queued: QueuedProposal) -> Result<Option<Proposed>, Error> {
        let change = describe(&queued, &self.mls)?;
        check::proposal(&queued, &self.mls, &[])?;
        trust::proposal(call, &queued, &self.mls)?;
        let reference = queued.proposal_reference_ref();
        if self.mls.pending_proposals().any(|known| known.proposal_reference_ref() == reference) {
            return Ok(None);
        }
        self.mls.store_pending_proposal(&call.records, queued)?;
        Ok(Some(change))
    }

    /// Determines the event of a message that OpenMLS does not process.
    fn unprocessed(
        &mut self,
        error: ProcessMessageError<StorageError>,
        content: ContentType,
    ) -> Result<ReceivedEvent, Error> {
        if let Some(kind) = unsupported_proposal(&error) {
            return Ok(ReceivedEvent::Lost(Lost::Unsupported(Refusal::ProposalType(kind.into()))));
        }
        let is_missing = matches!(error, ProcessMessageError::InvalidCommit(StageCommitError::MissingProposal));
        if is_lifetime(&error) || is_missing && self.member_state().passed_over_by_clock {
            // At this point the message is authentic, and it is valid by its sender's clock.
            return Ok(match content {
                ContentType::Commit => ReceivedEvent::Lost(Lost::Clock { detail: error.to_string() }),
                _ => {
                    self.member_state_mut().passed_over_by_clock = true;
                    ReceivedEvent::Ignored(Ignored::Clock)
                }
            });
        }
        unprocessed(error, content)
    }

    /// Records that an unknown message of this device has come back. So this device's state is
    /// older than that message.
    fn note_restored(&mut self) -> ReceivedEvent {
        self.member_state_mut().storage_restored = true;
        ReceivedEvent::Lost(Lost::Restored)
    }

    /// Gives up a commit of another member that OpenMLS has accepted but that cannot be carried
    /// out. Nothing changes, and the group in memory will be loaded again.
    fn give_up(&mut self, call: &EngineCall<'_>, lost: Lost) -> ReceivedEvent {
        call.records.undo();
        self.unsaved = UnsavedChanges::reload();
        ReceivedEvent::Lost(lost)
    }

    /// True if this device has confirmed its own commit in the epoch, but the delivery service has
    /// ordered this other commit.
    fn is_fork(&mut self, epoch: Epoch, commit: MessageId) -> bool {
        match self.member_state().confirmed.iter().position(|(known, _)| *known == epoch) {
            None => false,
            // This device's own commit comes back, so it was ordered. A later commit of that epoch
            // has lost.
            Some(at) if self.member_state().confirmed[at].1 == commit => {
                self.member_state_mut().confirmed.remove(at);
                false
            }
            Some(_) => true,
        }
    }

    /// Merges another member's commit. The group enters the commit's epoch, with or without this
    /// device.
    fn merge(
        &mut self,
        call: &EngineCall<'_>,
        now: Timestamp,
        by: DeviceId,
        sender: &Sender,
        staged: StagedCommit,
    ) -> Result<ReceivedEvent, Error> {
        check::commit(&staged, sender, &self.mls)?;
        let claims = trust::commit(call, &staged, sender, &self.mls, &by)?;
        let mut change = summarize(&staged, &self.mls, by)?;
        if staged.self_removed() {
            self.unsaved.removed = Some(change.epoch);
            return Ok(ReceivedEvent::Removed { by: change.by, epoch: change.epoch });
        }
        let committer = if let Sender::Member(leaf) = sender { Some(*leaf) } else { None };
        let leaves = LeafChanges::of(&staged, &self.mls, committer)?;
        if let Err(error) = self.mls.merge_staged_commit(call, staged) {
            // A failure of the store is not a fault of the commit.
            return match call.records.failure() {
                Some(failure) => Err(failure.into()),
                None => Ok(self.give_up(call, Lost::Commit { detail: error.to_string() })),
            };
        }
        self.note_leaves(&leaves, now);
        change.no_longer_verified = VerifiedUser::forget_changed(&call.records, claims)?;
        self.end_epoch(call, now)?;
        change.resume = !self.member_state().intents.is_empty();
        Ok(ReceivedEvent::Commit(change))
    }
}

/// True if a key package in the message is not valid by the system's clock, which OpenMLS checks
/// (RFC 9420, 7.2).
fn is_lifetime(error: &ProcessMessageError<StorageError>) -> bool {
    use LeafNodeValidationError::Lifetime;
    matches!(
        error,
        ProcessMessageError::ValidationError(ValidationError::KeyPackageVerifyError(
            KeyPackageVerifyError::LifetimeError(_)
        )) | ProcessMessageError::InvalidCommit(
            StageCommitError::LeafNodeValidation(Lifetime(_))
                | StageCommitError::ProposalValidationError(ProposalValidationError::LeafNodeValidation(Lifetime(_)))
        )
    )
}

/// Returns the type of a proposal in the commit that OpenMLS does not carry out and Regrow does
/// not support.
fn unsupported_proposal(error: &ProcessMessageError<StorageError>) -> Option<&'static str> {
    let ProcessMessageError::InvalidCommit(invalid) = error else { return None };
    match invalid {
        StageCommitError::PskError(_)
        | StageCommitError::DuplicatePskId(_)
        | StageCommitError::ProposalValidationError(ProposalValidationError::Psk(_)) => Some("PreSharedKey"),
        StageCommitError::ProposalValidationError(ProposalValidationError::UnsupportedProposalType) => {
            Some("a type that not all members support")
        }
        _ => None,
    }
}

/// Distinguishes a message that is only late or repeated from an invalid message.
fn unprocessed(error: ProcessMessageError<StorageError>, content: ContentType) -> Result<ReceivedEvent, Error> {
    use MessageDecryptionError as Decryption;
    use SecretTreeError as Secrets;
    use ValidationError as Validation;
    match error {
        ProcessMessageError::StorageError(error) => Err(error.into()),
        ProcessMessageError::IncompatibleWireFormat => Err(Error::HandshakeMode),
        // At this point the sender is authenticated.
        ProcessMessageError::InvalidCommit(error) => {
            Ok(ReceivedEvent::Lost(Lost::Commit { detail: error.to_string() }))
        }
        ProcessMessageError::ValidationError(Validation::UnableToDecrypt(Decryption::SecretTreeError(secrets))) => {
            match secrets {
                // A commit that was read has ended its epoch. So this is another message, from a
                // sender of which two copies exist. A member that has not received the sender's
                // first message with this key may be able to carry out the commit.
                Secrets::SecretReuseError | Secrets::TooDistantInThePast if content == ContentType::Commit => {
                    Ok(ReceivedEvent::Lost(Lost::Commit { detail: "its key was used for another message".into() }))
                }
                Secrets::SecretReuseError => Ok(ReceivedEvent::Ignored(Ignored::AlreadyRead)),
                Secrets::TooDistantInThePast => Ok(ReceivedEvent::Ignored(Ignored::TooOld)),
                Secrets::TooDistantInTheFuture => Err(Error::Gap),
                other => Err(Error::Invalid { detail: other.to_string() }),
            }
        }
        other => Err(Error::Invalid { detail: other.to_string() }),
    }
}
