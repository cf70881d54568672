//! The draft of a commit, and the search for the parts that make the commit fail.
//!
//! OpenMLS checks a commit as a whole and does not report which part it refuses. All parts were
//! checked before, so a failure is rare. An example is a key package that has expired by the
//! system's clock while its proposal waited.

use openmls::{
    credentials::NewSignerBundle,
    group::{GroupContext, MlsGroup, QueuedProposal},
    prelude::{CommitBuilder, CommitMessageBundle, Complete, Extensions, KeyPackage, LeafNodeIndex, ProposalOrRefType},
};

use super::{
    left_out::{LeftOut, left_out_addition, left_out_proposal},
    proposal_effect::proposal_reference,
    selection::Selection,
};
use crate::{DeviceId, Policy, Refusal, call::EngineCall, error::Error, identity::SignatureKey};

/// The maximum number of attempts of the search. Each attempt costs as much as a commit. Parts
/// that are not judged by then are left out.
const MAX_ATTEMPTS: usize = 64;

/// The draft of a commit.
pub(crate) struct Draft<'d> {
    pub(crate) device: &'d DeviceId,
    pub(crate) policy: &'d Policy,
    /// The key that signs the commit.
    pub(crate) key: SignatureKey,
    /// The new signature key of this device's leaf, if the commit replaces it.
    pub(crate) new_key: Option<SignatureKey>,
    pub(crate) remove: Vec<LeafNodeIndex>,
    /// The group's extensions, if the commit changes them.
    pub(crate) extensions: Option<Extensions<GroupContext>>,
    /// The parts of the commit that can fail.
    pub(crate) parts: Selection,
}

/// A part of a commit that can fail.
enum DraftPart {
    Addition(Box<KeyPackage>),
    Proposal(Vec<u8>),
}

impl Draft<'_> {
    /// Creates the commit, which is then pending in the group. Parts that no commit can contain
    /// are left out.
    pub(crate) fn stage(&mut self, group: &mut MlsGroup, call: &EngineCall<'_>) -> Result<CommitMessageBundle, Error> {
        let whole = self.build(group, call, |builder| builder.stage_commit(call).map_err(|e| e.to_string()));
        match whole {
            Ok(bundle) => Ok(bundle),
            Err(detail) if self.has_no_parts() || call.records.failure().is_some() => Err(internal(detail)),
            Err(_) => {
                self.leave_out_faulty(group, call)?;
                self.build(group, call, |builder| builder.stage_commit(call).map_err(|e| e.to_string()))
                    .map_err(internal)
            }
        }
    }

    /// Builds the commit and passes it to `then`. Building alone changes nothing in the group.
    fn build<T>(
        &self,
        group: &mut MlsGroup,
        call: &EngineCall<'_>,
        then: impl FnOnce(CommitBuilder<'_, Complete>) -> Result<T, String>,
    ) -> Result<T, String> {
        let signer = self.key.signer(&call.crypto).map_err(|e| e.to_string())?;
        let chosen = |queued: &QueuedProposal| {
            queued.proposal_or_ref_type() == ProposalOrRefType::Proposal
                || proposal_reference(queued).is_ok_and(|reference| self.parts.proposals.contains(&reference))
        };
        // Every commit has a path, so every commit heals its committer. Also, welcomes and
        // removals need no special case.
        let mut builder = group
            .commit_builder()
            .force_self_update(true)
            .propose_adds(self.parts.add.iter().cloned())
            .propose_removals(self.remove.iter().copied());
        if let Some(extensions) = &self.extensions {
            builder = builder.propose_group_context_extensions(extensions.clone()).map_err(|e| e.to_string())?;
        }
        let builder = builder
            .load_psks(&call.records)
            .map_err(|e| e.to_string())?
            .use_ratchet_tree_extension(self.policy.sends_ratchet_tree())
            .create_group_info(self.policy.publish_group_info);
        let built = match &self.new_key {
            None => builder.build(&call.crypto, &call.crypto, &signer, chosen),
            Some(new_key) => {
                let bundle = NewSignerBundle {
                    signer: &new_key.signer(&call.crypto).map_err(|e| e.to_string())?,
                    credential_with_key: new_key.credential(self.device),
                };
                builder.build_with_new_signer(&call.crypto, &call.crypto, &signer, bundle, chosen)
            }
        };
        then(built.map_err(|e| e.to_string())?)
    }

    fn has_no_parts(&self) -> bool {
        self.parts.add.is_empty() && self.parts.proposals.is_empty()
    }

    /// Leaves out the parts that the commit cannot contain, by repeated halving. Parts that a
    /// commit can contain together stay.
    fn leave_out_faulty(&mut self, group: &mut MlsGroup, call: &EngineCall<'_>) -> Result<(), Error> {
        let additions = self.parts.add.drain(..).map(|addition| DraftPart::Addition(Box::new(addition)));
        let proposals = self.parts.proposals.drain(..).map(DraftPart::Proposal);
        let mut unjudged: Vec<Vec<DraftPart>> = vec![additions.chain(proposals).collect()];
        let mut attempts = 0;
        while let Some(mut some) = unjudged.pop() {
            let before = (self.parts.add.len(), self.parts.proposals.len());
            self.take(&some);
            attempts += 1;
            let attempt = match attempts <= MAX_ATTEMPTS {
                true => self.build(group, call, |_| Ok(())),
                false => Err("the search for the faulty part was stopped".into()),
            };
            let Err(detail) = attempt else { continue };
            self.parts.add.truncate(before.0);
            self.parts.proposals.truncate(before.1);
            if some.len() > 1 && attempts <= MAX_ATTEMPTS {
                let rest = some.split_off(some.len() / 2);
                unjudged.extend([rest, some]);
                continue;
            }
            for part in some {
                self.parts.left_out.extend(left_out(&part, self.device, group, &detail)?);
            }
        }
        Ok(())
    }

    fn take(&mut self, parts: &[DraftPart]) {
        for part in parts {
            match part {
                DraftPart::Addition(addition) => self.parts.add.push((**addition).clone()),
                DraftPart::Proposal(reference) => self.parts.proposals.push(reference.clone()),
            }
        }
    }
}

/// Returns the record of a part that no commit can contain.
fn left_out(part: &DraftPart, own: &DeviceId, group: &MlsGroup, detail: &str) -> Result<Option<LeftOut>, Error> {
    let reason = Refusal::NotCommittable { detail: detail.to_owned() };
    match part {
        DraftPart::Addition(addition) => left_out_addition(own, addition, reason).map(Some),
        DraftPart::Proposal(reference) => {
            let is_it = |queued: &&QueuedProposal| proposal_reference(queued).is_ok_and(|known| known == *reference);
            match group.pending_proposals().find(is_it) {
                Some(queued) => left_out_proposal(queued, group, reason),
                None => Ok(None),
            }
        }
    }
}

fn internal(detail: String) -> Error {
    Error::Internal { action: "make a commit", detail }
}
