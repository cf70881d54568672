//! The figures of one run: the totals over its entries, and the results of its random thefts.

use std::fmt;

use crate::{
    cost::{ContentionFigures, CostCounts, EntryCost, EntryKind, FIRST_COUNTS},
    report::{CompromiseFigures, Figures, RunOutcome},
};

/// A figure that is a total or a count: its name, and its value in a run.
type Figure = (&'static str, fn(&Totals<'_>) -> u64);

/// The figures before the counts of the roles.
const FIGURES: [Figure; 21] = [
    ("epochs", |run| run.figures.epochs),
    ("members_at_end", |run| run.figures.members),
    ("messages", |run| run.figures.messages),
    ("entries", |run| run.count(|_| true)),
    ("commits", |run| run.count(|entry| matches!(entry.kind, EntryKind::Commit | EntryKind::ExternalCommit))),
    ("external_commits", |run| run.count(|entry| entry.kind == EntryKind::ExternalCommit)),
    ("proposals", |run| run.count(|entry| entry.kind == EntryKind::Proposal)),
    ("welcomes", |run| run.count(|entry| entry.kind == EntryKind::Welcome)),
    ("adds", |run| run.sum(|entry| entry.changes.map(|changes| changes.adds))),
    ("removes", |run| run.sum(|entry| entry.changes.map(|changes| changes.removes))),
    ("copath_resolution_sum", |run| run.sum(|entry| entry.path.map(|path| path.resolution_sum))),
    ("commit_bytes", |run| run.sum(|entry| entry.bytes.commit)),
    ("update_path_bytes", |run| run.sum(|entry| entry.bytes.update_path)),
    ("proposal_bytes", |run| run.sum(|entry| entry.bytes.proposal)),
    ("welcome_bytes", |run| run.sum(|entry| entry.bytes.welcome)),
    ("group_info_bytes", |run| run.sum(|entry| entry.bytes.group_info)),
    ("uploaded_bytes", |run| run.sum(|entry| Some(entry.service.uploaded))),
    ("stored_bytes", |run| run.sum(|entry| entry.service.stored)),
    ("deliveries", |run| run.sum(|entry| Some(entry.service.deliveries))),
    ("delivered_bytes", |run| run.sum(|entry| Some(entry.service.delivered))),
    ("receivers", |run| run.sum(|entry| Some(entry.receivers.devices()))),
];

/// The devices whose counts a run adds up.
pub(super) const ROLES: [&str; 3] = ["committer", "receiver", "joiner"];

/// The figures of the random thefts, which are empty without thefts.
const THEFTS: [&str; 6] =
    ["thefts", "exposed_messages", "exposed_before", "exposed_after", "healed_thefts", "healing_epochs"];

/// The virtual time from a theft to its healing.
const HEALING_TIME: &str = "healing_time_s";

/// The figures of the contention, over the whole run. Some runs have no fairness.
const CONTENTION: [&str; 8] = [
    "lost_commits",
    "wasted_bytes",
    "wasted_hpke_seals",
    "lost_attempts_mean",
    "lost_attempts_max",
    "wait_mean_s",
    "wait_max_s",
    "fairness",
];

/// The public-key operations of all devices, which cost a battery most.
const PUBLIC_KEY_OPERATIONS: &str = "public_key_operations";

/// The virtual time from a theft to its healing, or to the end of the run.
const EXPOSED_TIME: &str = "exposed_time_s";

/// A run of which the entries from one epoch on count.
struct Totals<'r> {
    figures: &'r Figures,
    entries: Vec<&'r EntryCost>,
}

impl Totals<'_> {
    fn count(&self, counts: impl Fn(&EntryCost) -> bool) -> u64 {
        self.entries.iter().filter(|entry| counts(entry)).count() as u64
    }

    fn sum(&self, part: impl Fn(&EntryCost) -> Option<u64>) -> u64 {
        self.entries.iter().filter_map(|entry| part(entry)).sum()
    }

    /// The counts of each role, over all of its devices.
    fn roles(&self) -> [CostCounts; 3] {
        let mut roles = [CostCounts::default(); 3];
        for entry in &self.entries {
            roles[0] += entry.committer.unwrap_or_default();
            roles[1] += entry.receivers.sum();
            roles[2] += entry.joiners.sum();
        }
        roles
    }
}

/// The names of all figures, in the order of the columns. New figures come at the end.
#[must_use]
pub fn names() -> Vec<String> {
    let counts = CostCounts::default().named().map(|(count, _)| count);
    let (first, later) = counts.split_at(FIRST_COUNTS);
    let of_roles = |counts: &[&str]| -> Vec<String> {
        ROLES.iter().flat_map(|role| counts.iter().map(move |count| format!("{role}_{count}"))).collect()
    };
    let mut names: Vec<String> = FIGURES.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.extend(of_roles(first));
    names.extend(THEFTS.iter().map(|name| (*name).to_owned()));
    names.push(HEALING_TIME.to_owned());
    names.extend(CONTENTION.iter().map(|name| (*name).to_owned()));
    names.extend(of_roles(later));
    names.extend([PUBLIC_KEY_OPERATIONS, EXPOSED_TIME].map(str::to_owned));
    names
}

