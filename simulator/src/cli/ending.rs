//! The result of a command, and its exit status.

use std::process::ExitCode;

/// The exit status after an interruption: that of a program which SIGINT ended, for a shell.
pub(super) const INTERRUPTED: u8 = 130;

/// The result of the command, from the mildest to the most serious. The most serious one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    #[default]
    Passed,
    Failed,
    Unusable,
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Passed => 0,
            Ending::Failed => 1,
            Ending::Unusable => 2,
            Ending::Interrupted => INTERRUPTED,
        })
    }
}
