//! The open sessions, in memory. Every request looks up the session of its token here.
//!
//! The store has the sessions as well, and the server loads them at its start. A change is durable
//! in the store before the store's thread applies it here.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    admission::{StoredSession, TokenHash},
    names::DeviceId,
};

/// An open session.
pub(crate) struct OpenSession {
    pub(crate) token: TokenHash,
    pub(crate) device: DeviceId,
    /// The end of the session, by the monotonic clock.
    pub(crate) deadline: Duration,
    ended: watch::Sender<bool>,
}

impl OpenSession {
    /// True if the session was ended or has expired.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.deadline <= now || *self.ended.borrow()
    }

    /// Waits until the server ends the session.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this session.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// All open sessions. Clones share them. All times are times of the monotonic clock, so a jump of
/// the wall clock ends no session.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<RwLock<HashMap<TokenHash, Arc<OpenSession>>>>);

impl Sessions {
    /// Opens a session until `deadline`. The expiry in the store does not count here.
    pub(crate) fn insert(&self, session: StoredSession, deadline: Duration) {
        let StoredSession { token, device, expires: _ } = session;
        let session = OpenSession { token, device, deadline, ended: watch::Sender::new(false) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token, Arc::new(session));
    }

    /// Returns the session of a token, if the session is open.
    pub(crate) fn get(&self, token: &TokenHash, now: Duration) -> Option<Arc<OpenSession>> {
        let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(token).filter(|session| !session.is_over(now)).cloned()
    }

    /// Ends the sessions that are not in `stored`: another process has removed them.
    pub(crate) fn keep_only(&self, stored: &[StoredSession]) {
        let known: HashSet<_> = stored.iter().map(|session| session.token).collect();
        let gone: Vec<_> = {
            let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
            sessions.keys().filter(|token| !known.contains(token)).copied().collect()
        };
        gone.iter().for_each(|token| self.end(token));
    }

    /// Ends a session and its streams.
    pub(crate) fn end(&self, token: &TokenHash) {
        if let Some(session) = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(token) {
            session.ended.send_replace(true);
        }
    }

    /// Ends and forgets the sessions that have expired.
    pub(crate) fn expire(&self, now: Duration) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, session| {
            let stays = session.deadline > now;
            if !stays {
                session.ended.send_replace(true);
            }
            stays
        });
    }
}
