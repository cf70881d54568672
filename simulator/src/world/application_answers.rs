//! The answers of a device's application to the question if a key belongs to a device.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Mutex, PoisonError, RwLock},
};

use regrow_engine::{Authenticate, DeviceId, IdentityClaim, UserId};

use crate::scenario::Answer;

/// The users whose keys the application refuses. It accepts the keys of all others.
#[derive(Default)]
pub(super) struct ApplicationAnswers {
    refused: RwLock<BTreeSet<UserId>>,
    /// The devices whose keys the engine has shown to the application. [`None`] if nobody asks for
    /// them.
    shown: Option<Mutex<BTreeSet<DeviceId>>>,
}

impl ApplicationAnswers {
    /// The answers of a new application. It notes the devices whose keys it sees, if `notes` is true.
    pub(super) fn new(notes: bool) -> Self {
        Self { shown: notes.then(Mutex::default), ..Self::default() }
    }

    /// Takes the devices whose keys the application has seen since the last call.
    pub(super) fn take_shown(&self) -> BTreeSet<DeviceId> {
        let shown =
            self.shown.as_ref().map(|shown| mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner)));
        shown.unwrap_or_default()
    }

    /// The application gives this answer about keys of a user from now on.
    pub(super) fn answer(&self, of: &UserId, answer: Answer) {
        let mut refused = self.refused.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Answer::Refuse => refused.insert(of.clone()),
            Answer::Accept => refused.remove(of),
        };
    }

    /// True if the application refuses the keys of a user.
    pub(super) fn refuses_somebody(&self) -> bool {
        !self.refused.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Authenticate for ApplicationAnswers {
    fn authenticate(&self, claim: &IdentityClaim) -> Result<(), String> {
        if let Some(shown) = &self.shown {
            shown.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.device.clone());
        }
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        match refused.contains(claim.device.user()) {
            true => Err("the application refuses this key".to_owned()),
            false => Ok(()),
        }
    }
}
