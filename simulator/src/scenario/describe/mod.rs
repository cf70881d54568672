//! Describes every object and step of a scenario file, each in one place.
//!
//! | module | content |
//! | --- | --- |
//! | `object` | an object: its fields, and the rules for their combination |
//! | `kind` | the kinds of values |
//! | `reading` | reads an object by its description |
//! | `schema` | the JSON Schema, from the descriptions |
//! | `reference` | the tables of `docs/scenario-format.md`, from the descriptions |
//!
//! # How to add a step
//!
//! A step belongs to an area: a file in `scenario/step/`, which is one table of the reference. To
//! add a step to an area:
//!
//! 1. **Describe it**: an [`Object`] with its fields and rules, and an entry in the list `STEPS` of
//!    the area. The known fields, required fields, limits, JSON Schema, list of steps and reference
//!    follow from them. A step that can be in a race has `.racing()`.
//! 2. **Decode it**: a function that reads the object with
//!    [`described`](super::fields::FileReader::described) and returns the [`Action`]. Unknown fields,
//!    missing fields and broken rules are noted before the function takes the first field. Problems
//!    that a description cannot express are noted with
//!    [`note`](super::fields::FileReader::note).
//! 3. **Add the variant** of [`Action`], with its name in [`Action::name`] and its names in
//!    `at_turn.rs`: there short forms such as `{i}` and `everybody` become names.
//! 4. **Write it** in `write.rs`, and **check** the names that it uses in `check.rs`.
//! 5. Write the tables of the reference again, with
//!    `cargo test -p regrow-simulator --lib reference -- --ignored`. After a merge, the same command
//!    resolves conflicts between the marks.
//! 6. Add examples to `tests/it/scenario_schema.rs`: some that the schema and the reader accept, and
//!    some that both refuse.
//!
//! To add an area, add a file to `scenario/step/`, a line to [`AREAS`](super::step::AREAS), and the
//! two marks `<!-- reference: steps NAME -->` and `<!-- end of reference -->` to the page.
//!
//! To add a field, add it to the description of its object, and read it in the object's decoder.
//!
//! [`Action`]: super::format::Action
//! [`Action::name`]: super::format::Action::name

mod kind;
mod object;
mod reading;
#[cfg(test)]
mod reference;
pub(super) mod schema;
mod schema_text;

pub(crate) use kind::{Kind, words};
pub(crate) use object::{Field, Object, Presence, Rule};
pub(crate) use reading::Described;
