//! Intents: changes that the device wants, stored until they have happened. A lost race costs a
//! new attempt, but never loses an intent.

use std::collections::{BTreeSet, HashMap};

use openmls::{
    group::MlsGroup,
    prelude::{KeyPackage, LeafNodeIndex},
};
use serde::{Deserialize, Serialize};

use super::{data, leaves_by_identity, leaves_of_user, selection::Selection};
use crate::{DeviceId, UserId, error::Error, identity::device_of_leaf};

/// A change that this device wants in a group.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// Add the devices of these key packages. (They were verified when the intent was created.)
    Add(Vec<KeyPackage>),
    /// Remove these devices.
    Remove(Vec<DeviceId>),
    /// Remove all devices that this user has in the group at the time of the commit.
    RemoveUser(UserId),
    /// Set the group data to these bytes.
    Data(Vec<u8>),
    /// Give this device's leaf new keys.
    Update {
        /// True if the signature key is also replaced.
        signature_key: bool,
    },
    /// Commit the proposals of the epoch. Any commit fulfills this intent.
    CommitProposals,
    /// Leave the group. The intent is fulfilled when this device has been removed.
    Leave,
}

/// The open changes of all intents, for one commit on the current state of the group.
#[derive(Default)]
pub(crate) struct Plan {
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

impl Plan {
    /// True if a commit with the plan and the selected parts would fulfill no intent. Proposals
    /// that no commit can contain are a reason for a commit, because no message can be sent while
    /// they wait.
    pub(crate) fn is_void(&self, selection: &Selection) -> bool {
        let proposals = !selection.proposals.is_empty() || !selection.left_out.is_empty();
        selection.add.is_empty()
            && self.remove.is_empty()
            && self.data.is_none()
            && !self.update
            && !(self.commit_proposals && proposals)
    }
}

/// Adds an intent after the existing intents. Parts of earlier intents that contradict it are
/// deleted, so the last intent counts.
pub(crate) fn remember(intents: &mut Vec<Intent>, intent: Intent) -> Result<(), Error> {
    match &intent {
        Intent::Add(key_packages) => {
            let devices: BTreeSet<DeviceId> = key_packages.iter().map(device_of).collect::<Result<_, _>>()?;
            forget_adding(intents, |device| devices.contains(device))?;
        }
        Intent::RemoveUser(user) => {
            intents.retain(|intent| !matches!(intent, Intent::RemoveUser(known) if known == user));
            forget_adding(intents, |device| device.user() == user)?;
        }
        Intent::Data(_) => intents.retain(|intent| !matches!(intent, Intent::Data(_))),
        Intent::Remove(_) | Intent::Update { .. } | Intent::CommitProposals | Intent::Leave => {}
    }
    intents.push(intent);
    Ok(())
}

/// Deletes the intents to add these devices.
pub(crate) fn forget_adding(intents: &mut [Intent], forgotten: impl Fn(&DeviceId) -> bool) -> Result<(), Error> {
    for intent in intents {
        let Intent::Add(key_packages) = intent else { continue };
        for key_package in std::mem::take(key_packages) {
            if !forgotten(&device_of(&key_package)?) {
                key_packages.push(key_package);
            }
        }
    }
    Ok(())
}

/// Returns the device that the key package would add.
pub(crate) fn device_of(key_package: &KeyPackage) -> Result<DeviceId, Error> {
    Ok(device_of_leaf(key_package.leaf_node())?)
}

/// Computes the remaining changes, and deletes the void intents. An intent is void if it adds a
/// member, removes a device that is not a member, or sets the current data again.
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
                    let device = device_of(key_package)?;
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
                if data::of(group.extensions())? != wanted {
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
