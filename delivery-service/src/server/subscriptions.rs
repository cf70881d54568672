//! Subscriptions: the devices with a stream or a long poll, and the groups that they read. Sleeping
//! devices are subscribers too, without a stream, until an entry for them arrives.
//!
//! The subscriptions tell only *when* a device has to read. The store decides *what* the device
//! reads. A device that wakes without need reads an empty page. A device subscribes before its
//! first read, and the server wakes it after a new entry is durable. So no entry is lost between a
//! read and the wait after it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::refusal::RequestError;
use crate::{
    api::Code,
    names::{DeviceId, GroupId},
    service::Effect,
};

/// The time after which a client tries again if all streams are taken.
const FULL: Duration = Duration::from_secs(5);

/// A change that concerns the subscribers.
pub(crate) enum SubscriptionChange {
    /// The service has accepted a call with this effect.
    Effect(Effect),
    /// The device reads these groups.
    Subscribe(DeviceId, Vec<GroupId>),
}

/// All subscribers. Clones share them.
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
    /// The open streams of the device. The server calls a subscriber without a stream.
    streams: usize,
    groups: BTreeSet<GroupId>,
}

impl Subscriptions {
    /// Creates subscriptions with a limit for all streams and a limit for the streams of each
    /// device.
    pub(crate) fn new(streams: usize, streams_per_device: usize) -> Self {
        Self { index: Arc::default(), streams, streams_per_device }
    }

    /// Takes a subscription for one stream. Its drop gives the place back.
    ///
    /// The subscription receives no wake-ups before [`SubscriptionChange::Subscribe`] names the
    /// groups that the device reads.
    pub(crate) fn enter(&self, device: &DeviceId) -> Result<Subscription, RequestError> {
        let mut index = self.lock();
        if index.taken >= self.streams {
            return Err(RequestError::for_now(Code::Unavailable, FULL));
        }
        let subscriber = index.subscribers.entry(device.clone()).or_default();
        if subscriber.streams >= self.streams_per_device {
            // A new subscriber has no stream yet.
            if subscriber.streams == 0 {
                index.remove(device);
            }
            return Err(RequestError::for_now(Code::TooManyRequests, FULL));
        }
        subscriber.streams += 1;
        let woken = subscriber.wake.subscribe();
        index.taken += 1;
        Ok(Subscription { subscriptions: self.clone(), device: device.clone(), woken })
    }

    /// The number of open streams.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// True if the device has a stream or a long poll.
    pub(crate) fn is_subscribed(&self, device: &DeviceId) -> bool {
        self.lock().subscribers.get(device).is_some_and(|subscriber| subscriber.streams > 0)
    }

    /// Wakes all devices.
    pub(crate) fn wake_all(&self) {
        self.lock().subscribers.values().for_each(|subscriber| {
            subscriber.wake.send_replace(());
        });
    }

    /// Registers a sleeping device: the server calls it when one of these groups has a new entry.
    pub(crate) fn sleep(&self, device: &DeviceId, groups: Vec<GroupId>) {
        let mut index = self.lock();
        index.subscribers.entry(device.clone()).or_default();
        index.set_groups(device, groups);
    }

    /// Applies durable changes, and wakes the devices that they concern. `reads` tells if a device
    /// reads a group now. Returns the devices without a stream that the server has to call.
    pub(crate) fn apply(
        &self,
        changes: Vec<SubscriptionChange>,
        mut reads: impl FnMut(&GroupId, &DeviceId) -> bool,
    ) -> BTreeSet<DeviceId> {
        let mut index = self.lock();
        if index.subscribers.is_empty() {
            return BTreeSet::new();
        }
        // New subscriptions come first, so that the other changes of the same batch wake them.
        let (mut changed, mut changed_readers) = (BTreeSet::new(), Vec::new());
        for change in changes {
            match change {
                SubscriptionChange::Subscribe(device, groups) => index.set_groups(&device, groups),
                SubscriptionChange::Effect(Effect::Readers(group, devices)) => {
                    changed_readers.extend(devices.into_iter().map(|device| (group.clone(), device)));
                    changed.insert(group);
                }
                SubscriptionChange::Effect(Effect::Entry(group)) => {
                    changed.insert(group);
                }
            }
        }
        // A removed device still reads the entry that removes it, so the wake-up comes first.
        let mut woken = BTreeSet::new();
        for group in &changed {
            woken.extend(index.wake(group));
        }
        for (group, device) in changed_readers {
            if index.subscribers.contains_key(&device) {
                let is_reader = reads(&group, &device);
                index.set_reader(&group, &device, is_reader);
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
    /// Wakes the devices that read the group, and returns them.
    fn wake(&self, group: &GroupId) -> impl Iterator<Item = DeviceId> {
        let devices = self.groups.get(group).into_iter().flatten();
        devices.filter_map(|device| {
            self.subscribers.get(device)?.wake.send_replace(());
            Some(device.clone())
        })
    }

    /// Replaces the groups of the device.
    fn set_groups(&mut self, device: &DeviceId, groups: Vec<GroupId>) {
        self.forget_groups(device);
        let Some(subscriber) = self.subscribers.get_mut(device) else {
            return;
        };
        subscriber.groups = groups.iter().cloned().collect();
        for group in groups {
            self.groups.entry(group).or_default().insert(device.clone());
        }
    }

    /// Notes if the device reads the group, and wakes the device.
    fn set_reader(&mut self, group: &GroupId, device: &DeviceId, is_reader: bool) {
        let Some(subscriber) = self.subscribers.get_mut(device) else {
            return;
        };
        if is_reader {
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

/// The place of one stream, and its wake-ups.
pub(crate) struct Subscription {
    subscriptions: Subscriptions,
    device: DeviceId,
    woken: watch::Receiver<()>,
}

impl Subscription {
    /// Forgets the wake-ups so far. Call this before a read, so that only later changes wake the
    /// device.
    pub(crate) fn forget_wake_ups(&mut self) {
        self.woken.borrow_and_update();
    }

    /// Waits for the next wake-up since [`forget_wake_ups`](Self::forget_wake_ups).
    pub(crate) async fn woken(&mut self) {
        // The sender lives as long as this subscription.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriptions.lock().leave(&self.device);
    }
}
