//! How many connections each party has, so that one cannot take the places of all.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The party has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyConnections;

/// The connections of each party: an address, or a device. Clones are the same.
#[derive(Debug)]
pub(crate) struct ConnectionLimit<K: Hash + Eq> {
    connected: Arc<Mutex<HashMap<K, usize>>>,
    most: usize,
}

impl<K: Hash + Eq> Clone for ConnectionLimit<K> {
    fn clone(&self) -> Self {
        Self { connected: Arc::clone(&self.connected), most: self.most }
    }
}

impl<K: Hash + Eq + Clone> ConnectionLimit<K> {
    /// So many connections of each party.
    pub(crate) fn new(most: usize) -> Self {
        Self { connected: Arc::default(), most }
    }

    /// Counts a connection of that party, until the returned place is dropped.
    pub(crate) fn enter(&self, key: K) -> Result<CountedConnection<K>, TooManyConnections> {
        let mut connected = self.lock();
        let count = connected.get(&key).copied().unwrap_or(0);
        if count >= self.most {
            return Err(TooManyConnections);
        }
        connected.insert(key.clone(), count + 1);
        drop(connected);
        Ok(CountedConnection { connection_limits: self.clone(), key })
    }
}

impl<K: Hash + Eq> ConnectionLimit<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CountedConnection connection among those of its party.
pub(crate) struct CountedConnection<K: Hash + Eq> {
    connection_limits: ConnectionLimit<K>,
    key: K,
}

impl<K: Hash + Eq> CountedConnection<K> {
    /// The party.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq> Drop for CountedConnection<K> {
    fn drop(&mut self) {
        let mut connected = self.connection_limits.lock();
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
        let connection_limits = ConnectionLimit::new(2);
        let one = connection_limits.enter("alice").unwrap();
        let _other = connection_limits.enter("alice").unwrap();
        assert_eq!(connection_limits.enter("alice").err(), Some(TooManyConnections));
        let elsewhere = connection_limits.enter("bob").unwrap();
        drop((one, elsewhere));
        assert!(connection_limits.enter("alice").is_ok());
        assert_eq!(connection_limits.lock().len(), 1, "nothing is kept of the other");
    }
}
