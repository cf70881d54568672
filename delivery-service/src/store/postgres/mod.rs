//! The store in a PostgreSQL database.
//!
//! A transaction of the store is one transaction of the database. It locks the owner's record
//! first, and ends with a few statements that write all changes together with the commit. Between,
//! it reads from the owner's cache. `docs/decisions/0077` has the reasons.
//!
//! The owner's record has the number of the owner's term. A server that starts takes the next term.
//! A transaction of an earlier term changes nothing, however late it comes.
//!
//! | module | contents |
//! | --- | --- |
//! | `address` | the address of the database |
//! | `tls` | TLS to the database |
//! | `session` | a connection, and the statements of a transaction |
//! | `schema` | the tables, and their versions |
//! | `cache` | the records that the owner has in memory |
//! | `unfinished` | a store into which records are moved |
//! | `database_error` | PostgreSQL's errors as [`StoreError`] |

mod address;
mod cache;
mod database_error;
mod schema;
mod session;
mod tls;
mod unfinished;

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) use self::unfinished::TableRecord;
pub use self::{
    address::{PostgresAddress, PostgresUrl, PostgresUrlError},
    unfinished::UnfinishedStore,
};
use self::{
    cache::{Cache, CachedRecords},
    session::{Committed, Connector, OwnerRecord, PreparedSession, SessionPages, Writer},
};
use super::{
    Store, Transaction,
    changes::{Changed, Changes},
};
use crate::error::StoreError;

/// The memory for records. It is as large as the memory for pages of an SQLite file.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The time after a failed connection in which no transaction tries another.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// The first pause, and the longest, between two questions for the outcome of a commit.
const ASK_AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// A store in a PostgreSQL database, for the server that owns it or for a command beside the
/// server.
pub struct PostgresStore {
    session: Option<PreparedSession>,
    connector: Connector,
    /// The time of the next connection if the last one failed.
    reconnect_at: Option<Instant>,
    cache: Cache,
    role: Role,
    /// The number of other processes' transactions that the cache has seen.
    others: i64,
}

/// The right of a process to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The server that owns the store in this term.
    Owner {
        term: i64,
        /// The number of the last transaction that has changed records.
        batch: i64,
    },
    /// A command, which does one thing and ends.
    Beside,
}

impl PostgresStore {
    /// Opens the store of the database, or creates it, and takes it from its present owner. That
    /// server can write no more.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Away`] if the database cannot be reached, or refuses the login.
    /// - [`StoreError::NewerFormat`] or [`StoreError::OlderFormat`] for a store of another version.
    /// - [`StoreError::Backend`] if the database refuses a statement, for example without a
    ///   privilege.
    pub fn open(address: PostgresAddress) -> Result<Self, StoreError> {
        let connector = Connector::new(address)?;
        let session = connector.connect()?;
        schema::migrate(&session)?;
        let session = session.prepare()?;
        let OwnerRecord { term, batch, others } = session.begin()?;
        let term = term.saturating_add(1);
        match session.commit(&Changes::default(), Writer::NextOwner(term)) {
            Committed::Durable => {}
            Committed::Refused(error) => return Err(error),
            Committed::Unknown(reason) => return Err(StoreError::Away(reason)),
        }
        Ok(Self::over(connector, session, Role::Owner { term, batch }, others))
    }

    /// Opens an existing store beside its owner. It is for commands, which do one thing and end.
    /// The owner sees that another process has written, and forgets the records in its memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Empty`] if the database has no store. Otherwise the same as
    /// [`open`](Self::open).
    pub fn open_beside(address: PostgresAddress) -> Result<Self, StoreError> {
        let connector = Connector::new(address)?;
        let session = connector.connect()?;
        schema::examine(&session)?;
        let session = session.prepare()?;
        Ok(Self::over(connector, session, Role::Beside, 0))
    }

    /// Opens the store of an unfinished move, or creates it. See [`UnfinishedStore`].
    fn open_unfinished(address: PostgresAddress) -> Result<Self, StoreError> {
        let connector = Connector::new(address)?;
        let session = connector.connect()?;
        schema::begin_move(&session)?;
        let session = session.prepare()?;
        Ok(Self::over(connector, session, Role::Beside, 0))
    }

    fn over(connector: Connector, session: PreparedSession, role: Role, others: i64) -> Self {
        let cache = Cache::new(CACHE_BYTES);
        Self { session: Some(session), connector, reconnect_at: None, cache, role, others }
    }

