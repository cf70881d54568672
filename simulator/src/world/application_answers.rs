//! The answers of a device's application to the question if a key belongs to a device.

use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

use regrow_engine::{Authenticate, IdentityClaim, UserId};

use crate::scenario::Answer;

/// The users whose keys the application refuses. It accepts the keys of all others.
#[derive(Default)]
pub(super) struct ApplicationAnswers {
    refused: RwLock<BTreeSet<UserId>>,
}

impl ApplicationAnswers {
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
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        match refused.contains(claim.device.user()) {
            true => Err("the application refuses this key".to_owned()),
            false => Ok(()),
        }
    }
}
