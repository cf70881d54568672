//! MLS with a path only where RFC 9420 requires one.
//!
//! The engine puts a path into every commit. RFC 9420, 12.4 requires one only if the commit lists no
//! proposal, or an update, a removal or an external init. A commit without a path leaves the key
//! pairs of the tree as they are, so the added leaves stay unmerged.

use crate::model::group_model::{Change, CommitParts};

/// True if the commit of a member has a path: RFC 9420 requires it, or the committer wants new keys.
pub(crate) fn has_path(parts: &CommitParts) -> bool {
    let only_adds = parts.remove.is_empty()
        && parts.referred.iter().all(|proposal| matches!(proposal.change, Change::Add(_)))
        && !(parts.add.is_empty() && parts.referred.is_empty());
    !only_adds || parts.updates || parts.new_signature_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::group_model::WaitingProposal;

    #[test]
    fn only_commits_that_only_add_have_no_path() {
        let add = CommitParts { add: vec![1], ..CommitParts::default() };
        let referred = |change| vec![WaitingProposal { by: 2, change }];
        assert!(!has_path(&add));
        assert!(!has_path(&CommitParts { referred: referred(Change::Add(3)), ..CommitParts::default() }));
        assert!(has_path(&CommitParts { updates: true, ..add.clone() }));
        assert!(has_path(&CommitParts { new_signature_key: true, ..add.clone() }));
        assert!(has_path(&CommitParts { remove: vec![2], ..add.clone() }));
        assert!(has_path(&CommitParts { referred: referred(Change::Update), ..add.clone() }));
        assert!(has_path(&CommitParts { referred: referred(Change::Remove(3)), ..add }));
        // An empty list of proposals.
        assert!(has_path(&CommitParts::default()));
    }
}
