//! The JSON Schema of sweep files, format 1.
//!
//! It has the rules that JSON can express. The reader checks that a plot names an axis that exists,
//! and that each point is a usable scenario.

/// The schema as a JSON document, draft 2020-12.
pub const SCHEMA: &str = include_str!("schema.json");
