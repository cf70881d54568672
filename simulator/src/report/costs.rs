//! The costs of each entry as CSV: one line for each handshake, welcome, and creation of a group.
//!
//! The columns are fixed. The same scenarios and seeds give the same bytes.

use std::{
    io::{self, Write},
    path::Path,
};

use crate::cost::{CostCounts, CountSpread, EntryCost, FIRST_COUNTS, Spread};

/// A column of its own: its name, and the cell of an entry.
pub(super) type Column = (&'static str, fn(&EntryCost) -> String);

/// The last column of a table: the path of the scenario's file.
const FILE: &str = "file";

/// The columns after the scenario and the seed, and before the counts.
pub(super) const COLUMNS: [Column; 27] = [
    ("sequence", |entry| entry.sequence.to_string()),
    ("epoch", |entry| entry.epoch.to_string()),
    ("time_s", |entry| entry.time.to_string()),
    ("kind", |entry| entry.kind.name().to_owned()),
    ("who", |entry| entry.who.to_string()),
    ("adds", |entry| cell(entry.changes.map(|changes| changes.adds))),
    ("removes", |entry| cell(entry.changes.map(|changes| changes.removes))),
    ("updates", |entry| cell(entry.changes.map(|changes| changes.updates))),
    ("members", |entry| cell(entry.tree.map(|tree| tree.members).or(entry.members))),
    ("leaves", |entry| cell(entry.tree.map(|tree| tree.leaves))),
    ("blank_leaves", |entry| cell(entry.tree.map(|tree| tree.leaves - tree.members))),
    ("blank_parents", |entry| cell(entry.tree.map(|tree| tree.blank_parents))),
    ("unmerged_leaves", |entry| cell(entry.tree.map(|tree| tree.unmerged_leaves))),
    ("filtered_path_length", |entry| cell(entry.path.map(|path| path.filtered_length))),
    ("copath_resolution_sum", |entry| cell(entry.path.map(|path| path.resolution_sum))),
    ("copath_resolution_max", |entry| cell(entry.path.map(|path| path.resolution_max))),
    ("commit_bytes", |entry| cell(entry.bytes.commit)),
    ("update_path_bytes", |entry| cell(entry.bytes.update_path)),
    ("proposal_bytes", |entry| cell(entry.bytes.proposal)),
    ("welcome_bytes", |entry| cell(entry.bytes.welcome)),
    ("joiner_welcome_bytes", |entry| cell(entry.bytes.welcome_for_one)),
    ("group_info_bytes", |entry| cell(entry.bytes.group_info)),
    ("ratchet_tree_bytes", |entry| cell(entry.tree.map(|tree| tree.bytes))),
    ("uploaded_bytes", |entry| entry.service.uploaded.to_string()),
    ("stored_bytes", |entry| cell(entry.service.stored)),
    ("deliveries", |entry| entry.service.deliveries.to_string()),
    ("delivered_bytes", |entry| entry.service.delivered.to_string()),
];

/// Writes the costs of runs to a CSV file.
pub struct CostTable<W: Write> {
    out: csv::Writer<W>,
}

impl<W: Write> CostTable<W> {
    /// Begins a file with the line of the columns' names.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut out = csv::Writer::from_writer(out);
        out.write_record(columns().iter().map(String::as_str).chain([FILE]))?;
        Ok(Self { out })
    }

    /// Writes the entries of one run.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn write(&mut self, file: &Path, scenario: &str, seed: u64, entries: &[EntryCost]) -> io::Result<()> {
        let (seed, file) = (seed.to_string(), file.display().to_string());
        for entry in entries {
            self.out.write_field(scenario)?;
            self.out.write_field(&seed)?;
            self.out.write_record(cells(entry).iter().chain([&file]))?;
        }
        Ok(())
    }

    /// Ends the table, and returns its writer.
    ///
    /// # Errors
    ///
    /// Errors of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// The names of all columns of an entry, in their order. The file of a table comes after them.
#[must_use]
pub fn columns() -> Vec<String> {
    let counts: Vec<_> = CostCounts::default().named().into_iter().map(|(count, _)| count).collect();
    let (first, later) = counts.split_at(FIRST_COUNTS);
    let spread = |columns: &mut Vec<String>, role: &str, counts: &[&str]| {
        let of_count = move |count| ["min", "mean", "max"].map(|part| format!("{role}_{count}_{part}"));
        columns.extend(counts.iter().flat_map(of_count));
    };
    let mut columns = vec!["scenario".to_owned(), "seed".to_owned()];
    columns.extend(COLUMNS.iter().map(|(name, _)| (*name).to_owned()));
    columns.extend(first.iter().map(|count| format!("committer_{count}")));
    columns.push("receivers".to_owned());
    spread(&mut columns, "receiver", first);
    columns.push("joiners".to_owned());
    spread(&mut columns, "joiner", first);
    columns.extend(later.iter().map(|count| format!("committer_{count}")));
    spread(&mut columns, "receiver", later);
    spread(&mut columns, "joiner", later);
    columns
}

/// The cells after the scenario and the seed.
pub(crate) fn cells(entry: &EntryCost) -> Vec<String> {
    let committer: Vec<_> = match entry.committer {
        Some(counts) => counts.named().map(|(_, count)| count.to_string()).into(),
        None => vec![String::new(); CostCounts::default().named().len()],
    };
    let (receivers, joiners) = (spread_cells(&entry.receivers), spread_cells(&entry.joiners));
    let (first, later) = committer.split_at(FIRST_COUNTS);
    let (first_of_receivers, later_of_receivers) = receivers.split_at(FIRST_COUNTS);
    let (first_of_joiners, later_of_joiners) = joiners.split_at(FIRST_COUNTS);
    let mut cells: Vec<String> = COLUMNS.iter().map(|(_, cell)| cell(entry)).collect();
    cells.extend_from_slice(first);
    cells.push(entry.receivers.devices().to_string());
    cells.extend(first_of_receivers.iter().flatten().cloned());
    cells.push(entry.joiners.devices().to_string());
    cells.extend(first_of_joiners.iter().flatten().cloned());
    cells.extend_from_slice(later);
    cells.extend(later_of_receivers.iter().flatten().cloned());
    cells.extend(later_of_joiners.iter().flatten().cloned());
    cells
}

/// The smallest, mean and largest of each count.
fn spread_cells(spread: &CountSpread) -> Vec<[String; 3]> {
    match spread.named() {
        Some(counts) => {
            let parts = |part: Spread| [part.min.to_string(), part.mean.to_string(), part.max.to_string()];
            counts.map(parts).into()
        }
        None => vec![[const { String::new() }; 3]; CostCounts::default().named().len()],
    }
}

fn cell(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
