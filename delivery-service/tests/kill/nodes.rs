//! Nodes of a cluster as processes, and a load balancer in front of them.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The lease of the nodes. The tests wait for it at each failure.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// The time in which another node serves after a failure, beside the lease: the pause between two
/// looks, the start of the owner, and a machine that is busy with the load.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Three nodes, and the address of the load balancer.
pub(super) struct Nodes {
    directory: PathBuf,
    database: String,
    nodes: Vec<NodeProcess>,
    balancer: SocketAddr,
    failures: usize,
    /// The times from the failure of an owner to the next owner.
    pub(super) takeovers: Vec<Duration>,
}

struct NodeProcess {
    child: Child,
    devices: SocketAddr,
    operators: SocketAddr,
    inside: SocketAddr,
}

impl NodeProcess {
    fn start(directory: &Path, database: &str, [devices, operators, inside]: [SocketAddr; 3]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_regrow-ds"))
            .arg("serve")
            .current_dir(directory)
            .env("REGROW_DS_DATABASE", database)
            .env("REGROW_DS_LISTEN", devices.to_string())
            .env("REGROW_DS_LISTEN_OPERATORS", operators.to_string())
            .env("REGROW_DS_CLUSTER__LISTEN", inside.to_string())
            .env("REGROW_DS_CLUSTER__SECRET_FILE", directory.join("secret"))
            .env("REGROW_DS_CLUSTER__LEASE_SECONDS", LEASE.as_secs().to_string())
            .env("REGROW_DS_DRAIN_SECONDS", "5")
            .env("REGROW_DS_LIMITS__DEVICE_REQUESTS_PER_SECOND", "1000000")
            .env("REGROW_DS_LIMITS__DEVICE_BURST", "1000000")
            .env("REGROW_DS_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "1000000")
            .env("REGROW_DS_LIMITS__ADDRESS_BURST", "1000000")
            .env("REGROW_DS_LOG__LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut addresses = line.split([' ', ',', '\n']).map(|word| word.trim_start_matches("http://").parse());
        let mut next = || addresses.find_map(Result::ok).unwrap_or_else(|| panic!("no address: {line:?}"));
        Self { child, devices: next(), operators: next(), inside: next() }
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        [self.devices, self.operators, self.inside]
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// True if the node says that it owns the store. A node that does not answer says nothing.
    fn owns(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&self.operators, Duration::from_millis(200))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        ask().is_ok_and(|answer| answer.lines().any(|line| line == "regrow_ds_cluster_owner 1"))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Nodes {
    /// Starts three nodes and the load balancer. The caller is in a runtime.
    pub(super) async fn start(directory: &Path, database: &str) -> Self {
        std::fs::write(directory.join("secret"), "a secret of more than thirty-two characters").unwrap();
        let any = [SocketAddr::from(([127, 0, 0, 1], 0)); 3];
        let nodes: Vec<_> = (0..3).map(|_| NodeProcess::start(directory, database, any)).collect();
        let balancer = balance(nodes.iter().map(|node| node.devices).collect()).await;
        let (directory, database) = (directory.to_owned(), database.to_owned());
        Self { directory, database, nodes, balancer, failures: 0, takeovers: Vec::new() }
    }

    fn owner(&self) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(owner) = self.nodes.iter().position(NodeProcess::owns) {
                return owner;
            }
            assert!(begun.elapsed() < LEASE + TAKEOVER * 2, "no node owns the store");
        }
    }

    /// Waits until another node than `former` owns the store.
    fn wait_for_takeover(&mut self, former: usize) {
        let begun = Instant::now();
        while !self.nodes.iter().enumerate().any(|(number, node)| number != former && node.owns()) {
            assert!(begun.elapsed() < LEASE + TAKEOVER, "no node has taken the store");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.takeovers.push(begun.elapsed());
    }

    fn restart(&mut self, number: usize) {
        let node = self.nodes.remove(number);
        let addresses = node.addresses();
        drop(node);
        self.nodes.insert(number, NodeProcess::start(&self.directory, &self.database, addresses));
    }

    /// Stops and starts each node, one after the other.
    pub(super) fn restart_all(&mut self) {
        for number in 0..self.nodes.len() {
            self.nodes[number].signal("-TERM");
            assert!(self.nodes[number].child.wait().unwrap().success());
            let addresses = self.nodes[number].addresses();
            self.nodes[number] = NodeProcess::start(&self.directory, &self.database, addresses);
        }
    }

    /// The address of the load balancer.
    pub(super) fn address(&self) -> String {
        self.balancer.to_string()
    }

    /// Causes the next failure, and waits until a node serves again.
    pub(super) fn fail(&mut self) {
        let owner = self.owner();
        self.failures += 1;
        match self.failures % 4 {
            // A node that does not own the store dies.
            0 => self.restart((owner + 1) % self.nodes.len()),
            // The owner stops for longer than its lease, and goes on.
            2 => {
                self.nodes[owner].signal("-STOP");
                self.wait_for_takeover(owner);
                self.nodes[owner].signal("-CONT");
                let begun = Instant::now();
                while self.nodes[owner].owns() {
                    assert!(begun.elapsed() < TAKEOVER, "the former owner still believes to own the store");
                }
            }
            // The owner dies.
            _ => {
                self.nodes[owner].signal("-KILL");
                self.wait_for_takeover(owner);
                self.restart(owner);
            }
        }
    }
}

/// Passes each connection to the next node that accepts it.
async fn balance(nodes: Vec<SocketAddr>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (nodes, next) = (Arc::new(nodes), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        loop {
            let Ok((mut client, _)) = listener.accept().await else { continue };
            let (nodes, next) = (Arc::clone(&nodes), Arc::clone(&next));
            tokio::spawn(async move {
                for _ in 0..nodes.len() {
                    let node = nodes[next.fetch_add(1, Ordering::Relaxed) % nodes.len()];
                    if let Ok(mut server) = tokio::net::TcpStream::connect(node).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Returns the number in this environment variable, or `usual` without one.
pub(super) fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |number| number.parse().unwrap())
}

/// Returns these percentiles of the times.
pub(super) fn percentiles<const N: usize>(times: &mut [Duration], percents: [usize; N]) -> [Duration; N] {
    times.sort_unstable();
    percents.map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)])
}
