//! The JSON Schema of a line of `regrow run --json`.

/// The schema as a JSON document, draft 2020-12.
pub const SCHEMA: &str = include_str!("schema.json");
