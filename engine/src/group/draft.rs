//! A commit in the making, and the search for the parts that make it fail.
//!
//! OpenMLS judges a commit as a whole and does not say which part it refuses. The parts were checked before, so that a
//! failure is rare: a key package that has expired by the system's clock while its proposal waited is one.

use openmls::{
    credentials::NewSignerBundle,
    group::{GroupContext, MlsGroup, QueuedProposal},
    prelude::{CommitBuilder, CommitMessageBundle, Complete, Extensions, KeyPackage, LeafNodeIndex, ProposalOrRefType},
};

use super::{
    commit::proposal_reference,
    selection::{LeftOut, Selection, left_out_addition, left_out_proposal},
};
use crate::{
    DeviceId, Policy,
    error::{Error, Refusal},
    identity::SignatureKey,
    provider::Call,
};

/// The most attempts that the search makes. Each costs as much as a commit. Parts that it has not judged by then are left out.
const MAX_ATTEMPTS: usize = 64;

/// A commit in the making.
pub(crate) struct Draft<'d> {
    pub(crate) device: &'d DeviceId,
    pub(crate) policy: &'d Policy,
    /// The key that signs the commit.
    pub(crate) key: SignatureKey,
    /// The key that this device's leaf gets, if it is not to keep its own.
    pub(crate) new_key: Option<SignatureKey>,
    pub(crate) remove: Vec<LeafNodeIndex>,
    /// The group's extensions, if the commit changes them.
    pub(crate) extensions: Option<Extensions<GroupContext>>,
    /// The parts that can fail.
    pub(crate) parts: Selection,
}

/// A part of a commit that can fail.
enum Part {
    Addition(Box<KeyPackage>),
    Proposal(Vec<u8>),
}

impl Draft<'_> {
    /// Makes the commit, which is then pending in the group. Parts with which it cannot be made are left out of it.
    pub(crate) fn stage(&mut self, group: &mut MlsGroup, call: &Call<'_>) -> Result<CommitMessageBundle, Error> {
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

    /// Builds the commit, and does with it what `then` says. Building alone changes nothing in the group.
    fn build<T>(
        &self,
        group: &mut MlsGroup,
        call: &Call<'_>,
        then: impl FnOnce(CommitBuilder<'_, Complete>) -> Result<T, String>,
    ) -> Result<T, String> {
        let signer = self.key.signer(&call.crypto).map_err(|e| e.to_string())?;
        let chosen = |queued: &QueuedProposal| {
            queued.proposal_or_ref_type() == ProposalOrRefType::Proposal
                || proposal_reference(queued).is_ok_and(|reference| self.parts.proposals.contains(&reference))
        };
        // Always with a path: every commit heals its committer, and welcomes and removals need no second thought.
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

    /// Leaves out the parts with which the commit cannot be made, by halves: whatever can be made together stays.
    fn leave_out_faulty(&mut self, group: &mut MlsGroup, call: &Call<'_>) -> Result<(), Error> {
        let additions = self.parts.add.drain(..).map(|addition| Part::Addition(Box::new(addition)));
        let proposals = self.parts.proposals.drain(..).map(Part::Proposal);
        let mut unjudged: Vec<Vec<Part>> = vec![additions.chain(proposals).collect()];
        let mut attempts = 0;
        while let Some(mut some) = unjudged.pop() {
            let before = (self.parts.add.len(), self.parts.proposals.len());
            self.take(&some);
            attempts += 1;
            let attempt = match attempts <= MAX_ATTEMPTS {
                true => self.build(group, call, |_| Ok(())),
                false => Err("the search for the faulty part was given up".into()),
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

    fn take(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Addition(addition) => self.parts.add.push((**addition).clone()),
                Part::Proposal(reference) => self.parts.proposals.push(reference.clone()),
            }
        }
    }
}

/// The record of a part with which no commit can be made.
fn left_out(part: &Part, own: &DeviceId, group: &MlsGroup, detail: &str) -> Result<Option<LeftOut>, Error> {
    let reason = Refusal::NotCommittable { detail: detail.to_owned() };
    match part {
        Part::Addition(addition) => left_out_addition(own, addition, reason).map(Some),
        Part::Proposal(reference) => {
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
