//! Replays scripted membership changes on real MLS clients, and measures forward secrecy and post-compromise security.
//!
//! A [`scenario`] is read and checked, run, and its result written as a [`report`]. The `regrow` command is a thin layer
//! around these.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod report;
pub mod scenario;
pub mod world;
