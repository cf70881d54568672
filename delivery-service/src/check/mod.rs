//! Whether a store is whole: every record can be read, and none contradicts another.
//!
//! The ordering rules write all records of a call in one transaction, so a store that only they have written has no
//! findings. What is found comes from a damaged disk, from a hand in the file, or from a mistake of ours. Nothing is
//! mended here: the way back is a backup.

mod admission;
mod claims;
mod device_lists;
mod group_records;
mod groups;
mod handshakes;
mod invitations;
mod key_packages;
mod log;
mod memberships;

use std::{collections::BTreeSet, fmt, ops::ControlFlow};

use serde::de::DeserializeOwned;

use crate::{
    error::StoreError,
    names::GroupId,
    ordering::{service_state, tally::TallyCounts},
    receipt::{ServiceKey, ServicePublicKey},
    store::{
        SqliteStore, Table, Transaction,
        key::{self, Key},
    },
};

/// Something that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite finds the file itself damaged. The text is its service_state.
    File(String),
    /// The record's key or value cannot be understood.
    Unreadable(Place),
    /// The record takes for granted that there is one in another table, and there is none.
    Dangling {
        /// The record.
        place: Place,
        /// Where the other one should be.
        missing_in: Table,
    },
    /// The record says something else than the one in another table that it belongs to.
    Contradiction {
        /// The record.
        place: Place,
        /// Where the other one is.
        with: Table,
    },
    /// A group's record has counted wrong.
    Miscounted {
        /// The group's record.
        place: Place,
        /// What is counted.
        table: Table,
        /// How many its record says there are.
        recorded: u64,
        /// How many there are.
        counted: u64,
    },
    /// An entry's hash does not follow from the entry before it, or the group's from its last entry's: the log was changed.
    BrokenChain(Place),
    /// A receipt is not signed by this service.
    ForgedReceipt(Place),
}

impl Finding {
    /// The record that it is about; `None` if it is about the file.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::File(_) => None,
            Self::Unreadable(place) | Self::BrokenChain(place) | Self::ForgedReceipt(place) => Some(place),
            Self::Dangling { place, .. } | Self::Contradiction { place, .. } | Self::Miscounted { place, .. } => {
                Some(place)
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(message) => write!(f, "the file: {message}"),
            Self::Unreadable(place) => write!(f, "{place}: cannot be understood"),
            Self::Dangling { place, missing_in } => write!(f, "{place}: has no record in {}", missing_in.name()),
            Self::Contradiction { place, with } => write!(f, "{place}: contradicts its record in {}", with.name()),
            Self::Miscounted { place, table, recorded, counted } => {
                write!(f, "{place}: says {recorded}, and there are {counted} in {}", table.name())
            }
            Self::BrokenChain(place) => write!(f, "{place}: does not follow from the entry before it"),
            Self::ForgedReceipt(place) => write!(f, "{place}: its receipt is not signed by this service"),
        }
    }
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
}

impl fmt::Display for Place {
    /// The key in hexadecimal: names are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.table.name())?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl SqliteStore {
    /// Looks for damage: in SQLite's file, in every record, and in what they say of each other. Takes a reader's look at
    /// one moment, and hinders nobody. Takes as long as it takes to read all of it.
    ///
    /// # Errors
    ///
    /// The file cannot be read at all.
    pub fn check(&mut self) -> Result<Vec<Finding>, StoreError> {
        let mut findings: Vec<_> = self.integrity_check()?.into_iter().map(Finding::File).collect();
        match self.snapshot(check) {
            Ok(found) => findings.extend(found),
            // A damaged file is a finding already.
            Err(error) if findings.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(findings)
    }
}

/// All that is wrong with the records.
pub(crate) fn check(tx: &mut dyn Transaction) -> Result<Vec<Finding>, StoreError> {
    let mut checker = Checker { tx, findings: Vec::new() };
    let service = checker.service()?;
    let groups = group_records::load(&mut checker)?;
    if service.is_none()
        && let Some(group) = groups.keys().next()
    {
        checker.found(Finding::Dangling { place: place_of_group(group), missing_in: Table::Own });
    }
    let ends = checker.counters()?;
    let mut counts = TallyCounts::new();
    let log = log::check(&mut checker, &groups, service.as_ref(), ends.entries, &mut counts)?;
    groups::check(&mut checker, &groups, &log, &mut counts)?;
    handshakes::check(&mut checker, &groups)?;
    let devices = admission::check(&mut checker, &mut counts)?;
    device_lists::check(&mut checker, service.as_ref())?;
    memberships::check(&mut checker, &groups, &log, &devices)?;
    key_packages::check(&mut checker, ends.key_packages)?;
    claims::check(&mut checker, ends.claims, &mut counts)?;
    invitations::check(&mut checker, &mut counts)?;
    tallies(&mut checker, &counts)?;
    Ok(checker.findings)
}

/// TallyCounts that are kept, compared with what was counted.
fn tallies(checker: &mut Checker<'_>, counts: &TallyCounts) -> Result<(), StoreError> {
    let mut kept = TallyCounts::new();
    checker.each(Table::Tallies, |_, key, value| {
        kept.insert(key.to_vec(), u64::from_be_bytes(value.try_into().ok()?));
        Some(())
    })?;
    for key in kept.keys().chain(counts.keys().filter(|key| !kept.contains_key(*key))) {
        let of = |counts: &TallyCounts| counts.get(key).copied().unwrap_or(0);
        let (recorded, counted) = (of(&kept), of(counts));
        if recorded != counted {
            let place = place(Table::Tallies, key.clone());
            checker.found(Finding::Miscounted { place, table: Table::Tallies, recorded, counted });
        }
    }
    Ok(())
}

/// A look at all records, and what it has found.
struct Checker<'a> {
    tx: &'a mut dyn Transaction,
    findings: Vec<Finding>,
}

