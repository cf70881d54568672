//! The sessions that are open, in memory: every request looks here for whose its token is.
//!
//! The store has them as well. They are loaded at the start, and what changes here changes only after it is durable
//! there, in the thread that made it so.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{
    admission::{StoredSession, TokenHash},
    names::{DeviceId, Timestamp},
};

/// A token: 32 random bytes, in base64url where it is written.
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads a token as it was written; `None` if it is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        // So that nothing of another length is even decoded.
        let decoded = (text.len() == 43).then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??;
        decoded.try_into().ok().map(Self)
    }

    pub(crate) fn write(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

/// A session that is open.
pub(crate) struct OpenSession {
    pub(crate) token: TokenHash,
    pub(crate) device: DeviceId,
    pub(crate) expires: Timestamp,
    ended: watch::Sender<bool>,
}

impl OpenSession {
    /// Whether it has been ended, or its time has come.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires <= now || *self.ended.borrow()
    }

    /// Waits until somebody ends it.
    pub(crate) async fn ended(&self) {
        // The sender lives as long as this session.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// All that are open. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<RwLock<HashMap<TokenHash, Arc<OpenSession>>>>);

impl Sessions {
    pub(crate) fn insert(&self, session: StoredSession) {
        let StoredSession { token, device, expires } = session;
        let session = OpenSession { token, device, expires, ended: watch::Sender::new(false) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token, Arc::new(session));
    }

    /// The session of a token, if it is open.
    pub(crate) fn get(&self, token: &TokenHash, now: Timestamp) -> Option<Arc<OpenSession>> {
        let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(token).filter(|session| !session.is_over(now)).cloned()
    }

    /// These are the sessions that are open: somebody else has changed the store. Ends those that are not among them.
    pub(crate) fn replace(&self, open: Vec<StoredSession>) {
        let known: HashSet<_> = open.iter().map(|session| session.token).collect();
        let gone: Vec<_> = {
            let sessions = self.0.read().unwrap_or_else(PoisonError::into_inner);
            sessions.keys().filter(|token| !known.contains(token)).copied().collect()
        };
        gone.iter().for_each(|token| self.end(token));
        for session in open {
            let is_new = !self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session.token);
            if is_new {
                self.insert(session);
            }
        }
    }

    /// Ends a session, and the streams under it.
    pub(crate) fn end(&self, token: &TokenHash) {
        if let Some(session) = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(token) {
            session.ended.send_replace(true);
        }
    }

    /// Forgets those whose time has come.
    pub(crate) fn expire(&self, now: Timestamp) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, session| {
            let stays = session.expires > now;
            if !stays {
                session.ended.send_replace(true);
            }
            stays
        });
    }
}
