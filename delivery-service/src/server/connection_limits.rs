//! Limits the connections of each party, so that one party cannot take all places.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The party has reached its limit of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyConnections;

/// The connections of each party, which is an address or a device. Clones share the counts.
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
    /// Creates a limit of `most` connections for each party.
    pub(crate) fn new(most: usize) -> Self {
        Self { connected: Arc::default(), most }
    }

    /// Counts a connection of the party `key`, until the returned guard is dropped.
    pub(crate) fn enter(&self, key: K) -> Result<CountedConnection<K>, TooManyConnections> {
        let mut connected = self.lock();
        let count = connected.get(&key).copied().unwrap_or(0);
        if count >= self.most {
            return Err(TooManyConnections);
        }
        connected.insert(key.clone(), count + 1);
        drop(connected);
        Ok(CountedConnection { limit: self.clone(), key })
    }
}

impl<K: Hash + Eq> ConnectionLimit<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection of a party.
pub(crate) struct CountedConnection<K: Hash + Eq> {
    limit: ConnectionLimit<K>,
    key: K,
}

impl<K: Hash + Eq> CountedConnection<K> {
    /// The party of the connection.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Hash + Eq> Drop for CountedConnection<K> {
    fn drop(&mut self) {
        let mut connected = self.limit.lock();
        let Some(count) = connected.get_mut(&self.key) else {
            return;
        };
        *count -= 1;
        // The map has no entry for a party without connections.
        if *count == 0 {
            connected.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_per_party_and_ended_connections_free_places() {
        let limit = ConnectionLimit::new(2);
        let one = limit.enter("alice").unwrap();
        let _other = limit.enter("alice").unwrap();
        assert_eq!(limit.enter("alice").err(), Some(TooManyConnections));
        let elsewhere = limit.enter("bob").unwrap();
        drop((one, elsewhere));
        assert!(limit.enter("alice").is_ok());
        assert_eq!(limit.lock().len(), 1, "bob has no entry any more");
    }
}
