//! The measured server: `regrow-ds serve` in a separate process, over a new store file.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, anyhow};

use super::caller;

/// Raised limits of addresses, because all devices of a benchmark have the same address.
const ADDRESS_LIMITS: [(&str, &str); 4] = [
    ("REGROW_DS_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "1000000"),
    ("REGROW_DS_LIMITS__ADDRESS_BURST", "1000000"),
    ("REGROW_DS_LIMITS__CONNECTIONS_PER_ADDRESS", "1000000"),
    ("REGROW_DS_LOG__LEVEL", "warn"),
];

/// Raised limits of devices, for measurements of the server without its limits. See
/// `docs/operators.md`.
const DEVICE_LIMITS: [(&str, &str); 11] = [
    ("REGROW_DS_LIMITS__DEVICE_REQUESTS_PER_SECOND", "1000000"),
    ("REGROW_DS_LIMITS__DEVICE_BURST", "1000000"),
    ("REGROW_DS_LIMITS__CLAIMS_PER_DEVICE_AND_HOUR", "1000000"),
    ("REGROW_DS_LIMITS__STREAMS_PER_DEVICE", "1000000"),
    // All devices use the connections of one pool.
    ("REGROW_DS_LIMITS__CONNECTIONS_PER_DEVICE", "1000000"),
    ("REGROW_DS_LIMITS__QUEUE", "100000"),
    ("REGROW_DS_LIMITS__ORDERING__MAX_GROUPS_PER_DEVICE", "1000000"),
    // The first member of each of the groups has added the same devices.
    ("REGROW_DS_LIMITS__ORDERING__MAX_OPEN_CLAIMS_PER_TARGET", "1000000"),
    ("REGROW_DS_LIMITS__ORDERING__MAX_OPEN_CLAIMS_PER_USER", "1000000"),
    ("REGROW_DS_LIMITS__ORDERING__MAX_OPEN_INVITATIONS_PER_USER", "1000000"),
    ("REGROW_DS_LIMITS__ORDERING__MAX_KEY_PACKAGES_PER_DEVICE", "1000000"),
];

/// A directory for the store file of one server. It is deleted when this value is dropped.
struct Directory(PathBuf);

impl Directory {
    fn make() -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("regrow-ds-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Errors are ignored, because the system cleans its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server. It is killed when this value is dropped.
pub(super) struct BenchServer {
    child: Child,
    /// The address for devices.
    pub(super) address: String,
    operators: SocketAddr,
    directory: Directory,
}

impl BenchServer {
    /// Starts a server with very high limits.
    pub(super) fn start() -> anyhow::Result<Self> {
        Self::started_with(&[ADDRESS_LIMITS.as_slice(), &DEVICE_LIMITS].concat())
    }

    /// Starts a server with the default limits of devices.
    pub(super) fn with_device_limits() -> anyhow::Result<Self> {
        Self::started_with(&ADDRESS_LIMITS)
    }

    fn started_with(limits: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = Directory::make()?;
        let program = std::env::current_exe().context("cannot find the path of this program")?;
        let mut child = Command::new(program)
            .arg("serve")
            .current_dir(&directory.0)
            .envs(limits.iter().copied())
            .env("REGROW_DS_LISTEN", "127.0.0.1:0")
            .env("REGROW_DS_LISTEN_OPERATORS", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let output = child.stdout.take().ok_or_else(|| anyhow!("the server has no output"))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("cannot read the server's output")?;
        let said: Vec<&str> = line.split_whitespace().filter(|word| word.contains("127.0.0.1:")).collect();
        let [address, operators] = said[..] else {
            return Err(anyhow!("the server's output names no addresses: {line:?}"));
        };
        let bare =
            |text: &str| text.trim_start_matches("http://").trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
        let (address, operators) = (format!("http://{}", bare(address)), bare(operators));
        let operators = operators.parse().with_context(|| format!("not an address: {operators}"))?;
        Ok(Self { child, address, operators, directory })
    }

    /// The directory of the store file, for another file on the same disk.
    pub(super) fn directory(&self) -> &std::path::Path {
        &self.directory.0
    }

    /// The resident memory of the server's process in bytes (`VmRSS` on Linux).
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("the memory of a process can be read only on Linux")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kilobytes.ok_or_else(|| anyhow!("no VmRSS in {status:?}"))? * 1024)
    }

    /// The processor time that the server's process has taken until now.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }

    /// The number of calls in all transactions until now, and the number of transactions.
    pub(super) async fn batches(&self) -> anyhow::Result<(f64, f64)> {
        let url = format!("http://{}/metrics", self.operators);
        let text = caller::http()?.get(url).send().await?.error_for_status()?.text().await?;
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap_or_default()
        };
        Ok((value("regrow_ds_batch_size_sum"), value("regrow_ds_batch_size_count")))
    }
}

/// The processor time that this process has taken until now.
pub(super) fn own_cpu() -> anyhow::Result<Duration> {
    cpu_of("self")
}

/// Reads the processor time of all threads of a process. Linux counts it in clock ticks of 10 ms.
fn cpu_of(process: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .context("the processor time of a process can be read only on Linux")?;
    // The third field follows the program's name, which may contain spaces. The times are fields 14
    // and 15.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).ok_or_else(|| anyhow!("no processor time in {stat:?}"))?;
    Ok(Duration::from_millis(10 * (user + system)))
}

impl Drop for BenchServer {
    fn drop(&mut self) {
        // Errors are ignored, because the server may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
