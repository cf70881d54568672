//! The command line: what can be asked, and the exit status that answers.

mod backup;
mod bench;
mod check;
mod config;
mod invitations;
mod invite;
mod remove_device;
mod serve;
mod settings;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::settings::SettingsArgs;

/// Orders what MLS groups send, hands out key packages and routes welcomes.
///
/// Settings come from defaults, a TOML file, the environment (REGROW_DS_LISTEN, and REGROW_DS_LIMITS__QUEUE for a key in
/// a table) and flags; the later wins, and `regrow-ds config` shows what is in force.
///
/// Exit status: 0 all went well, 1 something was found or is not there, 2 unusable settings or arguments, 3 the server
/// could not serve, or the store or a file failed.
#[derive(Parser, Debug)]
#[command(name = "regrow-ds", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve, until SIGTERM or SIGINT; says on the first line of its output where
    Serve(SettingsArgs),
    /// Print the settings that are in force, as TOML, with the origin of each
    Config(SettingsArgs),
    /// Print invitations, each good for one device to register, also while a server runs
    Invite(invite::InviteArgs),
    /// Print the invitations that are still good, also while a server runs
    Invitations(invitations::InvitationsArgs),
    /// Revoke an invitation, also while a server runs
    RevokeInvitation(invitations::RevokeArgs),
    /// Print the users that have or had a device, also while a server runs
    Users(users::UsersArgs),
    /// Print the records that are kept under a user's name, as JSON, also while a server runs
    ExportUser(users::UserArgs),
    /// Remove all devices of a user for good, and the user's invitations, also while a server runs
    RemoveUser(users::UserArgs),
    /// Remove a device for good: its sessions, its key packages and what it has yet to read
    RemoveDevice(remove_device::RemoveDeviceArgs),
    /// Copy the store into a new file, also while a server uses it
    Backup(backup::BackupArgs),
    /// Look for damage in the store, also while a server uses it
    Check(check::CheckArgs),
    /// Measure what the server does in a second
    Bench(bench::BenchArgs),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All went well.
    Well,
    /// What was looked for is not there, or what was not to be found is.
    Found,
    /// Settings or arguments cannot be used.
    Unusable,
    /// The server could not serve, or the store or a file failed.
    Failed,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Well => 0,
            Ending::Found => 1,
            // It is clap's, too.
            Ending::Unusable => 2,
            Ending::Failed => 3,
        })
    }
}

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) ending: Ending,
    pub(crate) error: anyhow::Error,
}

/// Says how a command ends if this fails.
trait OrStop<T> {
    fn or_stop(self, ending: Ending) -> Result<T, Stopped>;
}

impl<T, E: Into<anyhow::Error>> OrStop<T> for Result<T, E> {
    fn or_stop(self, ending: Ending) -> Result<T, Stopped> {
        self.map_err(|error| Stopped { ending, error: error.into() })
    }
}

/// Does what was asked.
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
        Command::Check(args) => check::check(&args),
    }
}
