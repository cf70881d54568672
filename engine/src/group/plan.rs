//! The plan of a commit: the changes that the open intents still need in the group's current state.

use std::collections::{BTreeSet, HashMap};

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex},
};

use super::{
    data_extension,
    intent::Intent,
    leaves::{leaves_by_identity, leaves_of_user},
};
use crate::{DeviceId, UserId, error::Error, identity::device_of_key_package};

/// The open changes of all intents, for one commit on the current state of the group.
#[derive(Default)]
pub(crate) struct CommitPlan {
    pub(crate) add: Vec<KeyPackage>,
    pub(crate) remove: Vec<LeafNodeIndex>,
    /// The users whose devices are all removed.
    pub(crate) remove_users: BTreeSet<UserId>,
    /// The new group data.
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) update: bool,
    pub(crate) signature_key: bool,
    pub(crate) commit_proposals: bool,
}

/// Computes the remaining changes, and deletes the void intents. An intent is void if it adds a
/// member, removes a device that is not a member, or sets the current data again.
pub(crate) fn plan(intents: &mut Vec<Intent>, group: &MlsGroup) -> Result<CommitPlan, Error> {
    let members = match intents.iter().any(|intent| matches!(intent, Intent::Add(_) | Intent::Remove(_))) {
        true => leaves_by_identity(group),
        false => HashMap::new(),
    };
    let leaf = |device: &DeviceId| members.get(device.to_identity().as_slice()).copied();
    let mut plan = CommitPlan::default();
    let mut added = BTreeSet::new();
    let mut kept = Vec::new();
    for intent in intents.drain(..) {
        match &intent {
            Intent::Add(key_packages) => {
                let mut wanted = Vec::new();
                for key_package in key_packages {
                    let device = device_of_key_package(key_package)?;
                    // If an earlier intent removes a device and this intent adds it, the device
                    // comes back.
                    if leaf(&device).is_none_or(|leaf| plan.remove.contains(&leaf)) && added.insert(device) {
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
            Intent::RemoveUser(user) => {
                let leaves = leaves_of_user(group, user)?;
                if !leaves.is_empty() {
                    plan.remove.extend(leaves);
                    plan.remove_users.insert(user.clone());
                    kept.push(intent);
                }
            }
            Intent::Data(wanted) => {
                if data_extension::of(group.extensions())? != wanted {
                    plan.data = Some(wanted.clone());
                    kept.push(intent);
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
