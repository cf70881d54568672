//! The path to a field of a scenario, such as `steps[2].repeat.times`.

use std::fmt;

use serde_json::{Map, Value};

/// The largest number of names and indexes in a path. The deepest field of a scenario needs nine.
const MAX_SEGMENTS: usize = 32;

/// A path from the top of a scenario to one of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Name(String),
    Index(usize),
}

/// The reason why a path or a substitution is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is not a path.
    #[error("`{0}` is not a path to a field; write a path such as `group.padding` or `steps[2].repeat.times`")]
    Form(String),
    /// The path leads into a list that is too short.
    #[error("`{path}` does not exist in the base: the list has {length} elements, counted from 0")]
    NoElement {
        /// The path up to the missing element.
        path: String,
        /// The length of the list.
        length: usize,
    },
    /// The path leads into a value that has no fields or no elements.
    #[error("`{path}` is not possible in the base: the value above it is not {expected}")]
    NoContainer {
        /// The path up to the missing value.
        path: String,
        /// The needed kind of value.
        expected: &'static str,
    },
}

impl FieldPath {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// [`PathError::Form`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = || PathError::Form(text.chars().take(80).flat_map(char::escape_debug).collect());
        let mut segments = Vec::new();
        for part in text.split('.') {
            let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(error());
            }
            segments.push(Segment::Name(name.to_owned()));
            let mut rest = indexes;
            while !rest.is_empty() {
                let (index, after) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(error)?;
                if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(error());
                }
                segments.push(Segment::Index(index.parse().map_err(|_| error())?));
                rest = after;
            }
        }
        if segments.len() > MAX_SEGMENTS { Err(error()) } else { Ok(Self(segments)) }
    }

    /// True if one of the paths leads to the other's value or into it.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(one, other)| one == other)
    }

    /// Puts a value into the field. Creates a missing object, but no element of a list: the checker
    /// of scenarios reports a misspelled field.
    ///
    /// # Errors
    ///
    /// [`PathError::NoElement`] and [`PathError::NoContainer`].
    pub fn set(&self, scenario: &mut Value, value: Value) -> Result<(), PathError> {
        let mut here = scenario;
        for (depth, segment) in self.0.iter().enumerate() {
            let path = || Self(self.0[..=depth].to_vec()).to_string();
            here = match segment {
                Segment::Name(name) => {
                    if here.is_null() {
                        *here = Value::Object(Map::new());
                    }
                    let fields = here.as_object_mut();
                    let fields =
                        fields.ok_or_else(|| PathError::NoContainer { path: path(), expected: "an object" })?;
                    fields.entry(name).or_insert(Value::Null)
                }
                Segment::Index(index) => {
                    let list = here.as_array_mut();
                    let list = list.ok_or_else(|| PathError::NoContainer { path: path(), expected: "a list" })?;
                    let length = list.len();
                    list.get_mut(*index).ok_or_else(|| PathError::NoElement { path: path(), length })?
                }
            };
        }
        *here = value;
        Ok(())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Name(name) if number == 0 => f.write_str(name)?,
                Segment::Name(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(path: &str, mut scenario: Value) -> Result<Value, PathError> {
        FieldPath::parse(path)?.set(&mut scenario, json!(7))?;
        Ok(scenario)
    }

    #[test]
    fn a_value_goes_into_a_field_of_a_list_or_an_object() {
        let base = json!({ "steps": [1, { "repeat": { "times": 3 } }] });
        assert_eq!(
            set("steps[1].repeat.times", base.clone()).unwrap(),
            json!({ "steps": [1, { "repeat": { "times": 7 } }] })
        );
        assert_eq!(set("group.padding", base.clone()).unwrap()["group"], json!({ "padding": 7 }));
        assert_eq!(set("steps[0]", base).unwrap()["steps"][0], 7);
    }

    #[test]
    fn a_path_out_of_the_scenario_is_an_error() {
        let base = json!({ "steps": [1], "name": "n" });
        let told = |path| set(path, base.clone()).unwrap_err().to_string();
        assert_eq!(
            told("steps[1].x"),
            "`steps[1]` does not exist in the base: the list has 1 elements, counted from 0"
        );
        assert_eq!(told("name.x"), "`name.x` is not possible in the base: the value above it is not an object");
        assert_eq!(told("name[0]"), "`name[0]` is not possible in the base: the value above it is not a list");
    }

    #[test]
    fn texts_that_are_no_path_are_refused() {
        for text in ["", ".", "a..b", "a[", "a[]", "a[x]", "a[1]b", "[1]", "a b", "a[-1]", "a[99999999999999999999999]"]
        {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_overlap_if_one_leads_into_the_other() {
        let path = |text| FieldPath::parse(text).unwrap();
        assert!(path("group").overlaps(&path("group.padding")));
        assert!(path("steps[1].send").overlaps(&path("steps[1]")));
        assert!(!path("steps[1]").overlaps(&path("steps[2]")));
    }

    proptest! {
        #[test]
        fn every_parsed_path_is_written_as_it_was(text in "[a-z_]{1,5}(\\[[0-9]{1,3}\\])?(\\.[a-z]{1,4}(\\[[1-9]\\])?){0,3}") {
            let path = FieldPath::parse(&text).unwrap();
            prop_assert_eq!(FieldPath::parse(&path.to_string()).unwrap(), path);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = FieldPath::parse(&text);
        }
    }
}
