//! Byte strings in request and response bodies.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A byte string: base64url without padding (RFC 4648, 5) in JSON, a byte string in CBOR.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Base64)
        } else {
            serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
        }
    }
}

struct Base64;

impl de::Visitor<'_> for Base64 {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in base64url without padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map(Bytes)
            .map_err(|_| E::invalid_value(de::Unexpected::Other("text"), &self))
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
    };

    use super::Bytes;
    use crate::names::GroupId;

    impl PartialSchema for Bytes {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("Bytes: base64url without padding in JSON, a byte string in CBOR."))
                .content_encoding("base64url")
                .into()
        }
    }

    impl ToSchema for Bytes {}

    impl PartialSchema for GroupId {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("The identifier of a group: 1 to 255 bytes, as in Bytes."))
                .content_encoding("base64url")
                .into()
        }
    }

    impl ToSchema for GroupId {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64url_in_json_and_raw_in_cbor() {
        let bytes = Bytes(vec![0xFB, 0xFF, 0x00]);
        let json = serde_json::to_string(&bytes).expect("bytes in JSON");
        assert_eq!(json, "\"-_8A\"");
        assert_eq!(serde_json::from_str::<Bytes>(&json).expect("bytes from JSON"), bytes);
        let mut cbor = Vec::new();
        ciborium::into_writer(&bytes, &mut cbor).expect("bytes in CBOR");
        assert_eq!(cbor, [0x43, 0xFB, 0xFF, 0x00]);
        assert_eq!(ciborium::from_reader::<Bytes, _>(cbor.as_slice()).expect("bytes from CBOR"), bytes);
    }

    #[test]
    fn invalid_base64url_is_refused_and_not_shown_in_the_error() {
        for text in ["\"+/8A\"", "\"-_8A====\"", "\"secret!\""] {
            let error = serde_json::from_str::<Bytes>(text).expect_err("not base64url");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
