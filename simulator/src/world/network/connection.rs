//! The connections of the devices: their conditions, and what they do to requests and deliveries.
//!
//! All choices follow from the seed. The choices for a delivery follow from the device and the
//! entry, and those for a request from the device and the number of the request.

use std::collections::BTreeMap;

use regrow_delivery_service::{Delivery, Sequence};
use regrow_engine::GroupId;

use crate::{
    choices::Choices,
    scenario::{MemberName, NetworkChange},
    world::fault_injection::{EarlyEntry, FaultInjection},
};

/// The time after which a device repeats a request without an answer: the messenger's limit.
const REQUEST_TIMEOUT_MS: u64 = 30_000;

/// The time after which a device resumes a stream that has lost a delivery: the longest wait of the
/// messenger.
const RECONNECT_MS: u64 = 10_000;

/// The longest delay of a delivery that others overtake.
const OVERTAKEN_MS: u32 = 1000;

/// The largest number of losses in a row. Without a limit, an unlucky seed could make a run endless.
const MOST_LOSSES: u32 = 20;

/// The parts in one: probabilities are in millionths.
const ONE: u32 = 1_000_000;

/// The conditions of a connection. By default it is perfect.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    latency_ms: u32,
    jitter_ms: u32,
    loss: u32,
    duplicate: u32,
    reorder: u32,
}

impl Conditions {
    fn apply(&mut self, change: &NetworkChange) {
        let millionths = |share: crate::churn::Decimal| u32::try_from(share.millionths()).unwrap_or(ONE);
        let set = |field: &mut u32, value: Option<u32>| *field = value.unwrap_or(*field);
        set(&mut self.latency_ms, change.latency_ms);
        set(&mut self.jitter_ms, change.jitter_ms);
        set(&mut self.loss, change.loss.map(millionths));
        set(&mut self.duplicate, change.duplicate.map(millionths));
        set(&mut self.reorder, change.reorder.map(millionths));
    }

    /// The time of one way.
    fn delay(&self, choices: &mut Choices) -> u64 {
        u64::from(self.latency_ms) + u64::from(choices.below(self.jitter_ms.saturating_add(1)))
    }

    /// The number of losses before one arrives.
    fn losses(&self, choices: &mut Choices) -> u64 {
        (0..MOST_LOSSES).take_while(|_| choices.below(ONE) < self.loss).count() as u64
    }
}

/// The times at which an entry reaches a device, in milliseconds.
pub(super) struct ArrivalTimes {
    pub(super) first: u64,
    /// True if later entries can overtake the entry.
    pub(super) overtaken: bool,
    /// The time of the second arrival, if the entry is delivered twice.
    pub(super) second: Option<u64>,
}

/// One attempt of a request: the times on the way, in milliseconds.
pub(super) struct Trip {
    /// The time until the service has the request, or until the device gives this attempt up.
    pub(super) out: u64,
    /// False if the request is lost.
    pub(super) arrives: bool,
    /// True if the request reaches the service twice.
    pub(super) twice: bool,
    /// The time until the device has the answer, or until it gives this attempt up.
    pub(super) back: u64,
    /// False if the answer is lost.
    pub(super) answered: bool,
}

#[derive(Clone, Default)]
struct Connection {
    conditions: Conditions,
    requests: u64,
}

/// The connections of all devices, by the devices' numbers.
pub(in crate::world) struct Network {
    seed: u64,
    connections: Vec<Connection>,
    /// The treatment of entries that need an earlier handshake.
    pub(super) early_entry: EarlyEntry,
    /// The times at which the service ordered entries, in milliseconds.
    ordered: BTreeMap<(GroupId, Sequence), u64>,
}

impl Network {
    pub(in crate::world) fn new(seed: u64, devices: usize, faults: &dyn FaultInjection) -> Self {
        let connections = vec![Connection::default(); devices];
        Self { seed, connections, early_entry: faults.early_entry(), ordered: BTreeMap::new() }
    }

    fn conditions(&self, device: usize) -> Conditions {
        self.connections.get(device).map(|connection| connection.conditions).unwrap_or_default()
    }

    /// Changes the conditions of a device's connection.
    pub(super) fn change(&mut self, device: usize, change: &NetworkChange) {
        if let Some(connection) = self.connections.get_mut(device) {
            if change.heal {
                connection.conditions = Conditions::default();
            }
            connection.conditions.apply(change);
        }
    }

    /// Records the time at which the service has ordered an entry.
    pub(super) fn note_ordered(&mut self, group: &GroupId, sequence: Sequence, ms: u64) {
        if self.connections.iter().any(|connection| connection.conditions != Conditions::default()) {
            self.ordered.entry((group.clone(), sequence)).or_insert(ms);
        }
    }

    /// The times at which an entry reaches a device, over a connection that exists `since` then and
    /// is read `now`. `not_before` is the arrival of the entry before it.
    pub(super) fn arrival(
        &self,
        device: usize,
        name: &MemberName,
        entry: &Delivery,
        (since, now): (u64, u64),
        not_before: u64,
    ) -> ArrivalTimes {
        let conditions = self.conditions(device);
        if conditions == Conditions::default() {
            return ArrivalTimes { first: now.max(not_before), overtaken: false, second: None };
        }
        let ordered = self.ordered.get(&(entry.group.clone(), entry.receipt.sequence)).copied().unwrap_or(now);
        let sent = ordered.max(since).min(now);
        let mut choices = Choices::new(&format!("regrow network {} {name} entry {}", self.seed, entry.cursor.0));
        let delay = conditions.delay(&mut choices) + RECONNECT_MS * conditions.losses(&mut choices);
        let in_order = not_before.max(sent.saturating_add(delay));
        let overtaken = choices.below(ONE) < conditions.reorder;
        let first = if overtaken { in_order + u64::from(choices.between(1, OVERTAKEN_MS)) } else { in_order };
        let second = choices.below(ONE) < conditions.duplicate;
        let second = second.then(|| first + conditions.delay(&mut choices));
        ArrivalTimes { first, overtaken, second }
    }

