//! The choice of the member that commits a change.

use super::{batching::Changes, draws::Draws, group::Group, ratchet_tree::RatchetTree};
use crate::scenario::MemberName;

/// The member that commits a wanted change. If the policy's member cannot act, a random member
/// commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CommitterPolicy {
    /// The member that wants the change: it updates itself, or invites the newcomer. A member that
    /// leaves cannot commit its own removal (RFC 9420, 12.2), so a random member does.
    #[default]
    Wanter,
    /// A random member that can act.
    Random,
    /// The member that acted last.
    LastActive,
    /// The member whose path seals to the fewest nodes, of the members that can act. The churn has to
    /// create the group, and must not have races.
    Cheapest,
    /// This member. It never leaves, and it is always online.
    Fixed(MemberName),
}

/// Chooses committers.
pub(crate) struct CommitterChoice {
    rule: Rule,
    committers: Draws,
    inviters: Draws,
    chosen: u32,
    invited: u32,
}

/// The policy, with the state that it needs.
enum Rule {
    Wanter,
    Random,
    LastActive,
    /// The tree of the group that the first member creates.
    Cheapest(RatchetTree),
    /// The number of the member.
    Fixed(Option<u32>),
}

impl CommitterChoice {
    pub(crate) fn new(policy: &CommitterPolicy, names: &[MemberName], draws: impl Fn(&str) -> Draws) -> Self {
        let number =
            |wanted| names.iter().position(|name| name == wanted).and_then(|member| u32::try_from(member).ok());
        let rule = match policy {
            CommitterPolicy::Wanter => Rule::Wanter,
            CommitterPolicy::Random => Rule::Random,
            CommitterPolicy::LastActive => Rule::LastActive,
            CommitterPolicy::Cheapest => Rule::Cheapest(RatchetTree::new(names.len())),
            CommitterPolicy::Fixed(wanted) => Rule::Fixed(number(wanted)),
        };
        Self { rule, committers: draws("committers"), inviters: draws("inviters"), chosen: 0, invited: 0 }
    }

    /// True if the member is the fixed committer.
    pub(crate) fn is_fixed(&self, member: u32) -> bool {
        matches!(self.rule, Rule::Fixed(Some(fixed)) if fixed == member)
    }

    /// Notes that a member can act, or cannot.
    pub(crate) fn set_able(&mut self, member: u32, able: bool) {
        if let Rule::Cheapest(tree) = &mut self.rule {
            tree.set_able(member, able);
        }
    }

    /// Notes a commit.
    pub(crate) fn committed(&mut self, by: u32, changes: &Changes) {
        if let Rule::Cheapest(tree) = &mut self.rule {
            tree.commit(by, changes);
        }
    }

    /// The committer of changes, of which a member wants the first one. [`None`] if no member can act.
    pub(crate) fn choose(&mut self, group: &Group, wanter: Option<u32>, changes: &Changes) -> Option<u32> {
        let preferred = match &mut self.rule {
            Rule::Wanter => wanter,
            Rule::Random => None,
            Rule::LastActive => group.last_active(),
            Rule::Cheapest(tree) => tree.cheapest(changes),
            Rule::Fixed(member) => *member,
        };
        preferred.filter(|member| group.is_able(*member)).or_else(|| self.random(group))
    }

    fn random(&mut self, group: &Group) -> Option<u32> {
        let chosen = group.pick(self.committers.below(0, self.chosen, group.able()))?;
        self.chosen += 1;
        Some(chosen)
    }

    /// A random member that invites a newcomer. [`None`] if no member can act.
    pub(crate) fn inviter(&mut self, group: &Group) -> Option<u32> {
        let inviter = group.pick(self.inviters.below(0, self.invited, group.able()))?;
        self.invited += 1;
        Some(inviter)
    }
}
