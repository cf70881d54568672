//! Tests of the simulator and of the program `regrow`, one module for each capability.
//!
//! All modules are in one binary, because each binary links everything again.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

mod common;

mod adversary;
mod backups;
mod baselines;
mod cheapest_committer;
mod churn;
mod command_line;
mod costs;
mod crashes;
mod determinism;
mod device_life;
mod doc_commands;
mod docs;
mod evidence;
mod expectations;
mod expected_costs;
mod expected_events;
mod explain;
mod explore;
mod groups;
mod html;
mod impersonate;
mod key_packages;
mod matrix;
mod model;
mod mutations;
mod network;
mod oracle_trees;
mod policy;
mod races;
mod report;
mod results;
mod run_settings;
mod runs;
mod scenario_format;
mod scenario_properties;
mod scenario_schema;
mod scenarios;
mod service;
mod service_faults;
mod short_forms;
mod starters;
mod stolen_files;
mod sweeps;
mod syntaxes;
mod timed_expectations;
mod traces;
mod world_properties;
