//! The JSON Schema of format 1.
//!
//! It says what JSON can show of a scenario: fields, types and limits. Whether names exist and ids are unique is the
//! checker's. The tests hold it against the parser.

/// The schema as a JSON document, draft 2020-12.
pub const SCHEMA: &str = include_str!("schema.json");
