//! `regrow-ds config`.

use std::io::{self, Write as _};

use super::{Ending, OrStop as _, SettingsArgs, Stopped};

/// Prints what is in force.
pub(super) fn config(args: &SettingsArgs) -> Result<Ending, Stopped> {
    let config = args.load()?;
    write!(io::stdout().lock(), "{config}").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}
