//! Counts that limits are compared with. Each count is a record of its own, so that a check reads
//! one record.

use std::collections::BTreeMap;

use super::Abort;
use crate::{
    error::StoreError,
    limits::Limits,
    names::{DeviceId, UserId},
    outcome::RejectReason,
    store::{
        Table, Transaction,
        key::{Key, number_in},
    },
};

/// One count: the counted things, and the user or device that they count for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tally<'a> {
    /// The open claims of a user's devices.
    OpenClaims(&'a UserId),
    /// The groups that a device is in and has accepted, and past groups that it has not read to the
    /// end.
    Groups(&'a DeviceId),
    /// The memberships of devices that this user has added and that have not accepted.
    Invitations(&'a UserId),
    /// The devices that a user has.
    Devices(&'a UserId),
    /// The stored bytes of a user's devices: log entries and group infos.
    Bytes(&'a UserId),
    /// The groups that a user's devices have ended.
    EndedGroups(&'a UserId),
}

/// Counts by their keys, as the store check counts them.
pub(crate) type TallyCounts = BTreeMap<Vec<u8>, u64>;

impl Tally<'_> {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::OpenClaims(user) => Key::number(0).then_user(user),
            Self::Groups(device) => Key::number(1).then_device(device),
            Self::Invitations(user) => Key::number(2).then_user(user),
            Self::Devices(user) => Key::number(3).then_user(user),
            Self::Bytes(user) => Key::number(4).then_user(user),
            Self::EndedGroups(user) => Key::number(5).then_user(user),
        }
    }

    /// Returns the count.
    pub(crate) fn get(&self, tx: &mut dyn Transaction) -> Result<u64, StoreError> {
        match tx.get(Table::Tallies, self.key().as_bytes())? {
            Some(bytes) => number_in(Table::Tallies, &bytes, 0),
            None => Ok(0),
        }
    }

    /// Adds `more` to the count.
    pub(crate) fn add(&self, tx: &mut dyn Transaction, more: u64) -> Result<(), StoreError> {
        let count = self.get(tx)?.saturating_add(more);
        self.put(tx, count)
    }

    /// Subtracts `less` from the count.
    pub(crate) fn subtract(&self, tx: &mut dyn Transaction, less: u64) -> Result<(), StoreError> {
        let count = self.get(tx)?.checked_sub(less).ok_or(StoreError::Corrupt(Table::Tallies))?;
        self.put(tx, count)
    }

    /// Adds `more` to this count in a recount by the store check.
    pub(crate) fn recount(&self, counts: &mut TallyCounts, more: u64) {
        *counts.entry(self.key().as_bytes().to_vec()).or_default() += more;
    }

    /// Checks that the service may store `more` bytes for the user's devices.
    pub(crate) fn check_bytes(
        tx: &mut dyn Transaction,
        limits: &Limits,
        user: &UserId,
        more: usize,
    ) -> Result<(), Abort> {
        let limit = limits.max_stored_bytes_per_user;
        if Tally::Bytes(user).get(tx)?.saturating_add(more as u64) > limit {
            return Err(RejectReason::TooManyBytes { limit }.into());
        }
        Ok(())
    }

    fn put(&self, tx: &mut dyn Transaction, count: u64) -> Result<(), StoreError> {
        let key = self.key();
        match count {
            0 => tx.delete(Table::Tallies, key.as_bytes()).map(drop),
            _ => tx.put(Table::Tallies, key.as_bytes(), &count.to_be_bytes()),
        }
    }
}
