//! The actions that the test chooses at random.

use super::service::DeviceNo;

/// The next steps of a commit after it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitHandling {
    /// The commit waits.
    Hold,
    /// The commit is submitted, and the answer is lost.
    Submit,
    /// The commit is submitted and answered.
    Settle,
}

/// One action of a device or on a device.
#[derive(Clone, Debug)]
pub enum Action {
    Create(DeviceNo),
    Add(DeviceNo, DeviceNo, CommitHandling),
    Remove(DeviceNo, DeviceNo, CommitHandling),
    Update(DeviceNo, bool, CommitHandling),
    Commit(DeviceNo, CommitHandling),
    /// The last value is true if the proposal reaches the service.
    ProposeAdd(DeviceNo, DeviceNo, bool),
    ProposeRemove(DeviceNo, DeviceNo, bool),
    ProposeUpdate(DeviceNo, bool),
    Leave(DeviceNo, bool),
    Resume(DeviceNo, CommitHandling),
    Abandon(DeviceNo),
    Discard(DeviceNo),
    Submit(DeviceNo),
    Answer(DeviceNo),
    /// Confirms or discards a commit that is no longer pending.
    Outdated(DeviceNo, bool),
    Send(DeviceNo),
    /// Delivers this number of log entries, one by one or in one call.
    Receive(DeviceNo, usize, bool),
    /// Delivers an entry this far ahead of the cursor.
    Early(DeviceNo, usize),
    /// Delivers an entry this far behind the cursor.
    Again(DeviceNo, usize),
    /// Delivers the next entry with one changed byte.
    Garbled(DeviceNo, usize, u8),
    Join(DeviceNo, CommitHandling),
    Forget(DeviceNo),
    Reopen(DeviceNo),
}

impl Action {
    /// Returns the number that selects the device of the action.
    pub fn who(&self) -> DeviceNo {
        match *self {
            Self::Create(who)
            | Self::Add(who, ..)
            | Self::Remove(who, ..)
            | Self::Update(who, ..)
            | Self::Commit(who, _)
            | Self::ProposeAdd(who, ..)
            | Self::ProposeRemove(who, ..)
            | Self::ProposeUpdate(who, _)
            | Self::Leave(who, _)
            | Self::Resume(who, _)
            | Self::Abandon(who)
            | Self::Discard(who)
            | Self::Submit(who)
            | Self::Answer(who)
            | Self::Outdated(who, _)
            | Self::Send(who)
            | Self::Receive(who, ..)
            | Self::Early(who, _)
            | Self::Again(who, _)
            | Self::Garbled(who, ..)
            | Self::Join(who, _)
            | Self::Forget(who)
            | Self::Reopen(who) => who,
        }
    }
}
