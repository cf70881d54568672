//! The floor: a plain loop that appends the same rows to SQLite, equally durable and in
//! transactions of the same size.

use std::{path::Path, time::Instant};

use anyhow::Context as _;

/// Measures the rows per second of a loop that compares the epoch and appends a row, with `batch`
/// rows per transaction.
pub(super) fn rows_per_second(directory: &Path, rows: &[Vec<u8>], batch: usize) -> anyhow::Result<f64> {
    let mut database =
        rusqlite::Connection::open(directory.join("floor.db")).context("cannot make the floor's file")?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         DROP TABLE IF EXISTS log; DROP TABLE IF EXISTS epochs;
         CREATE TABLE log (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
         CREATE TABLE epochs (name BLOB PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         INSERT INTO epochs VALUES (x'00', 0);",
    )?;
    let start = Instant::now();
    let mut epoch = 0_i64;
    for rows in rows.chunks(batch.max(1)) {
        let transaction = database.transaction()?;
        {
            let mut compare = transaction.prepare_cached("UPDATE epochs SET epoch = ?1 + 1 WHERE epoch = ?1")?;
            let mut append = transaction.prepare_cached("INSERT INTO log (bytes) VALUES (?1)")?;
            for row in rows {
                anyhow::ensure!(compare.execute([epoch])? == 1, "the epoch in the floor's file has changed");
                append.execute([row])?;
                epoch += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(rows.len() as f64 / start.elapsed().as_secs_f64())
}
