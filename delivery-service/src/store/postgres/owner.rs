//! The owner of a store, as its record in the database names it, and the lease of the owner.

use std::time::Duration;

use tokio_postgres::{Error, Row};

/// The most time between two looks that counts for a lease. A longer pause proves less, because
/// the watching process, the database or the network may have been stopped.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// A server that owns a store, or wants to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The address at which other nodes reach the server. It is empty for a server that is no node
    /// of a cluster.
    pub node: String,
    /// The time after which another node takes the store if the record has not changed.
    pub lease: Duration,
    /// The settings that have to be the same on all nodes, in the form of the caller.
    pub settings: String,
}

/// The owner's record at one moment. It changes with every transaction of the owner that changes
/// records, and at short intervals without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The number of times that a server has taken the store.
    pub term: i64,
    /// The number of the last transaction of an owner that has changed records.
    pub batch: i64,
    /// The number of times that an owner has shown that it works.
    pub beat: i64,
    /// The owner. `None` if the last one has given up the store.
    pub owner: Option<Owner>,
}

impl Ownership {
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let (node, lease): (Option<String>, i64) = (row.try_get(3)?, row.try_get(4)?);
        let (settings, lease) = (row.try_get(5)?, Duration::from_millis(lease.unsigned_abs()));
        let owner = node.map(|node| Owner { node, lease, settings });
        Ok(Self { term: row.try_get(0)?, batch: row.try_get(1)?, beat: row.try_get(2)?, owner })
    }
}

/// The state of a lease, as a watcher knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Nobody owns the store.
    Vacant,
    /// The watcher has not seen the record change, and has not watched for the whole lease.
    Unknown,
    /// The record has changed within the lease.
    Alive,
    /// The record has not changed for the whole lease.
    Expired,
}

/// Watches an owner's record, and measures the lease with the watcher's own monotonic clock. The
/// clocks of other machines do not matter. The result decides only who tries to take the store.
#[derive(Clone, Debug, Default)]
pub struct LeaseWatch {
    seen: Option<Ownership>,
    /// The time of the last look.
    looked: Duration,
    /// The time for which the record has not changed, as far as it is proved.
    unchanged: Duration,
    has_changed: bool,
}

impl LeaseWatch {
    /// Notes a look at the record at the time `now`, and returns the state of the lease.
    pub fn observe(&mut self, ownership: &Ownership, now: Duration) -> LeaseState {
        let step = now.saturating_sub(self.looked).min(LONGEST_STEP);
        self.looked = now;
        match &self.seen {
            Some(seen) if seen == ownership => self.unchanged += step,
            seen => {
                self.has_changed = seen.is_some();
                self.unchanged = Duration::ZERO;
                self.seen = Some(ownership.clone());
            }
        }
        match &ownership.owner {
            None => LeaseState::Vacant,
            Some(owner) if self.unchanged >= owner.lease => LeaseState::Expired,
            Some(_) if self.has_changed => LeaseState::Alive,
            Some(_) => LeaseState::Unknown,
        }
    }

    /// Notes a look that has failed. The owner may not have reached the database either, so the
    /// lease begins anew.
    pub fn missed(&mut self, now: Duration) {
        self.looked = now;
        self.unchanged = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::{LeaseState::*, *};

    fn ownership(batch: i64, beat: i64) -> Ownership {
        let owner = Owner { node: "a:1".into(), lease: Duration::from_secs(5), settings: String::new() };
        Ownership { term: 1, batch, beat, owner: Some(owner) }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_record_that_does_not_change_for_the_lease_has_expired() {
        let mut watch = LeaseWatch::default();
        for now in (0..5_000).step_by(200) {
            assert_eq!(watch.observe(&ownership(1, 1), at(now)), Unknown, "{now}");
        }
        assert_eq!(watch.observe(&ownership(1, 1), at(5_000)), Expired);
    }

    #[test]
    fn a_beat_or_a_batch_renews_the_lease() {
        for next in [ownership(1, 2), ownership(2, 1)] {
            let mut watch = LeaseWatch::default();
            for now in (0..4_800).step_by(200) {
                watch.observe(&ownership(1, 1), at(now));
            }
            for now in (4_800..9_800).step_by(200) {
                assert_eq!(watch.observe(&next, at(now)), Alive, "{now}");
            }
            assert_eq!(watch.observe(&next, at(9_800)), Expired);
        }
    }

    #[test]
    fn a_store_without_an_owner_is_vacant_at_once() {
        let nobody = Ownership { owner: None, ..ownership(1, 1) };
        assert_eq!(LeaseWatch::default().observe(&nobody, at(0)), Vacant);
    }

    #[test]
    fn time_without_a_look_proves_little() {
        let mut watch = LeaseWatch::default();
        watch.observe(&ownership(1, 1), at(0));
        assert_eq!(watch.observe(&ownership(1, 1), at(60_000)), Unknown, "the watcher was stopped");
        for now in (60_200..64_000).step_by(200) {
            assert_eq!(watch.observe(&ownership(1, 1), at(now)), Unknown, "{now}");
        }
        watch.missed(at(64_000));
        assert_eq!(watch.observe(&ownership(1, 1), at(64_200)), Unknown, "the database was away");
        for now in (64_400..69_000).step_by(200) {
            watch.observe(&ownership(1, 1), at(now));
        }
        assert_eq!(watch.observe(&ownership(1, 1), at(69_000)), Expired);
    }
}
