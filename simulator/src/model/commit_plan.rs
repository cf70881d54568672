//! The content of a member's commit: its open intents, and the waiting proposals.
//!
//! The rules are those of the engine (`engine/src/group/plan.rs` and `selection.rs`), and of
//! OpenMLS, which includes one proposal for each leaf.

use rustc_hash::{FxHashMap, FxHashSet};

use super::group_model::{Change, CommitParts, DeviceNumber, GroupModel, WaitingProposal};

/// A change that a device wants, until a commit has made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Add(Vec<DeviceNumber>),
    Remove(Vec<DeviceNumber>),
    Update { signature_key: bool },
    CommitProposals,
    Leave,
}

/// Deletes the intents that the group has fulfilled.
pub(super) fn forget_fulfilled(intents: &mut Vec<Intent>, group: &dyn GroupModel) {
    for intent in intents.iter_mut() {
        match intent {
            Intent::Add(who) => who.retain(|device| !group.is_member(*device)),
            Intent::Remove(who) => who.retain(|device| group.is_member(*device)),
            Intent::Update { .. } | Intent::CommitProposals | Intent::Leave => {}
        }
    }
    intents.retain(|intent| !matches!(intent, Intent::Add(who) | Intent::Remove(who) if who.is_empty()));
}

/// The parts of the next commit of a device. [`None`] if there is nothing to commit.
pub(super) fn plan(by: DeviceNumber, intents: &[Intent], group: &dyn GroupModel) -> Option<CommitParts> {
    let mut parts = CommitParts::default();
    let mut commits_proposals = false;
    let (mut added, mut planned) = (FxHashSet::default(), FxHashSet::default());
    for intent in intents {
        match intent {
            Intent::Add(who) => {
                parts.add.extend(who.iter().filter(|device| added.insert(**device)));
            }
            Intent::Remove(who) => {
                parts.remove.extend(who.iter().filter(|device| planned.insert(**device)));
            }
            Intent::Update { signature_key } => {
                parts.updates = true;
                parts.new_signature_key |= signature_key;
            }
            Intent::CommitProposals => commits_proposals = true,
            Intent::Leave => {}
        }
    }
    parts.referred = chosen(by, added, group.waiting());
    let removed: FxHashSet<_> = parts
        .referred
        .iter()
        .filter_map(|proposal| if let Change::Remove(who) = proposal.change { Some(who) } else { None })
        .collect();
    let before = parts.remove.len();
    parts.remove.retain(|device| !removed.contains(device));
    commits_proposals |= parts.remove.len() < before;
    let is_void = parts.add.is_empty()
        && parts.remove.is_empty()
        && !parts.updates
        && (!commits_proposals || parts.referred.is_empty());
    (!is_void).then_some(parts)
}

/// The waiting proposals that a commit refers to. A committer cannot remove or update itself by a
/// proposal (RFC 9420, 12.2), and a commit has one proposal for each leaf and each added device.
fn chosen(by: DeviceNumber, mut added: FxHashSet<DeviceNumber>, waiting: &[WaitingProposal]) -> Vec<WaitingProposal> {
    let mut chosen: Vec<WaitingProposal> = Vec::new();
    // The place of the proposal for each leaf, by the leaf's device.
    let mut of_leaf: FxHashMap<DeviceNumber, usize> = FxHashMap::default();
    for proposal in waiting {
        let leaf = match proposal.change {
            Change::Add(device) => {
                if added.insert(device) {
                    chosen.push(*proposal);
                }
                continue;
            }
            Change::Remove(who) => who,
            Change::Update => proposal.by,
        };
        if leaf == by {
            continue;
        }
        match of_leaf.get(&leaf).map(|place| &mut chosen[*place]) {
            // A removal has priority over an update, and a later proposal over an earlier one.
            Some(known) if matches!(known.change, Change::Remove(_)) && proposal.change == Change::Update => {}
            Some(known) => *known = *proposal,
            None => {
                of_leaf.insert(leaf, chosen.len());
                chosen.push(*proposal);
            }
        }
    }
    chosen
}
