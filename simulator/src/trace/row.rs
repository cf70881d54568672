//! One row of a trace.

/// A name of a trace, as its number in order of first appearance, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceName(pub(super) u32);

impl TraceName {
    /// The index of the name in [`names`](super::TraceReader::names).
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The event of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// The member enters the group.
    Join,
    /// The member leaves the group, or somebody removes it.
    Leave,
    /// The member sends a message.
    Message,
}

impl TraceEvent {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("join", Self::Join), ("leave", Self::Leave), ("message", Self::Message)];

    /// The word for the event in a file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Message => "message",
        }
    }
}

/// One row of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// The line of the row in the file, from 1.
    pub line: u32,
    /// The seconds since the start of the trace.
    pub time: u64,
    /// The event.
    pub event: TraceEvent,
    /// The member that joins, leaves or sends.
    pub member: TraceName,
    /// The author of a change, who may not be a member. Not set if the author is unknown.
    pub by: Option<TraceName>,
}
