//! What comes from the delivery service: checked, decided on, merged.

use openmls::{
    framing::errors::{MessageDecryptionError, SecretTreeError},
    group::{ProcessMessageError, ProposalValidationError, StageCommitError, ValidationError},
    key_packages::errors::KeyPackageVerifyError,
    prelude::{ContentType, ProcessedMessageContent, ProtocolMessage, Sender, StagedCommit},
    treesync::errors::LeafNodeValidationError,
};

use super::{
    GroupState, Outcome, check, commit::summarize, freshness::LeafChanges, opened::Opening, path, proposal, trust,
};
use crate::{
    DeviceId, Policy,
    error::{Error, Refusal},
    event::{Event, Ignored, Lost, Message},
    identity::device_of_credential,
    names::{self, Epoch, MessageId, Timestamp},
    provider::Call,
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
        call: &Call<'_>,
        device: &DeviceId,
        policy: &Policy,
        now: Timestamp,
        Incoming { id, bytes, message }: Incoming<'_>,
    ) -> Result<Event, Error> {
        self.expire_epochs(call, policy, now)?;
        if self.membership().pending.as_ref().is_some_and(|pending| pending.id() == id) {
            return Ok(Event::Commit(self.confirm_pending(call, device, now)?));
        }
        if self.membership().unordered.contains_key(&id) {
            self.membership_mut().order(id);
        }
        if self.membership().ordered.contains(&id) {
            return Ok(Event::Own);
        }

        let (epoch, current) = (names::epoch(message.epoch()), names::epoch(self.mls.epoch()));
        if epoch > current {
            return Err(Error::FutureEpoch { epoch, current });
        }
        let content = message.content_type();
        if epoch < current && content != ContentType::Application {
            return Ok(match content {
                ContentType::Commit if self.is_fork(epoch, id) => Event::Lost(Lost::Fork { epoch }),
                _ => Event::Ignored(Ignored::PastEpoch),
            });
        }
        match self.process(call, device, now, bytes, message) {
            Err(Error::Refused(reason)) if content == ContentType::Commit && reason.is_outside_profile() => {
                Ok(self.give_up(call, Lost::Unsupported(reason)))
            }
            other => other,
        }
    }

    /// Processes one message of the present epoch, or an application message of an earlier one.
    fn process(
        &mut self,
        call: &Call<'_>,
        device: &DeviceId,
        now: Timestamp,
        bytes: &[u8],
        message: ProtocolMessage,
    ) -> Result<Event, Error> {
        let (epoch, current) = (names::epoch(message.epoch()), names::epoch(self.mls.epoch()));
        let content = message.content_type();
        // An external commit is public in either mode (RFC 9420, 12.4.3.2).
        let is_sealed_commit = content == ContentType::Commit && matches!(message, ProtocolMessage::PrivateMessage(_));
        let opening = Opening::new(call, is_sealed_commit);
        let processed = match self.mls.process_message(&opening, message) {
            Ok(processed) => processed,
            Err(ProcessMessageError::InvalidCommit(StageCommitError::OwnCommitMismatch)) => {
                return Ok(self.note_rollback());
            }
            Err(error) => {
                self.outcome.reload = true;
                // OpenMLS passes some failures of the store off as an invalid commit.
                return match call.records.failure() {
                    Some(failure) => Err(failure.into()),
                    None => self.unprocessed(error, content),
                };
            }
        };
        let sender = processed.sender().clone();
        let credential = processed.credential().clone();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(text) => Ok(Event::Message(Message {
                sender: device_of_credential(&credential)?,
                epoch,
                text: text.into_bytes().into(),
            })),
            // Those that this device knows it has made were met above.
            ProcessedMessageContent::ProposalMessage(_) if sender == Sender::Member(self.mls.own_leaf_index()) => {
                Ok(self.note_rollback())
            }
            ProcessedMessageContent::ProposalMessage(queued) => {
                let change = proposal::describe(&queued, &self.mls)?;
                check::proposal(&queued, &self.mls, &[])?;
                trust::proposal(call, &queued, &self.mls)?;
                if self
                    .mls
                    .pending_proposals()
                    .any(|known| known.proposal_reference_ref() == queued.proposal_reference_ref())
                {
                    return Ok(Event::Ignored(Ignored::AlreadyRead));
                }
                self.mls.store_pending_proposal(&call.records, *queued)?;
                Ok(Event::Proposal { by: device_of_credential(&credential)?, change })
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
            ProcessedMessageContent::OwnPendingCommit => Ok(Event::Commit(self.confirm_pending(call, device, now)?)),
            ProcessedMessageContent::OwnPrivateMessage => {
                let known = epoch < current || self.has_sent(call, bytes)?;
                Ok(if known { Event::Own } else { self.note_rollback() })
            }
            ProcessedMessageContent::ExternalJoinProposalMessage(_) => Err(Refusal::OutsideProposal.into()),
        }
    }

    /// Tells what a message means that OpenMLS does not process.
    fn unprocessed(&mut self, error: ProcessMessageError<StorageError>, content: ContentType) -> Result<Event, Error> {
        if let Some(kind) = unsupported_proposal(&error) {
            return Ok(Event::Lost(Lost::Unsupported(Refusal::ProposalType(kind.into()))));
        }
        let is_missing = matches!(error, ProcessMessageError::InvalidCommit(StageCommitError::MissingProposal));
        if is_lifetime(&error) || is_missing && self.membership().passed_over_by_clock {
            // The message is authentic by then, and valid by the clock of its sender.
            return Ok(match content {
                ContentType::Commit => Event::Lost(Lost::Clock { detail: error.to_string() }),
                _ => {
                    self.membership_mut().passed_over_by_clock = true;
                    Event::Ignored(Ignored::Clock)
                }
            });
        }
        unprocessed(error, content)
    }

    /// Something of this device's own has come back that it knows nothing of: its state is older than what was sent.
    fn note_rollback(&mut self) -> Event {
        self.membership_mut().rolled_back = true;
        Event::Lost(Lost::RolledBack)
    }

    /// A commit of another that OpenMLS has accepted cannot be carried out: nothing has happened, and what is in memory is
    /// loaded again.
    fn give_up(&mut self, call: &Call<'_>, lost: Lost) -> Event {
        call.records.undo();
        self.outcome = Outcome { reload: true, ..Outcome::default() };
        Event::Lost(lost)
    }

    /// Whether this device has confirmed its own commit in the epoch, and the delivery service has ordered this one there.
    fn is_fork(&mut self, epoch: Epoch, commit: MessageId) -> bool {
        match self.membership().confirmed.iter().position(|(known, _)| *known == epoch) {
            None => false,
            // The own commit comes back: it was ordered, and a later one of that epoch has lost.
            Some(at) if self.membership().confirmed[at].1 == commit => {
                self.membership_mut().confirmed.remove(at);
                false
            }
            Some(_) => true,
        }
    }

    /// Another's commit: the group enters the epoch that it makes, with or without this device.
    fn merge(
        &mut self,
        call: &Call<'_>,
        now: Timestamp,
        by: DeviceId,
        sender: &Sender,
        staged: StagedCommit,
    ) -> Result<Event, Error> {
        check::commit(&staged, sender, &self.mls)?;
        let claims = trust::commit(call, &staged, sender, &self.mls, &by)?;
        let mut change = summarize(&staged, &self.mls, by)?;
        if staged.self_removed() {
            self.outcome.removed = Some(change.epoch);
            return Ok(Event::Removed { by: change.by, epoch: change.epoch });
        }
        let committer = if let Sender::Member(leaf) = sender { Some(*leaf) } else { None };
        let leaves = LeafChanges::of(&staged, &self.mls, committer)?;
        if let Err(error) = self.mls.merge_staged_commit(call, staged) {
            // A failure of the store is none of the commit's.
            return match call.records.failure() {
                Some(failure) => Err(failure.into()),
                None => Ok(self.give_up(call, Lost::Commit { detail: error.to_string() })),
            };
        }
        self.note_leaves(&leaves, now);
        change.no_longer_verified = VerifiedUser::forget_changed(&call.records, claims)?;
        self.end_epoch(call, now)?;
        change.resume = !self.membership().intents.is_empty();
        Ok(Event::Commit(change))
    }
}

