//! The reason why a thief cannot read a message.

use super::{
    history::{EpochId, MessageNumber},
    reach::Reach,
    secret::Secret,
};

/// The reason why a thief cannot read a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The thief holds a part of the epoch's secret tree. The key of the message was used and erased
    /// before the theft (RFC 9420, 9.2).
    ErasedKey,
    /// The thief cannot enter the epoch of the message (RFC 9420, 8).
    NoEpoch {
        /// True if the thief knows the init secret that the epoch before passes on. An external
        /// commit has an init secret of its own.
        init_secret: bool,
        /// True if the thief knows the commit secret.
        commit_secret: bool,
        /// True if the thief can decrypt the commit.
        commit: bool,
    },
    /// The message is of epoch 0, in which the creator is alone.
    FirstEpoch,
    /// The oracle does not know the message.
    Unknown,
}

impl Reach<'_> {
    /// The reason why the thief cannot read the message; [`None`] if it can.
    pub fn obstacle(&self, message: MessageNumber) -> Option<Obstacle> {
        let Some(sent) = self.oracle.messages.get(&message) else { return Some(Obstacle::Unknown) };
        if self.reads(sent) {
            return None;
        }
        if self.holdings.secret_trees.contains_key(&sent.epoch) {
            return Some(Obstacle::ErasedKey);
        }
        let EpochId::After(commit) = sent.epoch else { return Some(Obstacle::FirstEpoch) };
        let Some(made) = self.oracle.commits.get(&commit) else { return Some(Obstacle::Unknown) };
        let init = match made.what.external {
            true => Secret::ExternalInit(commit),
            false => Secret::Init(made.in_epoch),
        };
        Some(Obstacle::NoEpoch {
            init_secret: self.knows(init),
            commit_secret: self.knows(Secret::Commit(commit)),
            commit: self.reads_handshake(made),
        })
    }
}
