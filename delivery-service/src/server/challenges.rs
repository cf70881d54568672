//! Stateless challenges: a device signs one to prove that it has its key now.
//!
//! The server does not remember the challenges that it gives out, so no caller can use up the
//! places of others. A challenge contains its expiry and a MAC over the expiry and the name of the
//! device. Each start of the server draws a new MAC key. The server remembers only redeemed
//! challenges, until they expire. Only the device can redeem its challenge, so a stranger cannot
//! fill that memory (`docs/decisions/0047`).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hmac::Mac as _;

use super::{mac::mac, refusal::RequestError};
use crate::{api::Code, names::DeviceId};

/// Separates this use of the key from every other use. The bytes that the device signs
/// (`api::proof`) tell whether a challenge serves a registration or a session.
const LABEL: &[u8] = b"Regrow challenge 1";

/// The most challenges that one device redeems within the lifetime of a challenge. A device that
/// logs in more often waits until the oldest challenge expires.
const MAX_PER_DEVICE: usize = 32;

/// The random bytes of a challenge. They make each challenge unique.
const NONCE: usize = 16;
/// The bytes of the expiry in a challenge: milliseconds of the monotonic clock.
const EXPIRY: usize = 8;
/// The bytes of the MAC at the end of a challenge: HMAC-SHA256.
const TAG: usize = 32;

type Nonce = [u8; NONCE];

/// Makes and checks challenges, and remembers the redeemed ones.
pub(crate) struct Challenges {
    key: [u8; 32],
    redeemed: Mutex<HashMap<DeviceId, Vec<(Nonce, Duration)>>>,
}

/// A challenge that this server made for this device and that has not expired. The device may have
/// redeemed it already.
#[derive(Clone, Debug)]
pub(crate) struct ValidChallenge {
    device: DeviceId,
    nonce: Nonce,
    expires: Duration,
}

impl Challenges {
    /// Makes challenges under a key that is new for this start.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, redeemed: Mutex::default() }
    }

    /// Makes a challenge for a device. It expires at `expires`.
    pub(crate) fn make(&self, device: &DeviceId, random: [u8; 32], expires: Duration) -> Vec<u8> {
        let expires = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
        let mut challenge = Vec::with_capacity(NONCE + EXPIRY + TAG);
        challenge.extend_from_slice(random.first_chunk::<NONCE>().unwrap_or(&[0; NONCE]));
        challenge.extend_from_slice(&expires.to_be_bytes());
        let tag = mac(&self.key, &[LABEL, &device.to_identity(), &challenge]).finalize().into_bytes();
        challenge.extend_from_slice(&tag);
        challenge
    }

    /// Checks that this server made the challenge for the device, and that the challenge has not
    /// expired.
    pub(crate) fn check(&self, device: &DeviceId, challenge: &[u8], now: Duration) -> Option<ValidChallenge> {
        let (signed, tag) = challenge.split_last_chunk::<TAG>()?;
        let (nonce, expiry) = signed.split_first_chunk::<NONCE>()?;
        let expires = Duration::from_millis(u64::from_be_bytes(expiry.try_into().ok()?));
        // The comparison takes constant time.
        mac(&self.key, &[LABEL, &device.to_identity(), signed]).verify_slice(tag).ok()?;
        (expires > now).then(|| ValidChallenge { device: device.clone(), nonce: *nonce, expires })
    }

    /// Redeems a challenge. The caller has verified the signature of the device over it.
    pub(crate) fn redeem(&self, challenge: &ValidChallenge, now: Duration) -> Result<(), RequestError> {
        let ValidChallenge { device, nonce, expires } = challenge;
        let mut redeemed = self.redeemed();
        let of_device = redeemed.entry(device.clone()).or_default();
        of_device.retain(|(_, expires)| *expires > now);
        if of_device.iter().any(|(known, _)| known == nonce) {
            return Err(Code::BadProof.into());
        }
        if of_device.len() >= MAX_PER_DEVICE {
            let first = of_device.iter().map(|(_, expires)| *expires).min().unwrap_or(now);
            return Err(RequestError::for_now(Code::TooManyRequests, first.saturating_sub(now)));
        }
        of_device.push((*nonce, *expires));
        Ok(())
    }

    /// Forgets the redeemed challenges that have expired.
    pub(crate) fn expire(&self, now: Duration) {
        self.redeemed().retain(|_, of_device| {
            of_device.retain(|(_, expires)| *expires > now);
            !of_device.is_empty()
        });
    }

    fn redeemed(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<(Nonce, Duration)>>> {
        self.redeemed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const LATER: Duration = Duration::from_secs(160);

    fn alice() -> DeviceId {
        DeviceId::new("alice", "phone").expect("a name")
    }

    #[test]
    fn changed_challenge_is_refused() {
        let challenges = Challenges::new([1; 32]);
        let challenge = challenges.make(&alice(), [2; 32], LATER);
        assert!(challenges.check(&alice(), &challenge, NOW).is_some());
        for place in 0..challenge.len() {
            let mut changed = challenge.clone();
            changed[place] ^= 1;
            assert!(challenges.check(&alice(), &changed, NOW).is_none(), "byte {place}");
        }
        assert!(Challenges::new([3; 32]).check(&alice(), &challenge, NOW).is_none(), "of another start");
        assert!(challenges.check(&alice(), &challenge, LATER).is_none(), "expired");
        assert!(
            challenges.check(&DeviceId::new("bob", "phone").expect("a name"), &challenge, NOW).is_none(),
            "of another device"
        );
    }

    #[test]
    fn only_redeemed_challenges_take_memory_until_they_expire() {
        let challenges = Challenges::new([1; 32]);
        for number in 0..1_000_u32 {
            let random = [number.to_be_bytes(); 8].concat().try_into().expect("32 bytes");
            challenges.make(&alice(), random, LATER);
        }
        assert!(challenges.redeemed().is_empty());
        let challenge = challenges.make(&alice(), [2; 32], LATER);
        let genuine = challenges.check(&alice(), &challenge, NOW).expect("genuine");
        assert_eq!(challenges.redeem(&genuine, NOW), Ok(()));
        assert_eq!(challenges.redeem(&genuine, NOW), Err(Code::BadProof.into()));
        challenges.expire(LATER);
        assert!(challenges.redeemed().is_empty());
    }
}
