//! The command line: commands, options and exit statuses.

mod backup;
mod bench;
mod check;
mod config;
mod ending;
mod invitations;
mod invite;
mod move_store;
mod remove_device;
mod serve;
mod settings;
mod users;

use clap::{Parser, Subcommand};

pub(crate) use self::ending::{Ending, Stopped};
use self::settings::SettingsArgs;

/// Orders the messages of MLS groups, hands out key packages and routes welcomes.
///
/// Settings come from defaults, a TOML file, environment variables and flags. A later source
/// overrides an earlier one. An environment variable is, for example, REGROW_DS_LISTEN, or
/// REGROW_DS_LIMITS__QUEUE for a key in a table. `regrow-ds config` prints the settings in force.
///
/// Exit status: 0 success, 1 a finding or a missing object, 2 unusable settings or arguments, 3 the
/// server could not serve, or the store or a file failed.
#[derive(Parser, Debug)]
#[command(name = "regrow-ds", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve until SIGTERM or SIGINT. The first line of the output names the addresses
    Serve(SettingsArgs),
    /// Print the settings in force as TOML, with the source of each value
    Config(SettingsArgs),
    /// Make and print invitations, each for one registration. Works while a server runs
    Invite(invite::InviteArgs),
    /// Print the valid invitations. Works while a server runs
    Invitations(invitations::InvitationsArgs),
    /// Revoke an invitation. Works while a server runs
    RevokeInvitation(invitations::RevokeArgs),
    /// Print the users that have or had a device. Works while a server runs
    Users(users::UsersArgs),
    /// Print all records of a user as JSON. Works while a server runs
    ExportUser(users::UserArgs),
    /// Remove all devices and invitations of a user for good. Works while a server runs
    RemoveUser(users::UserArgs),
    /// Remove a device for good, with its sessions, key packages and unread deliveries. Works while
    /// a server runs
    RemoveDevice(remove_device::RemoveDeviceArgs),
    /// Copy the store into a new file. Works while a server runs
    Backup(backup::BackupArgs),
    /// Move the store from its file into a PostgreSQL database. Needs the server to be stopped
    Move(move_store::MoveArgs),
    /// Check the store for damage. Works while a server runs
    Check(check::CheckArgs),
    /// Measure the performance of the server
    Bench(bench::BenchArgs),
}

/// Runs the command.
pub(crate) fn main(cli: Cli) -> Result<Ending, Stopped> {
    match cli.command {
        Command::Bench(args) => bench::bench(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Config(args) => config::config(&args),
        Command::Invite(args) => invite::run(&args),
        Command::Invitations(args) => invitations::list(&args),
        Command::RevokeInvitation(args) => invitations::revoke(&args),
        Command::Users(args) => users::list(&args),
        Command::ExportUser(args) => users::export(&args),
        Command::RemoveUser(args) => users::remove(&args),
        Command::RemoveDevice(args) => remove_device::run(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Move(args) => move_store::move_store(&args),
        Command::Check(args) => check::check(&args),
    }
}
