//! Who is_subscribed: the devices with a stream or a long poll, by the groups that they read. Devices that are to be woken are
//! among them, without a seat, until something comes for them.
//!
//! It only says *when* to read; *what* a device reads is the store's to say. A device that is woken for nothing reads an
//! empty page. One that is_subscribed is registered before its first read, and woken after what it has not read yet became
//! durable, so that nothing falls between a read and the wait after it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::refusal::Refusal;
use crate::{
    api::Code,
    names::{DeviceId, GroupId},
    service::Effect,
};

/// How long to wait for somebody else's stream to end.
const FULL: Duration = Duration::from_secs(5);

/// What has changed for those who listen.
pub(crate) enum SubscriptionChange {
    /// The service has accepted a call.
    Effect(Effect),
    /// The device reads these groups.
    Follow(DeviceId, Vec<GroupId>),
}

/// Who is_subscribed. Clones are the same subscriptions.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    index: Arc<Mutex<Index>>,
    streams: usize,
    streams_per_device: usize,
}

#[derive(Default)]
struct Index {
    subscribers: HashMap<DeviceId, Subscriber>,
    groups: HashMap<GroupId, BTreeSet<DeviceId>>,
    taken: usize,
}

#[derive(Default)]
struct Subscriber {
    wake: watch::Sender<()>,
    /// A device without a seat is to be woken.
    streams: usize,
    groups: BTreeSet<GroupId>,
}

impl Subscriptions {
    /// Room for so many streams, in all and of each device.
    pub(crate) fn new(streams: usize, streams_per_device: usize) -> Self {
        Self { index: Arc::default(), streams, streams_per_device }
    }

    /// A seat for one stream. It is given back when it is dropped.
    ///
    /// It hears nothing before [`SubscriptionChange::Follow`] says which groups the device reads.
    pub(crate) fn enter(&self, device: &DeviceId) -> Result<Subscription, Refusal> {
        let mut index = self.lock();
        if index.taken >= self.streams {
            return Err(Refusal::for_now(Code::Unavailable, FULL));
        }
        let subscriber = index.subscribers.entry(device.clone()).or_default();
        if subscriber.streams >= self.streams_per_device {
            // One that was just made has no seat yet.
            if subscriber.streams == 0 {
                index.remove(device);
            }
            return Err(Refusal::for_now(Code::TooManyRequests, FULL));
        }
        subscriber.streams += 1;
        let woken = subscriber.wake.subscribe();
        index.taken += 1;
        Ok(Subscription { subscriptions: self.clone(), device: device.clone(), woken })
    }

    /// Streams at the moment.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Whether the device has a stream or a long poll.
    pub(crate) fn is_subscribed(&self, device: &DeviceId) -> bool {
        self.lock().subscribers.get(device).is_some_and(|subscriber| subscriber.streams > 0)
    }

    /// A device that does not listen is to be woken when something comes in one of these groups.
    pub(crate) fn sleep(&self, device: &DeviceId, groups: Vec<GroupId>) {
        let mut index = self.lock();
        index.subscribers.entry(device.clone()).or_default();
        index.follow(device, groups);
    }

    /// Takes in changes that are durable, and wakes the devices that they concern. `reads` says whether a device reads a
    /// group now. Returns the devices without a seat that are to be woken.
    pub(crate) fn apply(
        &self,
        changes: Vec<SubscriptionChange>,
        mut reads: impl FnMut(&GroupId, &DeviceId) -> bool,
    ) -> BTreeSet<DeviceId> {
        let mut index = self.lock();
        if index.subscribers.is_empty() {
            return BTreeSet::new();
        }
        // Who begins to listen comes first, so that whatever is in the same batch wakes it.
        let (mut changed, mut moved) = (BTreeSet::new(), Vec::new());
        for change in changes {
            match change {
                SubscriptionChange::Follow(device, groups) => index.follow(&device, groups),
                SubscriptionChange::Effect(Effect::Readers(group, devices)) => {
                    moved.extend(devices.into_iter().map(|device| (group.clone(), device)));
                    changed.insert(group);
                }
                SubscriptionChange::Effect(Effect::Entry(group)) => {
                    changed.insert(group);
                }
            }
        }
        // Those who are removed still read the entry that removes them.
        let mut woken = BTreeSet::new();
        for group in &changed {
            woken.extend(index.wake(group));
        }
        for (group, device) in moved {
            if index.subscribers.contains_key(&device) {
                let follows = reads(&group, &device);
                index.set(&group, &device, follows);
                woken.insert(device);
            }
        }
        woken.retain(|device| index.subscribers.get(device).is_some_and(|subscriber| subscriber.streams == 0));
        woken.iter().for_each(|device| index.remove(device));
        woken
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Wakes those who read the group. Returns them.
    fn wake(&self, group: &GroupId) -> impl Iterator<Item = DeviceId> {
        let devices = self.groups.get(group).into_iter().flatten();
        devices.filter_map(|device| {
            self.subscribers.get(device)?.wake.send_replace(());
            Some(device.clone())
        })
    }

    /// Its groups are these now.
    fn follow(&mut self, device: &DeviceId, groups: Vec<GroupId>) {
        self.forget_groups(device);
        let Some(subscriber) = self.subscribers.get_mut(device) else {
            return;
        };
        subscriber.groups = groups.iter().cloned().collect();
        for group in groups {
            self.groups.entry(group).or_default().insert(device.clone());
        }
    }

    /// The device is a member of the group, or is none.
    fn set(&mut self, group: &GroupId, device: &DeviceId, member: bool) {
        let Some(subscriber) = self.subscribers.get_mut(device) else {
            return;
        };
        if member {
            subscriber.groups.insert(group.clone());
            self.groups.entry(group.clone()).or_default().insert(device.clone());
        } else {
            subscriber.groups.remove(group);
            self.forget(group, device);
        }
        if let Some(subscriber) = self.subscribers.get(device) {
            subscriber.wake.send_replace(());
        }
    }

    fn forget(&mut self, group: &GroupId, device: &DeviceId) {
        if let Some(devices) = self.groups.get_mut(group) {
            devices.remove(device);
            if devices.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    fn forget_groups(&mut self, device: &DeviceId) {
        let groups = self.subscribers.get_mut(device).map(|subscriber| std::mem::take(&mut subscriber.groups));
        for group in groups.into_iter().flatten() {
            self.forget(&group, device);
        }
    }

    fn leave(&mut self, device: &DeviceId) {
        self.taken = self.taken.saturating_sub(1);
        let Some(subscriber) = self.subscribers.get_mut(device) else {
            return;
        };
        subscriber.streams = subscriber.streams.saturating_sub(1);
        if subscriber.streams == 0 {
            self.remove(device);
        }
    }

    fn remove(&mut self, device: &DeviceId) {
        self.forget_groups(device);
        self.subscribers.remove(device);
    }
}

/// The right to one stream, and what wakes it.
pub(crate) struct Subscription {
    subscriptions: Subscriptions,
    device: DeviceId,
    woken: watch::Receiver<()>,
}

impl Subscription {
    /// To be called before a read: only what comes after it wakes.
    pub(crate) fn settle(&mut self) {
        self.woken.borrow_and_update();
    }

    /// Waits for the next wake-up since [`settle`](Self::settle).
    pub(crate) async fn woken(&mut self) {
        // The sender lives as long as this seat.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriptions.lock().leave(&self.device);
    }
}
