//! The costs of each entry of the service's log: two plots and a table.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    plot::StackedBars,
    table::{Cell, SortableTable},
    text::{count, left_out, outside},
};
use crate::{
    cost::EntryCost,
    report::costs::{COLUMNS, Column},
    scenario::GroupName,
};

/// The largest number of rows. The CSV file has all of them.
const MAX_ROWS: usize = 400;

/// The columns that contain texts. All others contain numbers.
const TEXTS: [&str; 2] = ["kind", "who"];

/// The largest number of groups with plots.
const MAX_GROUPS: usize = 6;

/// The plots and the table. [`None`] if there are no entries. With groups, each group has its own
/// plots.
pub(super) fn section(entries: &[EntryCost], with_groups: bool) -> Option<Markup> {
    if entries.is_empty() {
        return None;
    }
    let groups = by_group(entries);
    Some(html! {
        @for (group, entries) in groups.iter().take(MAX_GROUPS) {
            @if with_groups { h4 { "Group " (outside(group.as_str())) } }
            div.plots { (commits(entries)) (kinds(entries)) }
        }
        @if groups.len() > MAX_GROUPS { (left_out(html! {
            "The page has the plots of the first " (MAX_GROUPS) " of " (count(groups.len(), "group")) "."
        })) }
        (table(entries, with_groups))
        @if entries.len() > MAX_ROWS { (left_out(html! {
            "The table has the first " (MAX_ROWS) " of " (count(entries.len(), "row")) ", because a longer table is "
            "not legible. The option " code { "--costs" } " writes all of them."
        })) }
        p.note {
            "The columns have the names of the file that " code { "regrow run --costs" } " writes. Columns without a "
            "value are left out."
        }
    })
}

/// The entries of each group, in the order of its log.
fn by_group(entries: &[EntryCost]) -> BTreeMap<&GroupName, Vec<&EntryCost>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in entries {
        groups.entry(&entry.group).or_default().push(entry);
    }
    groups
}

/// The entries of each epoch of a group. The entries are in the order of the log, and an epoch is
/// the one in which an entry was made.
fn by_epoch<'e>(entries: &[&'e EntryCost]) -> Vec<(u64, Vec<&'e EntryCost>)> {
    let mut epochs: Vec<(u64, Vec<&EntryCost>)> = Vec::new();
    for entry in entries.iter().copied() {
        // A welcome leads into the next epoch, and belongs to the commit that came with it.
        let epoch = if entry.bytes.welcome.is_some() { entry.epoch.saturating_sub(1) } else { entry.epoch };
        match epochs.last_mut() {
            Some((last, entries)) if *last == epoch => entries.push(entry),
            _ => epochs.push((epoch, vec![entry])),
        }
    }
    epochs
}

/// The sum of a size over entries.
fn sum(entries: &[&EntryCost], size: impl Fn(&EntryCost) -> Option<u64>) -> u64 {
    entries.iter().filter_map(|entry| size(entry)).sum()
}

fn commits(entries: &[&EntryCost]) -> Markup {
    let axis = "bytes of the commit that ends each epoch";
    let mut plot = StackedBars::new("Commit bytes per epoch", axis, &["update path", "rest of the commit"]);
    for (epoch, entries) in by_epoch(entries) {
        let commit = sum(&entries, |entry| entry.bytes.commit);
        let path = sum(&entries, |entry| entry.bytes.update_path);
        plot.bar(format!("{epoch}"), [path, commit.saturating_sub(path)]);
    }
    plot.markup()
}

fn kinds(entries: &[&EntryCost]) -> Markup {
    let kinds = ["commit", "proposals", "welcome", "group info"];
    let mut plot = StackedBars::new("Uploaded bytes by kind", "bytes in each epoch", &kinds);
    for (epoch, entries) in by_epoch(entries) {
        plot.bar(
            format!("{epoch}"),
            [
                sum(&entries, |entry| entry.bytes.commit),
                sum(&entries, |entry| entry.bytes.proposal),
                sum(&entries, |entry| entry.bytes.welcome),
                sum(&entries, |entry| entry.bytes.group_info),
            ],
        );
    }
    plot.markup()
}

fn table(entries: &[EntryCost], with_groups: bool) -> Markup {
    let shown = &entries[..entries.len().min(MAX_ROWS)];
    let has_values = |(_, cell): &&Column| shown.iter().any(|entry| !["", "0"].contains(&&*cell(entry)));
    let columns: Vec<&Column> = COLUMNS.iter().filter(has_values).collect();
    let mut table = SortableTable::new("Costs of each entry of the log");
    if with_groups {
        table.text_column("group");
    }
    for (name, _) in &columns {
        let title = name.replace('_', " ");
        if TEXTS.contains(name) {
            table.text_column(title)
        } else {
            table.number_column(title)
        };
    }
    for entry in shown {
        let group = with_groups.then(|| Cell::text(entry.group.as_str()));
        let cells = columns.iter().map(|(name, cell)| {
            let text = cell(entry);
            if TEXTS.contains(name) { Cell::text(&text) } else { Cell::optional(text.parse().ok()) }
        });
        table.row(group.into_iter().chain(cells));
    }
    table.markup()
}
