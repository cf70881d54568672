//! Generates races with a predictable result: the same devices are members afterwards, in any
//! order.

use std::collections::BTreeSet;

use super::{
    generator::{Generator, nowhere},
    model::MemberNumber,
};
use crate::scenario::{Action, MemberName, Placed, Proposal, WrittenStep};

/// The largest number of contenders in a race.
const MOST: usize = 4;

/// How often the generator draws a race with an unpredictable result before it gives up.
const ATTEMPTS: u32 = 10;

/// The actions of a race.
pub(super) struct Contenders(Vec<Action>);

/// Adds a race, if one is possible now.
pub(super) fn race(generator: &mut Generator<'_>, with: Option<MemberNumber>) -> Option<()> {
    let contenders = contenders(generator, with)?;
    add(generator, contenders);
    Some(())
}

/// Draws actions of different members in the same epoch, one of them by the member `with`.
pub(super) fn contenders(generator: &mut Generator<'_>, with: Option<MemberNumber>) -> Option<Contenders> {
    // A commit that loses the race would make some of the waiting proposals void, and others not.
    if generator.model.something_waits() || !generator.model.is_calm() {
        return None;
    }
    for _ in 0..ATTEMPTS {
        let online: Vec<_> = generator.model.online.iter().copied().collect();
        let mut racing = generator.rng.some(&online, MOST);
        if let Some(with) = with.filter(|with| !racing.contains(with)) {
            racing.push(with);
        }
        let mut actions = Vec::new();
        for by in racing {
            actions.extend(generator.any_submission(by));
        }
        let contenders = Contenders(actions);
        let includes = with.is_none_or(|with| contenders.by(generator.name(with)).is_some());
        if contenders.0.len() > 1 && includes && contenders.can_be_told(generator) {
            return Some(contenders);
        }
    }
    None
}

/// Adds the race and, if its order makes a difference, a commit that removes the difference.
pub(super) fn add(generator: &mut Generator<'_>, contenders: Contenders) {
    let settles = contenders.needs_settling().then(|| contenders.stays(generator)).flatten();
    generator.model.apply_race(&contenders.0);
    let nodes = contenders.0.into_iter().map(|action| Placed { place: nowhere(), item: WrittenStep::Do(action) });
    generator.push(WrittenStep::Race(nodes.collect()));
    if let Some(by) = settles {
        let by = generator.name(by);
        generator.act(Action::Update { by, signature_key: false });
    }
}

impl Contenders {
    fn by(&self, name: MemberName) -> Option<&Action> {
        self.0.iter().find(|action| action.submitters().contains(&name))
    }

    /// The members that one of the actions removes.
    fn removed(&self) -> BTreeSet<&MemberName> {
        let removed = self.0.iter().filter_map(|action| match action {
            Action::Remove { who, .. } => Some(who),
            _ => None,
        });
        removed.flatten().collect()
    }

    /// True if one of the actions removes the member.
    pub(super) fn removes(&self, name: &MemberName) -> bool {
        self.removed().contains(name)
    }

    fn commits(&self) -> bool {
        self.0.iter().any(|action| !is_proposal(action) && !matches!(action, Action::Send { .. }))
    }

    /// True if the waiting proposals in the end depend on the order. The next commit removes the
    /// difference.
    fn needs_settling(&self) -> bool {
        self.commits() && self.0.iter().any(is_proposal)
    }

    /// True if the members in the end are the same in any order of the race.
    fn can_be_told(&self, generator: &Generator<'_>) -> bool {
        let removed = self.removed();
        let each = self.0.iter().all(|action| match action {
            // A proposal from an earlier epoch is void. Once the service has accepted it, its
            // proposer does not repeat it, unless it is a proposal to leave.
            Action::Propose { what: Proposal::Add(_) | Proposal::Remove(_), .. } => !self.commits(),
            // If such a member is removed before it acts, only its own keys or message are lost.
            Action::Update { .. } | Action::Send { .. } | Action::Leave { .. } | Action::Propose { .. } => true,
            _ => action.submitters().iter().all(|by| !removed.contains(by)),
        });
        each && self.has_key_packages(generator) && self.stays(generator).is_some()
    }

    /// True if the service has a key package for each addition. The race claims all of them at
    /// once.
    fn has_key_packages(&self, generator: &Generator<'_>) -> bool {
        let added = self.0.iter().filter_map(|action| match action {
            Action::Add { who, .. } | Action::Propose { what: Proposal::Add(who), .. } => Some(who),
            _ => None,
        });
        let added: Vec<_> = added.flatten().collect();
        let enough = |member: MemberNumber| {
            let name = &generator.model.names[member];
            added.iter().filter(|added| **added == name).count() <= generator.model.key_packages(member)
        };
        generator.model.all().all(enough)
    }

    /// An online member that is in the group before and after the race.
    fn stays(&self, generator: &Generator<'_>) -> Option<MemberNumber> {
        let removed = self.removed();
        let stays = |member: &MemberNumber| {
            let name = generator.name(*member);
            let leaves = matches!(self.by(name.clone()), Some(Action::Leave { .. }));
            !leaves && !removed.contains(&name)
        };
        generator.model.present().into_iter().find(stays)
    }
}

fn is_proposal(action: &Action) -> bool {
    matches!(action, Action::Propose { .. } | Action::Leave { .. })
}
