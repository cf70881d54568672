//! What the user wanted, kept until it has happened: losing a race costs a retry and never a lost wish.

use std::collections::{BTreeSet, HashMap};

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex},
};
use serde::{Deserialize, Serialize};

use super::leaves_by_identity;
use crate::{DeviceId, error::Error};

/// A wish concerning a group.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// Add these devices, by these key packages. (They were verified when the intent was made.)
    Add(Vec<KeyPackage>),
    /// Remove these devices.
    Remove(Vec<DeviceId>),
    /// Give the own leaf new keys, and a new signature key if so wanted.
    Update {
        /// Whether the signature key is replaced as well.
        signature_key: bool,
    },
    /// Commit to what others propose. Done with any commit.
    CommitProposals,
    /// Leave. Done when this device has been removed.
    Leave,
}

/// What remains to be done of all intents, in one commit on the group as it is now.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) add: Vec<KeyPackage>,
    pub(crate) remove: Vec<LeafNodeIndex>,
    pub(crate) update: bool,
    pub(crate) signature_key: bool,
    pub(crate) commit_proposals: bool,
}

impl Plan {
    /// Whether a commit would do nothing that was wanted.
    pub(crate) fn is_void(&self, proposals: bool) -> bool {
        self.add.is_empty() && self.remove.is_empty() && !self.update && !(self.commit_proposals && proposals)
    }
}

/// Works out what remains to be done, and forgets the intents that have become void: adding who is a member already,
/// removing who is not.
pub(crate) fn plan(intents: &mut Vec<Intent>, group: &MlsGroup) -> Result<Plan, Error> {
    let members = match intents.iter().any(|intent| matches!(intent, Intent::Add(_) | Intent::Remove(_))) {
        true => leaves_by_identity(group),
        false => HashMap::new(),
    };
    let leaf = |device: &DeviceId| members.get(device.to_identity().as_slice()).copied();
    let mut plan = Plan::default();
    let mut added = BTreeSet::new();
    let mut kept = Vec::new();
    for intent in intents.drain(..) {
        match &intent {
            Intent::Add(key_packages) => {
                let mut wanted = Vec::new();
                for key_package in key_packages {
                    let device = DeviceId::from_leaf(key_package.leaf_node())?;
                    if leaf(&device).is_none() && added.insert(device) {
                        wanted.push(key_package.clone());
                    }
                }
                if !wanted.is_empty() {
                    plan.add.extend(wanted.iter().cloned());
                    kept.push(Intent::Add(wanted));
                }
            }
            Intent::Remove(devices) => {
                let (wanted, leaves): (Vec<_>, Vec<_>) =
                    devices.iter().filter_map(|device| Some((device.clone(), leaf(device)?))).unzip();
                if !wanted.is_empty() {
                    plan.remove.extend(leaves);
                    kept.push(Intent::Remove(wanted));
                }
            }
            Intent::Update { signature_key } => {
                plan.update = true;
                plan.signature_key |= signature_key;
                kept.push(intent);
            }
            Intent::CommitProposals => {
                plan.commit_proposals = true;
                kept.push(intent);
            }
            Intent::Leave => kept.push(intent),
        }
    }
    plan.remove.sort_unstable();
    plan.remove.dedup();
    *intents = kept;
    Ok(plan)
}
