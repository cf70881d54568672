//! The lane of the key packages: as many wait at the service as the policy says, or as the service keeps.
//!
//! Key packages are written down before they are uploaded, and erased if the service refuses them: new ones are made, at
//! once the first time, and after a growing delay from then on.

use std::time::Duration;

use regrow_engine::{Client, KeyPackageBytes};
use serde_bytes::ByteBuf;

use super::{
    Event,
    answers::decided,
    kept::{self, Changes, Published, Upload},
    machine::Machine,
    request::Request,
};
use crate::{
    RejectCode,
    api::{Code, KeyPackagesLeft, Problem, RefusedKeyPackage, UploadAnswer, UploadRequest},
    error::{ConnectionError, Error},
};

/// How often the service is asked how many key packages are left, beside when the device comes online or has joined a
/// group.
const ASK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The delay before new key packages are made after the second refusal. It doubles with each refusal, up to [`ASK_EVERY`].
const REFUSED_DELAY: Duration = Duration::from_secs(60);

/// The state of the lane.
pub(super) struct KeyPackages {
    /// When the service is asked next, by the monotonic clock.
    ask_at: Duration,
    /// When the last-resort key package was made that the service has, in seconds since the Unix epoch.
    last_resort: Option<u64>,
    /// The key packages that the service has. [`None`] if they are to be replaced.
    published: Option<Published>,
    /// The key packages that are to be uploaded.
    upload: Option<Upload>,
    /// The number that the service had when it was asked last.
    left: usize,
    /// The number of refusals in a row.
    refusals: u32,
    /// The most to upload at once, after the service has refused more.
    at_once: usize,
    /// The most that the service keeps, after it has refused more.
    ceiling: Option<usize>,
}

impl KeyPackages {
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            ask_at: Duration::ZERO,
            last_resort: kept::last_resort(client)?,
            published: kept::published(client)?,
            upload: kept::upload(client)?,
            left: 0,
            refusals: 0,
            at_once: usize::MAX,
            ceiling: None,
        })
    }

    /// A key package was used, or a key was replaced.
    pub(super) fn look_again(&mut self) {
        if self.refusals == 0 {
            self.ask_at = Duration::ZERO;
        }
    }

    /// The next request of the lane.
    pub(super) fn next(&self, now: Duration) -> Option<Request> {
        let bytes = |key_package: &ByteBuf| key_package.as_slice().into();
        match &self.upload {
            Some(upload) => Some(Request::Upload {
                upload: UploadRequest {
                    key_packages: upload.key_packages.iter().map(bytes).collect(),
                    last_resort: upload.last_resort.as_ref().map(bytes),
                },
                replaces: upload.replaces,
            }),
            None => (self.ask_at <= now).then_some(Request::KeyPackagesLeft),
        }
    }

    /// The time until the service is asked.
    pub(super) fn due_in(&self, now: Duration) -> Duration {
        self.ask_at.saturating_sub(now)
    }

    /// How many of those that the policy misses can be uploaded now.
    fn missing(&self, due: usize, waiting: usize) -> usize {
        let room = self.ceiling.map_or(usize::MAX, |ceiling| ceiling.saturating_sub(waiting));
        due.min(room).min(self.at_once)
    }

    /// The service keeps no more: half as many are tried, or none if it was one.
    fn take_less(&mut self, refused: usize) {
        self.at_once = refused / 2;
        if self.at_once == 0 {
            (self.ceiling, self.at_once) = (Some(self.left), usize::MAX);
        }
    }
}

impl Machine {
    /// Makes the key packages that the service lacks, and writes them down before the upload. Otherwise each attempt
    /// would make new ones, and private keys would pile up on the device.
    pub(super) fn key_packages_left(&mut self, answer: Result<KeyPackagesLeft, ConnectionError>) -> Result<(), Error> {
        let left = answer?;
        let now = self.now();
        self.key_packages.left = left.left;
        self.key_packages.ask_at = self.monotonic().saturating_add(ASK_EVERY);
        let signature_key = ByteBuf::from(self.client.signature_key()?.as_bytes());
        // Replaced at half of its life, so that a key package that is handed out is never about to expire. One that was made in
        // the future, by a clock that was ahead, is replaced as well.
        let half = self.client.policy().key_package_lifetime / 2;
        let is_fresh = |made: u64| made <= now.0 && now.0 < made.saturating_add(half);
        // Key packages with a former signature key are withdrawn: a thief of that key could use them.
        let is_current = |published: &Published| published.signature_key == signature_key && is_fresh(published.since);
        let replaces = !self.key_packages.published.as_ref().is_some_and(is_current);
        let waiting = if replaces { 0 } else { left.left };
        let missing = self.key_packages.missing(self.client.key_packages_due(waiting), waiting);
        // A last-resort key package that others have is replaced as well.
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
        let upload = Upload {
            key_packages: key_packages.into_iter().map(bytes).collect(),
            last_resort: last_resort.map(bytes),
            signature_key,
            replaces,
        };
        Changes::default().upload(Some(&upload))?.keep(&mut self.client)?;
        self.key_packages.upload = Some(upload);
        Ok(())
    }

