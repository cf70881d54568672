//! Shares: each owner has the same number of places of something, and no more.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;

/// The shares of all owners. One that nobody uses takes no memory.
pub(crate) struct Shares<K> {
    each: usize,
    of: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// So many places for each owner.
    pub(crate) fn new(each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), of: Mutex::default() }
    }

    /// The places of one owner.
    pub(crate) fn of(&self, owner: &K) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = of.get(owner) {
            return Arc::clone(places);
        }
        let places = Arc::new(Semaphore::new(self.each));
        of.insert(owner.clone(), Arc::clone(&places));
        places
    }

    /// Forgets the shares that nobody uses.
    pub(crate) fn forget(&self) {
        // A party with a place, or in the line for one, holds the semaphore as well.
        self.of.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, places| Arc::strong_count(places) > 1);
    }
}
