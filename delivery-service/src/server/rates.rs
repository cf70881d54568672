//! Rate limits of a party: a device with a session, an address without one, and one device that
//! claims key packages of another. Each has a bucket that fills at a steady rate (GCRA, by
//! `governor`).
//!
//! The bucket of a device holds cost units. [`Price`] gives the cost of a request in these units.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{NotUntil, Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::DefaultKeyedStateStore};

use super::{
    context::RequestContext, environment::Environment, price::Price, refusal::RequestError, settings::ServerLimits,
    tokens::DeviceMark,
};
use crate::{api::Code, names::DeviceId};

/// Requests of a known device without a session. A login takes two.
const KNOWN_PER_SECOND: u32 = 1;
const KNOWN_BURST: u32 = 10;

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Environment, NoOpMiddleware<Duration>>;

pub(crate) struct Rates {
    devices: Limiter<DeviceId>,
    addresses: Limiter<IpAddr>,
    known: Limiter<DeviceMark>,
    claims: Limiter<(DeviceId, DeviceId)>,
    environment: Environment,
    /// The most units that a device can have at once.
    burst: u32,
    /// The time in which a device gets one unit.
    unit_time: Duration,
}

impl Rates {
    pub(crate) fn new(limits: &ServerLimits, environment: &Environment) -> Self {
        let per_second = |rate, burst| Quota::per_second(at_least_one(rate)).allow_burst(at_least_one(burst));
        Self {
            devices: limiter(per_second(limits.device_requests_per_second, limits.device_burst), environment),
            addresses: limiter(per_second(limits.address_requests_per_second, limits.address_burst), environment),
            known: limiter(per_second(KNOWN_PER_SECOND, KNOWN_BURST), environment),
            claims: limiter(Quota::per_hour(at_least_one(limits.claims_per_device_and_hour)), environment),
            environment: environment.clone(),
            burst: limits.device_burst,
            unit_time: Duration::from_secs(1) / limits.device_requests_per_second.max(1),
        }
    }

    /// Charges a device with a session. A request costs at most all units that a device can have,
    /// so every request succeeds in the end.
    pub(crate) fn charge(&self, device: &DeviceId, price: Price) -> Result<(), RequestError> {
        let request = RequestContext::current();
        let paid = request.as_ref().map_or(0, RequestContext::units);
        let Some(units) = NonZeroU32::new(price.units().min(self.burst.saturating_sub(paid))) else {
            return Ok(());
        };
        match self.devices.check_key_n(device, units) {
            Ok(Ok(())) => {
                if let Some(request) = request {
                    request.pay(units.get());
                }
                Ok(())
            }
            Ok(Err(refused)) => {
                // The device pays for the whole request again when it sends the request again.
                let again = self.unit_time.saturating_mul(paid);
                let wait = refused.wait_time_from(self.environment.monotonic()).saturating_add(again);
                Err(RequestError::for_now(Code::TooManyRequests, wait))
            }
            Err(_) => Err(Code::TooManyRequests.into()),
        }
    }

    /// Returns the time after which a device that sends nothing can pay for any request.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.unit_time.saturating_mul(self.burst)
    }

    /// Charges an address for a request without a session.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), RequestError> {
        self.check(&self.addresses, &block_of(address), Code::TooManyRequests)
    }

    /// Charges a known device for a request without a session. Returns true if the device is within
    /// its own rate. The rate of its address does not matter.
    pub(crate) fn admits_known(&self, device: DeviceMark) -> bool {
        self.known.check_key(&device).is_ok()
    }

    /// Charges `claimer` for a claim of a key package of `target`.
    pub(crate) fn check_claim(&self, claimer: &DeviceId, target: &DeviceId) -> Result<(), RequestError> {
        self.check(&self.claims, &(claimer.clone(), target.clone()), Code::ClaimedTooOften)
    }

    /// Forgets the parties whose buckets are full again.
    pub(crate) fn forget(&self) {
        self.devices.retain_recent();
        self.addresses.retain_recent();
        self.known.retain_recent();
        self.claims.retain_recent();
    }

    fn check<K: Hash + Eq + Clone>(&self, limiter: &Limiter<K>, key: &K, code: Code) -> Result<(), RequestError> {
        let wait = |refused: NotUntil<_>| refused.wait_time_from(self.environment.monotonic());
        limiter.check_key(key).map_err(|refused| RequestError::for_now(code, wait(refused)))
    }
}

fn limiter<K: Hash + Eq + Clone>(quota: Quota, environment: &Environment) -> Limiter<K> {
    RateLimiter::dashmap_with_clock(quota, environment.clone())
}

/// A rate of 0 would admit no request at all.
fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// Returns the block of addresses that counts as one. The holder of one IPv6 address has all
/// addresses with the same first 64 bits.
pub(crate) fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}
