//! The network between the devices and the service: latency, losses, repetitions, and partitions.
//!
//! Each device has a connection of its own to the service. The real messenger reads one ordered
//! stream, repeats a request that gets no answer, and resumes a broken stream. Therefore nothing is
//! lost for ever: a loss costs time, or sends the same bytes twice.
//!
//! | module | content |
//! | --- | --- |
//! | `connection` | the conditions of one connection, and what they do to requests and deliveries |
//! | `inbox` | the deliveries that have not reached a device's engine |
//! | `catch_up` | a device reads the log, and processes the entries that have arrived |
//! | `exchange` | a request and its answer |
//! | `outbox` | the submissions of members that are cut off |
//! | `steps` | the steps `network` and `clock`, and the end of a scenario |

mod catch_up;
mod connection;
mod exchange;
mod inbox;
mod outbox;
mod steps;

pub(super) use catch_up::Reading;
pub(super) use connection::Network;
pub(super) use inbox::{Inbox, made_in};
pub(super) use outbox::Outbox;
