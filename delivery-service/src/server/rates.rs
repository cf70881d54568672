//! How often who may ask: a device with a session, an address without one, and one device for the key packages of
//! another. Each has a bucket that fills at a steady rate (GCRA, by `governor`).

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::DefaultKeyedStateStore};

use super::{refusal::Refusal, settings::ServerLimits, surroundings::Surroundings};
use crate::{api::Code, names::DeviceId};

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Surroundings, NoOpMiddleware<Duration>>;

pub(crate) struct Rates {
    devices: Limiter<DeviceId>,
    addresses: Limiter<IpAddr>,
    claims: Limiter<(DeviceId, DeviceId)>,
    surroundings: Surroundings,
}

impl Rates {
    pub(crate) fn new(limits: &ServerLimits, surroundings: &Surroundings) -> Self {
        let per_second = |rate, burst| Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst));
        Self {
            devices: limiter(per_second(limits.device_requests_per_second, limits.device_burst), surroundings),
            addresses: limiter(per_second(limits.address_requests_per_second, limits.address_burst), surroundings),
            claims: limiter(Quota::per_hour(at_least_one(limits.claims_per_device_and_hour)), surroundings),
            surroundings: surroundings.clone(),
        }
    }

    /// A request of a device with a session.
    pub(crate) fn check_device(&self, device: &DeviceId) -> Result<(), Refusal> {
        self.check(&self.devices, device)
    }

    /// A request without a session.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        self.check(&self.addresses, &block_of(address))
    }

    /// A claim of a key package of `target` by `claimer`.
    pub(crate) fn check_claim(&self, claimer: &DeviceId, target: &DeviceId) -> Result<(), Refusal> {
        self.check(&self.claims, &(claimer.clone(), target.clone()))
    }

    /// Forgets those who have not asked for long enough.
    pub(crate) fn forget(&self) {
        self.devices.retain_recent();
        self.addresses.retain_recent();
        self.claims.retain_recent();
    }

    fn check<K: Hash + Eq + Clone>(&self, limiter: &Limiter<K>, key: &K) -> Result<(), Refusal> {
        limiter.check_key(key).map_err(|refused| {
            Refusal::for_now(Code::TooManyRequests, refused.wait_time_from(self.surroundings.elapsed()))
        })
    }
}

fn limiter<K: Hash + Eq + Clone>(quota: Quota, surroundings: &Surroundings) -> Limiter<K> {
    RateLimiter::dashmap_with_clock(quota, surroundings.clone())
}

/// A rate of none would let nobody in, ever.
fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// Who has one IPv6 address has all that begin with the same 64 bits.
pub(crate) fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}
