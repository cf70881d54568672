//! `regrow-ds move`.

use std::io::{self, Write as _};

use anyhow::anyhow;
use regrow_delivery_service::{
    server::database::{Database, postgres_address},
    store::{
        moving::{MoveError, StoreToMove},
        postgres::UnfinishedStore,
    },
};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, stopped_by_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct MoveArgs {
    /// Address of the database, which has no store yet
    #[arg(long, value_name = "postgres://...")]
    to: String,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Moves the store into a database, and checks it there.
pub(super) fn move_store(args: &MoveArgs) -> Result<Ending, Stopped> {
    let unusable = |error| Stopped { ending: Ending::Unusable, error };
    let config = args.database.load()?;
    let Some(file) = config.settings.database.file() else {
        let error = "only a store in a file can be moved. Copy a database with the tools of PostgreSQL";
        return Err(unusable(anyhow!(error)));
    };
    if !matches!(Database::from(args.to.as_str()), Database::Postgres(_)) {
        return Err(unusable(anyhow!("`--to` needs an address that begins with `postgres://`, found `{}`", args.to)));
    }
    let of_target = |error| {
        let mut config = config.clone();
        config.settings.database = Database::from(args.to.as_str());
        stopped_by_store(&config, error)
    };
    let source = StoreToMove::open(file).map_err(|error| stopped_by_store(&config, error))?;
    let address = postgres_address(&config.settings, &args.to).map_err(of_target)?;
    let target = UnfinishedStore::open(address).map_err(of_target)?;
    let moved = source.move_into(target).map_err(|error| match error {
        MoveError::Source(error) => stopped_by_store(&config, error),
        MoveError::Target(error) => of_target(error),
        MoveError::Damaged(findings) => {
            let error = anyhow!(
                "the store has {} findings, and was not moved. Look at it with `regrow-ds check`",
                findings.len()
            );
            Stopped { ending: Ending::Found, error }
        }
        error => Stopped {
            ending: Ending::Failed,
            error: anyhow!("{error}. Make sure that nobody else writes to the database, and start the move again"),
        },
    })?;
    let text = format!(
        "moved {} records with {} bytes to {}; the check found nothing. Set `database` to that address, and start the server",
        moved.records, moved.bytes, args.to
    );
    writeln!(io::stdout(), "{text}").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
