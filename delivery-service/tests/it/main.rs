//! The delivery service through its public interface: one module for each capability. They are one binary, because each binary
//! would compile OpenMLS's generic code again.

mod common;
mod h2;
mod http;
mod place;

mod all_or_nothing;
mod assisted;
mod batch;
mod checked_beside;
mod claims;
mod consent;
mod effects;
mod ending;
mod hostile_bytes;
mod intrusion;
mod key_packages;
mod opaque;
mod ordering;
mod persistence;
mod profile;
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
mod server_listener;
mod server_log;
mod server_log_writer;
mod server_login;
mod server_metrics;
mod server_stream;
mod store_check;
mod store_file;
mod votes;
mod welcome;
