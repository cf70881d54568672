//! A server that watches the owner of a store, and takes the store when it has no owner any more.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Committed, LeaseState, LeaseWatch, Owner, Ownership, PostgresAddress, PostgresStore, Role, Writer, schema,
    session::{Connector, OwnerRecord},
};
use crate::{error::StoreError, store::changes::Changes};

/// The pause between two looks at the owner's record.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A server that does not own the store. It can look at the owner's record at any time.
pub struct Candidate {
    store: PostgresStore,
    /// The highest term and batch that it has seen.
    highest: (i64, i64),
}

/// The result of an attempt to take a store.
pub enum Taking {
    /// The store. The former owner can write no more.
    Taken(PostgresStore),
    /// The record has changed since the candidate has looked. Another server owns the store.
    Changed(Candidate),
    /// The attempt has failed. A later one may succeed.
    Failed(Candidate, StoreError),
}

impl Candidate {
    /// Connects to the store of the database, or creates it. Takes nothing.
    ///
    /// # Errors
    ///
    /// As for [`PostgresStore::open`], except [`StoreError::OwnedByNode`].
    pub fn open(address: PostgresAddress) -> Result<Self, StoreError> {
        let connector = Connector::new(address)?;
        let session = connector.connect()?;
        schema::migrate(&session)?;
        let session = session.prepare()?;
        Ok(Self { store: PostgresStore::over(connector, session, Role::Beside, 0), highest: (0, 0) })
    }

    /// Looks at the owner's record. Waits for no transaction.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Away`] if the database cannot be reached.
    /// - [`StoreError::WentBack`] if the record is older than at an earlier look. The database has
    ///   lost transactions.
    pub fn look(&mut self) -> Result<Ownership, StoreError> {
        let ownership = match self.store.session()?.look() {
            // The connection was lost while nothing happened. A new one may do.
            Err(_) if self.store.is_disconnected() => self.store.session()?.look()?,
            ownership => ownership?,
        };
        let found = (ownership.term, ownership.batch);
        if found < self.highest {
            return Err(StoreError::WentBack);
        }
        self.highest = found;
        Ok(ownership)
    }

    /// Takes the store for `owner`, if the record is still the one that the candidate has seen. A
    /// transaction of the present owner delays the attempt, and prevents it if it changes records.
    pub fn take(mut self, seen: &Ownership, owner: &Owner) -> Taking {
        match self.try_take(seen, owner) {
            Ok(Some((term, record))) => {
                self.store.role = Role::Owner { term, batch: record.batch };
                self.store.others = record.others;
                Taking::Taken(self.store)
            }
            Ok(None) => Taking::Changed(self),
            Err(error) => Taking::Failed(self, error),
        }
    }

    /// Returns the new term and the record of the former owner, or `None` if the record has
    /// changed.
    fn try_take(&mut self, seen: &Ownership, owner: &Owner) -> Result<Option<(i64, OwnerRecord)>, StoreError> {
        let session = self.store.session()?;
        let record = session.begin()?;
        let is_same = session.look().map(|now| now == *seen);
        if !matches!(is_same, Ok(true)) {
            session.roll_back();
            return is_same.map(|_| None);
        }
        let term = record.term.saturating_add(1);
        match session.commit(&Changes::default(), Writer::NextOwner(term, owner)) {
            Committed::Durable => Ok(Some((term, record))),
            Committed::Refused(error) => Err(error),
            Committed::Unknown(reason) => Err(StoreError::Away(reason)),
        }
    }

    /// Takes the store for a server that is no node of a cluster. It does not wait for another such
    /// server, and takes the store from a node only after the node's lease.
    pub(super) fn take_alone(mut self) -> Result<PostgresStore, StoreError> {
        let (begun, mut watch) = (Instant::now(), LeaseWatch::default());
        loop {
            let seen = self.look()?;
            let state = watch.observe(&seen, begun.elapsed());
            let node = seen.owner.as_ref().map(|owner| owner.node.as_str()).filter(|node| !node.is_empty());
            match (state, node) {
                (LeaseState::Alive, Some(node)) => return Err(StoreError::OwnedByNode { node: node.to_owned() }),
                (LeaseState::Unknown, Some(_)) => thread::sleep(LOOK_EVERY),
                _ => match self.take(&seen, &Owner::default()) {
                    Taking::Taken(store) => return Ok(store),
                    Taking::Changed(candidate) => self = candidate,
                    Taking::Failed(_, error) => return Err(error),
                },
            }
        }
    }
}
