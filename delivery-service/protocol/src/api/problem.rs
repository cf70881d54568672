//! Errors on the wire (RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reject_code::RejectCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $name:literal, $status:literal;)*) => {
        /// The kind of error. Each code calls for a different reaction of the client. The names are
        /// part of the interface and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])* #[serde(rename = $name)] $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// Returns the code's name: lower case, with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// Returns the HTTP status of the response.
            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// Returns the meaning of the code: the first line of its documentation.
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
    /// The service does not understand the request.
    BadRequest = "bad-request", 400;
    /// The request has no session, or the session has ended.
    ///
    /// Open a session.
    NoSession = "no-session", 401;
    /// The proof is wrong, or its challenge was used or has expired.
    ///
    /// Ask for a new challenge.
    BadProof = "bad-proof", 401;
    /// The registration requires an admission, which is missing or not valid.
    NotAdmitted = "not-admitted", 403;
    /// The device may not do this.
    Forbidden = "forbidden", 403;
    /// The resource does not exist, or this device may not see it.
    NotFound = "not-found", 404;
    /// The address does not support this method.
    MethodNotAllowed = "method-not-allowed", 405;
    /// The service offers none of the accepted media types.
    NotAcceptable = "not-acceptable", 406;
    /// The request took too long to arrive.
    Timeout = "timeout", 408;
    /// A device has or had this name.
    DeviceExists = "device-exists", 409;
    /// The group exists already.
    GroupExists = "group-exists", 409;
    /// The submission was made in a past epoch.
    ///
    /// Process the deliveries since then, and make the submission again. `current_epoch` is the
    /// group's epoch.
    Stale = "stale", 409;
    /// The body or a part of it is too large.
    TooLarge = "too-large", 413;
    /// The service does not understand the media type of the body.
    UnsupportedMediaType = "unsupported-media-type", 415;
    /// The submission is rejected, and the same submission will be rejected again.
    ///
    /// `reason` gives the reason. Its names never change.
    Rejected = "rejected", 422;
    /// A limit on stored data is reached.
    LimitReached = "limit-reached", 429;
    /// Too many requests.
    ///
    /// Wait for `retry_after` seconds.
    TooManyRequests = "too-many-requests", 429;
    /// The calling device has claimed key packages of one device too often.
    ///
    /// Claim key packages of that device again after `retry_after` seconds. All other requests
    /// still work.
    ClaimedTooOften = "claimed-too-often", 429;
    /// The service failed.
    ///
    /// The request has changed nothing.
    Internal = "internal", 500;
    /// The service is busy, or it is stopping.
    ///
    /// Try again after `retry_after` seconds.
    Unavailable = "unavailable", 503;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lists the codes by their names on the wire. The derive macro would list the names of the
/// variants, because it does not see a literal that another macro has passed on.
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
                .description(Some("The kind of error. The names never change."))
                .enum_values(Some(Code::ALL.iter().map(|code| code.name())))
                .into()
        }
    }

    impl ToSchema for Code {}
}

/// An error (RFC 9457), with the fields that some codes add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{code}: {}", detail.as_deref().unwrap_or(title))]
pub struct Problem {
    /// The URI of the kind of problem: `urn:regrow:problem:` and the code.
    pub r#type: String,
    /// The meaning of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind of error.
    pub code: Code,
    /// Details for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The reason for the rejection of a submission: the name of a [`RejectCode`], or a newer name.
    /// The names never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The group's epoch, if the submission is stale or belongs to an epoch that the group has not
    /// reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_epoch: Option<u64>,
    /// Seconds to wait before the next attempt, as in the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// Creates a problem with this code and without details.
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

    /// Returns the problem with details for people.
    #[must_use]
    pub fn because(self, detail: impl fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }

    /// Returns the problem with the reason for a rejection.
    #[must_use]
    pub fn with_reason(self, reason: RejectCode) -> Self {
        Self { reason: Some(reason.name().to_owned()), ..self }
    }

    /// Returns the reason for a rejection. Returns [`None`] if there is no reason, or if this
    /// version of the crate does not know it.
    pub fn reject_code(&self) -> Option<RejectCode> {
        self.reason.as_deref().and_then(RejectCode::from_name)
    }
}
