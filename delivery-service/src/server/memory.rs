//! The memory budget: bodies that are being collected, their decoded copies, and answers that a
//! client has not taken yet.
//!
//! A request holds a [`Charge`]. Its bytes count against three budgets at once: the connection's,
//! the caller's, and the server's. The server's has two parts, so that requests without a session
//! cannot use up the part of those with one. A charge that finds no room waits for a bounded time,
//! and is then refused. `docs/operators.md` adds up the parts.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{refusal::Refusal, settings::ServerLimits, shares::Shares, tokens::DeviceMark};
use crate::{api::Code, names::DeviceId};

/// How long a request waits for memory before the answer is 503.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a client that was refused memory tries again.
const RETRY: Duration = Duration::from_secs(2);

/// Budgets count in blocks of this many bytes.
const BLOCK: usize = 1024;

/// The part of the server's budget for requests that show no device: one in so many bytes.
const STRANGERS_PART: usize = 8;

/// The part of the strangers' budget that one address may use: one in so many bytes.
const ADDRESS_PART: usize = 4;

/// A known device without a session logs in, which takes small bodies: 1 MiB.
const KNOWN_BYTES: usize = 1024 * 1024;

/// The party that a request is charged to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// A device with a session.
    Device(DeviceId),
    /// A device that shows the token of a past session.
    Known(DeviceMark),
    /// An address, or a network of IPv6, for a request that shows no device.
    Address(IpAddr),
}

/// The budgets of the server.
pub(crate) struct Memory {
    sessions: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    devices: Shares<DeviceId>,
    known: Shares<DeviceMark>,
    addresses: Shares<IpAddr>,
    total: usize,
}

impl Memory {
    pub(crate) fn new(limits: &ServerLimits) -> Self {
        let strangers = limits.memory_bytes / STRANGERS_PART;
        let sessions = limits.memory_bytes - strangers;
        Self {
            sessions: Arc::new(Semaphore::new(blocks(sessions))),
            strangers: Arc::new(Semaphore::new(blocks(strangers))),
            devices: Shares::new(blocks(limits.device_memory_bytes)),
            known: Shares::new(blocks(KNOWN_BYTES)),
            addresses: Shares::new(blocks(strangers / ADDRESS_PART)),
            total: blocks(sessions) + blocks(strangers),
        }
    }

    /// The budgets that a request of `principal` counts against, on a connection with this budget.
    pub(crate) fn charge(&self, principal: &Principal, connection: Option<Arc<Semaphore>>) -> Charge {
        let (own, server) = match principal {
            Principal::Device(device) => (self.devices.of(device), &self.sessions),
            Principal::Known(mark) => (self.known.of(mark), &self.sessions),
            Principal::Address(address) => (self.addresses.of(address), &self.strangers),
        };
        let budgets = connection.into_iter().chain([own, Arc::clone(server)]).collect();
        Charge(Arc::new(Inner { budgets, held: Mutex::default() }))
    }

    /// Bytes that are charged at this moment.
    pub(crate) fn used(&self) -> usize {
        let free = self.sessions.available_permits() + self.strangers.available_permits();
        self.total.saturating_sub(free).saturating_mul(BLOCK)
    }

    /// Forgets the budgets that nobody uses.
    pub(crate) fn forget(&self) {
        self.devices.forget();
        self.known.forget();
        self.addresses.forget();
    }
}

/// The budget of one connection.
pub(crate) fn of_connection(limits: &ServerLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(blocks(limits.device_memory_bytes)))
}

fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK).min(Semaphore::MAX_PERMITS)
}

/// Memory that is charged to a request, and given back when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Charge(Arc<Inner>);

struct Inner {
    /// The narrowest first: who waits for its own budget keeps nobody else from the server's.
    budgets: Vec<Arc<Semaphore>>,
    /// A permit of each budget, all for the same number of blocks.
    held: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Charge {
    /// Another charge against the same budgets.
    pub(crate) fn sibling(&self) -> Self {
        Self(Arc::new(Inner { budgets: self.0.budgets.clone(), held: Mutex::default() }))
    }

    /// Bytes that are charged.
    pub(crate) fn bytes(&self) -> usize {
        self.held().first().map_or(0, OwnedSemaphorePermit::num_permits) * BLOCK
    }

    /// Charges more until it is `bytes`. Waits for room, for a bounded time.
    pub(crate) async fn grow_to(&self, bytes: usize) -> Result<(), Refusal> {
        let more = self.missing(bytes);
        if more == 0 {
            return Ok(());
        }
        let refused = || Refusal::for_now(Code::Unavailable, RETRY);
        let acquire = async {
            let mut permits = Vec::with_capacity(self.0.budgets.len());
            for budget in &self.0.budgets {
                permits.push(Arc::clone(budget).acquire_many_owned(more).await.ok()?);
            }
            Some(permits)
        };
        let permits = timeout(PATIENCE, acquire).await.map_err(|_| refused())?;
        self.add(permits.ok_or_else(refused)?);
        Ok(())
    }

    /// Charges more until it is `bytes`, if there is room at once. Returns whether there was.
    pub(crate) fn try_grow_to(&self, bytes: usize) -> bool {
        let more = self.missing(bytes);
        if more == 0 {
            return true;
        }
        let permits: Option<Vec<_>> =
            self.0.budgets.iter().map(|budget| Arc::clone(budget).try_acquire_many_owned(more).ok()).collect();
        permits.map(|permits| self.add(permits)).is_some()
    }

    /// Gives back the charge beyond `bytes`.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        let keep = blocks(bytes);
        for permit in self.held().iter_mut() {
            let surplus = permit.num_permits().saturating_sub(keep);
            drop(permit.split(surplus));
        }
    }

    fn missing(&self, bytes: usize) -> u32 {
        let held = self.held().first().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(blocks(bytes).saturating_sub(held)).unwrap_or(u32::MAX)
    }

    fn add(&self, permits: Vec<OwnedSemaphorePermit>) {
        let mut held = self.held();
        if held.is_empty() {
            *held = permits;
            return;
        }
        held.iter_mut().zip(permits).for_each(|(held, more)| held.merge(more));
    }

    fn held(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