/// Whether a key package in the message is not valid by the system's clock, which OpenMLS asks (RFC 9420, 7.2).
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

/// The type of a proposal in a commit that OpenMLS does not carry out, and that Regrow has no part in.
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

/// Tells a message that is merely late or repeated from one that is wrong.
fn unprocessed(error: ProcessMessageError<StorageError>, content: ContentType) -> Result<Event, Error> {
    use MessageDecryptionError as Decryption;
    use SecretTreeError as Secrets;
    use ValidationError as Validation;
    match error {
        ProcessMessageError::StorageError(error) => Err(error.into()),
        ProcessMessageError::IncompatibleWireFormat => Err(Error::HandshakeMode),
        // Its sender has been authenticated by then.
        ProcessMessageError::InvalidCommit(error) => Ok(Event::Lost(Lost::Commit { detail: error.to_string() })),
        ProcessMessageError::ValidationError(Validation::UnableToDecrypt(Decryption::SecretTreeError(secrets))) => {
            match secrets {
                // A commit that was read has ended its epoch: this is another, of a sender that exists twice. Who has not seen
                // what the sender made first with this key may be able to carry it out.
                Secrets::SecretReuseError | Secrets::TooDistantInThePast if content == ContentType::Commit => {
                    Ok(Event::Lost(Lost::Commit { detail: "its key was used for another message".into() }))
                }
                Secrets::SecretReuseError => Ok(Event::Ignored(Ignored::AlreadyRead)),
                Secrets::TooDistantInThePast => Ok(Event::Ignored(Ignored::TooOld)),
                Secrets::TooDistantInTheFuture => Err(Error::Gap),
                other => Err(Error::Invalid { detail: other.to_string() }),
            }
        }
        other => Err(Error::Invalid { detail: other.to_string() }),
    }
}
