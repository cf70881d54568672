//! The endings of a command and their exit statuses.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Success.
    Well,
    /// The command found damage, or the named object does not exist.
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
            // Clap uses this status as well.
            Ending::Unusable => 2,
            Ending::Failed => 3,
        })
    }
}

/// The failure of a command: its exit status and its error.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) ending: Ending,
    pub(crate) error: anyhow::Error,
}

/// Turns an error into a failure with an exit status.
pub(super) trait OrStop<T> {
    fn or_stop(self, ending: Ending) -> Result<T, Stopped>;
}

impl<T, E: Into<anyhow::Error>> OrStop<T> for Result<T, E> {
    fn or_stop(self, ending: Ending) -> Result<T, Stopped> {
        self.map_err(|error| Stopped { ending, error: error.into() })
    }
}
