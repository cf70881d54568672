//! The content of a member's commit: its open intents, and the waiting proposals.
//!
//! The rules are those of the engine (`engine/src/group/plan.rs` and `selection.rs`), and of
//! OpenMLS, which includes one proposal for each leaf.

use std::collections::BTreeSet;

use super::group::{Change, CommitParts, CostGroup, DeviceNumber, WaitingProposal};

/// A change that a device wants, until a commit has made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Add(Vec<DeviceNumber>),
    Remove(Vec<DeviceNumber>),
    Update {
        signature_key: bool,
    },
    CommitProposals,
    Leave,
}

/// Deletes the intents that the group has fulfilled.
pub(super) fn forget_fulfilled(intents: &mut Vec<Intent>, group: &CostGroup<'_>) {
    for intent in intents.iter_mut() {
        match intent {
            Intent::Add(who) => who.retain(|device| group.leaf(*device).is_none()),
            Intent::Remove(who) => who.retain(|device| group.leaf(*device).is_some()),
            Intent::Update { .. } | Intent::CommitProposals | Intent::Leave => {}
        }
    }
    intents.retain(|intent| !matches!(intent, Intent::Add(who) | Intent::Remove(who) if who.is_empty()));
}

/// The parts of the next commit of a device. [`None`] if there is nothing to commit.
pub(super) fn plan(by: DeviceNumber, intents: &[Intent], group: &CostGroup<'_>) -> Option<CommitParts> {
    let mut parts = CommitParts::default();
    let (mut update, mut commits_proposals) = (false, false);
    for intent in intents {
        match intent {
            Intent::Add(who) => {
                for device in who {
                    if !parts.add.contains(device) {
                        parts.add.push(*device);
                    }
                }
            }
            Intent::Remove(who) => {
                for device in who {
                    if !parts.remove.contains(device) {
                        parts.remove.push(*device);
                    }
                }
            }
            Intent::Update { signature_key } => {
                update = true;
                parts.new_signature_key |= signature_key;
            }
            Intent::CommitProposals => commits_proposals = true,
            Intent::Leave => {}
        }
    }
    let added: BTreeSet<_> = parts.add.iter().copied().collect();
    parts.referred = chosen(by, &added, &group.waiting);
    let removed: BTreeSet<_> = parts
        .referred
        .iter()
        .filter_map(|proposal| if let Change::Remove(who) = proposal.change { Some(who) } else { None })
        .collect();
    let before = parts.remove.len();
    parts.remove.retain(|device| !removed.contains(device));
    commits_proposals |= parts.remove.len() < before;
    let is_void = parts.add.is_empty()
        && parts.remove.is_empty()
        && !update
        && !(commits_proposals && !parts.referred.is_empty());
    (!is_void).then_some(parts)
}

/// The waiting proposals that a commit refers to. A committer cannot remove or update itself by a
/// proposal (RFC 9420, 12.2), and a commit has one proposal for each leaf and each added device.
fn chosen(by: DeviceNumber, added: &BTreeSet<DeviceNumber>, waiting: &[WaitingProposal]) -> Vec<WaitingProposal> {
    let mut added = added.clone();
    let mut chosen: Vec<WaitingProposal> = Vec::new();
    for proposal in waiting {
        let leaf_of = |proposal: &WaitingProposal| match proposal.change {
            Change::Add(_) => None,
            Change::Remove(who) => Some(who),
            Change::Update => Some(proposal.by),
        };
        match (proposal.change, leaf_of(proposal)) {
            (Change::Add(device), _) => {
                if added.insert(device) {
                    chosen.push(*proposal);
                }
            }
            (_, Some(leaf)) if leaf == by => {}
            (change, leaf) => match chosen.iter_mut().find(|known| leaf.is_some() && leaf_of(known) == leaf) {
                // A removal has priority over an update, and a later proposal over an earlier one.
                Some(known) if matches!(known.change, Change::Remove(_)) && change == Change::Update => {}
                Some(known) => *known = *proposal,
                None => chosen.push(*proposal),
            },
        }
    }
    chosen
}
