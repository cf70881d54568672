//! `regrow-ds bench`: what the server does in a second, measured from outside.
//!
//! It starts a server of its own, in a process of its own, over a new file, and loads it through HTTP with groups that
//! are real MLS groups. Beside the figures stands what a bare loop over SQLite does with the same rows, in the same run and as
//! durably: what is in between is the price of the rest.

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

use self::{figures::Report, server::Server};
use super::{Ending, OrStop as _, Stopped};

/// Arguments of `regrow-ds bench`.
#[derive(clap::Args, Debug)]
pub(crate) struct BenchArgs {
    /// What is measured; everything if nothing is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Decides the order in which things are done, and what messages say
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Members of each group that commits are made in
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    members: u32,
    /// A twentieth of the work: to see that it runs
    #[arg(long)]
    quick: bool,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Commits ordered in a second, across 1, 100 and 10,000 groups
    Commits,
    /// Deliveries in a second to 10, 100 and 1,000 streaming devices
    Fanout,
    /// A welcome for 999 devices, with the ratchet tree and without: what is sent, and what each of them reads
    Joining,
    /// Key packages claimed in a second
    Claims,
    /// The memory of a stream on which nothing happens
    Idle,
    /// Polls of a device in 50 groups, and in 5,000
    Groups,
    /// Commits of other devices while one device sends the worst requests that the default limits allow
    Hostile,
}

/// How much is done.
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

/// Measures, and prints.
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

async fn measure(args: &BenchArgs) -> anyhow::Result<Report> {
    let scale = Scale { seed: args.seed, members: args.members, quick: args.quick };
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut report = Report::default();
    if wanted(Part::Commits) {
        use regrow_delivery_service::HandshakeMode::{Assisted, Opaque};
        for (groups, handshake) in [(1, Assisted), (100, Assisted), (100, Opaque), (10_000, Assisted)] {
            // A new server for each, so that none pays for what was there before.
            let server = Server::start()?;
            commits::measure(&server, scale, groups, handshake, &mut report).await?;
        }
    }
    if wanted(Part::Fanout) {
        for streams in [10, 100, 1_000] {
            let server = Server::start()?;
            fanout::measure(&server, scale, streams, &mut report).await?;
        }
    }
    if wanted(Part::Joining) {
        for sends_tree in [true, false] {
            joining::measure(&Server::start()?, scale, sends_tree, &mut report).await?;
        }
    }
    if wanted(Part::Claims) {
        claims::measure(&Server::start()?, scale, &mut report).await?;
    }
    if wanted(Part::Idle) {
        idle::measure(&Server::start()?, scale, &mut report).await?;
    }
    if wanted(Part::Groups) {
        for groups in [50, 5_000] {
            groups::measure(&Server::start()?, scale, groups, &mut report).await?;
        }
    }
    if wanted(Part::Hostile) {
        hostile::measure(&Server::with_device_limits()?, scale, &mut report).await?;
    }
    Ok(report)
}

/// Says on a terminal what is going on, and nowhere else.
fn progress(text: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // Whether it can be seen changes nothing.
        let _ = write!(terminal, "\r\x1b[2K{text}");
        let _ = terminal.flush();
    }
}
