//! The messenger over a real server on loopback: one module for each capability.

mod world;

mod adding;
mod chat;
mod clocks;
mod device;
mod devices;
mod faults;
mod gap;
mod key_packages;
mod lanes;
mod membership;
mod resend;
mod trees;
