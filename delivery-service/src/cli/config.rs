//! `regrow-ds config`.

use std::io::{self, Write as _};

use super::{
    SettingsArgs, Stopped,
    ending::{Ending, OrStop as _},
};

/// Prints the settings in force.
pub(super) fn config(args: &SettingsArgs) -> Result<Ending, Stopped> {
    let config = args.load()?;
    write!(io::stdout().lock(), "{config}").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
