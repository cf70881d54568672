//! The JSON Schema of format 1.
//!
//! It has the rules that JSON can express: fields, types and limits. The checker decides if names
//! exist and if ids are unique. The tests compare the schema with the parser.

/// The schema as a JSON document, draft 2020-12.
pub const SCHEMA: &str = include_str!("schema.json");
