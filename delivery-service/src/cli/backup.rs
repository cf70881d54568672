//! `regrow-ds backup`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::anyhow;
use regrow_delivery_service::{server::database::ServerStore, store::BackupError};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct BackupArgs {
    /// Path of the new file
    #[arg(value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Copies the store into a new file and checks the copy.
pub(super) fn backup(args: &BackupArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let ServerStore::Sqlite(store) = open_store(&config)? else {
        let error = anyhow!("a PostgreSQL database has its own backups. Use `pg_dump`, or a base backup with its log");
        return Err(Stopped { ending: Ending::Unusable, error });
    };
    store.back_up(&args.out).map_err(|error| {
        let (ending, remedy) = match &error {
            BackupError::Exists { .. } => (Ending::Unusable, "Name a new file: a backup is never overwritten"),
            BackupError::Damaged { .. } => (Ending::Found, "Look at the store with `regrow-ds check`"),
            _ => (Ending::Failed, "Make sure that the disk has room, and that the current user may write there"),
        };
        Stopped { ending, error: anyhow!("{error}. {remedy}") }
    })?;
    writeln!(io::stdout(), "copied to {}; the copy is complete", args.out.display()).or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
