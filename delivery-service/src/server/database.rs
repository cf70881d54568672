//! The store that the settings name: an SQLite file or a PostgreSQL database.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::settings::Settings;
use crate::{
    check::Finding,
    error::StoreError,
    store::{
        SqliteStore, Store, Transaction,
        postgres::{PostgresAddress, PostgresStore, PostgresUrl},
    },
};

/// The place of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL database, by an address that begins with `postgres://` or `postgresql://`.
    Postgres(String),
}

impl Database {
    /// Returns the path of the file, if the store is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl From<&str> for Database {
    fn from(text: &str) -> Self {
        if PostgresUrl::is_one(text) { Self::Postgres(text.to_owned()) } else { Self::File(text.into()) }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

impl Serialize for Database {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// The store of a server or of a command.
pub enum ServerStore {
    /// An SQLite file, or a store in memory.
    Sqlite(Box<SqliteStore>),
    /// A PostgreSQL database.
    Postgres(Box<PostgresStore>),
}

impl ServerStore {
    /// Opens the store for the server that owns it, or creates it.
    ///
    /// # Errors
    ///
    /// The errors of [`SqliteStore::open`] and [`PostgresStore::open`].
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        match &settings.database {
            Database::File(path) => SqliteStore::open(path).map(Self::from),
            Database::Postgres(url) => PostgresStore::open(postgres_address(settings, url)?).map(Self::from),
        }
    }

    /// Opens an existing store beside its owner, for a command.
    ///
    /// # Errors
    ///
    /// The errors of [`SqliteStore::open_beside`] and [`PostgresStore::open_beside`].
    pub fn open_beside(settings: &Settings) -> Result<Self, StoreError> {
        match &settings.database {
            Database::File(path) => SqliteStore::open_beside(path).map(Self::from),
            Database::Postgres(url) => PostgresStore::open_beside(postgres_address(settings, url)?).map(Self::from),
        }
    }

    /// Checks every record, and that the records agree with each other. In a file, checks also
    /// SQLite's structures. The check reads the store of one moment.
    ///
    /// # Errors
    ///
    /// The store cannot be read at all.
    pub fn check(&mut self) -> Result<Vec<Finding>, StoreError> {
        match self {
            Self::Sqlite(store) => store.check(),
            Self::Postgres(store) => store.check(),
        }
    }
}

/// Returns the address of a database, with the files that the settings name for connections.
///
/// # Errors
///
/// The address or a file cannot be used.
pub fn postgres_address(settings: &Settings, url: &str) -> Result<PostgresAddress, StoreError> {
    let url = PostgresUrl::parse(url).map_err(|error| StoreError::Backend(error.into()))?;
    let files = &settings.postgres;
    PostgresAddress::new(&url, files.password_file.as_deref(), files.authorities.as_deref())
}

impl From<SqliteStore> for ServerStore {
    fn from(store: SqliteStore) -> Self {
        Self::Sqlite(Box::new(store))
    }
}

impl From<PostgresStore> for ServerStore {
    fn from(store: PostgresStore) -> Self {
        Self::Postgres(Box::new(store))
    }
}

impl Store for ServerStore {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(store) => store.transaction(work),
            Self::Postgres(store) => store.transaction(work),
        }
    }

    fn others_version(&self) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(store) => store.others_version(),
            Self::Postgres(store) => store.others_version(),
        }
    }

    fn examine(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.examine(),
            Self::Postgres(store) => store.examine(),
        }
    }

    fn shrink(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.shrink(),
            Self::Postgres(store) => store.shrink(),
        }
    }
}
