//! How many connections each party has, so that one cannot take the places of all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The party has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

/// The connections of each party: an address, or a device. Clones are the same.
#[derive(Debug)]
pub(crate) struct Crowd<K: Hash + Eq> {
    connected: Arc<Mutex<HashMap<K, usize>>>,
    most: usize,
}

impl<K: Hash + Eq> Clone for Crowd<K> {
    fn clone(&self) -> Self {
        Self { connected: Arc::clone(&self.connected), most: self.most }
    }
}

impl<K: Hash + Eq + Clone> Crowd<K> {
    /// So many connections of each party.
    pub(crate) fn new(most: usize) -> Self {
        Self { connected: Arc::default(), most }
    }

    /// Counts a connection of that party, until the returned place is dropped.
    pub(crate) fn enter(&self, key: K) -> Result<One<K>, Crowded> {
        let mut connected = self.lock();
        let count = connected.get(&key).copied().unwrap_or(0);
        if count >= self.most {
            return Err(Crowded);
        }
        connected.insert(key.clone(), count + 1);
        drop(connected);
        Ok(One { crowd: self.clone(), key })
    }
}

impl<K: Hash + Eq> Crowd<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection among those of its party.
pub(crate) struct One<K: Hash + Eq> {
    crowd: Crowd<K>,
    key: K,
}

impl<K: Hash + Eq> One<K> {
    /// The party.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq> Drop for One<K> {
    fn drop(&mut self) {
        let mut connected = self.crowd.lock();
        let Some(count) = connected.get_mut(&self.key) else {
            return;
        };
        *count -= 1;
        // Nothing is kept of those who have gone.
        if *count == 0 {
            connected.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_its_own_places_and_gives_them_back() {
        let crowd = Crowd::new(2);
        let one = crowd.enter("alice").unwrap();
        let _other = crowd.enter("alice").unwrap();
        assert_eq!(crowd.enter("alice").err(), Some(Crowded));
        let elsewhere = crowd.enter("bob").unwrap();
        drop((one, elsewhere));
        assert!(crowd.enter("alice").is_ok());
        assert_eq!(crowd.lock().len(), 1, "nothing is kept of the other");
    }
}
