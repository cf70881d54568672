//! Delivery services that break their guarantees: their stores lose some of their writes.

use std::{
    mem,
    ops::{ControlFlow, Range},
    sync::Mutex,
};

use regrow_delivery_service::{
    StoreError,
    store::{Table, Transaction, Visitor},
};
use regrow_simulator::world::fault_injection::FaultInjection;
use serde_bytes::ByteBuf;

/// The fault in the writes of a service's store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The epoch of a group does not advance, so that another commit of the same epoch is accepted.
    TwoCommitsForOneEpoch,
    /// A removed member can read further entries.
    OpenStreams,
    /// Key packages that were handed out are handed out again.
    KeyPackagesTwice,
    /// Withdrawn key packages are still handed out.
    WithdrawnStay,
    /// Welcomes are not stored.
    LostWelcomes,
    /// Every fifth log entry is not stored.
    LostEntries,
    /// The outcomes of submissions are not stored, so that the same bytes are a new submission.
    ForgottenAnswers,
    /// The outcomes of submissions are in memory only, and are gone after a restart.
    ForgetsOnRestart,
    /// The unread entries of a reader are not stored. An entry is deleted after the others have
    /// read it.
    ForgottenReaders,
    /// The group infos stay those of the first epochs.
    StaleGroupInfos,
    /// The roster keeps its removed members.
    RemovedStayInTheRoster,
    /// Each entry of the log expires at once, although devices have not read it.
    ExpiresAtOnce,
    /// The part of a welcome that only one joiner needs is not stored.
    LostWelcomeSecrets,
}

impl FaultInjection for Service {
    fn service<'t>(&'t self, records: Box<dyn Transaction + 't>) -> Box<dyn Transaction + 't> {
        Box::new(Faulty { records, fault: *self, withdraws: false })
    }
}

struct Faulty<'t> {
    records: Box<dyn Transaction + 't>,
    fault: Service,
    /// True if the transaction has forgotten the owner of a key package: it withdraws the key package.
    withdraws: bool,
}

/// An invitation in its stored form: inviter, expiry, and true if it is declined.
type Invitation = (String, u64, bool);

/// A membership in its stored form: group, device, from, until, by welcome, unread, invitation.
type Membership = (ByteBuf, ByteBuf, u64, Option<u64>, bool, u64, Option<Invitation>);

impl Transaction for Faulty<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.fault == Service::ForgetsOnRestart && table == OPENING {
            for (key, _) in all(&mut *self.records, Table::RememberedOutcomes)? {
                self.records.delete(Table::RememberedOutcomes, &key)?;
            }
        }
        self.records.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut value = value.to_vec();
        match (self.fault, table) {
            (Service::TwoCommitsForOneEpoch, Table::Groups) => {
                if let Some(before) = self.records.get(table, key)? {
                    keep_epoch(&before, &mut value);
                }
            }
            (Service::OpenStreams, Table::Memberships) => {
                if let Ok((group, device, from, _, by_welcome, unread, invitation)) =
                    rmp_serde::from_slice::<Membership>(&value)
                {
                    let open: Membership = (group, device, from, None, by_welcome, unread, invitation);
                    value = rmp_serde::to_vec(&open).unwrap_or(value);
                }
            }
            (Service::StaleGroupInfos, Table::GroupInfos) if self.records.get(table, key)?.is_some() => return Ok(()),
            // A key begins with the deadline.
            (Service::ExpiresAtOnce, Table::Deadlines) => {
                let cursor = key.get(size_of::<u64>()..).unwrap_or_default();
                return self.records.put(table, &[&1u64.to_be_bytes(), cursor].concat(), &value);
            }
            (Service::LostWelcomes, Table::Welcomes)
            | (Service::LostWelcomeSecrets, Table::WelcomeSecrets)
            | (Service::ForgottenReaders, Table::Unread)
            | (Service::ForgottenAnswers, Table::RememberedOutcomes) => return Ok(()),
            // A key ends with the entry's position.
            (Service::LostEntries, Table::Log) if key.last().is_some_and(|position| position % 5 == 0) => return Ok(()),
            _ => {}
        }
        self.records.put(table, key, &value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.withdraws |= self.fault == Service::WithdrawnStay && table == Table::KeyPackageOwners;
        match (self.fault, table) {
            (_, Table::KeyPackageOwners | Table::KeyPackages | Table::LastResorts) if self.withdraws => {
                Ok(self.records.get(table, key)?.is_some())
            }
            (Service::KeyPackagesTwice, Table::KeyPackages) | (Service::RemovedStayInTheRoster, Table::Members) => {
                Ok(self.records.get(table, key)?.is_some())
            }
            _ => self.records.delete(table, key),
        }
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.records.scan(table, range, visit)
    }
}

/// Copies the epoch of one group record into another. The epoch is the number after the mode, which
/// is a short text. An epoch below 128 is a single byte.
fn keep_epoch(before: &[u8], record: &mut [u8]) {
    let epoch = 2 + record.get(1).map_or(0, |mode| usize::from(mode & 0x1f));
    if let (Some(before), Some(now)) = (before.get(epoch), record.get_mut(epoch)) {
        *now = *before;
    }
}

/// The table that a service without a server reads only when it opens its store.
const OPENING: Table = Table::ServiceState;

/// The key and the value of a record.
type Record = (Vec<u8>, Vec<u8>);

/// All records of a table.
fn all(records: &mut dyn Transaction, table: Table) -> Result<Vec<Record>, StoreError> {
    let (mut found, end) = (Vec::new(), [0xff; 4096]);
    records.scan(table, &[][..]..&end[..], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A record with its value before a write.
type Undo = (Table, Vec<u8>, Option<Vec<u8>>);

/// A service that answers before its transaction is on the disk. A process that ends loses the last
/// transaction with an entry of the log.
#[derive(Default)]
pub struct AnswersBeforeTheCommit(Mutex<Vec<Undo>>);

impl FaultInjection for AnswersBeforeTheCommit {
    fn service<'t>(&'t self, records: Box<dyn Transaction + 't>) -> Box<dyn Transaction + 't> {
        Box::new(Volatile { records, last: &self.0, written: Vec::new() })
    }
}

struct Volatile<'t> {
    records: Box<dyn Transaction + 't>,
    last: &'t Mutex<Vec<Undo>>,
    written: Vec<Undo>,
}

impl Volatile<'_> {
    fn note(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let before = self.records.get(table, key)?;
        self.written.push((table, key.to_vec(), before));
        Ok(())
    }
}

impl Transaction for Volatile<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if table == OPENING {
            for (table, key, before) in mem::take(&mut *self.last.lock().unwrap()).into_iter().rev() {
                match before {
                    Some(value) => self.records.put(table, &key, &value)?,
                    None => drop(self.records.delete(table, &key)?),
                }
            }
        }
        self.records.get(table, key)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.note(table, key)?;
        self.records.put(table, key, value)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.note(table, key)?;
        self.records.delete(table, key)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        self.records.scan(table, range, visit)
    }
}

impl Drop for Volatile<'_> {
    fn drop(&mut self) {
        if self.written.iter().any(|(table, ..)| *table == Table::Log) {
            *self.last.lock().unwrap() = mem::take(&mut self.written);
        }
    }
}
