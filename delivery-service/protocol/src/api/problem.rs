//! Errors on the wire (RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reject_code::RejectCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal, $status:literal;)*) => {
        /// What went wrong, by what a client would do about it. The names are part of the interface and stay.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])* #[serde(rename = $name)] $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The code's name: lower case, with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// The HTTP status that it comes with.
            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// What it means: the first sentence of its documentation.
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => first_line(&[$($doc),*]),)* }
            }
        }
    };
}

const fn first_line(lines: &[&'static str]) -> &'static str {
    match lines {
        [first, ..] => first,
        [] => "",
    }
}

codes! {
    /// The request is not understood.
    BadRequest = "bad-request", 400;
    /// There is no session, or it has ended.
    ///
    /// Open one.
    NoSession = "no-session", 401;
    /// The proof is not right, or its challenge was used or has expired.
    ///
    /// Take a new challenge.
    BadProof = "bad-proof", 401;
    /// Registering takes an admission that is missing or not good.
    NotAdmitted = "not-admitted", 403;
    /// The device may not do this.
    Forbidden = "forbidden", 403;
    /// There is no such thing, or it is not this device's to know of.
    NotFound = "not-found", 404;
    /// The method is not one of this address.
    MethodNotAllowed = "method-not-allowed", 405;
    /// None of the media types that are accepted is offered.
    NotAcceptable = "not-acceptable", 406;
    /// The request took too long to arrive.
    Timeout = "timeout", 408;
    /// The device's name is taken, or was.
    DeviceExists = "device-exists", 409;
    /// The group exists already.
    GroupExists = "group-exists", 409;
    /// It was made in an epoch that is past.
    ///
    /// Read on, and make it again. `current_epoch` says what the group's is.
    Stale = "stale", 409;
    /// The body or a part of it is too large.
    TooLarge = "too-large", 413;
    /// The body is of a media type that is not understood.
    UnsupportedMediaType = "unsupported-media-type", 415;
    /// The submission is refused, and making it again does not help.
    ///
    /// `reason` says why, in a word that stays.
    Rejected = "rejected", 422;
    /// A limit on what is kept is reached.
    LimitReached = "limit-reached", 429;
    /// Too many requests.
    ///
    /// Wait for `retry_after` seconds.
    TooManyRequests = "too-many-requests", 429;
    /// The calling device has claimed key packages of one device too often.
    ///
    /// Claim key packages of that device again after `retry_after` seconds. All other requests go on.
    ClaimedTooOften = "claimed-too-often", 429;
    /// The service failed.
    ///
    /// Nothing of the request has happened.
    Internal = "internal", 500;
    /// The service is busy, or is being stopped.
    ///
    /// Try again after `retry_after` seconds.
    Unavailable = "unavailable", 503;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The codes by their names on the wire. The derive macro would take the names of the variants: it does
/// not see a literal that another macro has passed on.
#[cfg(feature = "openapi")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
    };

    use super::Code;

    impl PartialSchema for Code {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some("What went wrong, by what a client would do about it. The names stay."))
                .enum_values(Some(Code::ALL.iter().map(|code| code.name())))
                .into()
        }
    }

    impl ToSchema for Code {}
}

/// An error (RFC 9457), with the members that some codes add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{code}: {}", detail.as_deref().unwrap_or(title))]
pub struct Problem {
    /// A name for the kind of problem: `urn:regrow:problem:` and the code.
    pub r#type: String,
    /// What the code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong.
    pub code: Code,
    /// More on it. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why a submission was rejected, in a word that stays: the name of a [`RejectCode`], or a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The group's epoch, if what was submitted is stale or of an epoch that has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_epoch: Option<u64>,
    /// Seconds to wait before the next attempt, as in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// The problem of this code, and nothing more.
    pub fn new(code: Code) -> Self {
        Self {
            r#type: format!("urn:regrow:problem:{code}"),
            title: code.title().trim().to_owned(),
            status: code.status(),
            code,
            detail: None,
            reason: None,
            current_epoch: None,
            retry_after: None,
        }
    }

    /// The same, with more on it.
    #[must_use]
    pub fn because(self, detail: impl fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }

    /// The same, with the reason of a refusal.
    #[must_use]
    pub fn with_reason(self, reason: RejectCode) -> Self {
        Self { reason: Some(reason.name().to_owned()), ..self }
    }

    /// The reason of a refusal. [`None`] if there is none, or one that this version of the crate does not know.
    pub fn reject_code(&self) -> Option<RejectCode> {
        self.reason.as_deref().and_then(RejectCode::from_name)
    }
}
