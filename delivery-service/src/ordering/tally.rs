//! TallyCounts that limits are compared with. Each is kept in a record of its own, so that a check takes one look.

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

/// What is counted, and for which party.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tally<'a> {
    /// Open claims of a user's devices.
    OpenClaims(&'a UserId),
    /// Groups that a device is in and has accepted, and past ones that it has not read to the end.
    Groups(&'a DeviceId),
    /// Memberships of devices that this user has added, and that have not accepted.
    Invitations(&'a UserId),
    /// Devices that a user has.
    Devices(&'a UserId),
    /// Bytes of a user's devices that are kept: entries of logs, and group infos.
    Bytes(&'a UserId),
    /// Groups that a user's devices have ended.
    EndedGroups(&'a UserId),
}

/// TallyCounts by their keys, as the store check recounts them.
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

    /// The count.
    pub(crate) fn get(&self, tx: &mut dyn Transaction) -> Result<u64, StoreError> {
        match tx.get(Table::Tallies, self.key().as_bytes())? {
            Some(bytes) => number_in(Table::Tallies, &bytes, 0),
            None => Ok(0),
        }
    }

    /// TallyCounts `more` up.
    pub(crate) fn add(&self, tx: &mut dyn Transaction, more: u64) -> Result<(), StoreError> {
        let count = self.get(tx)?.saturating_add(more);
        self.put(tx, count)
    }

    /// TallyCounts `less` down.
    pub(crate) fn subtract(&self, tx: &mut dyn Transaction, less: u64) -> Result<(), StoreError> {
        let count = self.get(tx)?.checked_sub(less).ok_or(StoreError::Corrupt(Table::Tallies))?;
        self.put(tx, count)
    }

    /// TallyCounts one up in a recount.
    pub(crate) fn recount(&self, counts: &mut TallyCounts, more: u64) {
        *counts.entry(self.key().as_bytes().to_vec()).or_default() += more;
    }

    /// Checks that a user's devices may have so many more bytes kept.
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
