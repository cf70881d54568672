//! The flags for settings. The file or the environment sets the settings that have no flag.

use std::{env, path::PathBuf};

use anyhow::{Context as _, anyhow};
use regrow_delivery_service::{
    DeliveryService, ServiceKey, StoreError,
    server::{
        Environment,
        config::{Config, Flag, Sources},
        database::{Database, ServerStore},
    },
};

use super::ending::{Ending, OrStop as _, Stopped};

#[derive(clap::Args, Debug)]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Address for devices
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Address for operators' programs
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_operators: Option<String>,
    /// File with the certificate and its chain, in PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// File with the certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Who may register a device: open, token or jwt
    #[arg(long, value_name = "MODE")]
    registration: Option<String>,
    /// Log level: error, warn, info or debug, or directives as in RUST_LOG
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log format: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingsArgs {
    pub(super) fn load(&self) -> Result<Config, Stopped> {
        let flags = [
            ("--listen", "listen", &self.listen),
            ("--listen-operators", "listen_operators", &self.listen_operators),
            ("--tls-certificate", "tls.certificate", &self.tls_certificate),
            ("--tls-key", "tls.key", &self.tls_key),
            ("--registration", "registration.mode", &self.registration),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        let given = flags
            .into_iter()
            .filter_map(|(name, key, value)| Some(Flag { name, key, value: value.clone()? }))
            .collect();
        self.database.load_with(given)
    }
}

/// The flags that locate the store.
#[derive(clap::Args, Debug)]
pub(super) struct DatabaseArgs {
    /// Settings file [default: regrow-ds.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Store: a file, or the address of a PostgreSQL database
    #[arg(long, value_name = "FILE|postgres://...")]
    database: Option<String>,
}

impl DatabaseArgs {
    pub(super) fn load(&self) -> Result<Config, Stopped> {
        self.load_with(Vec::new())
    }

    fn load_with(&self, mut flags: Vec<Flag>) -> Result<Config, Stopped> {
        if let Some(value) = self.database.clone() {
            flags.push(Flag { name: "--database", key: "database", value });
        }
        let sources = Sources { file: self.config.clone(), variables: env::vars_os().collect(), flags };
        Config::load(&sources).or_stop(Ending::Unusable)
    }
}

/// Opens the store, also while a server uses it.
pub(super) fn open_store(config: &Config) -> Result<ServerStore, Stopped> {
    ServerStore::open_beside(&config.settings).map_err(|error| stopped_by_store(config, error))
}

/// Opens the service over the store for one call, also while a server uses the store.
pub(super) fn open_service(config: &Config) -> Result<DeliveryService<ServerStore>, Stopped> {
    let store = open_store(config)?;
    // The new key counts only for a store that has no key yet.
    let fresh = fresh_key().or_stop(Ending::Failed)?;
    DeliveryService::open(store, config.settings.limits.ordering, fresh)
        .map_err(|error| stopped_by_store(config, error))
}

/// Makes a random service key.
fn fresh_key() -> anyhow::Result<ServiceKey> {
    let seed = Environment::of_this_machine().random().context("cannot make the service's key")?;
    Ok(ServiceKey::from_seed(&seed))
}

/// Adds the store's path and a remedy to an error of the store.
pub(super) fn stopped_by_store(config: &Config, error: StoreError) -> Stopped {
    let path = &config.settings.database;
    let origin = config.origin("database");
    let (ending, remedy) = match &error {
        StoreError::InUse => (
            Ending::Failed,
            format!("Another server uses {path}, or a command on it does not end. Stop it, or name another `database`"),
        ),
        StoreError::Missing { .. } | StoreError::Empty => (
            Ending::Unusable,
            format!("Name the server's `database` (this one is {path}, from: {origin}), or start the server once"),
        ),
        StoreError::Moved => {
            (Ending::Unusable, format!("Name that database in `database` (this one is {path}, from: {origin})"))
        }
        StoreError::Unfinished => {
            (Ending::Unusable, "Start `regrow-ds move` again, or go on with the store in the file".to_owned())
        }
        StoreError::NotEmpty => (
            Ending::Unusable,
            "Name an empty database or schema. If an earlier move was interrupted at its end, the store is complete"
                .to_owned(),
        ),
        StoreError::NewerFormat { .. } => {
            (Ending::Unusable, "Use the version that wrote it, or a later one".to_owned())
        }
        StoreError::OlderFormat { .. } | StoreError::NotAStore => {
            (Ending::Unusable, format!("Name another `database` (the present one is {path}, from: {origin})"))
        }
        StoreError::Away(_) => {
            (Ending::Failed, format!("Make sure that the database runs and accepts this user ({path}, from: {origin})"))
        }
        StoreError::TakenOver => (Ending::Failed, "Only one server can have a database. Stop one of them".to_owned()),
        StoreError::Undetermined => (Ending::Failed, "Look if it has happened, and try again if not".to_owned()),
        StoreError::File { .. } => (Ending::Failed, "Make sure that the current user may write to it".to_owned()),
        _ => match path {
            Database::File(_) => (Ending::Failed, format!("Check {path} with `regrow-ds check`, and check its disk")),
            Database::Postgres(_) => (Ending::Failed, format!("Look at the log of the database {path}")),
        },
    };
    Stopped { ending, error: anyhow!("{error}. {remedy}") }
}
