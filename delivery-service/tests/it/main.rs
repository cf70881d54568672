//! Tests of the delivery service through its public interface, one module for each capability.
//!
//! All modules are in one binary, because each binary compiles OpenMLS's generic code again.

mod common;
mod h2;
mod http;
mod test_directory;

mod all_or_nothing;
mod assisted;
mod batch;
mod claims;
mod consent;
mod device_lists;
mod effects;
mod ending;
mod hostile_bytes;
mod intrusion;
mod key_packages;
mod opaque;
mod ordering;
mod persistence;
mod postgres_faults;
mod postgres_store;
mod profile;
mod quiet_groups;
mod ratchet_tree;
mod reading;
mod receipts;
mod removed;
mod rollback;
mod server_admission;
mod server_api;
mod server_cli;
mod server_clock;
mod server_config;
mod server_disk;
mod server_drain;
mod server_host;
mod server_jwt;
mod server_large;
mod server_listener;
mod server_log;
mod server_log_writer;
mod server_login;
mod server_metrics;
mod server_stream;
mod server_upgrade;
mod server_wake_up;
mod store_check;
mod store_file;
mod store_move;
mod user_limits;
mod verdicts;
mod votes;
mod welcome;
