//! The tables of the store in the database, and their versions.
//!
//! `regrow_store` has one row with two numbers: the layout of the tables, and the format of the keys
//! and records in them, which is the same number as in an SQLite file. A newer version of this
//! software brings an older layout up to date by the migrations in between.

use tokio_postgres::error::SqlState;

use super::{database_error::store_error, session::Session};
use crate::{error::StoreError, store::FORMAT};

/// The statements that lead from each layout to the next one, beginning with an empty schema.
///
/// Layout 1: all records are in one table. The service's records are encrypted or short, so that
/// compression would only cost time. A page has room for changed records, so that a change needs no
/// new entry in the index.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE regrow_store (layout bigint NOT NULL, format bigint NOT NULL);
    CREATE TABLE regrow_owner (term bigint NOT NULL, batch bigint NOT NULL, others bigint NOT NULL)
        WITH (fillfactor = 50);
    CREATE TABLE regrow_records (
        table_number smallint NOT NULL, key bytea NOT NULL, value bytea NOT NULL,
        PRIMARY KEY (table_number, key)
    ) WITH (fillfactor = 85);
    ALTER TABLE regrow_records ALTER COLUMN value SET STORAGE EXTERNAL;
    INSERT INTO regrow_owner (term, batch, others) VALUES (0, 0, 0);
    INSERT INTO regrow_store (layout, format) VALUES (0, 0);"];

/// The format of a store whose records are still being moved into the database.
const UNFINISHED: i64 = 0;

/// Creates the tables, or brings them up to date.
pub(super) fn migrate(session: &Session) -> Result<(), StoreError> {
    migrate_from(layout(session)?, session, FORMAT)
}

/// Creates the tables for the records of another store. Until [`finish`], no server opens them.
pub(super) fn begin_move(session: &Session) -> Result<(), StoreError> {
    let Versions { layout, format } = versions(session)?;
    match layout {
        0 => {}
        _ if format == UNFINISHED => {}
        _ => return Err(StoreError::NotEmpty),
    }
    migrate_from(layout, session, UNFINISHED)
}

/// Makes a store of the moved records.
pub(super) fn finish(session: &Session) -> Result<(), StoreError> {
    let script = format!("BEGIN; UPDATE regrow_store SET format = {FORMAT} WHERE format = {UNFINISHED}; COMMIT");
    session.execute(&script).map_err(|error| store_error(&error))
}

fn migrate_from(layout: usize, session: &Session, format: i64) -> Result<(), StoreError> {
    let Some(missing) = MIGRATIONS.get(layout..).filter(|missing| !missing.is_empty()) else {
        return Ok(());
    };
    let latest = MIGRATIONS.len();
    let script = missing.concat();
    let script = format!("BEGIN; {script} UPDATE regrow_store SET layout = {latest}, format = {format}; COMMIT");
    let Err(error) = session.execute(&script) else { return Ok(()) };
    let _ = session.execute("ROLLBACK");
    // Another server may have created the tables at the same time.
    let taken = [SqlState::DUPLICATE_TABLE, SqlState::UNIQUE_VIOLATION];
    match error.code() {
        Some(code) if taken.contains(code) => examine(session),
        _ => Err(store_error(&error)),
    }
}

/// Checks that the tables are there and up to date.
pub(super) fn examine(session: &Session) -> Result<(), StoreError> {
    match layout(session)? {
        0 => Err(StoreError::Empty),
        found if found < MIGRATIONS.len() => Err(StoreError::OlderFormat { found: to_number(found) }),
        _ => Ok(()),
    }
}

/// Returns the layout of the tables, or 0 if there are none. Fails for a store that this version
/// cannot use.
fn layout(session: &Session) -> Result<usize, StoreError> {
    let Versions { layout, format } = versions(session)?;
    match format {
        FORMAT => Ok(layout),
        _ if layout == 0 => Ok(0),
        UNFINISHED => Err(StoreError::Unfinished),
        found if found > FORMAT => Err(StoreError::NewerFormat { found, supported: FORMAT }),
        found => Err(StoreError::OlderFormat { found }),
    }
}

/// The versions of the tables and of the records.
struct Versions {
    /// The layout of the tables, or 0 if there are none.
    layout: usize,
    format: i64,
}

fn versions(session: &Session) -> Result<Versions, StoreError> {
    let rows = match session.query("SELECT layout, format FROM regrow_store", &[]) {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            return Ok(Versions { layout: 0, format: FORMAT });
        }
        rows => rows.map_err(|error| store_error(&error))?,
    };
    let [row] = rows.as_slice() else { return Err(StoreError::NotAStore) };
    let (layout, format): (i64, i64) =
        row.try_get(0).and_then(|layout| Ok((layout, row.try_get(1)?))).map_err(|_| StoreError::NotAStore)?;
    let supported = to_number(MIGRATIONS.len());
    if layout > supported {
        return Err(StoreError::NewerFormat { found: layout, supported });
    }
    let layout = usize::try_from(layout).map_err(|_| StoreError::NotAStore)?;
    Ok(Versions { layout, format })
}

fn to_number(layout: usize) -> i64 {
    i64::try_from(layout).unwrap_or(i64::MAX)
}