/// True if only a run with random thefts has the figure with this index.
#[must_use]
pub fn needs_thefts(figure: usize) -> bool {
    let first = FIGURES.len() + ROLES.len() * FIRST_COUNTS;
    (first..=first + THEFTS.len()).contains(&figure) || names().get(figure).is_some_and(|name| name == EXPOSED_TIME)
}

/// The figures of a run, in the order of their [names](names()). A figure that the run does not
/// have is not set.
#[must_use]
pub fn of(outcome: &RunOutcome, from_epoch: u64, with_thefts: bool) -> Vec<Option<f64>> {
    let entries = outcome.costs.iter().filter(|entry| made_in(entry) >= from_epoch).collect();
    let totals = Totals { figures: &outcome.figures, entries };
    let mut values: Vec<Option<f64>> = FIGURES.iter().map(|(_, value)| Some(value(&totals) as f64)).collect();
    let counts = totals.roles();
    let roles = counts.map(|counts| counts.named().map(|(_, count)| Some(count as f64)));
    values.extend(roles.iter().flat_map(|counts| &counts[..FIRST_COUNTS]));
    if with_thefts {
        values.extend(thefts(&outcome.figures.compromises, &outcome.costs));
    } else {
        values.extend([None; THEFTS.len() + 1]);
    }
    values.extend(contention(&outcome.figures.contention));
    values.extend(roles.iter().flat_map(|counts| &counts[FIRST_COUNTS..]));
    values.push(Some(counts.iter().map(CostCounts::public_key_operations).sum::<u64>() as f64));
    values.push(with_thefts.then(|| exposed_time(&outcome.figures, &outcome.costs)).flatten());
    values
}

/// The epoch in which an entry was made. A welcome has the epoch into which it leads.
fn made_in(entry: &EntryCost) -> u64 {
    if entry.kind == EntryKind::Welcome { entry.epoch.saturating_sub(1) } else { entry.epoch }
}

fn thefts(thefts: &[CompromiseFigures], entries: &[EntryCost]) -> [Option<f64>; THEFTS.len() + 1] {
    let mean_of_all = |part: fn(&CompromiseFigures) -> u64| mean(thefts.iter().map(part));
    let healed: Vec<_> = thefts.iter().filter_map(|theft| Some((theft, theft.healed_after?))).collect();
    let times = healed.iter().filter_map(|(theft, epochs)| healing_time(theft, *epochs, entries));
    [
        Some(thefts.len() as f64),
        mean_of_all(|theft| theft.exposed_before + theft.exposed_after),
        mean_of_all(|theft| theft.exposed_before),
        mean_of_all(|theft| theft.exposed_after),
        Some(healed.len() as f64),
        mean(healed.iter().map(|(_, epochs)| *epochs)),
        mean(times),
    ]
}

/// The mean virtual seconds from a theft to its healing, or to the end of the run if the group has
/// not healed. So thefts that never heal count, with the time that was observed.
fn exposed_time(figures: &Figures, entries: &[EntryCost]) -> Option<f64> {
    let to_the_end = |theft: &CompromiseFigures| figures.end.saturating_sub(theft.time);
    mean(figures.compromises.iter().map(|theft| {
        let healed = theft.healed_after.and_then(|epochs| healing_time(theft, epochs, entries));
        healed.unwrap_or_else(|| to_the_end(theft))
    }))
}

/// The virtual seconds from a theft to the commit that began the first epoch without the thief.
fn healing_time(theft: &CompromiseFigures, epochs: u64, entries: &[EntryCost]) -> Option<u64> {
    if epochs == 0 {
        return Some(0);
    }
    let last = theft.epoch + epochs - 1;
    let is_commit = |entry: &&EntryCost| matches!(entry.kind, EntryKind::Commit | EntryKind::ExternalCommit);
    let healing = entries.iter().filter(is_commit).find(|entry| entry.epoch == last)?;
    healing.time.checked_sub(theft.time)
}

fn contention(figures: &ContentionFigures) -> [Option<f64>; CONTENTION.len()] {
    [
        Some(figures.lost as f64),
        Some(figures.wasted_bytes as f64),
        Some(figures.wasted_operations.hpke_seals as f64),
        Some(figures.lost_attempts_mean),
        Some(figures.lost_attempts_max as f64),
        Some(figures.wait_mean_s),
        Some(figures.wait_max_s as f64),
        figures.fairness,
    ]
}

fn mean(numbers: impl Iterator<Item = u64>) -> Option<f64> {
    let (count, sum) = numbers.fold((0_u64, 0_u64), |(count, sum), number| (count + 1, sum + number));
    (count > 0).then(|| sum as f64 / count as f64)
}

/// A figure of a run, or the quotient of two figures, by their indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The figure, or the dividend.
    pub figure: usize,
    /// The divisor.
    pub per: Option<usize>,
}

