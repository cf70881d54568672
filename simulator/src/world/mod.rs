//! Runs scenarios: real engine clients, the delivery service's real ordering code, virtual time,
//! one seed.
//!
//! [`run`](run()) plays the steps of a scenario. A step such as `remove` passes through `steps`,
//! `prepare`, `attempt`, the service under test, and `settle`, in this order.
//!
//! | module | content |
//! | --- | --- |
//! | **orchestration** | |
//! | `run` | plays the steps one after the other |
//! | `state` | the world: its parts |
//! | `steps` | carries out one step |
//! | `timed_expectations` | expectations that become true within a bound |
//! | `virtual_timeout` | ends a scenario whose virtual time is over |
//! | `all_groups` | the steps that concern all groups of a device |
//! | `create_group`, `race`, `compromise`, `impersonate` | the steps that are no single attempt |
//! | `prepare` | makes the submission of a step |
//! | `attempt` | one attempt of a device: make, submit, confirm, or start again |
//! | `settle` | delivers, until no device has anything left to do |
//! | `deliver` | delivers log entries to devices |
//! | `expect`, `invariants` | the checks of a scenario, and those at the end of every scenario |
//! | `told_events` | the events that devices tell their applications, and the check of them |
//! | `expected_costs` | the check of the costs of a step or a run |
//! | `service_faults` | the step `service`: faults and lies of the service |
//! | `findings` | has members check the service, and records their findings |
//! | `backups` | makes backups, and restores devices from them |
//! | `locks` | locks devices, also those that nobody uses |
//! | `trust`, `application_answers` | safety numbers, and the answers of applications about keys |
//! | `upkeep` | work that is due by the policies of devices |
//! | `behind` | the reason why a device cannot follow |
//! | `warnings` | doubts about what a scenario tests |
//! | `results` | exposed messages, costs and figures |
//! | `run_record` | the record of a run, for a report |
//! | `member_states` | the states of members, for the record of a run |
//! | [`matrix`] | a run that steals every device after every step |
//! | **parts of the world** | |
//! | `clock` | virtual time, and the clocks of the devices |
//! | `delivery_rules` | held, dropped and repeated deliveries |
//! | `network` | connections with latency and losses, partitions, and the inboxes of devices |
//! | `service_under_test` | submissions to the service, its rosters, and the ordered traffic |
//! | `devices`, `device` | all devices by name; one device with client, store and crashes |
//! | `member_checks` | a member's checks of the service: receipts and rosters |
//! | `cut_off` | members that the service has cut off |
//! | `device_group` | the state of one device in one group |
//! | `loaded_groups` | the devices whose group stays in memory between two steps |
//! | `key_packages`, `known_key_packages` | the stock of key packages at the service, and the facts about them |
//! | `thieves`, `thief_session` | the thieves, and the sessions in which they act |
//! | `recorder` | transcript, recent events and breaches |
//! | `fact_recorder` | the facts for the oracles, and the bytes for the evidence |
//! | `group_facts` | the oracle of each group, and the facts that concern all groups |
//! | `cost_recorder` | the costs of each entry of the log |
//! | `step_recorder` | the steps and their events, for a report |
//! | `matrix_recorder` | the snapshots of an exposure matrix |
//! | `step_labels` | the labels of steps, from which their randomness follows |
//! | **below the parts** | |
//! | `submission`, `event`, `step_failure` | submissions; transcript events; failures of a step |
//! | `commit_order` | the canonical order of the proposals in a commit |
//! | `delivery_check` | the expected result of a delivery |
//! | `window` | the messages that a policy lets a member read |
//! | `generation_counter` | the generations of a sender's messages |
//! | `crashable_store` | a store whose process can crash |
//! | `shared_values` | the large values of all stores, each part once |
//! | `storage_file` | the file of a store that a thief steals |
//! | `settings` | the parts of a scenario that decide how its world is built |
//! | [`fault_injection`] | wraps the stores and the cryptography below a world |
//! | [`randomness`] | the source of every random byte |
//!
//! The same scenario and seed give the same transcript. Every visible order comes from the scenario
//! or from the seed, and devices that work in parallel share nothing.

mod all_groups;
mod application_answers;
mod attempt;
mod backups;
mod behind;
mod clock;
mod commit_order;
mod compromise;
mod cost_recorder;
mod crashable_store;
mod create_group;
mod cut_off;
mod deliver;
mod delivery_check;
mod delivery_rules;
mod device;
mod device_group;
mod devices;
mod event;
mod expect;
mod expected_costs;
mod fact_recorder;
pub mod fault_injection;
mod findings;
mod generation_counter;
mod group_facts;
mod impersonate;
mod invariants;
mod key_packages;
mod known_key_packages;
mod loaded_groups;
mod locks;
pub mod matrix;
mod matrix_recorder;
mod member_checks;
mod member_states;
mod network;
mod prepare;
mod race;
pub mod randomness;
mod recorder;
mod results;
mod run;
mod run_record;
mod service_faults;
mod service_under_test;
mod settings;
mod settle;
mod shared_values;
mod state;
mod step_failure;
mod step_labels;
mod step_recorder;
mod steps;
mod storage_file;
mod submission;
mod thief_session;
mod thieves;
mod timed_expectations;
mod told_events;
mod trust;
mod upkeep;
mod virtual_timeout;
mod warnings;
mod window;

#[cfg(test)]
mod tests;

pub use run::{run, run_in};
pub use service_under_test::{UnusableService, check_service};

pub(crate) use device::identity_size;
pub(crate) use key_packages::KEY_PACKAGES;
pub(crate) use race::turn_in_race;
pub(crate) use settings::policy_without_suite;
pub(crate) use step_failure::{FailedStep, StepFailure, unexpected, unless_void};
pub(crate) use step_labels::StepLabels;
pub(crate) use virtual_timeout::virtual_timeout;
