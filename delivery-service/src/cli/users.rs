//! `regrow-ds users`, `export-user` and `remove-user`.

use std::io::{self, Write as _};

use anyhow::{Context as _, anyhow};
use regrow_delivery_service::{UserId, server::Environment};

use super::{
    ending::{Ending, OrStop as _, Stopped},
    settings::{DatabaseArgs, open_service, stopped_by_store},
};

#[derive(clap::Args, Debug)]
pub(super) struct UsersArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct UserArgs {
    /// Name of the user
    #[arg(value_name = "USER")]
    user: UserId,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Prints the users, one per line.
pub(super) fn list(args: &UsersArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let users = service.users().map_err(|error| stopped_by_store(&config, error))?;
    let mut out = io::stdout().lock();
    users
        .iter()
        .try_for_each(|known| {
            writeln!(out, "{}: {} devices, and {} that were removed", known.user, known.devices, known.removed)
        })
        .or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}

/// Prints all records of a user as JSON.
pub(super) fn export(args: &UserArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let now = Environment::of_this_machine().wall();
    let records = service.records_of_user(&args.user, now).map_err(|error| stopped_by_store(&config, error))?;
    let records = records.ok_or_else(|| no_such_user(&args.user))?;
    let json = serde_json::to_string_pretty(&records).context("cannot write JSON").or_stop(Ending::Failed)?;
    writeln!(io::stdout(), "{json}").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}

/// Removes all devices and invitations of a user.
pub(super) fn remove(args: &UserArgs) -> Result<Ending, Stopped> {
    let config = args.database.load()?;
    let service = open_service(&config)?;
    let removed = service.remove_user(&args.user).map_err(|error| stopped_by_store(&config, error))?;
    let removed = removed.ok_or_else(|| no_such_user(&args.user))?;
    let mut out = io::stdout().lock();
    removed.devices.iter().try_for_each(|device| writeln!(out, "removed {device}")).or_stop(Ending::Failed)?;
    writeln!(out, "ended {} sessions", removed.sessions.len()).or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}

fn no_such_user(user: &UserId) -> Stopped {
    let error = anyhow!("no device of {user} is known; `regrow-ds users` lists the users");
    Stopped { ending: Ending::Found, error }
}
