//! The hashes of the latest epoch authenticators (RFC 9420, 8.7), for comparisons with other
//! members.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use sha2::{Digest as _, Sha256};

use crate::names::{Epoch, EpochAuthenticator};

/// The number of epochs whose authenticator hashes are stored. Two members can compare as long as
/// one is at most this many epochs behind the other.
const REMEMBERED: usize = 32;

/// The hashes of the latest epoch authenticators, the current epoch last. The authenticators
/// themselves are erased with their epochs.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct History(VecDeque<(Epoch, ByteArray<32>)>);

impl History {
    pub(crate) fn note(&mut self, epoch: Epoch, authenticator: &[u8]) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((epoch, ByteArray::new(Sha256::digest(authenticator).into())));
    }

    pub(crate) fn agreement(&self, epoch: Epoch, theirs: &EpochAuthenticator) -> Agreement {
        match self.0.iter().find(|(known, _)| *known == epoch) {
            Some((_, hash)) if hash[..] == Sha256::digest(theirs.as_bytes())[..] => Agreement::Same,
            Some(_) => Agreement::Fork,
            None => Agreement::Unknown,
        }
    }
}

/// The result of comparing an epoch with another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Both members have the same history up to that epoch.
    Same,
    /// The group has forked: in that epoch the other member was in another state. One of the two
    /// members got commits that the rest did not get. Find out which of the two agrees with the
    /// rest. The other one must [rejoin](crate::Client::join_external).
    Fork,
    /// This device has not reached the epoch, was not a member in it, or no longer stores its hash
    /// (more than 31 epochs ago).
    Unknown,
}
