//! A JSON document whose fields keep their order. `serde_json::Value` keeps it only with a feature
//! of the crate, which depends on the other crates of a build.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

/// A value of the document.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Number(u64),
    Decimal(f64),
    Truth(bool),
    List(Vec<Node>),
    Object(Fields),
}

/// The fields of an object, in the order of the document.
pub(super) type Fields = Vec<(&'static str, Node)>;

impl Node {
    /// A list of texts.
    pub(super) fn texts(texts: &[&str]) -> Self {
        Self::List(texts.iter().copied().map(Self::from).collect())
    }

    /// The document as text, with a line for each field.
    pub(super) fn document(&self) -> String {
        // A document of texts and numbers can always be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Decimal(number) => serializer.serialize_f64(*number),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                nodes.iter().try_for_each(|node| list.serialize_element(node))?;
                list.end()
            }
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, node)| map.serialize_entry(name, node))?;
                map.end()
            }
        }
    }
}
