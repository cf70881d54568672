//! The form of a group's handshake messages.

use serde::{Deserialize, Serialize};

/// How a group's handshake messages travel (RFC 9420, 6). All members of a group use the same mode,
/// and the mode never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HandshakeMode {
    /// Handshakes are PublicMessages. The service keeps the group's public state, refuses invalid
    /// commits and derives the roster itself. It sees the members and every change of the
    /// membership, but never content. The service cannot check the parts that are encrypted to
    /// members: path secrets, confirmation tags and membership tags. A hostile member can still
    /// have a commit ordered that the others cannot process.
    Assisted,
    /// Handshakes are PrivateMessages. The service sees only the epoch and the content type, and
    /// believes the roster change that the sender declares. Members compare that change with their
    /// ratchet tree. An external commit is public in this mode too: the service checks it against
    /// the group info of its epoch.
    Opaque,
}
