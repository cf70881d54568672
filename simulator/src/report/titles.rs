//! The titles of scenarios in a report. Scenarios with the same name are told apart by their files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The names that several scenarios of a report have.
#[derive(Clone, Debug, Default)]
pub struct Titles {
    widest: usize,
    repeated: BTreeSet<String>,
}

impl Titles {
    /// The titles of scenarios with these names, one name for each scenario.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
        let widest = counts.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let repeated = counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name.to_owned());
        Self { widest, repeated: repeated.collect() }
    }

    /// The title of a scenario: its name and, if another scenario has the same name, its file.
    #[must_use]
    pub fn title(&self, name: &str, file: &Path) -> String {
        if self.repeated.contains(name) { format!("{name} ({})", file.display()) } else { name.to_owned() }
    }

    /// The number of characters of the longest name.
    pub(super) fn widest(&self) -> usize {
        self.widest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repeated_name_needs_the_file() {
        let titles = Titles::of(["a", "b", "a"]);
        assert_eq!(titles.title("a", Path::new("x/a.json")), "a (x/a.json)");
        assert_eq!(titles.title("b", Path::new("x/b.json")), "b");
    }
}
