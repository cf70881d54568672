//! The parts of the server that the store's thread updates.

use crate::server::{
    clock_guard::ClockGuard, health::Health, metrics::Metrics, sessions::Sessions, subscriptions::Subscriptions,
    wake_up::WakeUps,
};

pub(crate) struct WorkerParts {
    pub(crate) subscriptions: Subscriptions,
    pub(crate) sessions: Sessions,
    pub(crate) metrics: Metrics,
    pub(crate) clock: ClockGuard,
    pub(crate) health: Health,
    pub(crate) wake_ups: WakeUps,
}