    /// The signature key may have been replaced: the list of this user's devices gets the new one, and key packages with the
    /// former one are withdrawn at once.
    pub(super) fn look_at_signature_key(&mut self) -> Result<(), Error> {
        let signature_key = self.client.signature_key()?;
        let published = self.key_packages.published.as_ref().map(|published| published.signature_key.as_slice());
        if published != Some(signature_key.as_bytes()) {
            self.lists.look_again();
            self.key_packages.look_again();
        }
        Ok(())
    }

    /// All published key packages are withdrawn, and replaced by new ones.
    pub(super) fn renew_key_packages(&mut self) -> Result<(), Error> {
        Changes::default().published(None)?.keep(&mut self.client)?;
        self.key_packages.published = None;
        self.key_packages.look_again();
        Ok(())
    }

    pub(super) fn uploaded(&mut self, answer: Result<UploadAnswer, ConnectionError>) -> Result<(), Error> {
        let UploadAnswer { key_packages: left, refused } = match answer {
            Err(ConnectionError::Problem(problem)) if !is_for_later(&problem) => return self.refused(&problem),
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
            let published = Published { signature_key: upload.signature_key.clone(), since: now.0 };
            changes = changes.published(Some(&published))?;
            lane.published = Some(published);
        }
        let is_full = |refused: &RefusedKeyPackage| refused.reason == RejectCode::TooManyKeyPackages.name();
        if lane.at_once < usize::MAX || refused.iter().any(is_full) {
            (lane.ceiling, lane.at_once) = (Some(left.left), usize::MAX);
        }
        lane.left = left.left;
        changes.keep(&mut self.client)?;
        self.some_refused(upload, &refused)
    }

    /// The service has taken an upload, but for these key packages: they are erased, and others are made if there is room.
    fn some_refused(&mut self, upload: Upload, refused: &[RefusedKeyPackage]) -> Result<(), Error> {
        let Some(first) = refused.first() else {
            self.key_packages.refusals = 0;
            return Ok(());
        };
        let again = self.make_again();
        self.ready.push_back(Event::KeyPackagesRefused {
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

    /// Counts a refusal. Returns the time until new key packages are made.
    fn make_again(&mut self) -> Duration {
        let now = self.monotonic();
        let lane = &mut self.key_packages;
        lane.refusals = lane.refusals.saturating_add(1);
        let again = match lane.refusals {
            1 => Duration::ZERO,
            more => REFUSED_DELAY.saturating_mul(2_u32.saturating_pow(more - 2)).min(ASK_EVERY),
        };
        lane.ask_at = now.saturating_add(again);
        again
    }

    /// The service does not take the upload: its key packages are erased, and others are made.
    fn refused(&mut self, problem: &Problem) -> Result<(), Error> {
        let Some(upload) = self.key_packages.upload.take() else { return Ok(()) };
        let one_time = upload.key_packages.len();
        let number = one_time + usize::from(upload.last_resort.is_some());
        let refused: Vec<_> = upload.key_packages.into_iter().chain(upload.last_resort).collect();
        let mut again = self.make_again();
        if problem.code == Code::TooLarge && one_time > 0 {
            self.key_packages.take_less(one_time);
            again = Duration::ZERO;
            self.key_packages.ask_at = self.monotonic();
        }
        let (reason, detail) = (problem.reject_code(), problem.to_string());
        self.ready.push_back(Event::KeyPackagesRefused { key_packages: number, reason, detail, again });
        Changes::default().upload(None)?.keep(&mut self.client)?;
        let refused: Vec<_> = refused.into_iter().map(|bytes| KeyPackageBytes::new(bytes.into_vec())).collect();
        Ok(self.client.discard_key_packages(&refused)?)
    }
}

/// Whether the same upload may be taken later.
fn is_for_later(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::TooManyRequests | Code::Unavailable | Code::Timeout | Code::Internal | Code::NoSession | Code::BadProof
    )
}
