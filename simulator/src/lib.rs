//! Replays scripted membership changes on real MLS clients, and measures forward secrecy and
//! post-compromise security.
//!
//! The library reads and checks a [`scenario`], runs it, and writes its result as a [`report`]. It
//! can also [search](explore) for scenarios that fail. The `regrow` command is a thin layer around
//! the library.
//!
//! | module | content |
//! | --- | --- |
//! | [`scenario`] | scenario files: format, reader, checker and JSON Schema |
//! | [`churn`] | generates membership histories from the seed |
//! | [`world`] | runs a scenario with engine clients and the delivery service's ordering code |
//! | [`adversary`] | finds the messages that a thief can read, from stolen bytes and traffic |
//! | [`oracle`] | predicts these messages with a symbolic model of RFC 9420 |
//! | [`report`] | the results of a run, for people, programs and CI systems |
//! | [`explain`] | explains failures and thefts to a reader who does not know MLS |
//! | [`explore`] | searches for scenarios that fail, and shrinks them |
//! | [`model`] | computes the same costs without cryptography, for groups of any size |
//! | [`cost`] | the costs of each call and of each entry of the log: crypto operations and bytes |
//! | [`calibration`] | the time of each crypto operation on this machine |
//! | [`starters`] | commented scenario files for questions that every product has |
//! | [`sweep`] | runs a scenario for each point of a parameter grid, and summarizes the figures |
//! | [`trace`] | membership traces of real groups: reader and figures |
//! | `choices` | random choices from a seed |
//! | [`whole_file`] | output files that are whole or not there at all |
//! | `wire` | decodes vectors of the MLS encoding |

#![forbid(unsafe_code)]

pub mod adversary;
pub mod calibration;
mod choices;
pub mod churn;
pub mod cost;
pub mod explain;
pub mod explore;
pub mod model;
pub mod oracle;
pub mod report;
pub mod scenario;
pub mod starters;
pub mod sweep;
pub mod trace;
pub mod whole_file;
mod wire;
pub mod world;
