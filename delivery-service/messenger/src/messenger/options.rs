//! The choices of an application, and the clocks that a messenger reads.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use regrow_engine::{DeviceId, GroupId, Timestamp};

/// A wall clock. It may be wrong, and it may jump.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A monotonic clock: the time since any fixed moment. It never goes back.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Whether a device may add this device to a group without asking.
pub type MayAdd = Arc<dyn Fn(&DeviceId, &GroupId) -> bool + Send + Sync>;

/// The choices of an application. [`Options::default`] suits a chat program.
#[derive(Clone)]
pub struct Options {
    /// How long [`next_event`](super::Messenger::next_event) lets the service wait for an entry, in one request.
    /// Default 30 s.
    pub wait: Duration,
    /// The number of entries that one request reads at most. Default 200.
    pub page: usize,
    /// How long the device waits until a commit is taken back that it cannot follow. Then it rejoins. Default 60 s: the
    /// other members have to come online and report the commit as well.
    pub rollback_patience: Duration,
    /// How long a member waits for each member before it to commit the proposals. Default 15 s: the first member commits
    /// at once, and if all members did, all but one of the commits would be for nothing.
    pub commit_turn: Duration,
    /// Whether the first member of a group removes devices that have not updated for as long as the
    /// [`Policy`](regrow_engine::Policy) says. It does so only while its clock agrees with the service's. Default yes.
    pub remove_inactive: bool,
    /// Who may add this device to groups without asking: of the device that adds, and the group. For others there is
    /// [`Event::Invited`](super::Event). Default: everybody. Devices of the same user may always.
    pub may_add: MayAdd,
    /// The wall clock. It dates key packages and groups. Default: the system's clock.
    pub clock: Clock,
    /// The clock of all waits. Default: the system's monotonic clock.
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
