//! What goes between a device and the service: the bodies of requests and answers, in JSON or in CBOR.
//!
//! Bytes are base64url without padding in JSON and byte strings in CBOR. A group is named by its identifier's bytes, a
//! device by its user's and its own name, each in its normal form. Unknown fields are errors: what a client sends is understood whole.

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
        Accepted, CommitRequest, CreateGroupRequest, GroupInfo, GroupState, Handshake, MessageRequest, ProposalRequest,
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
/// The media type of errors in JSON (RFC 9457). In CBOR they have the same fields, as [`CBOR`].
pub const PROBLEM: &str = "application/problem+json";
