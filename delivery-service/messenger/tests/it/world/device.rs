//! A device with a messenger, and a process that dies.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use regrow_engine::{Batch, Client, MemoryStore, Policy, Store, StoreError, Value, default_crypto};
use regrow_messenger::{Event, Messenger, Options};

use super::{World, chat};

/// A device with a messenger, and all events that it has reported.
pub struct TestDevice {
    pub store: MemoryStore,
    pub(super) messenger: Option<Messenger>,
    pub(super) policy: Policy,
    pub(super) options: Options,
    pub events: Vec<Event>,
}

impl std::ops::Deref for TestDevice {
    type Target = Messenger;

    fn deref(&self) -> &Messenger {
        self.messenger.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for TestDevice {
    fn deref_mut(&mut self) -> &mut Messenger {
        self.messenger.as_mut().unwrap()
    }
}

impl TestDevice {
    /// The seed of the key for the service, as a thief finds it in the store.
    pub(super) fn stored_seed(&self) -> [u8; 32] {
        #[derive(serde::Deserialize)]
        struct Account {
            #[serde(with = "serde_bytes")]
            seed: [u8; 32],
        }
        let stored = self.engine().app_data("regrow-ds/account").unwrap().unwrap();
        ciborium::from_reader::<Account, _>(&stored[..]).unwrap().seed
    }

    /// The process dies, and another opens its store.
    pub fn crash(&mut self, world: &World) {
        self.reopen(world, Arc::new(self.store.clone()));
    }

    /// The process dies, and the store of the next one takes this number of writes.
    pub fn crash_and_write(&mut self, world: &World, writes: u64) {
        self.reopen(world, Arc::new(Dying { records: self.store.clone(), writes: AtomicU64::new(writes) }));
    }

    fn reopen(&mut self, world: &World, store: Arc<dyn Store>) {
        self.messenger = None;
        let client = Client::open(store, default_crypto(), self.policy.clone()).unwrap();
        self.messenger = Some(Messenger::open(client, &world.address, self.options.clone()).unwrap());
    }

    /// The process dies, one of its records is damaged, and another process opens the store.
    pub fn damage(&mut self, world: &World, name: &str) {
        self.messenger = None;
        let mut client = Client::open(Arc::new(self.store.clone()), default_crypto(), self.policy.clone()).unwrap();
        assert!(client.app_data(name).unwrap().is_some());
        client.set_app_data([(name, Some(b"damaged"))]).unwrap();
        drop(client);
        self.crash(world);
    }

    /// Reads all entries, and does all work that is possible now.
    pub async fn poll_once(&mut self) {
        let events = self.messenger.as_mut().unwrap().poll().await.unwrap();
        self.events.extend(events);
    }

    /// The texts that it has reported, each with its sender.
    pub fn texts(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Message { sender, text, .. } => Some(format!("{}: {text}", sender.user())),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// The number of reported events that match.
    pub fn count_events(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| what(event)).count()
    }

    pub fn members(&mut self) -> Vec<String> {
        self.roster(&chat()).unwrap().into_iter().map(|member| member.device.to_string()).collect()
    }

    pub fn epoch(&mut self) -> u64 {
        self.group(&chat()).unwrap().epoch().unwrap().0
    }
}

/// A store that takes a number of writes, and then fails.
struct Dying {
    records: MemoryStore,
    writes: AtomicU64,
}

impl Store for Dying {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        self.records.get(key)
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.records.keys(prefix)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let left = |left: u64| left.checked_sub(1);
        match self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.records.apply(batch),
            Err(_) => Err(StoreError::new("write", "the process dies")),
        }
    }
}
