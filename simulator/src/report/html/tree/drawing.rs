//! Draws a ratchet tree as SVG.
//!
//! The nodes stand where their numbers put them: node `n` has the horizontal position `n`, because
//! the array representation is the tree from left to right (RFC 9420, appendix C). All positions are
//! whole numbers, so each machine draws the same picture.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{MAX_THIEVES, selection::MAX_LEAVES};
use crate::{
    oracle::{KeyPair, Leaf, LeafIndex, NodeIndex, Parent, Tree},
    report::{
        RunRecord,
        html::{
            scenario::{step_number, thief_mark},
            text::{count, left_out, plain_names},
        },
        matrix::cut,
        record::{EpochRecord, ThiefRecord},
        terminal::plain,
    },
    scenario::GroupName,
};

/// The distance between two levels.
const ROW: u32 = 50;
/// The room above the root and beside the outer leaves.
const MARGIN: u32 = 24;
/// The room below the leaves for names that stand beside each other.
const NAMES_ACROSS: u32 = 34;
/// The height of a character of a name that stands from top to bottom.
const CHARACTER: u32 = 7;

/// The largest number of names in the description of a node.
const DESCRIBED_NAMES: usize = 6;

/// The largest number of thieves whose letters stand beside a node.
const SHOWN_MARKS: usize = 3;

/// The tree of one epoch.
pub(super) struct DrawnTree<'r> {
    pub(super) record: &'r RunRecord,
    pub(super) group: &'r GroupName,
    /// The number of the epoch.
    pub(super) number: u64,
    pub(super) epoch: &'r EpochRecord,
    /// The first epoch in which each key pair is in the tree.
    pub(super) origins: &'r BTreeMap<KeyPair, u64>,
}

/// The sizes for a number of leaves.
struct Sizes {
    /// The distance between two leaves.
    pitch: u32,
    /// Half the width of a leaf, and the radius of a parent.
    half: u32,
    radius: u32,
    /// True if the nodes have room for the number of an epoch.
    numbers: bool,
    /// True if the names stand beside each other.
    across: bool,
    /// The largest number of characters of a name.
    name: usize,
}

impl Sizes {
    fn of(leaves: usize) -> Self {
        let (pitch, half, radius, numbers, name) = match leaves {
            0..=8 => (92, 20, 15, true, 12),
            9..=16 => (64, 18, 14, true, 8),
            17..=32 => (34, 14, 12, true, 13),
            33..=64 => (24, 10, 10, true, 13),
            _ => (16, 6, 7, false, 13),
        };
        Self { pitch, half, radius, numbers, across: leaves <= 16, name }
    }
}

