//! The errors of the database as [`StoreError`].

use tokio_postgres::{
    Error,
    error::{Severity, SqlState},
};

use crate::error::StoreError;

/// Classes of `SQLSTATE` whose errors end when the database is back: connections, logins, rolled
/// back transactions, resources, and operators.
const PASSING: [&str; 5] = ["08", "28", "40", "53", "57"];

/// Translates an error. Only the message itself goes on: the details can contain records.
pub(super) fn store_error(error: &Error) -> StoreError {
    let Some(database) = error.as_db_error() else {
        let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
        return StoreError::Away(format!("{error}{source}"));
    };
    let code = database.code();
    let message = format!("{} ({})", database.message(), code.code());
    match code {
        code if *code == SqlState::DISK_FULL => StoreError::DiskFull,
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Away(message),
        code if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::InUse,
        code if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => StoreError::Away(message),
        code if PASSING.iter().any(|class| code.code().starts_with(class)) => StoreError::Away(message),
        _ => StoreError::Backend(message.into()),
    }
}

/// True if the database has refused a statement, and the session goes on. Then the transaction has
/// certainly not happened.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.as_db_error().and_then(|error| error.parsed_severity()) == Some(Severity::Error)
}
