//! The owner of the store, as a node knows it.

use std::sync::Arc;

use axum::Router;

use crate::server::state::State;

/// The part of a node in its cluster.
#[derive(Clone)]
pub(super) enum Standing {
    /// No node serves, for this reason. A later standing may be better.
    Nobody(&'static str),
    /// This node has taken the store, and loads its records.
    Starting,
    /// This node owns the store.
    Owner(Box<Serving>),
    /// Another node owns the store.
    Member(Arc<str>),
}

/// The server of a node that owns the store.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) state: State,
    /// The routes for devices.
    pub(super) router: Router,
}
