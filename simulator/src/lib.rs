//! Replays scripted membership changes on real MLS clients, and measures forward secrecy and
//! post-compromise security.
//!
//! The library reads and checks a [`scenario`], runs it, and writes its result as a [`report`]. It
//! can also [search](explore) for scenarios that fail. The `regrow` command is a thin layer around
//! the library.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod cost;
pub mod explore;
pub mod oracle;
pub mod report;
pub mod scenario;
mod wire;
pub mod world;
