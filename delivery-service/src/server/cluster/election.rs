//! The watch over the owner of the store, and the attempts to take the store.
//!
//! The watch decides only who tries. The database decides who owns the store: each transaction
//! checks the term in the owner's record.

use std::{thread, time::Duration};

use tokio::task::spawn_blocking;

use super::{
    agreement,
    node::{JoinError, Node},
    standing::Standing,
};
use crate::{
    error::StoreError,
    server::database::{Database, postgres_address},
    store::postgres::{Candidate, LOOK_EVERY, LeaseState, LeaseWatch, Ownership, PostgresStore, Taking},
};

/// The pause after a failed connection to the database.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// The time for which a node that leaves looks for the next owner. The other nodes look more often.
const LOOK_FOR_NEXT: Duration = Duration::from_secs(1);

/// The pause between two looks for the next owner.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The beginning of a node's part in the cluster.
pub(super) enum Start {
    /// The node has taken the store.
    Owner(Box<PostgresStore>),
    /// The node watches the owner.
    Candidate(Box<Candidate>),
}

/// Watches the owner until the node knows whether it works. Takes the store if there is no owner.
/// Blocks.
pub(super) fn join(node: &Node, replace_settings: bool) -> Result<Start, JoinError> {
    let mut candidate = open(node)?;
    let mut watch = LeaseWatch::default();
    loop {
        let seen = candidate.look()?;
        match (watch.observe(&seen, node.monotonic()), &seen.owner) {
            (LeaseState::Alive, Some(owner)) if owner.node == node.own().node => {
                return Err(JoinError::SameAddress { node: owner.node.clone() });
            }
            (LeaseState::Alive, Some(owner)) => {
                let differences = agreement::differences(&node.own().settings, &owner.settings);
                if !owner.node.is_empty() && !differences.is_empty() {
                    if !replace_settings {
                        return Err(JoinError::Differ { node: owner.node.clone(), differences });
                    }
                    for difference in differences {
                        tracing::warn!(%difference, "this node has other settings than the owner of the store");
                    }
                }
                follow(node, &seen);
                return Ok(Start::Candidate(Box::new(candidate)));
            }
            (LeaseState::Unknown, _) => thread::sleep(LOOK_EVERY),
            (LeaseState::Vacant | LeaseState::Expired | LeaseState::Alive, _) => {
                match candidate.take(&seen, node.own()) {
                    Taking::Taken(store) => return Ok(Start::Owner(Box::new(store))),
                    Taking::Changed(loser) => candidate = loser,
                    Taking::Failed(_, error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Takes part in the cluster until the node leaves: watches the owner, takes the store when its
/// owner is gone, and serves.
pub(super) async fn take_part(node: Node, start: Start) {
    let mut candidate = match start {
        Start::Owner(store) => {
            if !node.serve(*store).await {
                return;
            }
            None
        }
        Start::Candidate(candidate) => Some(*candidate),
    };
    loop {
        let (watching, watcher) = (node.clone(), candidate.take());
        match spawn_blocking(move || watch(&watching, watcher)).await {
            Ok(Some(store)) => {
                if !node.serve(store).await {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the watch over the owner has failed");
                return;
            }
        }
    }
}

fn open(node: &Node) -> Result<Candidate, JoinError> {
    let Database::Postgres(url) = &node.settings().database else { return Err(JoinError::NoCluster) };
    Ok(postgres_address(node.settings(), url).and_then(Candidate::open)?)
}

/// Watches the owner until the node has taken the store. Returns `None` if the node leaves, or if
/// it may not take the store. Blocks.
///
/// A node that leaves takes nothing. It still looks for the next owner, to which it forwards its
/// last requests.
fn watch(node: &Node, candidate: Option<Candidate>) -> Option<PostgresStore> {
    let (mut candidate, mut watch) = (candidate, LeaseWatch::default());
    let mut leaving_since = None;
    loop {
        if node.is_leaving() {
            let since = *leaving_since.get_or_insert_with(|| node.monotonic());
            let is_over = node.monotonic().saturating_sub(since) >= LOOK_FOR_NEXT;
            if is_over || matches!(node.standing(), Standing::Member(_)) {
                return None;
            }
        }
        let mut watcher = match candidate.take().map_or_else(|| open(node), Ok) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "cannot watch the owner of the store");
                thread::sleep(CONNECT_AGAIN);
                continue;
            }
        };
        let seen = match watcher.look() {
            Ok(seen) => seen,
            Err(error @ StoreError::WentBack) => {
                tracing::error!(%error, "this node does not take the store until it starts again");
                node.stand(Standing::Nobody("the database has lost transactions"));
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch the owner of the store");
                watch.missed(node.monotonic());
                thread::sleep(CONNECT_AGAIN);
                candidate = Some(watcher);
                continue;
            }
        };
        follow(node, &seen);
        candidate = match watch.observe(&seen, node.monotonic()) {
            LeaseState::Unknown | LeaseState::Alive => {
                thread::sleep(LOOK_EVERY);
                Some(watcher)
            }
            LeaseState::Vacant | LeaseState::Expired if node.is_leaving() => {
                thread::sleep(LOOK_AGAIN);
                Some(watcher)
            }
            LeaseState::Vacant | LeaseState::Expired => match watcher.take(&seen, node.own()) {
                Taking::Taken(store) => return Some(store),
                Taking::Changed(loser) => Some(loser),
                Taking::Failed(loser, error) => {
                    tracing::warn!(%error, "cannot take the store");
                    watch.missed(node.monotonic());
                    Some(loser)
                }
            },
        };
    }
}

/// Follows the owner in the record, if it is another node.
fn follow(node: &Node, seen: &Ownership) {
    let standing = match &seen.owner {
        Some(owner) if owner.node.is_empty() => {
            Standing::Nobody("a server that is no node of the cluster owns the store")
        }
        Some(owner) if owner.node == node.own().node => Standing::Nobody("the node waits for its own lease to end"),
        Some(owner) => Standing::Member(owner.node.as_str().into()),
        None => Standing::Nobody("the store has no owner"),
    };
    node.follow(standing, seen.term);
}