    /// Runs `work` on the store as it is now, without blocking writers. The changes of `work` are
    /// lost.
    ///
    /// # Errors
    ///
    /// The error of `work`, or the store's own failure.
    pub fn snapshot<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let session = self.session()?;
        session.begin_snapshot()?;
        let _end = RollBack(Some(session));
        let mut cache = Cache::new(CACHE_BYTES);
        read(session, &mut cache, &mut Changes::default(), work)
    }

    /// Returns the session, or connects anew.
    fn session(&mut self) -> Result<&PreparedSession, StoreError> {
        if self.session.as_ref().is_some_and(PreparedSession::is_closed) {
            self.session = None;
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect()?,
        };
        Ok(self.session.insert(session))
    }

    fn connect(&mut self) -> Result<PreparedSession, StoreError> {
        if self.reconnect_at.is_some_and(|at| Instant::now() < at) {
            return Err(StoreError::Away("the last connection failed a moment ago".to_owned()));
        }
        let connected = self.connector.connect().and_then(|session| session.prepare());
        self.reconnect_at = connected.is_err().then(|| Instant::now() + RECONNECT_AFTER);
        connected
    }

    /// Begins a transaction, and checks that this process may write.
    fn begin(&mut self) -> Result<(), StoreError> {
        let had_session = self.session.is_some();
        let session = self.session()?;
        let owner = match session.begin() {
            // The connection was lost while nothing happened. A new one may do.
            Err(_) if had_session && session.is_closed() => self.session()?.begin()?,
            owner => owner?,
        };
        let admitted = self.admit(owner);
        if admitted.is_err()
            && let Some(session) = &self.session
        {
            session.roll_back();
        }
        admitted
    }

    /// Checks the owner's record, which is locked, and forgets records that others may have
    /// changed.
    fn admit(&mut self, owner: OwnerRecord) -> Result<(), StoreError> {
        if let Role::Owner { term, batch } = self.role {
            if owner.term != term {
                return Err(StoreError::TakenOver);
            }
            if owner.batch != batch {
                return Err(StoreError::WentBack);
            }
        }
        if self.role == Role::Beside || owner.others != self.others {
            self.cache.clear();
            self.others = owner.others;
        }
        Ok(())
    }

    /// Makes the changes of the present transaction durable.
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let Some(session) = &self.session else {
            return Err(StoreError::Away("there is no connection".to_owned()));
        };
        let role = match self.role {
            Role::Owner { term, batch } => Role::Owner { term, batch: batch.saturating_add(1) },
            Role::Beside => Role::Beside,
        };
        let writer = match role {
            Role::Owner { batch, .. } => Writer::Owner(batch),
            Role::Beside => Writer::Other,
        };
        match (session.commit(changes, writer), role) {
            (Committed::Durable, _) => {}
            (Committed::Refused(error), _) => return Err(error),
            (Committed::Unknown(_), Role::Beside) => return Err(StoreError::Undetermined),
            (Committed::Unknown(reason), Role::Owner { term, batch }) => {
                tracing::warn!(reason, "the outcome of a commit is unknown: asking the database until it is known");
                self.settle(term, batch)?;
            }
        }
        self.role = role;
        for (table, key, value) in changes.iter() {
            self.cache.change(table, key, value);
        }
        Ok(())
    }

    /// Finds out if the transaction with this number is durable, however long the database takes.
    /// No caller gets an answer before.
    fn settle(&mut self, term: i64, batch: i64) -> Result<(), StoreError> {
        let [mut pause, longest] = ASK_AGAIN;
        loop {
            match self.ask(term, batch) {
                Ok(true) => {
                    tracing::info!("the commit is durable");
                    return Ok(());
                }
                Err(StoreError::Away(reason)) => tracing::warn!(reason, "the outcome of a commit is still unknown"),
                Ok(false) => return Err(StoreError::Away("the connection was lost before the commit".to_owned())),
                Err(StoreError::TakenOver) => return Err(StoreError::Undetermined),
                Err(error) => tracing::warn!(%error, "the outcome of a commit is still unknown"),
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Returns true if the transaction with this number is durable, and false if it has not
    /// happened.
    fn ask(&mut self, term: i64, batch: i64) -> Result<bool, StoreError> {
        self.reconnect_at = None;
        let session = self.session()?;
        // The lock waits for the end of the transaction if the database still runs it.
        let owner = session.begin()?;
        if owner.term != term {
            session.roll_back();
            return Err(StoreError::TakenOver);
        }
        if owner.batch != batch {
            session.roll_back();
            return Ok(false);
        }
        // A transaction that can be seen may not be at a synchronous standby yet. A later one that
        // is there proves that this one is there as well.
        match session.commit(&Changes::default(), Writer::Owner(batch)) {
            Committed::Durable => Ok(true),
            Committed::Refused(error) => Err(error),
            Committed::Unknown(reason) => Err(StoreError::Away(reason)),
        }
    }
}

impl Store for PostgresStore {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin()?;
        let mut changes = Changes::default();
        let Some(session) = &self.session else {
            return Err(StoreError::Away("there is no connection".to_owned()).into());
        };
        // An error and a panic roll back as well.
        let end = RollBack(Some(session));
        let result = read(session, &mut self.cache, &mut changes, work)?;
        if !changes.is_empty() {
            end.not_yet();
            self.commit(&changes)?;
        }
        Ok(result)
    }

    fn others_version(&self) -> Result<i64, StoreError> {
        Ok(self.others)
    }

    /// Checks that the database answers, and that this process may still write.
    fn examine(&mut self) -> Result<(), StoreError> {
        self.transaction(|_| Ok(()))
    }
}

/// Runs `work` on records and changes. Fails if a read has failed, even if `work` has not noticed.
fn read<T, E: From<StoreError>>(
    session: &PreparedSession,
    cache: &mut Cache,
    changes: &mut Changes,
    work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
) -> Result<T, E> {
    let mut pages = SessionPages::of(session);
    let mut records = CachedRecords { cache, pages: &mut pages };
    let result = work(&mut Changed { records: &mut records, changes })?;
    match pages.failed {
        Some(error) => Err(error.into()),
        None => Ok(result),
    }
}

/// Ends a transaction without its changes when it is dropped.
struct RollBack<'s>(Option<&'s PreparedSession>);

impl RollBack<'_> {
    /// Leaves the transaction open, so that it can be committed.
    fn not_yet(mut self) {
        self.0 = None;
    }
}

impl Drop for RollBack<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0 {
            session.roll_back();
        }
    }
}
