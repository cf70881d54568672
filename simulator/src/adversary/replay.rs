//! The replayed answer: the stolen state runs in the real engine, and gets the recorded traffic in
//! order.
//!
//! The replay follows every commit that it can follow. It never carries out its own removal,
//! because a thief keeps its state. It skips entries that were sent in the stolen device's own
//! name. Such an entry would show the engine that its state is a copy, and the engine would make
//! nothing any more. If the stolen device is invited again with a key package that was stolen with
//! it, the replay joins.

use std::{collections::BTreeSet, sync::Arc};

use regrow_engine::{Client, CryptoProvider, MessageId, Policy, ReceivedEvent, Snapshot, Store, Timestamp};

use super::traffic::{Traffic, TrafficKind};

/// The engine uses times only to decide when to rotate keys. The thief does not rotate keys.
pub(super) const NO_TIME: Timestamp = Timestamp(0);

/// Runs the stolen state, and finds the messages that it can read in the traffic.
pub trait Adversary: Send {
    /// Processes the traffic since the last call. Returns the entries that have changed the stolen
    /// state.
    fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic>;

    /// The messages that the adversary can read, by their numbers in the traffic.
    fn readable(&self) -> &BTreeSet<usize>;

    /// The stolen device that the adversary runs, if it runs one. The thief can act only with this
    /// device.
    fn stolen(&mut self) -> Option<&mut Replay> {
        None
    }
}

/// A stolen device that the thief runs.
pub struct Replay {
    pub(super) client: Client,
    pub(super) crypto: Arc<dyn CryptoProvider>,
    pub(super) policy: Policy,
    /// The messages whose texts are in the snapshot: the device has read and not acknowledged them.
    found: BTreeSet<MessageId>,
    readable: BTreeSet<usize>,
}

impl Replay {
    /// Starts the engine on a snapshot.
    ///
    /// # Errors
    ///
    /// The error of the engine, if it cannot open the snapshot.
    pub fn new(
        snapshot: &Snapshot,
        crypto: Arc<dyn CryptoProvider>,
        policy: Policy,
    ) -> Result<Self, regrow_engine::Error> {
        let mut client = Client::open(Arc::new(snapshot.to_store()), crypto.clone(), policy.clone())?;
        let found =
            client.unacknowledged()?.into_iter().filter(|received| matches!(received.event, ReceivedEvent::Message(_)));
        let found = found.map(|received| received.id).collect();
        client.acknowledge()?;
        Ok(Self { client, crypto, policy, found, readable: BTreeSet::new() })
    }

    /// Processes an entry. True if the engine could follow it.
    fn follow(&mut self, entry: &Traffic) -> Result<bool, regrow_engine::Error> {
        match entry.kind {
            TrafficKind::Message if self.found.contains(&MessageId::of(&entry.bytes)) => {
                self.readable.extend(entry.message);
                return Ok(false);
            }
            TrafficKind::Message => match self.client.receive(&entry.bytes, NO_TIME)?.event {
                ReceivedEvent::Message(_) => self.readable.extend(entry.message),
                _ => return Ok(false),
            },
            TrafficKind::Proposal => {
                return Ok(matches!(self.client.receive(&entry.bytes, NO_TIME)?.event, ReceivedEvent::Proposal { .. }));
            }
            TrafficKind::Commit => {
                let before = self.client.snapshot()?;
                match self.client.receive(&entry.bytes, NO_TIME)?.event {
                    ReceivedEvent::Commit(_) => {}
                    ReceivedEvent::Removed { .. } => {
                        self.client = self.open(before.to_store())?;
                        return Ok(false);
                    }
                    _ => return Ok(false),
                }
            }
            TrafficKind::Welcome => {
                let mut invited = self.open(self.client.snapshot()?.to_store())?;
                invited.forget(&entry.group)?;
                invited.join(&entry.bytes, NO_TIME)?;
                self.client = invited;
            }
        }
        Ok(true)
    }

    fn open(&self, store: impl Store + 'static) -> Result<Client, regrow_engine::Error> {
        self.open_with(store, self.crypto.clone())
    }

    pub(super) fn open_with(
        &self,
        store: impl Store + 'static,
        crypto: Arc<dyn CryptoProvider>,
    ) -> Result<Client, regrow_engine::Error> {
        let mut client = Client::open(Arc::new(store), crypto, self.policy.clone())?;
        client.acknowledge()?;
        Ok(client)
    }
}

impl Adversary for Replay {
    fn observe(&mut self, traffic: &[Traffic]) -> Vec<Traffic> {
        let own = self.client.device().clone();
        let others = traffic.iter().filter(|entry| entry.sender.as_ref() != Some(&own));
        // A refused entry gives the thief nothing; the next entry may give something.
        others.filter(|entry| self.follow(entry).unwrap_or(false)).cloned().collect()
    }

    fn readable(&self) -> &BTreeSet<usize> {
        &self.readable
    }

    fn stolen(&mut self) -> Option<&mut Replay> {
        Some(self)
    }
}
