//! Replays scripted membership changes on real MLS clients, and measures forward secrecy and post-compromise security.
//!
//! A [`scenario`] is read and checked, run, and its result written as a [`report`]. Scenarios that fail can be
//! [searched for](explore). The `regrow` command is a thin layer
//! around these.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod cost;
pub mod explore;
pub mod oracle;
pub mod report;
pub mod scenario;
mod wire;
pub mod world;
