//! The messenger over a real server on loopback: one module for each capability.

mod world;

mod chat;
mod faults;
mod trees;
