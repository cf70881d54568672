//! The options of an application, and the clocks that a messenger reads.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use regrow_engine::{DeviceId, GroupId, Timestamp};

/// A wall clock. It may be wrong, and it may jump.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A monotonic clock: the time since a fixed moment. It never goes back.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Decides if a device may add this device to a group without asking.
pub type MayAdd = Arc<dyn Fn(&DeviceId, &GroupId) -> bool + Send + Sync>;

/// The options of an application. [`Options::default`] suits a chat program.
#[derive(Clone)]
pub struct Options {
    /// The time that [`next_event`](super::Messenger::next_event) lets the service wait for an
    /// entry, in one request. Default 30 s.
    pub wait: Duration,
    /// The largest number of entries that one request reads. Default 200.
    pub page: usize,
    /// The time that the device waits for the service to take back a commit that it cannot follow.
    /// Then it rejoins. Default 60 s: other members have to come online and report the commit as
    /// well.
    pub rollback_patience: Duration,
    /// The time that a member leaves to each earlier member to commit the proposals. Default 15 s.
    /// The first member commits at once; if all members did, all commits but one would be in vain.
    pub commit_turn: Duration,
    /// True if this device, as the first member of a group, removes inactive devices. The
    /// [`Policy`](regrow_engine::Policy) says after which time without an update a device is
    /// inactive. This device removes only while its clock agrees with the service's. Default true.
    pub remove_inactive: bool,
    /// Decides which device may add this device to which group without asking. For other devices
    /// the messenger reports [`Event::Invited`](super::Event). Default: every device. Devices of
    /// the same user may always add this device.
    pub may_add: MayAdd,
    /// The wall clock. It dates key packages and groups. Default: the system's clock.
    pub clock: Clock,
    /// The clock that measures all waits. Default: the system's monotonic clock.
    pub monotonic: Monotonic,
}

impl Default for Options {
    fn default() -> Self {
        let begun = Instant::now();
        Self {
            wait: Duration::from_secs(30),
            page: 200,
            rollback_patience: Duration::from_secs(60),
            commit_turn: Duration::from_secs(15),
            remove_inactive: true,
            may_add: Arc::new(|_, _| true),
            clock: Arc::new(|| Timestamp(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()))),
            monotonic: Arc::new(move || begun.elapsed()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wait, page, rollback_patience, commit_turn, remove_inactive, .. } = self;
        f.debug_struct("Options")
            .field("wait", wait)
            .field("page", page)
            .field("rollback_patience", rollback_patience)
            .field("commit_turn", commit_turn)
            .field("remove_inactive", remove_inactive)
            .finish_non_exhaustive()
    }
}