/// The last numbers that were given out.
struct Ends {
    entries: u64,
    key_packages: u64,
    claims: u64,
}

impl Checker<'_> {
    /// Shows every record of a table. One of which nothing is returned cannot be understood.
    fn each(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Vec<Finding>, &[u8], &[u8]) -> Option<()>,
    ) -> Result<(), StoreError> {
        let Self { tx, findings } = self;
        tx.scan(table, &[]..&key::AFTER_ALL, &mut |key, value| {
            if visit(findings, key, value).is_none() {
                findings.push(Finding::Unreadable(place(table, key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// All records of a table that can be understood: keys, and what they decode to.
    fn all<T: DeserializeOwned>(&mut self, table: Table) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut records = Vec::new();
        self.each(table, |_, key, value| {
            records.push((key.to_vec(), key::decode(table, value).ok()?));
            Some(())
        })?;
        Ok(records)
    }

    fn is_there(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.tx.get(table, key)?.is_some())
    }

    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The record has to have another one.
    fn needs(&mut self, table: Table, key: &[u8], other: Table, other_key: &[u8]) -> Result<(), StoreError> {
        if !self.is_there(other, other_key)? {
            self.found(Finding::Dangling { place: place(table, key), missing_in: other });
        }
        Ok(())
    }

    /// The service's public key; `None`, and a finding, if it cannot be understood.
    fn service(&mut self) -> Result<Option<ServicePublicKey>, StoreError> {
        let mut service = None;
        self.each(Table::Own, |_, key, value| {
            if key == service_state::LAST_TIME.as_bytes() {
                return (value.len() == size_of::<u64>()).then_some(());
            }
            if key == service_state::TRIAL.as_bytes() {
                return Some(());
            }
            if key == service_state::MARK_KEY.as_bytes() {
                return (value.len() == 32).then_some(());
            }
            if key != service_state::SIGNING_KEY.as_bytes() {
                return None;
            }
            service = Some(ServiceKey::from_seed(value.try_into().ok()?).public());
            Some(())
        })?;
        Ok(service)
    }

    fn counters(&mut self) -> Result<Ends, StoreError> {
        let mut ends = Ends { entries: 0, key_packages: 0, claims: 0 };
        self.each(Table::Counters, |_, key, value| {
            let number = u64::from_be_bytes(value.try_into().ok()?);
            if key == crate::ordering::log::CURSOR.as_bytes() {
                ends.entries = number;
            } else if key == crate::ordering::key_package::NUMBER.as_bytes() {
                ends.key_packages = number;
            } else if key == crate::ordering::claim::NUMBER.as_bytes() {
                ends.claims = number;
            } else {
                return None;
            }
            Some(())
        })?;
        Ok(ends)
    }
}

fn place(table: Table, key: impl Into<Vec<u8>>) -> Place {
    Place { table, key: key.into() }
}

fn place_of_group(group: &GroupId) -> Place {
    place(Table::Groups, Key::group(group).as_bytes())
}

/// Reads a key from its beginning.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(name)
    }

    /// Nothing may be left.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// What is left.
    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Names of groups, for the question whether there is such a group.
type Names = BTreeSet<GroupId>;
