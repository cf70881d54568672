//! The bodies of requests and responses between a device and the service, in JSON or in CBOR.
//!
//! Bytes are base64url without padding in JSON and byte strings in CBOR. A request names a group by
//! the bytes of its identifier. It names a device by its user's name and its own name, each in its
//! normal form. Unknown fields are errors, so that the service never ignores a part of a request.

mod bytes;
mod delivery;
mod device;
mod group;
mod key_package;
mod list;
mod problem;
pub mod proof;
mod service;

pub use self::{
    bytes::Bytes,
    delivery::{AcknowledgeRequest, Acknowledged, Delivery, DeliveryKind, DeliveryPage, InvalidDelivery},
    device::{
        Admission, BlockedUsers, Challenge, ChallengeRequest, DeviceListEntry, DeviceListHead, DeviceListPage, Devices,
        RegisterRequest, Session, SessionRequest, WakeUpRequest,
    },
    group::{
        Accepted, CommitRequest, CreateGroupRequest, GroupInfo, GroupState, MessageRequest, ProposalRequest,
        RatchetTree, Receipt, ReportAnswer, ReportRequest,
    },
    key_package::{
        ClaimAnswer, ClaimRequest, ClaimedKeyPackage, KeyPackagesLeft, RefusedKeyPackage, UploadAnswer, UploadRequest,
    },
    problem::{Code, Problem},
    service::ServiceInfo,
};

/// The media type of JSON bodies.
pub const JSON: &str = "application/json";
/// The media type of CBOR bodies (RFC 8949).
pub const CBOR: &str = "application/cbor";
/// The media type of errors in JSON (RFC 9457). Errors in CBOR have the same fields and the media
/// type [`CBOR`].
pub const PROBLEM: &str = "application/problem+json";
