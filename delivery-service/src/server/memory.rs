//! The memory budgets: bodies that the server is reading, their decoded copies, and answers that
//! clients have not taken yet.
//!
//! A request holds a [`Charge`]. Its bytes count against the budgets of the connection, of the
//! caller and of the server at once. The budget of the server has three parts: one for requests
//! that show no device, one for the first bytes of all other requests, and one for their remaining
//! bytes. So strangers cannot use up the memory for devices, and large requests leave room for
//! small ones.
//!
//! A charge that finds no room waits for a limited time. Then the server refuses the request: with
//! 429 if other requests of the caller take the room, and with 503 if the server is full.
//! `docs/operators.md` adds up the parts.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{refusal::RequestError, settings::ServerLimits, shares::Shares, tokens::DeviceMark};
use crate::{api::Code, names::DeviceId};

/// The time that a request waits for memory before the server refuses it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time after which a client tries again if the server had no memory for it.
const RETRY: Duration = Duration::from_secs(2);

/// The size of a block. Budgets count in blocks.
const BLOCK: usize = 1024;

/// The part of the server's budget for requests that show no device: one byte of every 8.
const STRANGERS_PART: usize = 8;

/// The part of the strangers' budget that one address may use: one byte of every 4.
const ADDRESS_PART: usize = 4;

/// The part of the server's budget for the first bytes of each request: one byte of every 8.
const SMALL_PART: usize = 8;

/// The first bytes of a request, which have a budget of their own. So small requests go on while
/// large requests fill the rest.
const SMALL: usize = 64 * 1024;

/// The part of the budget for first bytes that one device may use: one byte of every 16.
const SMALL_OF_DEVICE: usize = 16;

/// The budget of a known device without a session. It needs only small bodies to log in.
const KNOWN_BYTES: usize = 1024 * 1024;

/// The party that pays for a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// A device with a session.
    Device(DeviceId),
    /// A device that shows the token of a past session.
    Known(DeviceMark),
    /// An address, or a network of IPv6, for a request that shows no device.
    Address(IpAddr),
}

/// The memory budgets of the server.
pub(crate) struct Memory {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    devices: Shares<DeviceId>,
    small_of_devices: Shares<DeviceId>,
    known: Shares<DeviceMark>,
    addresses: Shares<IpAddr>,
    total: usize,
    /// Half of the budget of a device, in blocks.
    half_of_device: usize,
    patience: Duration,
}

impl Memory {
    pub(crate) fn new(limits: &ServerLimits) -> Self {
        let (strangers, small) = (limits.memory_bytes / STRANGERS_PART, limits.memory_bytes / SMALL_PART);
        let large = large_bytes(limits.memory_bytes);
        Self {
            small: Arc::new(Semaphore::new(blocks(small))),
            large: Arc::new(Semaphore::new(blocks(large))),
            strangers: Arc::new(Semaphore::new(blocks(strangers))),
            devices: Shares::new(blocks(limits.device_memory_bytes)),
            small_of_devices: Shares::new(blocks(small / SMALL_OF_DEVICE)),
            known: Shares::new(blocks(KNOWN_BYTES)),
            addresses: Shares::new(blocks(strangers / ADDRESS_PART)),
            total: blocks(small) + blocks(large) + blocks(strangers),
            half_of_device: blocks(limits.device_memory_bytes) / 2,
            patience: PATIENCE,
        }
    }

