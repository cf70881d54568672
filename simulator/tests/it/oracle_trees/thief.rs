//! Thieves that run the real engine from a snapshot, and give it all traffic. The engine may read
//! less than is possible. It refuses the stolen member's own later messages, and commits that refer
//! to that member's later proposals. It reads all other messages that the oracle predicts.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::{Client, Layered, ReceivedEvent, Snapshot};
use regrow_simulator::{
    adversary::StolenBytes,
    oracle::{DeviceNumber, Holdings, MessageNumber},
    world::randomness::SeededCrypto,
};

use super::walk::{LogEntry, NOW, Walk};

/// A thief with a snapshot.
pub struct SnapshotHolder {
    who: usize,
    holdings: Holdings,
    snapshot: Snapshot,
    /// The number of log entries at the theft.
    at: usize,
}

impl Walk {
    /// Takes a copy of the device's state.
    pub fn steal(&mut self, who: usize) {
        let snapshot = self.players[who].client.snapshot().unwrap();
        self.thieves.push(SnapshotHolder {
            who,
            holdings: self.oracle.holdings(DeviceNumber(who)),
            snapshot,
            at: self.log.len(),
        });
    }

    /// Compares the messages that follow from the stolen bytes with the prediction. Also compares
    /// the messages of others that the thieves read with the prediction.
    pub fn compare_thieves(&mut self) {
        self.see_tapes();
        for thief in &self.thieves {
            let predicted = self.oracle.exposed(&thief.holdings);
            self.compare_bytes(thief, &predicted);
            let read = self.replay(thief);
            let by_itself: BTreeSet<MessageNumber> = self.messages_by(thief.who).collect();
            let blind = self.log[thief.at..]
                .iter()
                .any(|entry| matches!(entry, LogEntry::Proposal { by, .. } if *by == thief.who));
            let others: BTreeSet<MessageNumber> = predicted.difference(&by_itself).copied().collect();
            let differ: Vec<_> = match blind {
                true => read.difference(&others).collect(),
                false => read.symmetric_difference(&others).collect(),
            };
            let why = |message: &MessageNumber| self.oracle.reach(&thief.holdings).why(*message);
            let why: Vec<_> = differ.iter().map(|message| (message, why(message))).collect();
            assert!(
                differ.is_empty(),
                "the thief of device {} reads {read:?}, predicted {others:?}: {why:#?}",
                thief.who
            );
        }
    }

    fn compare_bytes(&self, thief: &SnapshotHolder, predicted: &BTreeSet<MessageNumber>) {
        let exposure = self.evidence.exposure(&StolenBytes::all_of(&thief.snapshot));
        assert!(exposure.unproved.is_empty(), "{:?}", exposure.unproved);
        for (number, path) in &exposure.messages {
            assert!(predicted.contains(&MessageNumber(*number as u64)), "a leak of message {number}: {path}");
        }
        for number in predicted {
            let why = || self.oracle.reach(&thief.holdings).why(*number);
            assert!(exposure.messages.contains_key(&(number.0 as usize)), "{number} does not follow: {:#?}", why());
        }
    }

    fn messages_by(&self, who: usize) -> impl Iterator<Item = MessageNumber> {
        self.log.iter().filter_map(move |entry| match entry {
            LogEntry::Message { by, number, .. } if *by == who => Some(*number),
            _ => None,
        })
    }

    /// The messages that the engine reads with the snapshot, from all traffic in its order. One
    /// client continues from the device's state. For each welcome that can be opened, there is
    /// another client.
    fn replay(&self, thief: &SnapshotHolder) -> BTreeSet<MessageNumber> {
        let mut clients = vec![self.opened(thief)];
        let mut read = BTreeSet::new();
        for entry in &self.log {
            let (LogEntry::Commit { bytes, .. } | LogEntry::Proposal { bytes, .. } | LogEntry::Message { bytes, .. }) =
                entry;
            for client in &mut clients {
                // An entry that a client cannot process changes nothing.
                let event = client.receive(bytes, NOW).map(|received| received.event);
                if let (LogEntry::Message { number, .. }, Ok(ReceivedEvent::Message(_))) = (entry, event) {
                    read.insert(*number);
                }
            }
            if let LogEntry::Commit { welcome: Some(welcome), .. } = entry {
                let mut joining = self.opened(thief);
                joining.forget(&self.group).unwrap();
                clients.extend(joining.join(welcome, NOW).is_ok().then_some(joining));
            }
        }
        read
    }

    fn opened(&self, thief: &SnapshotHolder) -> Client {
        let crypto = Arc::new(Layered(SeededCrypto::new(0, "thief")));
        let mut client = Client::open(Arc::new(thief.snapshot.to_store()), crypto, self.policy.clone()).unwrap();
        client.acknowledge().unwrap();
        client
    }
}
