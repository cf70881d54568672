//! The store check: every record can be decoded, and no record contradicts another.
//!
//! The service writes all records of a call in one transaction. So a store that only the service
//! has written has no findings. A finding comes from a damaged disk, from a manual change of the
//! file, or from a defect of this software. The check repairs nothing: restore a backup instead.
//!
//! [`SqliteStore::check`] runs the check, and the PostgreSQL store has the same method. Each file
//! here checks the tables of one subject.

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

/// A fault of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// SQLite finds the file itself damaged. The text is SQLite's message.
    File(String),
    /// The record's key or value cannot be decoded.
    Unreadable(RecordLocation),
    /// The record needs a record in another table, and there is none.
    Dangling {
        /// The record.
        location: RecordLocation,
        /// The table in which the other record is missing.
        missing_in: Table,
    },
    /// The record contradicts the record in another table that it belongs to.
    Contradiction {
        /// The record.
        location: RecordLocation,
        /// The table of the other record.
        with: Table,
    },
    /// The count in a record is wrong.
    Miscounted {
        /// The record with the count: a group's record or a tally.
        location: RecordLocation,
        /// The table of the counted records.
        table: Table,
        /// The recorded count.
        recorded: u64,
        /// The actual count.
        counted: u64,
    },
    /// An entry's hash does not follow from the entry before it, or the group's hash does not
    /// follow from its last entry: the log was changed.
    BrokenChain(RecordLocation),
    /// A receipt is not signed by this service.
    ForgedReceipt(RecordLocation),
}

impl Finding {
    /// Returns the location of the record with the fault; `None` if the finding is about the file.
    pub fn location(&self) -> Option<&RecordLocation> {
        match self {
            Self::File(_) => None,
            Self::Unreadable(location) | Self::BrokenChain(location) | Self::ForgedReceipt(location) => Some(location),
            Self::Dangling { location, .. }
            | Self::Contradiction { location, .. }
            | Self::Miscounted { location, .. } => Some(location),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(message) => write!(f, "the file: {message}"),
            Self::Unreadable(location) => write!(f, "{location}: cannot be understood"),
            Self::Dangling { location, missing_in } => write!(f, "{location}: has no record in {}", missing_in.name()),
            Self::Contradiction { location, with } => {
                write!(f, "{location}: contradicts its record in {}", with.name())
            }
            Self::Miscounted { location, table, recorded, counted } => {
                write!(f, "{location}: its count is {recorded}, but {} has {counted}", table.name())
            }
            Self::BrokenChain(location) => write!(f, "{location}: does not follow from the entry before it"),
            Self::ForgedReceipt(location) => write!(f, "{location}: its receipt is not signed by this service"),
        }
    }
}

/// The table and the key of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordLocation {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
}

impl fmt::Display for RecordLocation {
    /// Writes the key in hexadecimal, because names are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.table.name())?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl SqliteStore {
    /// Checks SQLite's file, every record, and that the records agree with each other. The check
    /// reads the store of one moment, and does not block other users of the store. It takes as long
    /// as to read the whole store.
    ///
    /// # Errors
    ///
    /// The file cannot be read at all.
    pub fn check(&mut self) -> Result<Vec<Finding>, StoreError> {
        let mut findings: Vec<_> = self.integrity_check()?.into_iter().map(Finding::File).collect();
        match self.snapshot(check) {
            Ok(found) => findings.extend(found),
            // The damaged file is already a finding.
            Err(error) if findings.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(findings)
    }
}

#[cfg(feature = "server")]
impl crate::store::postgres::PostgresStore {
    /// Checks every record, and that the records agree with each other. The check reads the store
    /// of one moment, and does not block other users of the store. It takes as long as to read the
    /// whole store.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn check(&mut self) -> Result<Vec<Finding>, StoreError> {
        self.snapshot(check)
    }
}