    /// Returns an empty charge against the budgets that apply to `principal`, on a connection with
    /// the budget `connection`.
    pub(crate) fn charge(&self, principal: &Principal, connection: Option<Arc<Semaphore>>) -> Charge {
        let connection = connection.into_iter().map(|budget| Budget::of_caller(budget, CountedBytes::All));
        let mut budgets: Vec<_> = connection.collect();
        let devices_parts = || {
            let small = Budget::of_server(&self.small, CountedBytes::First);
            [small, Budget::of_server(&self.large, CountedBytes::Rest)]
        };
        match principal {
            Principal::Device(device) => {
                budgets.push(Budget::of_caller(self.devices.of(device), CountedBytes::All));
                budgets.push(Budget::of_caller(self.small_of_devices.of(device), CountedBytes::First));
                budgets.extend(devices_parts());
            }
            Principal::Known(mark) => {
                budgets.push(Budget::of_caller(self.known.of(mark), CountedBytes::All));
                budgets.extend(devices_parts());
            }
            Principal::Address(address) => {
                budgets.push(Budget::of_caller(self.addresses.of(address), CountedBytes::All));
                budgets.push(Budget::of_server(&self.strangers, CountedBytes::All));
            }
        }
        Charge::against(budgets, self.half_of_device, self.patience)
    }

    /// Returns an empty charge for a request that another node carries out. That node charges the
    /// caller.
    pub(crate) fn charge_forwarded(&self, connection: Option<Arc<Semaphore>>) -> Charge {
        let connection = connection.into_iter().map(|budget| Budget::of_caller(budget, CountedBytes::All));
        let budgets = connection.chain([Budget::of_server(&self.large, CountedBytes::All)]).collect();
        Charge::against(budgets, self.half_of_device, self.patience)
    }

    /// The bytes that are charged at this moment.
    pub(crate) fn used(&self) -> usize {
        let budgets = [&self.small, &self.large, &self.strangers];
        let free: usize = budgets.iter().map(|budget| budget.available_permits()).sum();
        self.total.saturating_sub(free).saturating_mul(BLOCK)
    }

    /// Forgets the budgets that no party uses.
    pub(crate) fn forget(&self) {
        self.devices.forget();
        self.small_of_devices.forget();
        self.known.forget();
        self.addresses.forget();
    }
}

/// Returns the part of the server's budget for devices, without the part for the first bytes of
/// each request.
pub(crate) const fn large_bytes(memory_bytes: usize) -> usize {
    memory_bytes - memory_bytes / STRANGERS_PART - memory_bytes / SMALL_PART
}

/// Creates the budget of one connection.
pub(crate) fn of_connection(limits: &ServerLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(blocks(limits.device_memory_bytes)))
}

fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK).min(Semaphore::MAX_PERMITS)
}

/// The part of a request's bytes that counts against a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedBytes {
    /// All bytes.
    All,
    /// The first [`SMALL`] bytes.
    First,
    /// The bytes after the first [`SMALL`] bytes.
    Rest,
}

impl CountedBytes {
    /// Returns the blocks of a request of `bytes` bytes that count.
    fn of(self, bytes: usize) -> usize {
        blocks(match self {
            Self::All => bytes,
            Self::First => bytes.min(SMALL),
            Self::Rest => bytes.saturating_sub(SMALL),
        })
    }
}

/// One of the budgets that a request counts against.
#[derive(Clone)]
struct Budget {
    blocks: Arc<Semaphore>,
    counted: CountedBytes,
    /// The code of the refusal if the budget has no room.
    shortage: Code,
}

impl Budget {
    /// Returns a budget of the caller or of the connection. Other requests of the same caller take
    /// its room.
    fn of_caller(blocks: Arc<Semaphore>, counted: CountedBytes) -> Self {
        Self { blocks, counted, shortage: Code::TooManyRequests }
    }

    fn of_server(blocks: &Arc<Semaphore>, counted: CountedBytes) -> Self {
        Self { blocks: Arc::clone(blocks), counted, shortage: Code::Unavailable }
    }
}

/// The memory that a request has charged. The drop of the last clone gives it back.
#[derive(Clone)]
pub(crate) struct Charge(Arc<ChargeState>);

struct ChargeState {
    /// The narrowest budget comes first. So a request that waits for its own budget blocks nobody
    /// from the server's budget.
    budgets: Vec<Budget>,
    held: Mutex<HeldMemory>,
    half_of_device: usize,
    patience: Duration,
}

