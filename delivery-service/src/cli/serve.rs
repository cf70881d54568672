//! `regrow-ds serve`.

use std::io::{self, Write as _};

use anyhow::Context as _;
use listenfd::ListenFd;
use regrow_delivery_service::server::{
    Environment, Server, StartError,
    config::Config,
    database::ServerStore,
    log,
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
    // Open the store first. Only the process that owns the store may take the addresses.
    let store = ServerStore::open(settings).map_err(|error| stopped_by_store(config, error))?;
    let server = Server::start(store, settings, Environment::of_this_machine()).map_err(|error| match error {
        StartError::Store(error) => stopped_by_store(config, error),
        StartError::Issuer(error) => Stopped { ending: Ending::Unusable, error: error.into() },
        error => Stopped { ending: Ending::Failed, error: error.into() },
    })?;
    let sockets = handed_over().context("cannot take the sockets of LISTEN_FDS").or_stop(Ending::Failed)?;
    let listening = match Listening::adopt(settings, sockets).await {
        Ok(listening) => listening,
        Err(error) => {
            server.stop().await;
            let ending = if matches!(error, ServeError::Tls(_)) { Ending::Unusable } else { Ending::Failed };
            return Err(Stopped { ending, error: error.into() });
        }
    };
    // Listen to signals before the announcement, because a caller may send one right after it.
    let asked_to_end = asked_to_end().context("cannot listen to signals").or_stop(Ending::Failed)?;
    announce(listening.addresses()).or_stop(Ending::Failed)?;
    let shutdown = Shutdown::default();
    let ending = shutdown.clone();
    tokio::spawn(async move {
        match asked_to_end.await {
            Ok(signal) => tracing::info!(signal, "asked to end"),
            Err(error) => tracing::error!(%error, "cannot listen to signals"),
        }
        ending.begin();
    });
    listening.run(server, shutdown).await;
    tracing::info!("ended");
    Ok(())
}

/// Takes the sockets that systemd or another parent passes: the first for devices, the second for
/// operators.
fn handed_over() -> io::Result<Sockets> {
    let mut passed = ListenFd::from_env();
    Ok(Sockets { devices: passed.take_tcp_listener(0)?, operators: passed.take_tcp_listener(1)? })
}

/// Prints the addresses as the first line of the output. A script can wait for it and read the
/// ports.
fn announce(Addresses { devices, tls, operators }: Addresses) -> io::Result<()> {
    let scheme = if tls { "https" } else { "http" };
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {scheme}://{devices}, for operators on http://{operators}")?;
    out.flush()
}