/// Checks all records and returns the findings.
pub(crate) fn check(tx: &mut dyn Transaction) -> Result<Vec<Finding>, StoreError> {
    let mut checker = StoreCheck { tx, findings: Vec::new() };
    let service = checker.service()?;
    let groups = group_records::load(&mut checker)?;
    if service.is_none()
        && let Some(group) = groups.keys().next()
    {
        checker.found(Finding::Dangling { location: at_group(group), missing_in: Table::ServiceState });
    }
    let last_numbers = checker.counters()?;
    let mut counts = TallyCounts::new();
    let log = log::check(&mut checker, &groups, service.as_ref(), last_numbers.entries, &mut counts)?;
    groups::check(&mut checker, &groups, &log, &mut counts)?;
    handshakes::check(&mut checker, &groups)?;
    let devices = admission::check(&mut checker, &mut counts)?;
    device_lists::check(&mut checker, service.as_ref())?;
    memberships::check(&mut checker, &groups, &log, &devices)?;
    key_packages::check(&mut checker, last_numbers.key_packages)?;
    claims::check(&mut checker, last_numbers.claims, &mut counts)?;
    invitations::check(&mut checker, &mut counts)?;
    tallies(&mut checker, &counts)?;
    Ok(checker.findings)
}

/// Compares the stored tallies with the counted ones.
fn tallies(checker: &mut StoreCheck<'_>, counts: &TallyCounts) -> Result<(), StoreError> {
    let mut stored = TallyCounts::new();
    checker.each(Table::Tallies, |_, key, value| {
        stored.insert(key.to_vec(), u64::from_be_bytes(value.try_into().ok()?));
        Some(())
    })?;
    for key in stored.keys().chain(counts.keys().filter(|key| !stored.contains_key(*key))) {
        let of = |counts: &TallyCounts| counts.get(key).copied().unwrap_or(0);
        let (recorded, counted) = (of(&stored), of(counts));
        if recorded != counted {
            let location = at(Table::Tallies, key.clone());
            checker.found(Finding::Miscounted { location, table: Table::Tallies, recorded, counted });
        }
    }
    Ok(())
}

/// The records under check, and the findings so far.
struct StoreCheck<'a> {
    tx: &'a mut dyn Transaction,
    findings: Vec<Finding>,
}

/// The last number that each counter has given out.
struct LastNumbers {
    entries: u64,
    key_packages: u64,
    claims: u64,
}

impl StoreCheck<'_> {
    /// Calls `visit` with every record of a table. A record for which `visit` returns `None` cannot
    /// be decoded, which is a finding.
    fn each(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Vec<Finding>, &[u8], &[u8]) -> Option<()>,
    ) -> Result<(), StoreError> {
        let Self { tx, findings } = self;
        tx.scan(table, &[]..&key::AFTER_ALL, &mut |key, value| {
            if visit(findings, key, value).is_none() {
                findings.push(Finding::Unreadable(at(table, key)));
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Returns all records of a table that can be decoded, with their keys.
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

    /// Adds a finding if the other record that this record needs is missing.
    fn needs(&mut self, table: Table, key: &[u8], other: Table, other_key: &[u8]) -> Result<(), StoreError> {
        if !self.is_there(other, other_key)? {
            self.found(Finding::Dangling { location: at(table, key), missing_in: other });
        }
        Ok(())
    }

    /// Returns the service's public key; `None` if there is none. A key that cannot be decoded is a
    /// finding.
    fn service(&mut self) -> Result<Option<ServicePublicKey>, StoreError> {
        let mut service = None;
        self.each(Table::ServiceState, |_, key, value| {
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

    fn counters(&mut self) -> Result<LastNumbers, StoreError> {
        let mut last_numbers = LastNumbers { entries: 0, key_packages: 0, claims: 0 };
        self.each(Table::Counters, |_, key, value| {
            let number = u64::from_be_bytes(value.try_into().ok()?);
            if key == crate::ordering::log::CURSOR.as_bytes() {
                last_numbers.entries = number;
            } else if key == crate::ordering::key_package::NUMBER.as_bytes() {
                last_numbers.key_packages = number;
            } else if key == crate::ordering::claim::NUMBER.as_bytes() {
                last_numbers.claims = number;
            } else {
                return None;
            }
            Some(())
        })?;
        Ok(last_numbers)
    }
}

fn at(table: Table, key: impl Into<Vec<u8>>) -> RecordLocation {
    RecordLocation { table, key: key.into() }
}

fn at_group(group: &GroupId) -> RecordLocation {
    at(Table::Groups, Key::group(group).as_bytes())
}

/// Reads the parts of a key from its beginning.
struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
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

    /// Returns `None` if some bytes are left.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// Returns the bytes that are left.
    fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The names of groups that exist.
type GroupNames = BTreeSet<GroupId>;
