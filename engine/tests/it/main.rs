//! Tests of the engine through its public interface, one module for each capability.
//!
//! The modules are in one binary, because each binary compiles OpenMLS's generic code again. The
//! tests that start or inspect a process of their own have binaries of their own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, unreachable_pub)]

mod common;

mod app_data;
mod authentication;
mod backup;
mod batches;
mod ciphersuites;
mod commits;
mod data;
mod deletion;
mod devices;
mod disk;
mod external;
mod forks;
mod group_states;
mod history;
mod hostile_file;
mod hostile_input;
mod identity;
mod inbox;
mod key_package_lifetimes;
mod load;
mod lock;
mod membership;
mod model;
mod paths;
mod policy;
mod proposals;
mod ratchet_tree;
mod receive;
mod recovery;
mod rotation;
mod snapshot;
mod storage;
mod uncommittable;
mod verification;
