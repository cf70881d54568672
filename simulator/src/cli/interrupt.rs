//! Interruptions by the user or the system: SIGINT and SIGTERM.
//!
//! The first signal asks the command for an orderly end. The second signal ends the program at once.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// True after the first signal.
pub(super) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Catches the signals from now on. The command has to ask [`requested`] often.
#[cfg(unix)]
pub(super) fn catch() -> io::Result<()> {
    use std::{process, thread};

    use regrow_simulator::whole_file;
    use signal_hook::{
        consts::{SIGINT, SIGTERM},
        iterator::Signals,
    };

    use super::ending::INTERRUPTED;

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if REQUESTED.swap(true, Ordering::Relaxed) {
                whole_file::remove_unfinished();
                process::exit(INTERRUPTED.into());
            }
        }
    })?;
    Ok(())
}

/// Other systems end the program at the first signal. Output files then have their old content.
#[cfg(not(unix))]
pub(super) fn catch() -> io::Result<()> {
    Ok(())
}
