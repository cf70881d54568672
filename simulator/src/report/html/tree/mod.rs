//! The ratchet tree, epoch by epoch: the nodes, their keys, and the knowledge of members and thieves.
//!
//! All drawn epochs stand in the page one after the other. The script shows one of them at a time.

mod drawing;
mod legend;
mod selection;

use std::collections::BTreeMap;

use maud::{Markup, html};

use self::drawing::DrawnTree;
use super::{
    scenario::{step_link, thief_mark},
    text::{count, left_out, names, outside},
};
use crate::{
    oracle::{KeyPair, Tree},
    report::{
        RunRecord,
        record::{CommitRecord, EpochKnowledge, EpochRecord, ThiefRecord},
    },
    scenario::TheftScope,
};

/// The largest number of thieves whose knowledge an epoch lists and its tree marks.
const MAX_THIEVES: usize = 8;

/// The trees of a scenario. [`None`] if there is no group.
pub(super) fn section(id: &str, record: &RunRecord) -> Option<Markup> {
    if record.epochs.is_empty() {
        return None;
    }
    let drawn = selection::drawn_epochs(record);
    let missing = selection::ranges((0..record.epochs.len()).filter(|epoch| !drawn.contains(epoch)));
    let origins = origins(record);
    // A reader of an attack begins at the theft.
    let theft = record.thieves.first().map(|thief| thief.epoch as usize).filter(|epoch| drawn.contains(epoch));
    let start = theft.or(drawn.last().copied());
    Some(html! {
        (legend::legend(!record.thieves.is_empty()))
        @if !missing.is_empty() { (left_out(html! {
            "The page draws " (drawn.len()) " of " (count(record.epochs.len(), "epoch"))
            ", because more trees would make it slow. It prefers the epochs near a theft, the last epochs and the "
            "first ones. Left out: " (missing) "."
        })) }
        div.stepper role="group" aria-label="Ratchet tree by epoch" tabindex="0" {
            p.stepper-links {
                "Epoch "
                @for epoch in &drawn { a href={ "#" (id) "-epoch-" (epoch) } { (epoch) } " " }
            }
            @for (number, epoch) in record.epochs.iter().enumerate().filter(|(number, _)| drawn.contains(number)) {
                section.epoch .start[start == Some(number)] id={ (id) "-epoch-" (number) } {
                    h4 { "Epoch " (number) }
                    p.maker { (maker(id, record, epoch)) }
                    (knowledge(record, number, epoch))
                    (DrawnTree { record, number: number as u64, epoch, origins: &origins }.markup())
                }
            }
        }
    })
}

/// The first epoch in which each key pair is in the tree.
fn origins(record: &RunRecord) -> BTreeMap<KeyPair, u64> {
    let mut origins = BTreeMap::new();
    for (number, epoch) in (0..).zip(&record.epochs) {
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

/// The knowledge of each thief in an epoch.
fn knowledge(record: &RunRecord, number: usize, epoch: &EpochRecord) -> Markup {
    let all = keys(&epoch.tree).count();
    html! {
        @if !record.thieves.is_empty() { ul.knowledge {
            @for (mark, thief) in record.thieves.iter().enumerate().take(MAX_THIEVES) {
                @let known = keys(&epoch.tree).filter(|key| thief.keys.contains(key)).count();
                li.thief data-thief=(mark) tabindex="0" {
                    span.thief-mark { (thief_mark(mark)) } " " (outside(thief.id.as_str())) ": "
                    (what_it_knows(thief, number, known, all))
                }
            }
            @if record.thieves.len() > MAX_THIEVES {
                li.left-out { (count(record.thieves.len() - MAX_THIEVES, "more thief")) }
            }
        } }
    }
}

fn what_it_knows(thief: &ThiefRecord, number: usize, known: usize, all: usize) -> String {
    match thief.scope {
        TheftScope::Device => {}
        TheftScope::Disk => return "knows nothing, because the stolen files are encrypted.".to_owned(),
        TheftScope::Backup => return "knows nothing, because a backup has no key of a group.".to_owned(),
    }
    let keys = format!("knows {known} of {}", count(all, "private key"));
    let epoch = match thief.epochs.get(&(number as u64)) {
        Some(EpochKnowledge::All) => " and all secrets of the epoch.",
        Some(EpochKnowledge::Rest) => " and the secrets of the epoch that the device still had.",
        None => ", and no secret of the epoch.",
    };
    keys + epoch
}