    /// The next attempt of a request. The attempt after the most losses gets through.
    pub(super) fn trip(&mut self, device: usize, name: &MemberName, attempt: u32) -> Trip {
        let seed = self.seed;
        let Some(Connection { conditions, requests }) = self.connections.get_mut(device) else {
            return Trip { out: 0, arrives: true, twice: false, back: 0, answered: true };
        };
        if *conditions == Conditions::default() {
            return Trip { out: 0, arrives: true, twice: false, back: 0, answered: true };
        }
        *requests += 1;
        let mut choices = Choices::new(&format!("regrow network {seed} {name} request {requests}"));
        let (out, back) = (conditions.delay(&mut choices), conditions.delay(&mut choices));
        let gets_through = |choices: &mut Choices| attempt >= MOST_LOSSES || choices.below(ONE) >= conditions.loss;
        let (arrives, answered) = (gets_through(&mut choices), gets_through(&mut choices));
        let twice = choices.below(ONE) < conditions.duplicate;
        let rest = REQUEST_TIMEOUT_MS.saturating_sub(out);
        Trip {
            out: if arrives { out } else { REQUEST_TIMEOUT_MS },
            arrives,
            twice,
            back: if answered { back } else { rest },
            answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use regrow_delivery_service::{ChainHash, Cursor, DeliveryKind, DeviceId, Epoch, ServiceKey, Timestamp};

    use super::*;
    use crate::{churn::Decimal, world::fault_injection::NoFaults};

    fn network(change: NetworkChange) -> Network {
        let mut network = Network::new(7, 1, &NoFaults);
        network.change(0, &change);
        network
    }

    fn arrivals(network: &Network) -> Vec<ArrivalTimes> {
        let name = MemberName::new("alice");
        let mut not_before = 0;
        let group = GroupId::new("group").unwrap();
        let head = ChainHash([0; 32]);
        let arrival = |entry| {
            let receipt = ServiceKey::from_seed(&[0; 32]).sign(&group, Sequence(entry), Epoch(0), head);
            let entry = Delivery {
                cursor: Cursor(entry),
                group: group.clone(),
                kind: DeliveryKind::Message,
                receipt,
                sender: DeviceId::new("bob", "phone").unwrap(),
                time: Timestamp(0),
                bytes: Vec::new(),
            };
            let arrival = network.arrival(0, &name, &entry, (0, 1000), not_before);
            if !arrival.overtaken {
                not_before = arrival.first;
            }
            arrival
        };
        (0..1000).map(arrival).collect()
    }

    #[test]
    fn perfect_connection_takes_no_time() {
        let mut network = Network::new(7, 1, &NoFaults);
        assert!(arrivals(&network).iter().all(|arrival| arrival.first == 1000 && arrival.second.is_none()));
        let trip = network.trip(0, &MemberName::new("alice"), 0);
        assert!(trip.arrives && trip.answered && !trip.twice && trip.out + trip.back == 0);
    }

    #[test]
    fn stream_keeps_its_order_unless_an_entry_is_overtaken() {
        let jitter = NetworkChange { latency_ms: Some(50), jitter_ms: Some(500), ..NetworkChange::default() };
        let all = arrivals(&network(jitter.clone()));
        assert!(all.is_sorted_by_key(|arrival| arrival.first));
        assert!(all.iter().all(|arrival| (1050..=1550).contains(&arrival.first)));
        let reorder = Decimal::parse("0.5");
        let all = arrivals(&network(NetworkChange { reorder, ..jitter }));
        assert!(!all.is_sorted_by_key(|arrival| arrival.first));
    }

    #[test]
    fn losses_and_repetitions_come_as_often_as_their_probability_says() {
        let change =
            NetworkChange { loss: Decimal::parse("0.2"), duplicate: Decimal::parse("0.1"), ..NetworkChange::default() };
        let mut network = network(change);
        let all = arrivals(&network);
        let twice = all.iter().filter(|arrival| arrival.second.is_some()).count();
        assert!((60..140).contains(&twice), "{twice}");
        let name = MemberName::new("alice");
        let lost = (0..1000).filter(|_| !network.trip(0, &name, 0).arrives).count();
        assert!((150..250).contains(&lost), "{lost}");
        let late = network.trip(0, &name, MOST_LOSSES);
        assert!(late.arrives && late.answered);
    }

    #[test]
    fn healed_connection_is_perfect() {
        let mut network = network(NetworkChange { latency_ms: Some(50), ..NetworkChange::default() });
        network.change(0, &NetworkChange { heal: true, ..NetworkChange::default() });
        assert!(network.conditions(0) == Conditions::default());
        network.change(0, &NetworkChange { heal: true, latency_ms: Some(5), ..NetworkChange::default() });
        assert!(network.conditions(0).latency_ms == 5);
    }
}
