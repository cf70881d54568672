//! Key packages at the service: as many as the policy says, or as the service stores.
//!
//! The machine stores key packages before it uploads them, and erases them if the service refuses
//! them. It makes new ones at once after the first refusal, and after a growing delay from then on.

use std::time::Duration;

use regrow_engine::KeyPackageBytes;
use serde_bytes::ByteBuf;

use super::state::Machine;
use crate::{
    RejectCode,
    api::{Code, KeyPackagesLeft, Problem, RefusedKeyPackage, UploadAnswer},
    error::{ConnectionError, Error},
    messenger::{
        app_data::Changes,
        event::Event,
        key_package_lane::ASK_EVERY,
        problem::decided,
        records::{PendingUpload, PublishedKeyPackages},
    },
};

impl Machine {
    /// Makes the key packages that the service lacks, and stores them before the upload.
    ///
    /// Without the record, each attempt would make new ones, and private keys would pile up on the
    /// device.
    pub(super) fn key_packages_left(
        &mut self,
        response: Result<KeyPackagesLeft, ConnectionError>,
    ) -> Result<(), Error> {
        let left = response?;
        let now = self.now();
        self.key_packages.left = left.left;
        self.key_packages.ask_at = self.monotonic().saturating_add(ASK_EVERY);
        let signature_key = ByteBuf::from(self.client.signature_key()?.as_bytes());
        // The device replaces a key package at half of its life, so that no claimed one is about to
        // expire. It also replaces a key package from the future, made by a clock that was ahead.
        let half = self.client.policy().key_package_lifetime / 2;
        let is_fresh = |made: u64| made <= now.0 && now.0 < made.saturating_add(half);
        // The device withdraws key packages with a former signature key: a thief of that key could
        // use them.
        let is_current =
            |published: &PublishedKeyPackages| published.signature_key == signature_key && is_fresh(published.since);
        let replaces = !self.key_packages.published.as_ref().is_some_and(is_current);
        let waiting = if replaces { 0 } else { left.left };
        let missing = self.key_packages.missing(self.client.key_packages_due(waiting), waiting);
        // The device also replaces a last-resort key package that another device has claimed.
        let is_unused = left.last_resort && !left.last_resort_used && !replaces;
        let fresh = is_unused && self.key_packages.last_resort.is_some_and(is_fresh);
        if missing == 0 && fresh {
            return Ok(());
        }
        let key_packages = self.client.key_packages(missing, now)?;
        let last_resort = match fresh {
            true => None,
            false => Some(self.client.last_resort_key_package(now)?),
        };
        let bytes = |key_package: KeyPackageBytes| ByteBuf::from(key_package.into_bytes());
        let upload = PendingUpload {
            key_packages: key_packages.into_iter().map(bytes).collect(),
            last_resort: last_resort.map(bytes),
            signature_key,
            replaces,
        };
        Changes::default().upload(Some(&upload))?.write(&mut self.client)?;
        self.key_packages.upload = Some(upload);
        Ok(())
    }

    /// Publishes a replaced signature key.
    ///
    /// The list of this user's devices gets the new key, and the device withdraws key packages with
    /// the former one at once.
    pub(super) fn look_at_signature_key(&mut self) -> Result<(), Error> {
        let signature_key = self.client.signature_key()?;
        let published = self.key_packages.published.as_ref().map(|published| published.signature_key.as_slice());
        if published != Some(signature_key.as_bytes()) {
            self.lists.look_again();
            self.key_packages.look_again();
        }
        Ok(())
    }

    /// Withdraws all published key packages, and replaces them by new ones.
    pub(in crate::messenger) fn renew_key_packages(&mut self) -> Result<(), Error> {
        Changes::default().published(None)?.write(&mut self.client)?;
        self.key_packages.published = None;
        self.key_packages.look_again();
        Ok(())
    }

    /// Takes in the response to an upload.
    pub(super) fn uploaded(&mut self, response: Result<UploadAnswer, ConnectionError>) -> Result<(), Error> {
        let UploadAnswer { key_packages: left, refused } = match response {
            Err(ConnectionError::Problem(problem)) if !is_for_later(&problem) => return self.upload_refused(&problem),
            other => decided(other)?.map_err(ConnectionError::from)?,
        };
        let now = self.now();
        let Some(upload) = self.key_packages.upload.take() else { return Ok(()) };
        let mut changes = Changes::default().upload(None)?;
        let lane = &mut self.key_packages;
        let is_refused = |index: usize| refused.iter().any(|refused| refused.index == index);
        if upload.last_resort.is_some() && !is_refused(upload.key_packages.len()) {
            changes = changes.last_resort(now.0)?;
            lane.last_resort = Some(now.0);
        }
        if upload.replaces {
            let published = PublishedKeyPackages { signature_key: upload.signature_key.clone(), since: now.0 };
            changes = changes.published(Some(&published))?;
            lane.published = Some(published);
        }
        let is_full = |refused: &RefusedKeyPackage| refused.reason == RejectCode::TooManyKeyPackages.name();
        if lane.at_once < usize::MAX || refused.iter().any(is_full) {
            (lane.ceiling, lane.at_once) = (Some(left.left), usize::MAX);
        }
        lane.left = left.left;
        changes.write(&mut self.client)?;
        self.some_refused(upload, &refused)
    }

    /// Erases the key packages that the service has refused from an upload. The device makes others
    /// if there is room.
    fn some_refused(&mut self, upload: PendingUpload, refused: &[RefusedKeyPackage]) -> Result<(), Error> {
        let Some(first) = refused.first() else {
            self.key_packages.taken();
            return Ok(());
        };
        let again = self.key_packages.refused((self.options.monotonic)());
        self.events.push_back(Event::KeyPackagesRefused {
            key_packages: refused.len(),
            reason: RejectCode::from_name(&first.reason),
            detail: first.detail.clone(),
            again,
        });
        let mut all: Vec<_> = upload.key_packages.into_iter().chain(upload.last_resort).map(Some).collect();
        let refused = refused.iter().filter_map(|refused| all.get_mut(refused.index)?.take());
        let refused: Vec<_> = refused.map(|bytes| KeyPackageBytes::new(bytes.into_vec())).collect();
        Ok(self.client.discard_key_packages(&refused)?)
    }

    /// Erases the key packages of an upload that the service has refused as a whole.
    fn upload_refused(&mut self, problem: &Problem) -> Result<(), Error> {
        let Some(upload) = self.key_packages.upload.take() else { return Ok(()) };
        let one_time = upload.key_packages.len();
        let number = one_time + usize::from(upload.last_resort.is_some());
        let refused: Vec<_> = upload.key_packages.into_iter().chain(upload.last_resort).collect();
        let now = self.monotonic();
        let mut again = self.key_packages.refused(now);
        if problem.code == Code::TooLarge && one_time > 0 {
            self.key_packages.take_less(one_time);
            again = Duration::ZERO;
            self.key_packages.ask_at = now;
        }
        let (reason, detail) = (problem.reject_code(), problem.to_string());
        self.events.push_back(Event::KeyPackagesRefused { key_packages: number, reason, detail, again });
        Changes::default().upload(None)?.write(&mut self.client)?;
        let refused: Vec<_> = refused.into_iter().map(|bytes| KeyPackageBytes::new(bytes.into_vec())).collect();
        Ok(self.client.discard_key_packages(&refused)?)
    }
}

/// True if the service may take the same upload later.
fn is_for_later(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::TooManyRequests | Code::Unavailable | Code::Timeout | Code::Internal | Code::NoSession | Code::BadProof
    )
}