impl Quantity {
    /// The value in a run with these figures.
    #[must_use]
    pub fn of(self, figures: &[Option<f64>]) -> Option<f64> {
        let figure = (*figures.get(self.figure)?)?;
        match self.per {
            None => Some(figure),
            Some(per) => (*figures.get(per)?).filter(|per| *per != 0.0).map(|per| figure / per),
        }
    }

    /// The text of the quantity in files: `commit_bytes`, or `commit_bytes/commits`.
    #[must_use]
    pub fn text(self) -> String {
        let names = names();
        let name = |index: usize| names.get(index).map_or("", String::as_str);
        match self.per {
            None => name(self.figure).to_owned(),
            Some(per) => format!("{}/{}", name(self.figure), name(per)),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{CompromiseId, MemberName, TheftScope};

    fn theft(epoch: u64, time: u64, exposed: (u64, u64), healed_after: Option<u64>) -> CompromiseFigures {
        CompromiseFigures {
            id: CompromiseId::new("t"),
            who: MemberName::new("bob"),
            scope: TheftScope::Device,
            epoch,
            time,
            exposed_before: exposed.0,
            exposed_after: exposed.1,
            healed_after,
            groups: Vec::new(),
            key_packages: Vec::new(),
            authentication: None,
        }
    }

    fn entry(epoch: u64, time: u64, commit: u64) -> EntryCost {
        let mut entry = EntryCost::new(epoch, epoch, time, EntryKind::Commit, &MemberName::new("bob"));
        entry.bytes.commit = Some(commit);
        entry
    }

    fn value(outcome: &RunOutcome, from_epoch: u64, name: &str) -> Option<f64> {
        let index = names().iter().position(|known| known == name).unwrap();
        of(outcome, from_epoch, !outcome.figures.compromises.is_empty())[index]
    }

    #[test]
    fn every_figure_has_a_name() {
        let outcome = RunOutcome::default();
        assert_eq!(of(&outcome, 0, false).len(), names().len());
        assert_eq!(of(&outcome, 0, true).len(), names().len());
    }

    #[test]
    fn totals_begin_with_an_epoch() {
        let costs = vec![entry(0, 0, 100), entry(1, 5, 10), entry(2, 9, 20)];
        let outcome = RunOutcome { costs, ..RunOutcome::default() };
        assert_eq!((value(&outcome, 0, "commit_bytes"), value(&outcome, 0, "commits")), (Some(130.0), Some(3.0)));
        assert_eq!((value(&outcome, 1, "commit_bytes"), value(&outcome, 1, "commits")), (Some(30.0), Some(2.0)));
        assert_eq!(value(&outcome, 0, "exposed_messages"), None);
    }

    #[test]
    fn a_theft_heals_at_the_commit_that_begins_the_healed_epoch() {
        let mut outcome =
            RunOutcome { costs: vec![entry(0, 0, 1), entry(1, 5, 1), entry(2, 9, 1)], ..RunOutcome::default() };
        outcome.figures.compromises =
            vec![theft(1, 2, (1, 2), Some(2)), theft(1, 2, (0, 0), Some(0)), theft(3, 9, (0, 5), None)];
        let told = |name| value(&outcome, 0, name).unwrap();
        assert_eq!((told("thefts"), told("healed_thefts")), (3.0, 2.0));
        assert_eq!((told("healing_epochs"), told("healing_time_s")), (1.0, 3.5));
        assert_eq!(told("exposed_messages"), 8.0 / 3.0);

        outcome.figures.end = 20;
        assert_eq!(value(&outcome, 0, "exposed_time_s"), Some((7.0 + 0.0 + 11.0) / 3.0));
    }

    #[test]
    fn public_key_operations_are_those_of_all_roles() {
        let mut outcome = RunOutcome { costs: vec![entry(0, 0, 1), entry(1, 5, 1)], ..RunOutcome::default() };
        let counts = CostCounts { hpke_seals: 2, signatures: 1, kdf: 50, ..CostCounts::default() };
        outcome.costs[0].committer = Some(counts);
        outcome.costs[1].committer = Some(counts);
        outcome.costs[1].receivers.add(CostCounts { hpke_opens: 1, verifications: 1, ..CostCounts::default() });
        outcome.costs[1].joiners.add(CostCounts { key_pairs: 4, hashes: 9, ..CostCounts::default() });
        assert_eq!(value(&outcome, 0, "public_key_operations"), Some(12.0));
        assert_eq!(value(&outcome, 1, "public_key_operations"), Some(9.0));
        assert_eq!(value(&outcome, 0, "exposed_time_s"), None);
    }

    #[test]
    fn a_quotient_by_zero_has_no_value() {
        let quantity = Quantity { figure: 0, per: Some(1) };
        assert_eq!(quantity.of(&[Some(6.0), Some(3.0)]), Some(2.0));
        assert_eq!(quantity.of(&[Some(6.0), Some(0.0)]), None);
        assert_eq!(quantity.of(&[None, Some(1.0)]), None);
    }
}
