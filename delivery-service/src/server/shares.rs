//! Shares: each owner gets the same number of permits, and no more.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;

/// The shares of all owners. A share that no owner uses takes no memory.
pub(crate) struct Shares<K> {
    each: usize,
    of: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// Creates shares with `each` permits for each owner, at least one.
    pub(crate) fn new(each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), of: Mutex::default() }
    }

    /// Returns the permits of one owner.
    pub(crate) fn of(&self, owner: &K) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = of.get(owner) {
            return Arc::clone(permits);
        }
        let permits = Arc::new(Semaphore::new(self.each));
        of.insert(owner.clone(), Arc::clone(&permits));
        permits
    }

    /// Forgets the shares that no owner uses.
    pub(crate) fn forget(&self) {
        // An owner with a permit, or in the queue for one, also holds the semaphore.
        self.of.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, permits| Arc::strong_count(permits) > 1);
    }
}
