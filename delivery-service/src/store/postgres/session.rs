//! One connection to the database, and the statements of a transaction.

use std::{
    future::poll_fn,
    ops::Range,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Error, Row, Statement,
    error::Severity,
    types::{ToSql, Type},
};

use super::{
    address::PostgresAddress,
    cache::{Page, Pages},
    database_error::{is_refusal, store_error},
};
use crate::{
    error::StoreError,
    store::{Table, changes::Changes},
};

/// The time for a whole connection: all hosts, TLS and the login.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The settings of each session.
///
/// - A process that stops in the middle of a transaction keeps others waiting for five seconds.
/// - A transaction waits ten seconds for another process's, as with SQLite.
/// - A commit waits for the disk, and for the standby if there is a synchronous one. The
///   administrator may choose a longer wait, but no shorter one.
/// - All statements find records by their keys. Without these settings, statistics that are out of
///   date could lead to a search through the whole table. The settings make plans look expensive,
///   which would let the database compile each statement for 10 ms.
const SESSION_SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = '5s';
    SET lock_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off";

/// The most bytes of changes in one transaction. The protocol's own limit is twice as high.
const MAX_CHANGED_BYTES: usize = 512 * 1024 * 1024;

/// The thread that moves the bytes of connections.
pub(super) struct Connector {
    /// `None` only while the connector is dropped.
    runtime: Option<Runtime>,
    address: PostgresAddress,
}

impl Connector {
    pub(super) fn new(address: PostgresAddress) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("database")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Backend(error.into()))?;
        Ok(Self { runtime: Some(runtime), address })
    }

    /// Connects to the host that takes writes.
    pub(super) fn connect(&self) -> Result<Session, StoreError> {
        let Some(runtime) = &self.runtime else {
            return Err(StoreError::Away("the store is closing".to_owned()));
        };
        let PostgresAddress { config, tls } = self.address.clone();
        let connecting = runtime.spawn(async move {
            let connecting = async {
                let (client, mut connection) = config.connect(tls).await?;
                let warned = Arc::new(AtomicBool::new(false));
                let noted = Arc::clone(&warned);
                tokio::spawn(async move {
                    // The task ends with the connection. Statements get the connection's error.
                    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                        if let AsyncMessage::Notice(notice) = message
                            && notice.parsed_severity() == Some(Severity::Warning)
                        {
                            tracing::warn!(message = notice.message(), "the database warns");
                            noted.store(true, Ordering::SeqCst);
                        }
                    }
                });
                client.batch_execute(SESSION_SETTINGS).await?;
                Ok(Session { client, warned })
            };
            timeout(CONNECT_WITHIN, connecting).await
        });
        match block_on(connecting) {
            Ok(Ok(connected)) => connected.map_err(|error: Error| store_error(&error)),
            Ok(Err(_)) => Err(StoreError::Away("the connection takes too long".to_owned())),
            Err(error) => Err(StoreError::Backend(error.into())),
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // The caller may be a task, which may not wait for the end of the thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A connection.
pub(super) struct Session {
    client: Client,
    /// True if the database has sent a warning.
    warned: Arc<AtomicBool>,
}

impl Session {
    /// True if the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters.
    pub(super) fn execute(&self, script: &str) -> Result<(), Error> {
        block_on(self.client.batch_execute(script))
    }

    /// Runs one statement, and returns its rows.
    pub(super) fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        block_on(self.client.query(statement, parameters))
    }

    /// Prepares the statements of transactions. The tables have to exist.
    pub(super) fn prepare(self) -> Result<PreparedSession, StoreError> {
        let Self { client, warned } = &self;
        let prepare = async {
            tokio::try_join!(
                client.prepare("SELECT term, batch, others FROM regrow_owner FOR UPDATE"),
                client.prepare_typed(
                    "SELECT key, value FROM regrow_records
                         WHERE table_number = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4",
                    &[Type::INT2, Type::BYTEA, Type::BYTEA, Type::INT8],
                ),
                client.prepare_typed(
                    "INSERT INTO regrow_records (table_number, key, value)
                         SELECT * FROM unnest($1, $2, $3)
                         ON CONFLICT (table_number, key) DO UPDATE SET value = excluded.value",
                    &[Type::INT2_ARRAY, Type::BYTEA_ARRAY, Type::BYTEA_ARRAY],
                ),
                client.prepare_typed(
                    "DELETE FROM regrow_records USING unnest($1, $2) AS deleted (table_number, key)
                         WHERE regrow_records.table_number = deleted.table_number
                             AND regrow_records.key = deleted.key",
                    &[Type::INT2_ARRAY, Type::BYTEA_ARRAY],
                ),
                client.prepare("UPDATE regrow_owner SET term = $1"),
                client.prepare("UPDATE regrow_owner SET batch = $1"),
                client.prepare("UPDATE regrow_owner SET others = others + 1"),
            )
        };
        let (lock, page, put, delete, count_term, count_batch, count_other) =
            block_on(prepare).map_err(|error| store_error(&error))?;
        warned.store(false, Ordering::SeqCst);
        Ok(PreparedSession { session: self, lock, page, put, delete, count_term, count_batch, count_other })
    }
}

/// A connection with the statements of transactions.
pub(super) struct PreparedSession {
    session: Session,
    lock: Statement,
    page: Statement,
    put: Statement,
    delete: Statement,
    count_term: Statement,
    count_batch: Statement,
    count_other: Statement,
}

/// The record of the store's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnerRecord {
    /// The number of times that a server has taken the store.
    pub(super) term: i64,
    /// The number of the last transaction of an owner that has changed records.
    pub(super) batch: i64,
    /// The number of transactions of others that have changed records.
    pub(super) others: i64,
}