impl DrawnTree<'_> {
    /// The picture, or a note that the tree is too large.
    pub(super) fn markup(&self) -> Markup {
        let tree = &*self.epoch.tree;
        let leaves = tree.leaves().len();
        if leaves > MAX_LEAVES {
            let members = tree.leaves().iter().flatten().count();
            return left_out(html! {
                "The tree has " (count(leaves, "leaf position")) " and " (count(members, "member"))
                ". The page draws trees with at most " (MAX_LEAVES) " leaves, because larger ones are not legible."
            });
        }
        let sizes = Sizes::of(leaves);
        let width = 2 * MARGIN + leaves as u32 * sizes.pitch;
        let names = if sizes.across { NAMES_ACROSS } else { NAMES_ACROSS + self.longest_name(&sizes) * CHARACTER };
        let height = self.y(NodeIndex(0)) + names;
        let label = format!("Ratchet tree of epoch {}", self.number);
        let places = (0..).zip(tree.leaves()).map(|(at, leaf)| (LeafIndex(at), leaf.as_ref()));
        let parents = (0..).zip(tree.parents()).map(|(at, parent)| (NodeIndex(2 * at + 1), parent.as_ref()));
        html! {
            div.tree {
                div.scroll {
                    svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
                        role="group" aria-label=(label)
                    {
                        (self.edges(&sizes))
                        @for (node, parent) in parents { (self.parent(&sizes, node, parent)) }
                        @for (index, leaf) in places { (self.leaf(&sizes, index, leaf)) }
                    }
                }
                p.who aria-live="polite" {}
            }
        }
    }

    fn tree(&self) -> &Tree {
        &self.epoch.tree
    }

    fn x(&self, sizes: &Sizes, node: NodeIndex) -> u32 {
        MARGIN + (node.0 + 1) * sizes.pitch / 2
    }

    fn y(&self, node: NodeIndex) -> u32 {
        MARGIN + (self.tree().root().level() - node.level()) * ROW
    }

    /// True if the node is the committer's leaf, or a node that got a new key from the commit.
    fn is_on_path(&self, node: NodeIndex) -> bool {
        let path = self.epoch.commit.as_ref().map(|commit| &commit.path);
        path.is_some_and(|path| {
            node == NodeIndex::from(path.committer) || path.nodes.iter().any(|known| known.node == node)
        })
    }

    /// The lines between the nodes: one path for the committer's direct path, and one for the rest.
    fn edges(&self, sizes: &Sizes) -> Markup {
        let (mut plain, mut direct) = (String::new(), String::new());
        let committer = self.epoch.commit.as_ref().map(|commit| commit.path.committer);
        let nodes = 0..2 * self.tree().leaves().len() as u32 - 1;
        for node in nodes.map(NodeIndex).filter(|node| *node != self.tree().root()) {
            let parent = node.parent();
            let line =
                format!("M{} {}L{} {}", self.x(sizes, node), self.y(node), self.x(sizes, parent), self.y(parent));
            let is_direct = committer.is_some_and(|committer| node.covers(committer));
            if is_direct {
                direct += &line
            } else {
                plain += &line
            };
        }
        html! {
            path.edge d=(plain) {}
            @if !direct.is_empty() { path.edge.direct d=(direct) {} }
        }
    }

    fn parent(&self, sizes: &Sizes, node: NodeIndex, parent: Option<&Parent>) -> Markup {
        let (x, y) = (self.x(sizes, node), self.y(node));
        let Some(parent) = parent else {
            return html! {
                g.node.blank { title { "node " (node.0) ": blank" } circle cx=(x) cy=(y) r=(sizes.radius / 2 + 1) {} }
            };
        };
        let below: Vec<LeafIndex> = self.below(node).collect();
        let without: Vec<String> = parent.unmerged.iter().map(|leaf| leaf.0.to_string()).collect();
        let (first, last) = (below.first().map_or(0, |leaf| leaf.0), below.last().map_or(0, |leaf| leaf.0));
        let thieves = self.thieves(parent.key);
        html! {
            g.node.parent .path[self.is_on_path(node)] .known[!thieves.is_empty()]
                data-node=(node.0) data-from=(first) data-to=(last)
                data-without=[(!without.is_empty()).then(|| without.join(" "))]
                data-thieves=[thief_numbers(&thieves)]
            {
                title { (self.about_parent(node, parent, &below, &thieves)) }
                circle cx=(x) cy=(y) r=(sizes.radius) {}
                (self.origin(sizes, parent.key, x, y))
                @if !without.is_empty() {
                    text.unmerged x=(x + sizes.radius) y=(y + sizes.radius + 5) { "−" (without.len()) }
                }
                (marks(&thieves, x + sizes.radius, y - sizes.radius))
            }
        }
    }

    fn leaf(&self, sizes: &Sizes, index: LeafIndex, leaf: Option<&Leaf>) -> Markup {
        let node = NodeIndex::from(index);
        let (x, y, half) = (self.x(sizes, node), self.y(node), sizes.half);
        let Some(leaf) = leaf else {
            return html! {
                g.node.blank {
                    title { "leaf " (index.0) ": blank" }
                    rect x=(x - half / 2) y=(y - 5) width=(half) height="10" rx="2" {}
                }
            };
        };
        let name = self.name(leaf);
        let shown = cut(&plain(name), sizes.name);
        let entered = self.epoch.entered.get(name).copied();
        let is_late = entered.is_none() || entered != self.epoch.step;
        let thieves = self.thieves(leaf.key);
        let below = y + 24;
        html! {
            g.node.leaf .path[self.is_on_path(node)] .known[!thieves.is_empty()] .late[is_late]
                tabindex="0" data-leaf=(index.0) data-node=(node.0) data-name=(plain(name))
                data-thieves=[thief_numbers(&thieves)]
            {
                title { (self.about_leaf(index, leaf, is_late.then_some(entered), &thieves)) }
                rect x=(x - half) y=(y - 11) width=(2 * half) height="22" rx="4" {}
                (self.origin(sizes, leaf.key, x, y))
                @if sizes.across {
                    text.name x=(x) y=(below + 2) text-anchor="middle" { (shown) }
                } @else {
                    text.name transform=(format!("translate({} {}) rotate(90)", x - 4, below - 8)) { (shown) }
                }
                (marks(&thieves, x + half, y - 11))
            }
        }
    }

    /// The number of the epoch in which the key pair came into the tree.
    fn origin(&self, sizes: &Sizes, key: KeyPair, x: u32, y: u32) -> Markup {
        html! {
            @if sizes.numbers && let Some(origin) = self.origins.get(&key) {
                text.origin x=(x) y=(y + 4) text-anchor="middle" { (origin) }
            }
        }
    }

    /// The members' leaves below a node.
    fn below(&self, node: NodeIndex) -> impl Iterator<Item = LeafIndex> {
        let leaves = (0..).map(LeafIndex).zip(self.tree().leaves());
        leaves.filter(move |(index, leaf)| leaf.is_some() && node.covers(*index)).map(|(index, _)| index)
    }

    fn name(&self, leaf: &Leaf) -> &str {
        self.record.members.get(leaf.device.0).map_or("?", |name| name.as_str())
    }

    /// The number of characters of the longest shown name.
    fn longest_name(&self, sizes: &Sizes) -> u32 {
        let lengths = self.tree().leaves().iter().flatten().map(|leaf| self.name(leaf).chars().count());
        lengths.max().unwrap_or(0).min(sizes.name) as u32
    }

    fn name_at(&self, index: LeafIndex) -> &str {
        let leaf = self.tree().leaves().get(index.0 as usize).and_then(Option::as_ref);
        leaf.map_or("?", |leaf| self.name(leaf))
    }

    /// The thieves that know the private key.
    fn thieves(&self, key: KeyPair) -> Vec<usize> {
        let thieves = self.record.thieves.iter().enumerate().take(MAX_THIEVES);
        let knows = |thief: &ThiefRecord| thief.groups.get(self.group).is_some_and(|known| known.keys.contains(&key));
        thieves.filter(|(_, thief)| knows(thief)).map(|(number, _)| number).collect()
    }

    fn about_parent(&self, node: NodeIndex, parent: &Parent, below: &[LeafIndex], thieves: &[usize]) -> String {
        let members = |unmerged: bool| {
            let leaves = below.iter().filter(|leaf| parent.unmerged.contains(leaf) == unmerged);
            plain_names(leaves.map(|leaf| self.name_at(*leaf)), DESCRIBED_NAMES)
        };
        let mut text = format!("node {}: {}; known to {}", node.0, self.since(parent.key), members(false));
        if !parent.unmerged.is_empty() {
            text += &format!("; unmerged: {}", members(true));
        }
        text + &about_thieves(thieves)
    }

    /// Describes a leaf. `late` is the step in which a late member entered the epoch, if it did.
    fn about_leaf(&self, index: LeafIndex, leaf: &Leaf, late: Option<Option<usize>>, thieves: &[usize]) -> String {
        let place = |step: usize| self.record.steps.get(step).map(|step| step_number(&step.place)).unwrap_or_default();
        let late = match late {
            Some(Some(step)) => format!("; entered this epoch only in step {}", place(step)),
            Some(None) => "; never entered this epoch".to_owned(),
            None => String::new(),
        };
        let name = plain(self.name(leaf));
        format!("{name}, leaf {}: {}{late}{}", index.0, self.since(leaf.key), about_thieves(thieves))
    }

    fn since(&self, key: KeyPair) -> String {
        self.origins.get(&key).map_or_else(String::new, |origin| format!("key pair since epoch {origin}"))
    }
}

/// The numbers of the thieves for the script.
fn thief_numbers(thieves: &[usize]) -> Option<String> {
    let numbers: Vec<_> = thieves.iter().map(usize::to_string).collect();
    (!numbers.is_empty()).then(|| numbers.join(" "))
}

fn about_thieves(thieves: &[usize]) -> String {
    let marks: Vec<_> = thieves.iter().map(|thief| thief_mark(*thief)).collect();
    match marks.len() {
        0 => String::new(),
        1 => format!("; known to thief {}", marks.join("")),
        _ => format!("; known to the thieves {}", marks.join(", ")),
    }
}

/// The letters of the thieves, beside the corner of a node.
fn marks(thieves: &[usize], x: u32, y: u32) -> Markup {
    let mut text: String = thieves.iter().take(SHOWN_MARKS).map(|thief| thief_mark(*thief)).collect();
    if thieves.len() > SHOWN_MARKS {
        text.push('+');
    }
    html! {
        @if !thieves.is_empty() {
            @let width = 4 + 7 * text.len() as u32;
            rect.thief x=(x - 5) y=(y - 7) width=(width) height="12" rx="2" {}
            text.thief x=(x - 5 + width / 2) y=(y + 3) text-anchor="middle" { (text) }
        }
    }
}
