//! Whether two members are in the same state of the group, or the group has forked between them.
//!
//! A delivery service that tells members different commits of one epoch splits the group: each part goes on by itself and
//! cannot read the other. Members notice by comparing, over another channel, what only those of the same state share.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Group, GroupState};
use crate::{
    error::Error,
    names::{self, Epoch, EpochAuthenticator},
};

/// For how many epochs it is remembered what was agreed on: two members compare while one is so much behind the other.
const REMEMBERED: usize = 32;

/// What was agreed on in the latest epochs, the present one last: hashes of the epoch authenticators, which are themselves
/// erased with their epochs.
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

/// What comparing an epoch with another member says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Both have been through the same epochs up to that one.
    Same,
    /// The group has forked: in that epoch the other was in another state of it. One of the two has been told commits
    /// that the others have not. Find out with whom the rest agrees; who does not has to
    /// [rejoin](crate::Client::join_external).
    Fork,
    /// This device has not reached the epoch, was not a member in it, or remembers it no longer (more than 31 epochs ago).
    Unknown,
}

impl Group<'_> {
    /// Compares an epoch with another member, who says what its [epoch authenticator](Self::epoch_authenticator) was in it
    /// (RFC 9420, 8.7). It has to come from that member by a way that the delivery service does not control, such as
    /// another group, a call, or a code that is scanned: within the group itself, who has forked off cannot be heard.
    ///
    /// # Errors
    /// [`Error::Storage`] if the group cannot be loaded.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use regrow_engine::{Agreement, Client, DeviceId, EpochAuthenticator, Error, GroupId, MemoryStore, Policy, Timestamp, default_crypto};
    /// # fn device(user: &str) -> Result<Client, Error> {
    /// #     let id = DeviceId::new(user, "phone").expect("a short name");
    /// #     Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())
    /// # }
    /// # let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs());
    /// # let (mut alice, mut bob) = (device("alice")?, device("bob")?);
    /// # let chat = GroupId::new("chat")?;
    /// # let key_packages = bob.key_packages(1, now)?;
    /// # let pending = alice.create_group(chat.clone(), now)?.add(&key_packages, now)?;
    /// # let welcome = pending.welcome().expect("it adds somebody").to_vec();
    /// # alice.confirm(pending, now)?;
    /// # bob.join(&welcome, now)?;
    /// let (epoch, shown) = (bob.group(&chat)?.epoch()?, bob.group(&chat)?.epoch_authenticator()?);
    /// // … and Alice, to whom Bob has sent both by another way:
    /// let theirs = EpochAuthenticator::from_bytes(shown.as_bytes());
    /// assert_eq!(alice.group(&chat)?.agreement(epoch, &theirs)?, Agreement::Same);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn agreement(&mut self, epoch: Epoch, theirs: &EpochAuthenticator) -> Result<Agreement, Error> {
        self.client.with_group(&self.id, |_, group| Ok(group.membership().history.agreement(epoch, theirs)))
    }
}

impl GroupState {
    /// The group is in an epoch that it was not in.
    pub(crate) fn note_epoch(&mut self) {
        let epoch = names::epoch(self.mls.epoch());
        let authenticator = self.mls.epoch_authenticator().as_slice().to_vec();
        self.membership_mut().history.note(epoch, &authenticator);
    }
}
