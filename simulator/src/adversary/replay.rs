//! The first answer: the stolen state is run in the real engine, and fed the recorded traffic in order.
//!
//! The replay follows every commit that it can follow. It never carries out its own removal: a thief keeps what it has.
//! If the stolen device is invited again with a key package that was stolen with it, the replay accepts.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::{Client, CryptoProvider, Event, GroupId, MessageId, Policy, Snapshot, Store, Timestamp};

use super::{Adversary, Kind, Traffic};

/// What the engine remembers by the time is when keys are to be rotated. The thief does not rotate them.
const NO_TIME: Timestamp = Timestamp(0);

/// A stolen device, run by the thief.
pub struct Replay {
    client: Client,
    crypto: Arc<dyn CryptoProvider>,
    policy: Policy,
    group: GroupId,
    /// The messages whose texts were in the snapshot: read by the device, and not acknowledged.
    found: BTreeSet<MessageId>,
    readable: BTreeSet<usize>,
    reach: Option<u64>,
}

impl Replay {
    /// Starts the engine on a snapshot.
    ///
    /// # Errors
    ///
    /// The engine's, if it cannot open the snapshot.
    pub fn new(
        snapshot: &Snapshot,
        crypto: Arc<dyn CryptoProvider>,
        policy: Policy,
        group: GroupId,
    ) -> Result<Self, regrow_engine::Error> {
        let mut client = Client::open(Arc::new(snapshot.to_store()), crypto.clone(), policy.clone())?;
        let found = client.unacknowledged()?.into_iter().filter(|received| matches!(received.event, Event::Message(_)));
        let found = found.map(|received| received.id).collect();
        client.acknowledge()?;
        let mut replay = Self { client, crypto, policy, group, found, readable: BTreeSet::new(), reach: None };
        replay.note_reach();
        Ok(replay)
    }

    fn see(&mut self, entry: &Traffic) -> Result<(), regrow_engine::Error> {
        match entry.kind {
            Kind::Message if self.found.contains(&MessageId::of(&entry.bytes)) => self.readable.extend(entry.message),
            Kind::Message => {
                if let Event::Message(_) = self.client.receive(&entry.bytes, NO_TIME)?.event {
                    self.readable.extend(entry.message);
                }
            }
            Kind::Proposal => drop(self.client.receive(&entry.bytes, NO_TIME)?),
            Kind::Commit => {
                let before = self.client.snapshot()?;
                if let Event::Removed { .. } = self.client.receive(&entry.bytes, NO_TIME)?.event {
                    self.client = self.open(before.to_store())?;
                }
            }
            Kind::Welcome => {
                let mut invited = self.open(self.client.snapshot()?.to_store())?;
                invited.forget(&self.group)?;
                invited.join(&entry.bytes, NO_TIME)?;
                self.client = invited;
            }
        }
        Ok(())
    }

    fn open(&self, store: impl Store + 'static) -> Result<Client, regrow_engine::Error> {
        let mut client = Client::open(Arc::new(store), self.crypto.clone(), self.policy.clone())?;
        client.acknowledge()?;
        Ok(client)
    }

    fn note_reach(&mut self) {
        let epoch = self.client.group(&self.group).and_then(|mut group| group.epoch());
        self.reach = self.reach.max(epoch.ok().map(|epoch| epoch.0));
    }
}

impl Adversary for Replay {
    fn observe(&mut self, traffic: &[Traffic]) {
        for entry in traffic {
            // An entry that the engine refuses teaches the thief nothing; the next one may.
            let _ = self.see(entry);
            self.note_reach();
        }
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.readable
    }

    fn reach(&self) -> Option<u64> {
        self.reach
    }
}
