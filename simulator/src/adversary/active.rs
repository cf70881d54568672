//! The actions of a thief. The thief acts with the stolen device, after the replay has brought it
//! up to date, and makes commits and messages in the member's name.
//!
//! The thief uses the real engine, and therefore follows its rules. It makes nothing in an epoch
//! whose keys it does not have, and sends nothing while proposals wait. Some refusals only protect
//! the engine's owner, and the thief avoids them. It gives up the owner's intents, and it replaces
//! a leaf whose signature key it does not have (see [`Replay::rejoin`]).
//!
//! Nothing here submits. The result of an action is a value, and the caller tells the thief if the
//! delivery service has ordered it.

use std::sync::Arc;

use regrow_engine::{
    Client, DeviceId, EpochAuthenticator, Error, GroupId, Layered, PendingCommit, Refusal, SignaturePublicKey, Snapshot,
};

use super::{
    forging_crypto::{ForgingCrypto, Replacement},
    replay::{NO_TIME, Replay},
};

/// A commit that the thief has made in the member's name.
pub struct ForgedCommit {
    /// The commit to submit.
    pub pending: PendingCommit,
    /// The device that made the commit, if it is not the replayed device.
    made_by: Option<Client>,
}

impl Replay {
    /// Encrypts a message to a group in the member's name, and returns it with its epoch.
    ///
    /// # Errors
    ///
    /// Errors of the engine: there is no group, or no message can be sent now.
    pub fn send(&mut self, group: &GroupId, text: &[u8]) -> Result<(u64, Vec<u8>), Error> {
        let mut group = self.client.group(group)?;
        Ok((group.epoch()?.0, group.send(text)?))
    }

    /// Makes a commit that updates the member's leaf in a group.
    ///
    /// # Errors
    ///
    /// Errors of the engine: there is no group.
    pub fn commit(&mut self, group: &GroupId) -> Result<ForgedCommit, Error> {
        let mut group = self.client.group(group)?;
        group.abandon()?;
        Ok(ForgedCommit { pending: group.update()?, made_by: None })
    }

    /// Makes an external commit that takes the member's place in a group. If the member has no leaf, the
    /// commit adds one.
    ///
    /// The engine refuses this if the leaf has a signature key that was not stolen. RFC 9420,
    /// 12.4.3.2, does not forbid it: an external commit is signed with the key that it brings. The
    /// application decides if this key is acceptable for the leaf that the commit removes. So the
    /// thief makes the commit anyway, with the signature key that it has. It shows its own engine a
    /// tree in which the leaf has that key, and a cryptography that accepts this tree.
    ///
    /// # Errors
    ///
    /// Errors of the engine: the bytes are no group info.
    pub fn rejoin(&mut self, group: &GroupId, group_info: &[u8]) -> Result<ForgedCommit, Error> {
        let own = self.client.device().clone();
        match self.client.join_external(group_info) {
            Ok(pending) => Ok(ForgedCommit { pending, made_by: None }),
            Err(Error::Refused(Refusal::Duplicate(device))) if device == own => {
                let made = self.rejoin_with_another_key(group, group_info, &own);
                made.unwrap_or(Err(Refusal::Duplicate(device).into()))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the external commit with the stolen signature key. [`None`] if the thief has no key,
    /// or cannot find the leaf.
    fn rejoin_with_another_key(
        &mut self,
        group: &GroupId,
        group_info: &[u8],
        own: &DeviceId,
    ) -> Option<Result<ForgedCommit, Error>> {
        let stolen = self.stolen_key(group, own)?;
        let replacement = Replacement::of_signature_key(group_info, &own.to_identity(), stolen.as_bytes())?;
        let shown = replacement.shown_in(group_info);
        let made = (|| {
            let forging = Arc::new(Layered(ForgingCrypto::new(self.crypto.clone(), replacement)));
            let mut client = self.open_with(self.client.snapshot()?.to_store(), forging)?;
            let pending = client.join_external(&shown)?;
            Ok(ForgedCommit { pending, made_by: Some(client) })
        })();
        Some(made)
    }

    /// The signature key of the stolen device in the group or, without the group, of the device
    /// itself.
    fn stolen_key(&mut self, group: &GroupId, own: &DeviceId) -> Option<SignaturePublicKey> {
        let members = self.client.group(group).and_then(|mut group| group.roster()).unwrap_or_default();
        let member = members.into_iter().find(|member| member.device == *own);
        member.map(|member| member.signature_key).or_else(|| self.client.signature_key().ok())
    }

    /// Returns all secrets and records that the thief's device has now.
    ///
    /// # Errors
    ///
    /// Errors of the engine.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.client.snapshot()
    }

    /// Returns to an earlier state.
    ///
    /// # Errors
    ///
    /// Errors of the engine.
    pub fn go_back(&mut self, to: &Snapshot) -> Result<(), Error> {
        self.client = self.open_with(to.to_store(), self.crypto.clone())?;
        Ok(())
    }

    /// Returns the number and the authenticator of a group's present epoch.
    ///
    /// # Errors
    ///
    /// Errors of the engine: there is no group.
    pub fn epoch(&mut self, group: &GroupId) -> Result<(u64, EpochAuthenticator), Error> {
        let mut group = self.client.group(group)?;
        Ok((group.epoch()?.0, group.epoch_authenticator()?))
    }

    /// Tells the thief that the delivery service has ordered the commit. The thief enters its
    /// epoch.
    ///
    /// # Errors
    ///
    /// Errors of the engine.
    pub fn ordered(&mut self, commit: ForgedCommit) -> Result<(), Error> {
        match commit.made_by {
            None => drop(self.client.confirm(commit.pending, NO_TIME)?),
            Some(mut client) => {
                client.confirm(commit.pending, NO_TIME)?;
                self.client = self.open_with(client.snapshot()?.to_store(), self.crypto.clone())?;
            }
        }
        Ok(())
    }

    /// Tells the thief that the delivery service has not ordered the commit.
    ///
    /// # Errors
    ///
    /// Errors of the engine.
    pub fn refused(&mut self, commit: ForgedCommit) -> Result<(), Error> {
        match commit.made_by {
            None => self.client.discard(commit.pending),
            Some(_) => Ok(()),
        }
    }
}
