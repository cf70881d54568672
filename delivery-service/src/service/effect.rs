//! The effects of accepted calls outside the store: which devices have something new to read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::names::{DeviceId, GroupId};

/// An effect of a call that was accepted. A server carries it out once the call is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The group's log has a new entry.
    Entry(GroupId),
    /// These devices have begun or stopped to read the group.
    Readers(GroupId, Vec<DeviceId>),
}

/// The effects of the calls of one batch. Outside a batch they are not collected.
#[derive(Default)]
pub(crate) struct Effects(Option<Mutex<Vec<Effect>>>);

impl Effects {
    /// Returns a collection for the effects of a batch.
    pub(crate) fn collected() -> Self {
        Self(Some(Mutex::default()))
    }

    /// Notes an effect of the present call.
    pub(crate) fn note(&self, effect: Effect) {
        if let Some(mut effects) = self.lock() {
            effects.push(effect);
        }
    }

    /// Returns the number of effects.
    pub(super) fn count(&self) -> usize {
        self.lock().map_or(0, |effects| effects.len())
    }

    /// Drops the effects of a call that was not accepted: all effects but the first `count`.
    pub(super) fn truncate(&self, count: usize) {
        if let Some(mut effects) = self.lock() {
            effects.truncate(count);
        }
    }

    /// Takes the effects out.
    pub(super) fn take(&self) -> Vec<Effect> {
        self.lock().map(|mut effects| std::mem::take(&mut *effects)).unwrap_or_default()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Vec<Effect>>> {
        // A lock holder does nothing that can panic.
        self.0.as_ref().map(|effects| effects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
