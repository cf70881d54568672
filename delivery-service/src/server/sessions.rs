//! The sessions that are open, in memory: every request looks here for whose its token is.
//!
//! The store has them as well. They are loaded at the start, and what changes here changes only after it is durable
//! there, in the thread that made it so.

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

/// A session that is open.
pub(crate) struct OpenSession {
    pub(crate) token: TokenHash,
    pub(crate) device: DeviceId,
    /// When it ends by itself, by the monotonic clock.
    pub(crate) deadline: Duration,
    ended: watch::Sender<bool>,
}

impl OpenSession {
    /// Whether it has been ended, or its time has come.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.deadline <= now || *self.ended.borrow()
    }

    /// Waits until somebody ends it.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this session.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// All sessions that are open. Clones share them. Times are those of the monotonic clock, so that a
/// wall clock that jumps ends no session.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<RwLock<HashMap<TokenHash, Arc<OpenSession>>>>);

impl Sessions {
    /// Opens a session until `deadline`, whatever time the store has for its end.
    pub(crate) fn insert(&self, session: StoredSession, deadline: Duration) {
        let StoredSession { token, device, expires: _ } = session;
        let session = OpenSession { token, device, deadline, ended: watch::Sender::new(false) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token, Arc::new(session));
    }

    /// The session of a token, if it is open.
    pub(crate) fn get(&self, token: &TokenHash, now: Duration) -> Option<Arc<OpenSession>> {
        let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(token).filter(|session| !session.is_over(now)).cloned()
    }

    /// Ends the sessions that are not among `stored`: another process has removed them.
    pub(crate) fn keep_only(&self, stored: &[StoredSession]) {
        let known: HashSet<_> = stored.iter().map(|session| session.token).collect();
        let gone: Vec<_> = {
            let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
            sessions.keys().filter(|token| !known.contains(token)).copied().collect()
        };
        gone.iter().for_each(|token| self.end(token));
    }

    /// Ends a session, and the streams under it.
    pub(crate) fn end(&self, token: &TokenHash) {
        if let Some(session) = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(token) {
            session.ended.send_replace(true);
        }
    }

    /// Forgets those whose time has come.
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
