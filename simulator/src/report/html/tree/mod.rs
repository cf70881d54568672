//! The ratchet tree, epoch by epoch: the nodes, their keys, and the knowledge of members and thieves.
//!
//! All drawn epochs stand in the page one after the other. The script shows one of them at a time.
//! With several groups, each group is a part that the reader opens.

mod drawing;
mod legend;
mod selection;

use std::collections::BTreeMap;

use maud::{Markup, html};

use self::drawing::DrawnTree;
use super::{
    scenario::{epoch_id, group_id, step_link, thief_mark},
    text::{count, left_out, names, outside},
};
use crate::{
    oracle::{KeyPair, Tree},
    report::{
        RunRecord,
        record::{CommitRecord, EpochKnowledge, EpochRecord, ThiefInGroup, ThiefRecord},
        terminal::plain,
    },
    scenario::{GroupName, TheftScope},
};

/// The largest number of thieves whose knowledge an epoch lists and its tree marks.
const MAX_THIEVES: usize = 8;

/// The largest number of groups whose trees the page draws. All of them share one number of trees.
const MAX_GROUPS: usize = 12;

/// The trees of a scenario. [`None`] if there is no group.
pub(super) fn section(id: &str, record: &RunRecord) -> Option<Markup> {
    let groups = record.groups.iter().filter(|(_, epochs)| !epochs.is_empty());
    let groups: Vec<_> = groups.map(|(name, epochs)| Group { id, record, name, epochs }).collect();
    let shown = &groups[..groups.len().min(MAX_GROUPS)];
    let first = shown.first()?;
    let more = groups.len() - shown.len();
    // A reader of an attack begins in a group of the stolen device.
    let start = shown.iter().position(Group::is_stolen).unwrap_or(0);
    Some(html! {
        (legend::legend(!record.thieves.is_empty()))
        @if record.has_several_groups() {
            nav.parts aria-label="Groups" {
                @for group in shown { a href={ "#" (group.id()) } { "Group " (outside(group.name.as_str())) } }
            }
            @if more > 0 { (left_out(html! {
                "The page draws the trees of the first " (MAX_GROUPS) " groups, because more trees would make it slow. "
                "Left out: " (count(more, "group")) "."
            })) }
            @for (number, group) in shown.iter().enumerate() {
                details.group id=(group.id()) open[number == start] {
                    summary { "Group " strong { (outside(group.name.as_str())) } ": " (group.extent()) }
                    (group.stepper(shown.len()))
                }
            }
        } @else {
            (first.stepper(1))
        }
    })
}

/// The epochs of one group.
struct Group<'r> {
    /// The prefix of all ids in the section of the scenario.
    id: &'r str,
    record: &'r RunRecord,
    name: &'r GroupName,
    epochs: &'r [EpochRecord],
}

impl Group<'_> {
    fn id(&self) -> String {
        group_id(self.id, self.record, self.name)
    }

    /// True if the first thief has secrets of the group.
    fn is_stolen(&self) -> bool {
        self.record
            .thieves
            .first()
            .is_some_and(|thief| thief.groups.get(self.name).is_some_and(ThiefInGroup::has_secrets))
    }

    /// The numbers of members and epochs, in words.
    fn extent(&self) -> String {
        let last = self.epochs.last().map(|epoch| epoch.tree.leaves().iter().flatten().count());
        format!("{}, {}", count(last.unwrap_or_default(), "member"), count(self.epochs.len(), "epoch"))
    }

    /// The drawn trees of the group. Its number of trees is its share of those of all groups.
    fn stepper(&self, groups: usize) -> Markup {
        let Self { id, record, name, epochs } = *self;
        let drawn = selection::drawn_epochs(record, name, epochs, groups);
        let missing = selection::ranges((0..epochs.len()).filter(|epoch| !drawn.contains(epoch)));
        let origins = origins(epochs);
        // A reader of an attack begins at the theft.
        let theft = record.thieves.first().map(|thief| epoch_of_theft(thief, name));
        let start = theft.filter(|epoch| drawn.contains(epoch)).or(drawn.last().copied());
        let label = match record.has_several_groups() {
            true => format!("Ratchet tree of the group {} by epoch", plain(name.as_str())),
            false => "Ratchet tree by epoch".to_owned(),
        };
        html! {
            @if !missing.is_empty() { (left_out(html! {
                "The page draws " (drawn.len()) " of " (count(epochs.len(), "epoch"))
                ", because more trees would make it slow. It prefers the epochs near a theft, the last epochs and the "
                "first ones. Left out: " (missing) "."
            })) }
            div.stepper role="group" aria-label=(label) tabindex="0" {
                p.stepper-links {
                    "Epoch "
                    @for epoch in &drawn {
                        a href={ "#" (epoch_id(id, record, name, *epoch as u64)) } { (epoch) } " "
                    }
                }
                @for (number, epoch) in epochs.iter().enumerate().filter(|(number, _)| drawn.contains(number)) {
                    section.epoch .start[start == Some(number)] id=(epoch_id(id, record, name, number as u64)) {
                        h4 { "Epoch " (number) }
                        p.maker { (maker(id, record, epoch)) }
                        (knowledge(record, name, number, epoch))
                        (DrawnTree { record, group: name, number: number as u64, epoch, origins: &origins }.markup())
                    }
                }
            }
        }
    }
}

