//! The thief acts: with the stolen device, brought forward by replay, it makes what the member could make.
//!
//! It uses the real engine, and so keeps to what the engine keeps to: it makes nothing in an epoch that it has no keys of, and
//! sends nothing while proposals wait. Where the engine would refuse only for its owner's good, the thief helps itself: it
//! forgets what the owner wanted, and replaces a leaf whose signature key it does not have (see [`Replay::rejoin`]).
//!
//! Nothing here submits: what is made is a value, and the thief is told whether the delivery service has ordered it.

use std::sync::Arc;

use regrow_engine::{
    Client, DeviceId, EpochAuthenticator, Error, Layered, PendingCommit, Refusal, SignaturePublicKey, Snapshot,
};

use super::{
    deceived::{Deceived, Replacement},
    replay::{NO_TIME, Replay},
};

/// A commit that the thief has made in the member's name.
pub struct ForgedCommit {
    /// What is to be submitted.
    pub pending: PendingCommit,
    /// The device that made it, if it is not the replayed one.
    made_by: Option<Client>,
}

impl Replay {
    /// Encrypts a message as the member, and gives the epoch that it is of.
    ///
    /// # Errors
    ///
    /// The engine's: there is no group, or no message can be sent now.
    pub fn send(&mut self, text: &[u8]) -> Result<(u64, Vec<u8>), Error> {
        let mut group = self.client.group(&self.group)?;
        Ok((group.epoch()?.0, group.send(text)?))
    }

    /// Makes a commit that updates the member's leaf.
    ///
    /// # Errors
    ///
    /// The engine's: there is no group.
    pub fn commit(&mut self) -> Result<ForgedCommit, Error> {
        let mut group = self.client.group(&self.group)?;
        group.abandon()?;
        Ok(ForgedCommit { pending: group.update()?, made_by: None })
    }

    /// Makes an external commit that takes the member's place, or one that joins where the member has no leaf.
    ///
    /// The engine makes none if the leaf has a signature key that was not stolen. RFC 9420, 12.4.3.2, does not forbid it:
    /// an external commit is signed with the key that it brings, and whether that is acceptable for the leaf that it
    /// removes is the application's to decide. So the thief makes it all the same, with the signature key that it has:
    /// it shows its own engine a tree in which the leaf has that key, and cryptography that finds the tree in order.
    ///
    /// # Errors
    ///
    /// The engine's: the group info is not one.
    pub fn rejoin(&mut self, group_info: &[u8]) -> Result<ForgedCommit, Error> {
        let own = self.client.device().clone();
        match self.client.join_external(group_info) {
            Ok(pending) => Ok(ForgedCommit { pending, made_by: None }),
            Err(Error::Refused(Refusal::Duplicate(device))) if device == own => {
                self.rejoin_with_another_key(group_info, &own).unwrap_or(Err(Refusal::Duplicate(device).into()))
            }
            Err(error) => Err(error),
        }
    }

    /// [`None`] if the thief has no key, or cannot find the leaf.
    fn rejoin_with_another_key(&mut self, group_info: &[u8], own: &DeviceId) -> Option<Result<ForgedCommit, Error>> {
        let stolen = self.stolen_key(own)?;
        let replacement = Replacement::of_signature_key(group_info, &own.to_identity(), stolen.as_bytes())?;
        let shown = replacement.shown_in(group_info);
        let made = (|| {
            let deceived = Arc::new(Layered(Deceived::new(self.crypto.clone(), replacement)));
            let mut client = self.open_with(self.client.snapshot()?.to_store(), deceived)?;
            let pending = client.join_external(&shown)?;
            Ok(ForgedCommit { pending, made_by: Some(client) })
        })();
        Some(made)
    }

    /// The signature key that the stolen device has in the group.
    fn stolen_key(&mut self, own: &DeviceId) -> Option<SignaturePublicKey> {
        let members = self.client.group(&self.group).and_then(|mut group| group.roster()).unwrap_or_default();
        let member = members.into_iter().find(|member| member.device == *own);
        member.map(|member| member.signature_key).or_else(|| self.client.signature_key().ok())
    }

    /// All that it has now.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.client.snapshot()
    }

    /// Goes back to a state that it was in.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn go_back(&mut self, to: &Snapshot) -> Result<(), Error> {
        self.client = self.open_with(to.to_store(), self.crypto.clone())?;
        Ok(())
    }

    /// The number of the epoch that it is in, and that epoch's authenticator.
    ///
    /// # Errors
    ///
    /// The engine's: there is no group.
    pub fn epoch(&mut self) -> Result<(u64, EpochAuthenticator), Error> {
        let mut group = self.client.group(&self.group)?;
        Ok((group.epoch()?.0, group.epoch_authenticator()?))
    }

    /// The delivery service has ordered the commit: the thief is in the epoch that it makes.
    ///
    /// # Errors
    ///
    /// The engine's.
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

    /// The delivery service has not ordered the commit.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn refused(&mut self, commit: ForgedCommit) -> Result<(), Error> {
        match commit.made_by {
            None => self.client.discard(commit.pending),
            Some(_) => Ok(()),
        }
    }
}