/// The memory that a charge holds in each budget.
struct HeldMemory {
    bytes: usize,
    permits: Vec<Option<OwnedSemaphorePermit>>,
}

impl Charge {
    fn against(budgets: Vec<Budget>, half_of_device: usize, patience: Duration) -> Self {
        let permits = budgets.iter().map(|_| None).collect();
        Self(Arc::new(ChargeState {
            budgets,
            held: Mutex::new(HeldMemory { bytes: 0, permits }),
            half_of_device,
            patience,
        }))
    }

    /// Returns another, empty charge against the same budgets.
    pub(crate) fn sibling(&self) -> Self {
        Self::against(self.0.budgets.clone(), self.0.half_of_device, self.0.patience)
    }

    /// The charged bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.held().bytes
    }

    /// True if the connection or the party has used more than half of its own budget.
    pub(crate) fn is_pressed(&self) -> bool {
        let mut own = self.0.budgets.iter().filter(|budget| budget.counted == CountedBytes::All);
        own.any(|budget| budget.blocks.available_permits() < self.0.half_of_device)
    }

    /// Raises the charge to `bytes`. Waits for room, for a limited time.
    ///
    /// Fails with [`Code::TooManyRequests`] if a budget of the caller has no room. Fails with
    /// [`Code::Unavailable`] if the server has no room.
    pub(crate) async fn grow_to(&self, bytes: usize) -> Result<(), RequestError> {
        let before = self.bytes();
        if bytes <= before {
            return Ok(());
        }
        let deadline = Instant::now() + self.0.patience;
        let mut permits = Vec::with_capacity(self.0.budgets.len());
        for Budget { blocks, counted, shortage } in &self.0.budgets {
            let room = Arc::clone(blocks).acquire_many_owned(counted.more(before, bytes));
            let refused = || RequestError::for_now(*shortage, RETRY);
            permits.push(timeout_at(deadline, room).await.map_err(|_| refused())?.map_err(|_| refused())?);
        }
        self.add(permits, before, bytes);
        Ok(())
    }

    /// Raises the charge to `bytes` if there is room at once. Returns true if there was room.
    pub(crate) fn try_grow_to(&self, bytes: usize) -> bool {
        let before = self.bytes();
        if bytes <= before {
            return true;
        }
        let budgets = self.0.budgets.iter();
        let permits: Option<Vec<_>> = budgets
            .map(|Budget { blocks, counted, .. }| {
                Arc::clone(blocks).try_acquire_many_owned(counted.more(before, bytes)).ok()
            })
            .collect();
        permits.map(|permits| self.add(permits, before, bytes)).is_some()
    }

    /// Lowers the charge to `bytes`.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        let mut held = self.held();
        held.bytes = held.bytes.min(bytes);
        for (budget, permit) in self.0.budgets.iter().zip(&mut held.permits) {
            if let Some(permit) = permit {
                let surplus = permit.num_permits().saturating_sub(budget.counted.of(bytes));
                drop(permit.split(surplus));
            }
        }
    }

    /// Adds the permits for a change of the charge from `before` to `bytes`.
    fn add(&self, permits: Vec<OwnedSemaphorePermit>, before: usize, bytes: usize) {
        let mut held = self.held();
        // A request raises its charge in one place at a time. Two places at once would count the
        // bytes twice.
        held.bytes = held.bytes.saturating_add(bytes - before);
        for (held, more) in held.permits.iter_mut().zip(permits) {
            match held {
                Some(held) => held.merge(more),
                None => *held = Some(more),
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HeldMemory> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CountedBytes {
    /// Returns the blocks that are missing for a change from `before` to `bytes`.
    fn more(self, before: usize, bytes: usize) -> u32 {
        u32::try_from(self.of(bytes).saturating_sub(self.of(before))).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Problem, server::tokens::SessionTokens};

    const MIB: usize = 1024 * 1024;

    fn device(name: &str) -> Principal {
        Principal::Device(DeviceId::new(name, "phone").expect("a name"))
    }

    #[test]
    fn large_requests_leave_room_for_small_requests_and_strangers() {
        let memory = Memory::new(&ServerLimits::default());
        let mut held = Vec::new();
        for number in 0..20 {
            let charge = memory.charge(&device(&format!("mallory{number}")), None);
            if charge.try_grow_to(31 * MIB) {
                held.push(charge);
            }
        }
        assert_eq!(held.len(), 6, "the budget for large requests has 192 MiB");
        assert!(!memory.charge(&device("alice"), None).try_grow_to(7 * MIB));
        assert!(memory.charge(&device("alice"), None).try_grow_to(SMALL));
        assert!(memory.charge(&Principal::Address([192, 0, 2, 1].into()), None).try_grow_to(MIB));
        drop(held);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn one_address_leaves_room_for_another() {
        let memory = Memory::new(&ServerLimits::default());
        let stranger = |last| memory.charge(&Principal::Address([192, 0, 2, last].into()), None);
        let (one, other) = (stranger(1), stranger(1));
        assert!(one.try_grow_to(8 * MIB) && !other.try_grow_to(1));
        assert!(stranger(2).try_grow_to(8 * MIB));
    }

    #[tokio::test]
    async fn caller_that_fills_its_own_budget_gets_too_many_requests() {
        let memory = Memory { patience: Duration::ZERO, ..Memory::new(&ServerLimits::default()) };
        let stranger = Principal::Address([192, 0, 2, 1].into());
        let known =
            Principal::Known(SessionTokens::new([1; 32]).mark(&DeviceId::new("alice", "phone").expect("a name")));
        for (caller, own) in [(device("alice"), 32), (stranger, 8), (known, 1)] {
            let filling = memory.charge(&caller, None);
            assert_eq!(filling.grow_to(own * MIB).await, Ok(()), "{caller:?}");
            let refused = memory.charge(&caller, None).grow_to(MIB).await.map_err(|refusal| refusal.0.code);
            assert_eq!(refused, Err(Code::TooManyRequests), "{caller:?}");
        }
        let connection = of_connection(&ServerLimits::default());
        let filling = memory.charge(&device("bob"), Some(Arc::clone(&connection)));
        assert_eq!(filling.grow_to(32 * MIB).await, Ok(()));
        let other = memory.charge(&device("carol"), Some(connection));
        assert_eq!(other.grow_to(MIB).await.map_err(|refusal| refusal.0.code), Err(Code::TooManyRequests));
    }

    #[tokio::test]
    async fn full_server_answers_unavailable() {
        let memory = Memory { patience: Duration::ZERO, ..Memory::new(&ServerLimits::default()) };
        let mut held = Vec::new();
        for number in 0..6 {
            held.push(memory.charge(&device(&format!("mallory{number}")), None));
            assert_eq!(held[number].grow_to(31 * MIB).await, Ok(()));
        }
        let refused = memory.charge(&device("alice"), None).grow_to(16 * MIB).await;
        let Problem { code, retry_after, .. } = *refused.expect_err("the server is full").0;
        assert_eq!((code, retry_after), (Code::Unavailable, Some(RETRY.as_secs())));
    }

    #[test]
    fn changing_charge_gives_back_all_its_memory() {
        let memory = Memory::new(&ServerLimits::default());
        let charge = memory.charge(&device("alice"), Some(of_connection(&ServerLimits::default())));
        for bytes in [1, 100_000, 5 * MIB, 70_000, 0, 2 * MIB] {
            charge.shrink_to(bytes);
            assert!(charge.try_grow_to(bytes));
            assert_eq!(charge.bytes(), bytes);
            assert!(memory.used() >= bytes && memory.used() <= bytes + 2 * BLOCK, "{bytes}");
        }
        drop(charge);
        assert_eq!(memory.used(), 0);
    }
}
