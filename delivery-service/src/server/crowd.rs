//! How many connections each address has, so that one cannot take the places of all.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{proxies::Proxies, rates::block_of};

/// The address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

/// Who is connected. Clones are the same.
#[derive(Clone)]
pub(crate) struct Crowd {
    connected: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
    proxies: Proxies,
}

impl Crowd {
    /// So many connections of each address, but of those proxies as many as they like.
    pub(crate) fn new(most: usize, proxies: Proxies) -> Self {
        Self { connected: Arc::default(), most, proxies }
    }

    /// Counts a connection of that address, until what is returned is dropped. It is `None` for a proxy.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Option<One>, Crowded> {
        if self.proxies.trust(address) {
            return Ok(None);
        }
        let address = block_of(address);
        let mut connected = self.lock();
        let count = connected.get(&address).copied().unwrap_or(0);
        if count >= self.most {
            return Err(Crowded);
        }
        connected.insert(address, count + 1);
        Ok(Some(One { crowd: self.clone(), address }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection among those of its address.
pub(crate) struct One {
    crowd: Crowd,
    address: IpAddr,
}

impl Drop for One {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.crowd.lock().entry(self.address) {
            *count.get_mut() -= 1;
            // Nothing is kept of those who have gone.
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_places_and_gives_them_back() {
        let crowd = Crowd::new(2, Proxies::default());
        let one = crowd.enter(at("192.0.2.1")).unwrap();
        let _other = crowd.enter(at("::ffff:192.0.2.1")).unwrap();
        assert_eq!(crowd.enter(at("192.0.2.1")).err(), Some(Crowded));
        let elsewhere = crowd.enter(at("192.0.2.2")).unwrap();
        drop((one, elsewhere));
        assert!(crowd.enter(at("192.0.2.1")).is_ok());
        assert_eq!(crowd.lock().len(), 1, "nothing is kept of the other");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let crowd = Crowd::new(1, Proxies::default());
        let _one = crowd.enter(at("2001:db8::1")).unwrap();
        assert_eq!(crowd.enter(at("2001:db8::2")).err(), Some(Crowded));
        assert!(crowd.enter(at("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_trusted_proxy_has_as_many_as_it_likes() {
        let crowd = Crowd::new(1, Proxies::new(&["192.0.2.1".parse().unwrap()]));
        let many = [0; 5].map(|_| crowd.enter(at("192.0.2.1")));
        assert!(many.iter().all(Result::is_ok));
    }
}
