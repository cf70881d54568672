//! No code: only features of other crates.
//!
//! Cargo builds a crate again for each set of its features. The delivery service enables more
//! features than the simulator in a few crates below both, and most other crates depend on one of
//! these. This crate enables the same features for the simulator. So one build of each crate serves
//! both programs. `.ci/run` compares the features of the two.

#![forbid(unsafe_code)]