/// The epoch of a group at a theft. Before the group existed, it is 0.
fn epoch_of_theft(thief: &ThiefRecord, group: &GroupName) -> usize {
    thief.groups.get(group).and_then(|known| known.epoch).unwrap_or_default() as usize
}

/// The first epoch in which each key pair is in the tree.
fn origins(epochs: &[EpochRecord]) -> BTreeMap<KeyPair, u64> {
    let mut origins = BTreeMap::new();
    for (number, epoch) in (0..).zip(epochs) {
        for key in keys(&epoch.tree) {
            origins.entry(key).or_insert(number);
        }
    }
    origins
}

/// The key pairs of all nodes that are not blank.
fn keys(tree: &Tree) -> impl Iterator<Item = KeyPair> {
    let leaves = tree.leaves().iter().flatten().map(|leaf| leaf.key);
    leaves.chain(tree.parents().iter().flatten().map(|parent| parent.key))
}

/// A sentence about the commit that made the epoch.
fn maker(id: &str, record: &RunRecord, epoch: &EpochRecord) -> Markup {
    let step = step_link(id, record, epoch.step);
    let Some(CommitRecord { by, forged_by, adds, removes, updates, external, .. }) = &epoch.commit else {
        return html! { @if epoch.step.is_some() { "Step " (step) ": the group was created." } };
    };
    let list = |who: &[crate::scenario::MemberName]| names(who.iter().map(|name| name.as_str()));
    html! {
        @if epoch.step.is_some() { "Step " (step) ": " }
        @if let Some(thief) = forged_by { "the thief of " (outside(thief.as_str())) ", as " }
        strong { (outside(by.as_str())) }
        (if *external { " joined by external commit" } else { " committed, with new keys on its path" })
        @if !adds.is_empty() { "; added " (list(adds)) }
        @if !removes.is_empty() { "; removed " (list(removes)) }
        @if !updates.is_empty() { "; took over the updates of " (list(updates)) }
        "."
    }
}

/// The knowledge of each thief in an epoch of a group.
fn knowledge(record: &RunRecord, group: &GroupName, number: usize, epoch: &EpochRecord) -> Markup {
    let all = keys(&epoch.tree).count();
    html! {
        @if !record.thieves.is_empty() { ul.knowledge {
            @for (mark, thief) in record.thieves.iter().enumerate().take(MAX_THIEVES) {
                @let in_group = thief.groups.get(group);
                @let known = keys(&epoch.tree).filter(|key| in_group.is_some_and(|it| it.keys.contains(key))).count();
                li.thief data-thief=(mark) tabindex="0" {
                    span.thief-mark { (thief_mark(mark)) } " " (outside(thief.id.as_str())) ": "
                    (what_it_knows(thief, in_group, number, known, all))
                }
            }
            @if record.thieves.len() > MAX_THIEVES {
                li.left-out { (count(record.thieves.len() - MAX_THIEVES, "more thief")) }
            }
        } }
    }
}

fn what_it_knows(
    thief: &ThiefRecord,
    in_group: Option<&ThiefInGroup>,
    number: usize,
    known: usize,
    all: usize,
) -> String {
    match thief.scope {
        TheftScope::Device => {}
        TheftScope::Disk => return "knows nothing, because the stolen files are encrypted.".to_owned(),
        TheftScope::Backup => return "knows nothing, because a backup has no key of a group.".to_owned(),
    }
    let keys = format!("knows {known} of {}", count(all, "private key"));
    let epoch = match in_group.and_then(|it| it.epochs.get(&(number as u64))) {
        Some(EpochKnowledge::All) => " and all secrets of the epoch.",
        Some(EpochKnowledge::Rest) => " and the secrets of the epoch that the device still had.",
        None => ", and no secret of the epoch.",
    };
    keys + epoch
}
