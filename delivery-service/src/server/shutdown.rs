//! The word that the server is to end, for everything in it that waits; and the signals that say so.
//!
//! It is said once, by a signal's handler, and heard by the listeners, by every stream, and by `/readyz`. What each of
//! them does then is its own affair.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server is to end. Clones are of the same server.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Says that it is to end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was said.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is said, or was.
    pub async fn begun(&self) {
        // The sender is in `self`, so it is there for as long as anybody waits.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// Listens to the signals that ask a process to end: SIGTERM, or SIGINT from a terminal. From here on they do not end it by
/// themselves; what is returned has the name of the first one that comes.
///
/// # Errors
/// The system does not let us listen to signals.
pub fn asked_to_end() -> std::io::Result<impl Future<Output = std::io::Result<&'static str>>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            Ok(tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            })
        })
    }
    #[cfg(not(unix))]
    Ok(async { tokio::signal::ctrl_c().await.map(|()| "ctrl-c") })
}

/// SIGHUP, which asks a server to read its certificate again. From [`listen`](Self::listen) on it does
/// not end the process any more, whether or not there is a certificate.
#[derive(Debug)]
pub struct HangUp {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl HangUp {
    /// Listens to the signal.
    ///
    /// # Errors
    /// The system does not let us listen to signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        // None will come.
        std::future::pending().await
    }
}
