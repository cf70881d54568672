//! A cluster: several nodes over one PostgreSQL database. One node owns the store; every node takes
//! every request.
//!
//! A node that does not own the store forwards requests to the owner. The owner finds the caller
//! by the session token and applies all limits. From another node it believes only the address of
//! the client. `docs/decisions/0078` has the reasons.
//!
//! | module | contents |
//! | --- | --- |
//! | `node` | a node, and its way in and out of the cluster |
//! | `standing` | the owner of the store, as a node knows it |
//! | `election` | the watch over the owner, and the attempts to take the store |
//! | `agreement` | the settings that are the same on all nodes |
//! | `secret` | the secret of the nodes, and TLS between them |
//! | `peers` | connections to the owner |
//! | `entry` | requests of devices: this node answers or forwards them |
//! | `forward` | one forwarded request |
//! | `inside` | requests that other nodes forward to this one |

mod agreement;
mod election;
mod entry;
mod forward;
mod inside;
mod node;
pub(super) mod peers;
mod secret;
mod standing;

pub use self::{
    agreement::Difference,
    entry::router,
    inside::router as inside_router,
    node::{JoinError, Node},
    secret::{ClusterSecret, SecretError},
};
