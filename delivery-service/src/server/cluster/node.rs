//! A node of a cluster: its parts, its way into the cluster, and its way out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    agreement::{self, Difference},
    election,
    peers::Peers,
    secret::{ClusterSecret, SecretError},
    standing::{Serving, Standing},
};
use crate::{
    error::StoreError,
    server::{
        Server, database::ServerStore, environment::Environment, health::StoreFault, host::Hosts, memory::Memory,
        metrics::Metrics, proxies::Proxies, routes, settings::Settings, shutdown::Shutdown,
    },
    store::postgres::{Owner, PostgresStore},
};

/// The time that running requests have to end before a node gives up the store.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// The reason why a node does not join its cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The settings name no cluster, or no database that nodes can share.
    #[error("the settings have no `[cluster]` over a PostgreSQL database")]
    NoCluster,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret of the nodes cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The node that owns the store has other settings.
    #[error(
        "the node at {node}, which owns the store, has other settings: {}. Set the same on all nodes. To change a \
         setting, start one node after the other with `cluster.replace_settings = true`", list(.differences)
    )]
    Differ {
        /// The address of the owner.
        node: String,
        /// The settings that differ.
        differences: Vec<Difference>,
    },
    /// Another node has the same address.
    #[error("another node is at {node} already. Set another `cluster.advertise` on each node")]
    SameAddress {
        /// The address.
        node: String,
    },
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join(", ")
}

/// A node. Clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<NodeState>);

struct NodeState {
    settings: Settings,
    environment: Environment,
    metrics: Metrics,
    /// This node in the owner's record.
    own: Owner,
    standing: watch::Sender<Standing>,
    /// Begins when the node is to leave the cluster.
    leaving: Shutdown,
    /// Begins when the node has left, and ends its streams.
    closing: Shutdown,
    /// The number of requests that this node carries out as the owner, without their answers'
    /// bodies.
    running: watch::Sender<usize>,
    peers: Peers,
    memory: Memory,
    hosts: Hosts,
    operators_hosts: Hosts,
    proxies: Proxies,
}

