//! Compares the group states of two members, to detect a fork of the group.
//!
//! If a delivery service sends different commits of one epoch to different members, the group
//! splits. Each part continues by itself and cannot read the other part. Members detect this when
//! they compare, over another channel, a value that only members in the same state share.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Group, GroupState};
use crate::{
    error::Error,
    names::{self, Epoch, EpochAuthenticator},
};

/// The number of epochs whose authenticator hashes are stored. Two members can compare as long as
/// one is at most this many epochs behind the other.
const REMEMBERED: usize = 32;

/// The hashes of the latest epoch authenticators, the current epoch last. The authenticators
/// themselves are erased with their epochs.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct History(VecDeque<(Epoch, [u8; 32])>);

impl History {
    fn note(&mut self, epoch: Epoch, authenticator: &[u8]) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((epoch, Sha256::digest(authenticator).into()));
    }

    fn agreement(&self, epoch: Epoch, theirs: &EpochAuthenticator) -> Agreement {
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

impl Group<'_> {
    /// Compares an epoch with another member. `theirs` is the [epoch
    /// authenticator](Self::epoch_authenticator) that the other member has shown for that epoch
    /// (RFC 9420, 8.7).
    ///
    /// The value must come over a channel that the delivery service does not control: another
    /// group, a call, or a scanned code. Within the group itself, a member in another fork cannot
    /// be heard.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{
    /// #     Agreement, Client, DeviceId, EpochAuthenticator, Error, GroupId, MemoryStore, Policy,
    /// #     Timestamp, default_crypto,
    /// # };
    /// # fn device(user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(
    /// #     std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs(),
    /// # );
    /// # let (mut alice, mut bob) = (device("alice")?, device("bob")?);
    /// # let chat = GroupId::new("chat")?;
    /// # let key_packages = bob.key_packages(1, now)?;
    /// # let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
    /// # alice.confirm(pending, now)?;
    /// # bob.join(&welcome, now)?;
    /// let epoch = bob.group(&chat)?.epoch()?;
    /// let shown = bob.group(&chat)?.epoch_authenticator()?;
    /// // Bob has sent both values to Alice over another channel.
    /// let theirs = EpochAuthenticator::from_bytes(shown.as_bytes());
    /// assert_eq!(alice.group(&chat)?.agreement(epoch, &theirs)?, Agreement::Same);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn agreement(&mut self, epoch: Epoch, theirs: &EpochAuthenticator) -> Result<Agreement, Error> {
        self.client.with_group(&self.id, |_, group| Ok(group.membership().history.agreement(epoch, theirs)))
    }
}

impl GroupState {
    /// Records the authenticator hash of a new epoch.
    pub(crate) fn note_epoch(&mut self) {
        let epoch = names::epoch(self.mls.epoch());
        let authenticator = self.mls.epoch_authenticator().as_slice().to_vec();
        self.membership_mut().history.note(epoch, &authenticator);
    }
}