/// The writer of a transaction, whose number the transaction leaves in the owner's record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer {
    /// A server that takes the store for this term.
    NextOwner(i64),
    /// The owner's transaction of this number.
    Owner(i64),
    /// A transaction of another process.
    Other,
}

/// The outcome of a commit.
pub(super) enum Committed {
    /// All changes are durable.
    Durable,
    /// None of the changes has happened.
    Refused(StoreError),
    /// The database has not told what has happened, or it has told that a synchronous standby may
    /// not have the changes.
    Unknown(String),
}

impl PreparedSession {
    /// The connection, for statements outside of a transaction of the store.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Begins a transaction, locks the owner's record, and returns it. The lock lasts until the
    /// end of the transaction.
    pub(super) fn begin(&self) -> Result<OwnerRecord, StoreError> {
        let client = &self.session.client;
        let begin = async { tokio::join!(biased; client.batch_execute("BEGIN"), client.query_one(&self.lock, &[])) };
        let (begun, owner) = block_on(begin);
        let owner = begun
            .and(owner)
            .and_then(|row| Ok(OwnerRecord { term: row.try_get(0)?, batch: row.try_get(1)?, others: row.try_get(2)? }));
        owner.map_err(|error| {
            self.roll_back();
            store_error(&error)
        })
    }

    /// Begins a transaction that reads the store as it is now, and blocks nobody. It may take long.
    pub(super) fn begin_snapshot(&self) -> Result<(), StoreError> {
        const SCRIPT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
            SET LOCAL idle_in_transaction_session_timeout = 0";
        self.session.execute(SCRIPT).map_err(|error| store_error(&error))
    }

    /// Ends the transaction without its changes. Does not wait for the database.
    pub(super) fn roll_back(&self) {
        let rollback = pin!(self.session.client.batch_execute("ROLLBACK"));
        // The first poll sends the statement. If the connection is lost, the database rolls back by
        // itself.
        let _ = rollback.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Writes the changes and commits. The statements go to the database together.
    pub(super) fn commit(&self, changes: &Changes, writer: Writer) -> Committed {
        let (mut put, mut deleted) = (ChangedColumns::default(), ChangedColumns::default());
        let mut bytes = 0;
        for (table, key, value) in changes.iter() {
            bytes += key.len() + value.map_or(0, <[u8]>::len);
            let columns = if value.is_some() { &mut put } else { &mut deleted };
            columns.tables.push(table.number());
            columns.keys.push(key);
            columns.values.extend(value);
        }
        // A statement that cannot be encoded would not be sent, and the others would.
        if bytes > MAX_CHANGED_BYTES {
            self.roll_back();
            let message = format!("a transaction has {bytes} bytes, which are more than {MAX_CHANGED_BYTES}");
            return Committed::Refused(StoreError::Backend(message.into()));
        }
        let client = &self.session.client;
        self.session.warned.store(false, Ordering::SeqCst);
        let statements = async {
            tokio::join!(
                biased;
                async {
                    if put.keys.is_empty() { return Ok(0) }
                    client.execute(&self.put, &[&put.tables, &put.keys, &put.values]).await
                },
                async {
                    if deleted.keys.is_empty() { return Ok(0) }
                    client.execute(&self.delete, &[&deleted.tables, &deleted.keys]).await
                },
                async {
                    match writer {
                        Writer::NextOwner(term) => client.execute(&self.count_term, &[&term]).await,
                        Writer::Owner(number) => client.execute(&self.count_batch, &[&number]).await,
                        Writer::Other => client.execute(&self.count_other, &[]).await,
                    }
                },
                client.batch_execute("COMMIT"),
            )
        };
        let (put, deleted, counted, committed) = block_on(statements);
        let results = [put.map(drop), deleted.map(drop), counted.map(drop), committed];
        let mut failed = results.iter().filter_map(|result| result.as_ref().err());
        if let Some(error) = failed.clone().find(|error| is_refusal(error)) {
            // `COMMIT` after a refused statement rolls back.
            return Committed::Refused(store_error(error));
        }
        match failed.next() {
            Some(error) => Committed::Unknown(store_error(error).to_string()),
            None if self.session.warned.swap(false, Ordering::SeqCst) => {
                Committed::Unknown("the database committed with a warning".to_owned())
            }
            None => Committed::Durable,
        }
    }
}

/// The columns of changed records.
#[derive(Default)]
struct ChangedColumns<'c> {
    tables: Vec<i16>,
    keys: Vec<&'c [u8]>,
    values: Vec<&'c [u8]>,
}

/// The records in a transaction of a session.
pub(super) struct SessionPages<'s> {
    session: &'s PreparedSession,
    /// The first error. After it, the database refuses all statements of the transaction.
    pub(super) failed: Option<StoreError>,
}

impl<'s> SessionPages<'s> {
    pub(super) fn of(session: &'s PreparedSession) -> Self {
        Self { session, failed: None }
    }
}

impl Pages for SessionPages<'_> {
    fn page(&mut self, table: Table, range: Range<&[u8]>, limit: usize) -> Result<Page, StoreError> {
        let PreparedSession { session, page, .. } = self.session;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = block_on(session.client.query(page, &[&table.number(), &range.start, &range.end, &limit]));
        let records = rows.and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect());
        records.map_err(|error| {
            self.failed.get_or_insert_with(|| store_error(&error));
            store_error(&error)
        })
    }
}

/// Waits for a future on this thread. Unlike a runtime's, this function can be called anywhere.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
