//! The shutdown signal for all tasks that wait, and the signals of the system that cause it.
//!
//! A signal handler begins the shutdown once. The listeners, every stream and `/readyz` observe it,
//! and each reacts in its own way.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells whether the server is shutting down. Clones belong to the same server.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Shutdown {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// True if the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the shutdown begins. Returns at once if it has begun.
    pub async fn begun(&self) {
        // The sender is in `self`, so it lives as long as this call.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// Listens to the signals that ask a process to end: SIGTERM, or SIGINT from a terminal. From now
/// on they no longer end the process by themselves. The returned future gives the name of the first
/// signal.
///
/// # Errors
/// The system does not allow the process to listen to signals.
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

/// SIGHUP, which asks a server to read its certificate again. After [`listen`](Self::listen),
/// SIGHUP no longer ends the process, whether or not there is a certificate.
#[derive(Debug)]
pub struct HangUp {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl HangUp {
    /// Listens to SIGHUP.
    ///
    /// # Errors
    /// The system does not allow the process to listen to signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next SIGHUP.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        // No further signal comes.
        std::future::pending().await
    }
}
