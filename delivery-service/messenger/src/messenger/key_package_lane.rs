//! The state of the key package lane.

use std::time::Duration;

use regrow_engine::Client;
use serde_bytes::ByteBuf;

use super::{
    app_data,
    records::{PendingUpload, PublishedKeyPackages},
    request::Request,
};
use crate::{api::UploadRequest, error::Error};

/// The interval at which the device queries the number of key packages at the service. It also
/// queries when it comes online and when it has joined a group.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The delay before the device makes new key packages after the second refusal. It doubles with
/// each refusal, up to [`ASK_EVERY`].
const REFUSED_DELAY: Duration = Duration::from_secs(60);

/// The state of the key package lane.
pub(super) struct KeyPackageLane {
    /// The time of the next query, by the monotonic clock.
    pub(super) ask_at: Duration,
    /// The time when the device made the last-resort key package at the service, in seconds since
    /// the Unix epoch.
    pub(super) last_resort: Option<u64>,
    /// The key packages at the service. [`None`] if the device has to replace them.
    pub(super) published: Option<PublishedKeyPackages>,
    /// The key packages to upload.
    pub(super) upload: Option<PendingUpload>,
    /// The number at the service, by the last response.
    pub(super) left: usize,
    /// The number of refusals in a row.
    refusals: u32,
    /// The largest number in one upload, after the service has refused more.
    pub(super) at_once: usize,
    /// The largest number that the service stores, after it has refused more.
    pub(super) ceiling: Option<usize>,
}

impl KeyPackageLane {
    /// The lane as an earlier process has left it.
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            ask_at: Duration::ZERO,
            last_resort: app_data::last_resort(client)?,
            published: app_data::published(client)?,
            upload: app_data::upload(client)?,
            left: 0,
            refusals: 0,
            at_once: usize::MAX,
            ceiling: None,
        })
    }

    /// Queries the service soon, because a key package was used or a key was replaced.
    pub(super) fn look_again(&mut self) {
        if self.refusals == 0 {
            self.ask_at = Duration::ZERO;
        }
    }

    /// The next request of the lane.
    pub(super) fn next_request(&self, now: Duration) -> Option<Request> {
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

    /// The time until the next query.
    pub(super) fn due_in(&self, now: Duration) -> Duration {
        self.ask_at.saturating_sub(now)
    }

    /// The number of key packages to upload now, if the policy needs `due` more.
    pub(super) fn missing(&self, due: usize, waiting: usize) -> usize {
        let room = self.ceiling.map_or(usize::MAX, |ceiling| ceiling.saturating_sub(waiting));
        due.min(room).min(self.at_once)
    }

    /// Halves the next upload, because the service did not take this many. After an upload of one,
    /// the number at the service is the ceiling.
    pub(super) fn take_less(&mut self, refused: usize) {
        self.at_once = refused / 2;
        if self.at_once == 0 {
            (self.ceiling, self.at_once) = (Some(self.left), usize::MAX);
        }
    }

    /// Ends the row of refusals.
    pub(super) fn taken(&mut self) {
        self.refusals = 0;
    }

    /// Counts a refusal. Returns the time until the device makes new key packages.
    pub(super) fn refused(&mut self, now: Duration) -> Duration {
        self.refusals = self.refusals.saturating_add(1);
        let again = match self.refusals {
            1 => Duration::ZERO,
            more => REFUSED_DELAY.saturating_mul(2_u32.saturating_pow(more - 2)).min(ASK_EVERY),
        };
        self.ask_at = now.saturating_add(again);
        again
    }
}
