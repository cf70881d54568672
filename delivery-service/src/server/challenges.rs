//! Challenges: random bytes that a device signs to show that it has its key now, and has not been overheard before.
//!
//! They are in memory alone: whoever had one when the server stopped asks for another.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::refusal::Refusal;
use crate::{
    api::Code,
    names::{DeviceId, Timestamp},
};

/// Challenges of one device at a time. Everybody can ask for one in any device's name, so with one more the oldest goes:
/// if the newest were refused instead, a stranger could keep a device out.
const MAX_PER_DEVICE: usize = 32;

/// Challenges in all, at a few hundred bytes each.
const MAX: usize = 100_000;

/// How long to wait if there are too many.
const FULL: Duration = Duration::from_secs(5);

type Challenge = [u8; 32];

/// The challenges that were given out and have been neither used nor expired.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<Outstanding>);

#[derive(Default)]
struct Outstanding {
    of_device: HashMap<DeviceId, VecDeque<(Challenge, Timestamp)>>,
    count: usize,
}

impl Challenges {
    /// Gives out `challenge` to whoever says to be `device`.
    pub(crate) fn give(
        &self,
        device: DeviceId,
        challenge: Challenge,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut outstanding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outstanding.count >= MAX {
            outstanding.expire(now);
        }
        if outstanding.count >= MAX {
            return Err(Refusal::for_now(Code::Unavailable, FULL));
        }
        let of_device = outstanding.of_device.entry(device).or_default();
        of_device.push_back((challenge, expires));
        if of_device.len() > MAX_PER_DEVICE {
            of_device.pop_front();
        } else {
            outstanding.count += 1;
        }
        Ok(())
    }

    /// Uses a challenge up. Returns whether it was outstanding, and this device's.
    pub(crate) fn take(&self, device: &DeviceId, challenge: &[u8], now: Timestamp) -> bool {
        let mut outstanding = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_device) = outstanding.of_device.get_mut(device) else {
            return false;
        };
        let Some(at) = of_device.iter().position(|(one, _)| one.as_slice() == challenge) else {
            return false;
        };
        let taken = of_device.remove(at);
        if of_device.is_empty() {
            outstanding.of_device.remove(device);
        }
        outstanding.count -= 1;
        taken.is_some_and(|(_, expires)| expires > now)
    }

    /// Forgets those that have expired.
    pub(crate) fn expire(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).expire(now);
    }
}

impl Outstanding {
    fn expire(&mut self, now: Timestamp) {
        self.of_device.retain(|_, challenges| {
            challenges.retain(|(_, expires)| *expires > now);
            !challenges.is_empty()
        });
        self.count = self.of_device.values().map(VecDeque::len).sum();
    }
}
