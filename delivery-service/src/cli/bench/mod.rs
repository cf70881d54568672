//! `regrow-ds bench`: measures the performance of the server from outside.
//!
//! The benchmark starts a new server in a separate process, over a new store file. It sends load
//! through HTTP, with real MLS groups. Some figures have a floor beside them: a plain loop that
//! writes the same rows to SQLite in the same run, equally durable. The difference is the cost of
//! the server.

mod caller;
mod claims;
mod commits;
mod fanout;
mod figures;
mod floor;
mod groups;
mod hostile;
mod idle;
mod joining;
mod material;
mod server;

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;

use self::{figures::BenchReport, server::BenchServer};
use super::ending::{Ending, OrStop as _, Stopped};

/// Arguments of `regrow-ds bench`.
#[derive(clap::Args, Debug)]
pub(crate) struct BenchArgs {
    /// Parts to measure [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Number that selects the names of groups and the texts of messages
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Members of each group in the part `commits`
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    members: u32,
    /// Do a twentieth of the work, as a quick test
    #[arg(long)]
    quick: bool,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Ordered commits per second in 1, 100 and 10,000 groups
    Commits,
    /// Deliveries per second to 10, 100 and 1,000 streams
    Fanout,
    /// Addition of 999 devices, with and without the ratchet tree: sent bytes, and bytes that each
    /// joiner reads
    Joining,
    /// Claims of key packages per second
    Claims,
    /// Memory of an idle stream
    Idle,
    /// Polls of a device in 50 and in 5,000 groups
    Groups,
    /// Commits of other devices while one device sends the worst requests within the default limits
    Hostile,
}

/// The amount of work.
#[derive(Clone, Copy, Debug)]
struct Scale {
    seed: u64,
    members: u32,
    quick: bool,
}

impl Scale {
    fn of(self, count: usize) -> usize {
        if self.quick { count.div_ceil(20) } else { count }
    }
}

/// Measures the parts and prints the figures.
pub(super) fn bench(args: &BenchArgs) -> Result<Ending, Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
        .or_stop(Ending::Failed)?;
    let report = runtime.block_on(measure(args)).or_stop(Ending::Failed)?;
    let printed = if args.json { report.to_json() } else { report.to_table() };
    writeln!(io::stdout(), "{printed}").context("cannot print").or_stop(Ending::Failed)?;
    Ok(Ending::Well)
}

async fn measure(args: &BenchArgs) -> anyhow::Result<BenchReport> {
    let scale = Scale { seed: args.seed, members: args.members, quick: args.quick };
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut report = BenchReport::default();
    if wanted(Part::Commits) {
        use regrow_delivery_service::HandshakeMode::{Assisted, Opaque};
        for (groups, handshake) in [(1, Assisted), (100, Assisted), (100, Opaque), (10_000, Assisted)] {
            // Each measurement has a new server, so that earlier data does not slow it down.
            let server = BenchServer::start()?;
            commits::measure(&server, scale, groups, handshake, &mut report).await?;
        }
    }
    if wanted(Part::Fanout) {
        for streams in [10, 100, 1_000] {
            let server = BenchServer::start()?;
            fanout::measure(&server, scale, streams, &mut report).await?;
        }
    }
    if wanted(Part::Joining) {
        for sends_tree in [true, false] {
            joining::measure(&BenchServer::start()?, scale, sends_tree, &mut report).await?;
        }
    }
    if wanted(Part::Claims) {
        claims::measure(&BenchServer::start()?, scale, &mut report).await?;
    }
    if wanted(Part::Idle) {
        idle::measure(&BenchServer::start()?, scale, &mut report).await?;
    }
    if wanted(Part::Groups) {
        for groups in [50, 5_000] {
            groups::measure(&BenchServer::start()?, scale, groups, &mut report).await?;
        }
    }
    if wanted(Part::Hostile) {
        hostile::measure(&BenchServer::with_device_limits()?, scale, &mut report).await?;
    }
    Ok(report)
}

/// Shows the progress if standard error is a terminal.
fn progress(text: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // Errors are ignored, because progress is only information.
        let _ = write!(terminal, "\r\x1b[2K{text}");
        let _ = terminal.flush();
    }
}
