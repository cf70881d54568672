//! What is to be done because time has passed: key packages that run out, keys that are due, what is too old.

use std::time::Duration;

use regrow_engine::{Client, GroupId, Rotation};
use serde_bytes::ByteBuf;

use super::{
    Messenger,
    kept::{self, Changes, Upload},
};
use crate::{
    api::{KeyPackagesLeft, UploadRequest},
    error::Error,
};

/// How often it is looked whether keys are due, in seconds. Each look loads every group.
const DUE_SECONDS: u64 = 10 * 60;

/// How often the service is asked how many key packages are left, in seconds, beside when this device comes online or has
/// joined a group.
const KEY_PACKAGE_SECONDS: u64 = 60 * 60;

/// What is known of it.
pub(super) struct Upkeep {
    /// When the service is to be asked next.
    ask_at: u64,
    /// When to look next for what is due.
    look_at: u64,
    /// When the last-resort key package was made.
    last_resort: Option<u64>,
    /// Key packages that were made, and are to be uploaded.
    upload: Option<Upload>,
}

impl Upkeep {
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        let (last_resort, upload) = (kept::last_resort(client)?, kept::upload(client)?);
        Ok(Self { ask_at: 0, look_at: 0, last_resort, upload })
    }

    /// A key package was used.
    pub(super) fn look_again(&mut self) {
        self.ask_at = 0;
    }
}

impl Messenger {
    pub(super) async fn upkeep(&mut self) -> Result<(), Error> {
        let now = self.now();
        if now.0 >= self.upkeep.look_at {
            self.client.expire(now)?;
            let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
            for id in ids {
                self.do_what_is_due(&id)?;
            }
            self.upkeep.look_at = now.0.saturating_add(DUE_SECONDS);
        }
        if self.upkeep.upload.is_none() && now.0 >= self.upkeep.ask_at {
            let left = self.connection.key_packages_left().await?;
            self.make_key_packages(left)?;
        }
        if let Some(upload) = &self.upkeep.upload {
            let bytes = |key_package: &ByteBuf| key_package.as_slice().into();
            let request = UploadRequest {
                key_packages: upload.key_packages.iter().map(bytes).collect(),
                last_resort: upload.last_resort.as_ref().map(bytes),
            };
            self.connection.upload_key_packages(&request).await?;
            self.uploaded()?;
        }
        Ok(())
    }

    /// What is missing at the service is made, and written down before it is uploaded: made again each time that the service
    /// cannot be reached, their private keys would pile up on the device.
    fn make_key_packages(&mut self, left: KeyPackagesLeft) -> Result<(), Error> {
        let now = self.now();
        self.upkeep.ask_at = now.0.saturating_add(KEY_PACKAGE_SECONDS);
        let missing = self.client.key_packages_due(left.left);
        // Replaced at half of its life, so that the one that is handed out is never about to expire.
        let half = self.client.policy().key_package_lifetime / 2;
        let fresh = self.upkeep.last_resort.is_some_and(|made| now.0 < made.saturating_add(half));
        if missing == 0 && left.last_resort && fresh {
            return Ok(());
        }
        let key_packages = self.client.key_packages(missing, now)?;
        let last_resort = match left.last_resort && fresh {
            true => None,
            false => Some(self.client.last_resort_key_package(now)?),
        };
        let bytes = |key_package: regrow_engine::KeyPackageBytes| ByteBuf::from(key_package.as_bytes());
        let upload =
            Upload { key_packages: key_packages.into_iter().map(bytes).collect(), last_resort: last_resort.map(bytes) };
        Changes::default().upload(Some(&upload))?.keep(&mut self.client)?;
        self.upkeep.upload = Some(upload);
        Ok(())
    }

    fn uploaded(&mut self) -> Result<(), Error> {
        let now = self.now();
        let mut changes = Changes::default().upload(None)?;
        if self.upkeep.upload.take().is_some_and(|upload| upload.last_resort.is_some()) {
            changes = changes.last_resort(now.0)?;
            self.upkeep.last_resort = Some(now.0);
        }
        changes.keep(&mut self.client)
    }

    /// Makes the commit that is due, if nothing else is in its way. It is submitted like any other.
    fn do_what_is_due(&mut self, id: &GroupId) -> Result<(), Error> {
        let now = self.now();
        let record = &self.group(id).record;
        let busy = record.creating.is_some() || record.rejoin.is_some() || record.bad.is_some();
        if busy || self.group(id).waits || self.epoch_of(id)?.is_none() {
            return Ok(());
        }
        let due = self.client.group(id)?.due(now)?;
        let made = match due.rotation {
            Some(Rotation::Keys) => Some(self.client.group(id)?.update()),
            Some(Rotation::SignatureKey) => Some(self.client.group(id)?.rotate_signature_key()),
            None if due.inactive.is_empty() || !self.options.remove_inactive => None,
            None => match self.rank(id)? {
                Some(0) => Some(self.client.group(id)?.remove(&due.inactive)),
                _ => None,
            },
        };
        match made {
            None => {}
            Some(Ok(_pending)) => _ = self.busy.insert(id.clone()),
            Some(Err(error)) => self.refuse(id, None, error)?,
        }
        Ok(())
    }

    /// How long the service may let this device wait for something to read.
    pub(super) fn wait(&self) -> Duration {
        let now = self.now().0;
        let until = |then: u64| Duration::from_secs(then.saturating_sub(now).max(1));
        let mut wait = self.options.wait;
        for state in self.groups.values() {
            if state.elsewhere.is_some() {
                return Duration::ZERO;
            }
            if let Some(bad) = &state.record.bad {
                wait = wait.min(until(bad.since.saturating_add(self.options.rollback_patience.as_secs())));
            }
            if state.proposals_since.is_some() {
                wait = wait.min(self.options.commit_turn.max(Duration::from_secs(1)));
            }
        }
        wait
    }
}
