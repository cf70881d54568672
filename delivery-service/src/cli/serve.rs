//! `regrow-ds serve`.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use listenfd::ListenFd;
use regrow_delivery_service::server::{
    Environment, Server, StartError,
    cluster::{ClusterSecret, JoinError, Node},
    config::Config,
    database::ServerStore,
    log,
    metrics::Metrics,
    serve::{Addresses, Listening, ServeError, Sockets},
    shutdown::{Shutdown, asked_to_end},
};

use super::{
    SettingsArgs, Stopped,
    ending::{Ending, OrStop as _},
    settings::stopped_by_store,
};

/// Serves until a signal asks the server to end.
pub(super) fn serve(args: &SettingsArgs) -> Result<Ending, Stopped> {
    let config = args.load()?;
    let writer = log::LogWriter::to_standard_error().context("cannot start the log").or_stop(Ending::Failed)?;
    log::start(&config.settings.log, writer.clone()).or_stop(Ending::Unusable)?;
    let ended = serve_with(&config);
    writer.flush();
    ended
}

fn serve_with(config: &Config) -> Result<Ending, Stopped> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")
        .or_stop(Ending::Failed)?;
    runtime.block_on(run(config))?;
    Ok(Ending::Well)
}

async fn run(config: &Config) -> Result<(), Stopped> {
    let settings = &config.settings;
    if let Some(cluster) = &settings.cluster {
        return run_node(config, &cluster.secret_file).await;
    }
    // Open the store first. Only the process that owns the store may take the addresses.
    let mut store = ServerStore::open(settings).map_err(|error| stopped_by_store(config, error))?;
    let metrics = Metrics::default();
    store.report_to(&metrics);
    let server = Server::start_counting(store, settings, Environment::of_this_machine(), metrics);
    let server = server.map_err(|error| match error {
        StartError::Store(error) => stopped_by_store(config, error),
        StartError::Issuer(error) => Stopped { ending: Ending::Unusable, error: error.into() },
        error => Stopped { ending: Ending::Failed, error: error.into() },
    })?;
    let sockets = handed_over().context("cannot take the sockets of LISTEN_FDS").or_stop(Ending::Failed)?;
    let listening = match Listening::adopt(settings, sockets).await {
        Ok(listening) => listening,
        Err(error) => {
            server.stop().await;
            return Err(stopped_by_listening(error));
        }
    };
    let shutdown = announce_and_follow_signals(&listening).or_stop(Ending::Failed)?;
    listening.run(server, shutdown).await;
    tracing::info!("ended");
    Ok(())
}

/// Serves as a node of a cluster. The node has its addresses before it takes the store, because the
/// other nodes connect to the owner of the store.
async fn run_node(config: &Config, secret: &Path) -> Result<(), Stopped> {
    let settings = &config.settings;
    let sockets = handed_over().context("cannot take the sockets of LISTEN_FDS").or_stop(Ending::Failed)?;
    let listening = Listening::adopt(settings, sockets).await.map_err(stopped_by_listening)?;
    let address = listening.addresses().nodes.map(|address| address.to_string()).unwrap_or_default();
    let secret = ClusterSecret::read(secret).or_stop(Ending::Unusable)?;
    let joined = Node::join(settings, &secret, &address, Environment::of_this_machine()).await;
    let (node, part) = joined.map_err(|error| match error {
        JoinError::Store(error) => stopped_by_store(config, error),
        error => Stopped { ending: Ending::Unusable, error: error.into() },
    })?;
    let shutdown = announce_and_follow_signals(&listening).or_stop(Ending::Failed)?;
    listening.run_node(node, part, shutdown).await;
    tracing::info!("ended");
    Ok(())
}

fn stopped_by_listening(error: ServeError) -> Stopped {
    let is_file = matches!(error, ServeError::Tls(_) | ServeError::Secret(_));
    Stopped { ending: if is_file { Ending::Unusable } else { Ending::Failed }, error: error.into() }
}

/// Prints the addresses. Returns a shutdown that begins with the signal to end.
fn announce_and_follow_signals(listening: &Listening) -> anyhow::Result<Shutdown> {
    // Listen to signals before the announcement, because a caller may send one right after it.
    let asked_to_end = asked_to_end().context("cannot listen to signals")?;
    announce(listening.addresses())?;
    let shutdown = Shutdown::default();
    let ending = shutdown.clone();
    tokio::spawn(async move {
        match asked_to_end.await {
            Ok(signal) => tracing::info!(signal, "asked to end"),
            Err(error) => tracing::error!(%error, "cannot listen to signals"),
        }
        ending.begin();
    });
    Ok(shutdown)
}

/// Takes the sockets that systemd or another parent passes: the first for devices, the second for
/// operators.
fn handed_over() -> io::Result<Sockets> {
    let mut passed = ListenFd::from_env();
    Ok(Sockets { devices: passed.take_tcp_listener(0)?, operators: passed.take_tcp_listener(1)? })
}

/// Prints the addresses as the first line of the output. A script can wait for it and read the
/// ports.
fn announce(Addresses { devices, tls, operators, nodes }: Addresses) -> io::Result<()> {
    let scheme = if tls { "https" } else { "http" };
    let mut out = io::stdout().lock();
    write!(out, "listening on {scheme}://{devices}, for operators on http://{operators}")?;
    nodes.map_or(Ok(()), |nodes| write!(out, ", for nodes on {nodes}"))?;
    writeln!(out)?;
    out.flush()
}
