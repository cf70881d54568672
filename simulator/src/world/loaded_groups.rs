//! Chooses the devices whose group stays in memory between two steps.
//!
//! A group in memory has a decoded ratchet tree. A world with a decoded tree for each of `n` members
//! would take memory that grows with the square of `n`. So only the first devices of the scenario
//! keep their group in memory. The others drop it after each delivery, and decode it at their next
//! one. The store has the same state, so the choice changes no transcript.

/// The number of leaves that all decoded trees together may have: a thousand trees of a thousand
/// members, or 1.4 GB.
const MAX_LEAVES: usize = 1_000_000;

/// The limit for the decoded trees of all devices together.
pub(super) struct LoadedGroups {
    max_leaves: usize,
}

impl Default for LoadedGroups {
    fn default() -> Self {
        Self { max_leaves: MAX_LEAVES }
    }
}

impl LoadedGroups {
    /// A limit of this many leaves.
    #[cfg(test)]
    pub(super) fn at_most(max_leaves: usize) -> Self {
        Self { max_leaves }
    }

    /// The number of devices that keep a group of this size. They are the first devices of the
    /// scenario.
    ///
    /// A rule by the last use would serve nobody: all devices take turns, so each would find its
    /// group dropped.
    pub(super) fn devices(&self, members: usize) -> usize {
        self.max_leaves / members.max(1)
    }
}

#[cfg(test)]
mod tests;
