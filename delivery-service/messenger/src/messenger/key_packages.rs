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
    kept::{self, Changes, Upload},
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
            upload: kept::upload(client)?,
            left: 0,
            refusals: 0,
            at_once: usize::MAX,
            ceiling: None,
        })
    }

    /// A key package was used.
    pub(super) fn look_again(&mut self) {
        if self.refusals == 0 {
            self.ask_at = Duration::ZERO;
        }
    }

    /// The next request of the lane.
    pub(super) fn next(&self, now: Duration) -> Option<Request> {
        let bytes = |key_package: &ByteBuf| key_package.as_slice().into();
        match &self.upload {
            Some(upload) => {
                let request = UploadRequest {
                    key_packages: upload.key_packages.iter().map(bytes).collect(),
                    last_resort: upload.last_resort.as_ref().map(bytes),
                };
                Some(if upload.replaces { Request::Replace(request) } else { Request::Upload(request) })
            }
            None => (self.ask_at <= now).then_some(Request::KeyPackagesLeft),
        }
    }

    /// The time until the service is asked.
    pub(super) fn due_in(&self, now: Duration) -> Duration {
        self.ask_at.saturating_sub(now)
    }

    /// How many of those that the policy misses can be uploaded now.
    fn missing(&self, due: usize) -> usize {
        let room = self.ceiling.map_or(usize::MAX, |ceiling| ceiling.saturating_sub(self.left));
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
        // After a rotation of the signature key, a thief of the old one must not come in by old key packages.
        let replaces = self.is_key_unpublished()?;
        self.key_packages.left = if replaces { 0 } else { left.left };
        self.key_packages.ask_at = self.monotonic().saturating_add(ASK_EVERY);
        let due = self.client.key_packages_due(self.key_packages.left);
        let missing = self.key_packages.missing(due);
        // Replaced at half of its life, so that the one that is handed out is never about to expire. One that was made in
        // the future, by a clock that was ahead, is replaced as well.
        let half = self.client.policy().key_package_lifetime / 2;
        let is_fresh = |made: u64| made <= now.0 && now.0 < made.saturating_add(half);
        let is_good = left.last_resort && !left.last_resort_used && !replaces;
        let fresh = is_good && self.key_packages.last_resort.is_some_and(is_fresh);
        if missing == 0 && fresh {
            return Ok(());
        }
        let key_packages = self.client.key_packages(missing, now)?;
        let last_resort = match fresh {
            true => None,
            false => Some(self.client.last_resort_key_package(now)?),
        };
        let bytes = |key_package: KeyPackageBytes| ByteBuf::from(key_package.into_bytes());
        let key_packages = key_packages.into_iter().map(bytes).collect();
        let upload = Upload { key_packages, last_resort: last_resort.map(bytes), replaces };
        Changes::default().upload(Some(&upload))?.keep(&mut self.client)?;
        self.key_packages.upload = Some(upload);
        Ok(())
    }

    pub(super) fn uploaded(&mut self, answer: Result<UploadAnswer, ConnectionError>) -> Result<(), Error> {
        let answer = match answer {
            Err(ConnectionError::Problem(problem)) if !is_for_later(&problem) => return self.refused_all(&problem),
            other => decided(other)?.map_err(ConnectionError::from)?,
        };
        let Some(upload) = self.key_packages.upload.take() else { return Ok(()) };
        let now = self.now();
        let one_time = upload.key_packages.len();
        let mut changes = Changes::default().upload(None)?;
        if upload.replaces {
            changes = changes.published_key(Some(self.client.signature_key()?.as_bytes()))?;
        }
        let lane = &mut self.key_packages;
        if upload.last_resort.is_some() && answer.refused.iter().all(|refused| refused.index != one_time) {
            changes = changes.last_resort(now.0)?;
            lane.last_resort = Some(now.0);
        }
        if lane.at_once < usize::MAX {
            (lane.ceiling, lane.at_once) = (Some(answer.key_packages.left), usize::MAX);
        }
        lane.left = answer.key_packages.left;
        changes.keep(&mut self.client)?;
        let lane = &mut self.key_packages;
        let Some(first) = answer.refused.first().cloned() else {
            lane.refusals = 0;
            return Ok(());
        };
        let all: Vec<ByteBuf> = upload.key_packages.into_iter().chain(upload.last_resort).collect();
        let refused = answer.refused.iter().filter_map(|refused| all.get(refused.index).cloned()).collect();
        let RefusedKeyPackage { reason, detail, .. } = first;
        let reason = RejectCode::from_name(&reason);
        if reason == Some(RejectCode::TooManyKeyPackages) {
            lane.ceiling = Some(answer.key_packages.left);
        }
        self.refused(refused, reason, detail, None)
    }

    /// The service takes nothing of the upload.
    fn refused_all(&mut self, problem: &Problem) -> Result<(), Error> {
        let Some(upload) = self.key_packages.upload.take() else { return Ok(()) };
        let one_time = upload.key_packages.len();
        let is_limit = matches!(problem.code, Code::LimitReached | Code::TooLarge) && one_time > 0;
        let refused = upload.key_packages.into_iter().chain(upload.last_resort).collect();
        let (reason, detail) = (problem.reject_code(), problem.to_string());
        // Forgotten before the private keys are erased: what is uploaded again must have them.
        Changes::default().upload(None)?.keep(&mut self.client)?;
        self.refused(refused, reason, detail, is_limit.then_some(one_time))
    }

    /// Whether the key packages at the service have another signature key than this device, or are to be replaced.
    fn is_key_unpublished(&self) -> Result<bool, Error> {
        let key = self.client.signature_key()?;
        Ok(kept::published_key(&self.client)?.is_none_or(|published| published != key.as_bytes()))
    }

    /// A commit of this device may have replaced its signature key.
    pub(super) fn renew_if_key_changed(&mut self) -> Result<(), Error> {
        if self.is_key_unpublished()? {
            self.key_packages.look_again();
        }
        Ok(())
    }

    /// All key packages at the service are to be replaced.
    pub(super) fn renew_key_packages(&mut self) -> Result<(), Error> {
        self.key_packages.ask_at = Duration::ZERO;
        Changes::default().published_key(None)?.keep(&mut self.client)
    }

    /// The service does not take these key packages: they are erased, and others are made. `too_many` is how many were
    /// more than the service keeps.
    fn refused(
        &mut self,
        refused: Vec<ByteBuf>,
        reason: Option<RejectCode>,
        detail: String,
        too_many: Option<usize>,
    ) -> Result<(), Error> {
        let now = self.monotonic();
        let lane = &mut self.key_packages;
        lane.refusals = lane.refusals.saturating_add(1);
        let again = match (too_many, lane.refusals) {
            (Some(one_time), _) => {
                lane.take_less(one_time);
                Duration::ZERO
            }
            (None, 1) => Duration::ZERO,
            (None, more) => REFUSED_DELAY.saturating_mul(2_u32.saturating_pow(more - 2)).min(ASK_EVERY),
        };
        lane.ask_at = now.saturating_add(again);
        self.ready.push_back(Event::KeyPackagesRefused { key_packages: refused.len(), reason, detail, again });
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