impl Node {
    /// Joins the cluster of the settings: takes the store if it has no owner, or finds the owner.
    /// `address` is the address at which this node listens for others. Returns also the task that
    /// takes part in the cluster until [`leave`](Self::leave). The caller must be in a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        settings: &Settings,
        secret: &ClusterSecret,
        address: &str,
        environment: Environment,
    ) -> Result<(Self, JoinHandle<()>), JoinError> {
        let Some(cluster) = &settings.cluster else { return Err(JoinError::NoCluster) };
        let lease = Duration::from_secs(cluster.lease_seconds);
        let node = cluster.advertise.clone().unwrap_or_else(|| address.to_owned());
        let own = Owner { node, lease, settings: agreement::written(settings, secret) };
        let metrics = Metrics::default();
        let node = Self(Arc::new(NodeState {
            environment,
            metrics: metrics.clone(),
            own,
            standing: watch::Sender::new(Standing::Nobody("the node has not found the owner of the store yet")),
            leaving: Shutdown::default(),
            closing: Shutdown::default(),
            running: watch::Sender::new(0),
            peers: Peers::new(secret.client_config()?, lease),
            memory: Memory::new(&settings.limits),
            hosts: Hosts::new(&settings.allowed_hosts, settings.listen),
            operators_hosts: Hosts::new(&settings.allowed_hosts, settings.listen_operators),
            proxies: Proxies::new(&settings.trusted_proxies),
            settings: settings.clone(),
        }));
        let (joining, replace) = (node.clone(), cluster.replace_settings);
        let joined = spawn_blocking(move || election::join(&joining, replace)).await;
        let start = joined.unwrap_or_else(|error| Err(StoreError::Backend(error.into()).into()))?;
        let part = tokio::spawn(election::take_part(node.clone(), start));
        node.found_owner().await;
        Ok((node, part))
    }

    /// Leaves the cluster: gives up the store if this node owns it. The task of
    /// [`join`](Self::join) ends as soon as another node owns the store.
    pub fn leave(&self) {
        self.0.leaving.begin();
    }

    /// The shutdown of the node's addresses, which follows after [`leave`](Self::leave).
    pub(crate) fn closing(&self) -> &Shutdown {
        &self.0.closing
    }

    /// The bytes that are charged for forwarded requests.
    pub(crate) fn memory_used(&self) -> usize {
        self.0.memory.used()
    }

    /// The metrics of the node.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Checks that the node can handle requests.
    ///
    /// # Errors
    /// The reason why it cannot.
    pub async fn readiness(&self) -> Result<(), &'static str> {
        if self.is_leaving() {
            return Err("stopping");
        }
        match self.standing() {
            Standing::Nobody(reason) => Err(reason),
            Standing::Starting => Err("the node loads the records of the store"),
            Standing::Owner(serving) => serving.state.readiness().await,
            Standing::Member(_) => Ok(()),
        }
    }

    /// The state of the node's server, while the node owns the store.
    pub(crate) fn state(&self) -> Option<crate::server::State> {
        match self.standing() {
            Standing::Owner(serving) => Some(serving.state),
            _ => None,
        }
    }

    pub(crate) fn operators_hosts(&self) -> Hosts {
        self.0.operators_hosts.clone()
    }

    pub(super) fn standing(&self) -> Standing {
        self.0.standing.borrow().clone()
    }

    pub(super) fn standings(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.0.standing.send_replace(standing);
    }

    /// Notes another owner than this node, and the term of the store.
    pub(super) fn follow(&self, standing: Standing, term: i64) {
        self.0.metrics.cluster(false, term);
        self.0.standing.send_if_modified(|known| {
            let changed = match (&*known, &standing) {
                (Standing::Member(known), Standing::Member(owner)) => known != owner,
                (Standing::Nobody(known), Standing::Nobody(reason)) => known != reason,
                _ => true,
            };
            if changed {
                match &standing {
                    Standing::Member(owner) => tracing::info!(owner = &**owner, term, "another node owns the store"),
                    Standing::Nobody(reason) => tracing::info!(reason, term, "no other node owns the store"),
                    Standing::Starting | Standing::Owner(_) => {}
                }
                *known = standing;
            }
            changed
        });
    }

    pub(super) fn own(&self) -> &Owner {
        &self.0.own
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.0.environment.monotonic()
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    pub(super) fn hosts(&self) -> Hosts {
        self.0.hosts.clone()
    }

    pub(super) fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.has_begun()
    }

    /// Waits until the node is to leave the cluster.
    pub(super) async fn leaving(&self) {
        self.0.leaving.begun().await;
    }

    /// Notes a request that this node carries out, until the returned guard is dropped.
    pub(super) fn begin_request(&self) -> RunningRequest {
        self.0.running.send_modify(|running| *running += 1);
        RunningRequest(self.clone())
    }

    async fn found_owner(&self) {
        let found = |standing: &Standing| matches!(standing, Standing::Owner(_) | Standing::Member(_));
        tokio::select! {
            _ = async { self.standings().wait_for(found).await.map(drop) } => {}
            () = self.leaving() => {}
        }
    }

    /// Serves as the owner of the store until the node leaves or loses the store. Returns false if
    /// the node may not take the store again.
    pub(super) async fn serve(&self, store: PostgresStore) -> bool {
        let term = store.term().unwrap_or_default();
        self.stand(Standing::Starting);
        self.0.metrics.took_store();
        self.0.metrics.cluster(true, term);
        tracing::info!(term, "this node owns the store");
        let goes_on = self.serve_term(store.into()).await;
        self.0.metrics.cluster(false, term);
        goes_on
    }

    async fn serve_term(&self, mut store: ServerStore) -> bool {
        store.report_to(&self.0.metrics);
        let starting = self.clone();
        let started = spawn_blocking(move || {
            let NodeState { settings, environment, metrics, .. } = &*starting.0;
            Server::start_counting(store, settings, environment.clone(), metrics.clone())
        });
        let server = match started.await {
            Ok(Ok(server)) => server,
            Ok(Err(error)) => return self.cannot_serve(&error).await,
            Err(error) => return self.cannot_serve(&error).await,
        };
        let state = server.state();
        let router = routes::router(state.clone());
        self.stand(Standing::Owner(Box::new(Serving { state: state.clone(), router })));
        let fault = tokio::select! {
            () = self.leaving() => None,
            fault = state.lasting_fault() => Some(fault),
        };
        self.stand(Standing::Nobody(fault.map_or("the store moves to another node", StoreFault::reason)));
        let begun = Instant::now();
        server.end_streams();
        let no_request = async { self.0.running.subscribe().wait_for(|running| *running == 0).await.map(drop) };
        if timeout(LAST_REQUESTS, no_request).await.is_err() {
            tracing::warn!("requests were running when the node gave up the store");
        }
        server.stop().await;
        tracing::info!(took = ?begun.elapsed(), "this node does not own the store any more");
        // An older state of the database needs an operator.
        fault != Some(StoreFault::WentBack)
    }

    /// Waits for two leases, in which another node can take the store.
    async fn cannot_serve(&self, error: &(dyn std::error::Error + Send + Sync)) -> bool {
        tracing::error!(%error, "this node has taken the store and cannot serve");
        self.stand(Standing::Nobody("the node cannot serve the store; see its log"));
        tokio::select! {
            () = tokio::time::sleep(self.0.own.lease.saturating_mul(2)) => {}
            () = self.leaving() => {}
        }
        true
    }
}

/// The guard of a request that the owner carries out.
pub(super) struct RunningRequest(Node);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.0.running.send_modify(|running| *running = running.saturating_sub(1));
    }
}
