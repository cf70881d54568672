//! A PostgreSQL server for tests, in a temporary directory. The tests start it from the installed
//! programs, as an unprivileged user.
//!
//! Where PostgreSQL is not installed, the tests say on standard error which of them are left out. If
//! the environment variable `REGROW_REQUIRE_POSTGRES` is set, they fail instead.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    env, fs,
    io::{self, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use regrow_delivery_service::store::postgres::{PostgresAddress, PostgresStore, PostgresUrl};
use tokio_postgres::SimpleQueryMessage;

/// The variable with the address of a running server, for a test that starts tests.
pub const DATABASE: &str = "REGROW_TEST_DATABASE";

/// The user `nobody`, who runs the server if root runs the tests: the server refuses root.
const NOBODY: u32 = 65_534;

/// Runs the server until the standard input of this script ends, which is when the test's process
/// has ended in any way. Then it removes the directory.
const RUN: &str = r#"
    trap "" INT TERM HUP
    "$POSTGRES" -D "$0/data" "$@" >>"$0/log" 2>&1 & server=$!
    cat >/dev/null
    kill -QUIT $server; wait $server
    [ -z "$KEEP" ] && rm -rf "$0""#;

/// Returns the directory of the programs `initdb` and `postgres`.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let installed = versions.into_iter().rev().map(|version| version.join("bin"));
    installed.into_iter().find(|programs| programs.join("initdb").exists())
}

/// A running server.
pub struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    options: Vec<String>,
    port: u16,
    script: Option<Child>,
}

impl Cluster {
    /// Starts a server with these settings. Returns `None` if PostgreSQL is not installed.
    pub fn start(options: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(env::var_os("REGROW_REQUIRE_POSTGRES").is_none(), "PostgreSQL is not installed");
            let test = thread::current().name().unwrap_or_default().to_owned();
            // Unlike the output of the print macros, this line is shown although the test passes.
            let _ = writeln!(io::stderr(), "left out, because PostgreSQL is not installed: {test}");
            return None;
        };
        let initdb = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale", "C", "--no-sync"];
        Some(Self::make(programs, options, 0, "initdb", &initdb))
    }

    /// Makes the data of a server with a program, and starts the server.
    fn make(programs: PathBuf, options: &[&str], port: u16, program: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("regrow-postgres-").tempdir().unwrap().keep();
        let user = fs::metadata(&directory).unwrap().uid();
        if user == 0 {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut cluster = Self { directory, programs, options, port, script: None };
        let data = cluster.directory.join("data");
        let made = cluster.command(program).args(arguments).arg("-D").arg(data).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        cluster.run();
        cluster
    }

    /// Starts a standby at a port, or at a free one if that is 0. From now on, every commit of this
    /// server waits for the standby.
    pub fn standby(&self, port: u16) -> Self {
        let own = self.port.to_string();
        let copy = ["-h127.0.0.1", "-Upostgres", "-cfast", "-Xstream", "--no-sync", "-R", "-p", &own];
        let standby = Self::make(self.programs.clone(), &["-ccluster_name=standby"], port, "pg_basebackup", &copy);
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("SELECT pg_reload_conf()");
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1" {
            thread::sleep(Duration::from_millis(10));
        }
        standby
    }

    /// Makes a server that takes writes of this standby. Its commits wait for no standby.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t");
    }

    /// Runs a client program of PostgreSQL against the server, and returns its output.
    pub fn client(&self, program: &str, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = self.command(program);
        command.args(["-h127.0.0.1", "-Upostgres", "-dpostgres", "-p", &port]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Stops all processes of the server, which keep their connections.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets the processes of a paused server go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Ok(pid) = fs::read_to_string(self.directory.join("data/postmaster.pid")) else { return };
        let pid = pid.lines().next().unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        // A process may have ended meanwhile.
        let mut kill = Command::new("kill");
        let _ = kill.arg(signal).arg(pid).args(children.split_whitespace()).stderr(Stdio::null()).status();
    }

    /// The server that all tests of this process share, or that a parent process has started.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        let start = || match env::var(DATABASE) {
            Ok(port) => Some(Self {
                directory: PathBuf::new(),
                programs: programs().unwrap(),
                options: Vec::new(),
                port: port.parse().unwrap(),
                script: None,
            }),
            Err(_) => Self::start(&["-cmax_connections=300"]),
        };
        SHARED.get_or_init(start).as_ref()
    }

    /// Starts the server and waits until it answers.
    pub fn run(&mut self) {
        // Another process may take a free port before the server does.
        for _ in 0..5 {
            if self.port == 0 {
                self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            }
            let mut script = self.command("sh");
            script.arg("-c").arg(RUN).arg(&self.directory);
            script.args(["-p", &self.port.to_string(), "-clisten_addresses=127.0.0.1", "-cunix_socket_directories="]);
            script.args(["-cfsync=off", "-clogging_collector=off"]).args(&self.options);
            script.env("POSTGRES", self.programs.join("postgres"));
            self.script = Some(script.stdin(Stdio::piped()).spawn().unwrap());
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) {
                if self.try_sql("SELECT 1").is_ok() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
            self.end(true);
            self.port = 0;
        }
        panic!("the server does not start: {}", fs::read_to_string(self.directory.join("log")).unwrap());
    }

    /// Kills the server. Its data stays.
    pub fn kill(&mut self) {
        self.end(true);
    }

    fn end(&mut self, keep: bool) {
        let Some(mut script) = self.script.take() else { return };
        // A paused process would end only later.
        self.resume();
        if keep {
            let pid = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
            if let Some(pid) = pid.lines().next() {
                Command::new("kill").args(["-QUIT", pid]).status().unwrap();
                while Path::new("/proc").join(pid).join("exe").exists() {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            // Without its server, the script would remove the directory.
            Command::new("kill").args(["-KILL", &script.id().to_string()]).status().unwrap();
        }
        drop(script.stdin.take());
        script.wait().unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory that only the server's user can write.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file that the server can read, and nobody else.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).unwrap();
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// Makes a schema of its own for one store, and returns the store's address.
    pub fn schema(&self) -> StoreAddress {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let schema = format!("store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE SCHEMA {schema}"));
        StoreAddress { port: self.port, schema }
    }

    /// Runs statements as the administrator, and returns the first value of their result.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}: {error:?}"))
    }

    /// Connects without a program such as `psql`: while another process starts, it has the locks of
    /// all files that other tests have open.
    fn try_sql(&self, statements: &str) -> Result<String, tokio_postgres::Error> {
        let address = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let run = async {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let messages = client.simple_query(statements).await?;
            Ok(messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }))
        };
        // The test's own thread may already have a runtime.
        let result = thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            scope.spawn(move || runtime.block_on(run)).join().unwrap()
        });
        result.map(Option::unwrap_or_default)
    }

    /// A program of PostgreSQL, or another one, as the server's user.
    fn command(&self, program: &str) -> Command {
        let own = self.programs.join(program);
        let mut command = Command::new(if own.exists() { own } else { PathBuf::from(program) });
        command.current_dir("/").env_remove("PGOPTIONS");
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(false);
        // The script of a killed server leaves the directory. A server of another process has none.
        if self.directory.is_absolute() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The address of one store on a server.
#[derive(Clone, Debug)]
pub struct StoreAddress {
    pub port: u16,
    pub schema: String,
}

impl StoreAddress {
    pub fn url(&self) -> String {
        let Self { port, schema } = self;
        format!("postgres://postgres@127.0.0.1:{port}/postgres?options=-c%20search_path%3D{schema}")
    }

    /// The address with a second server, at this port.
    pub fn url_with_standby(&self, standby: u16) -> String {
        let port = self.port;
        self.url().replace(&format!(":{port}"), &format!(":{port},127.0.0.1:{standby}"))
    }

    pub fn address(&self) -> PostgresAddress {
        PostgresAddress::new(&PostgresUrl::parse(&self.url()).unwrap(), None, None).unwrap()
    }

    pub fn open(&self) -> PostgresStore {
        PostgresStore::open(self.address()).unwrap()
    }

    pub fn open_beside(&self) -> PostgresStore {
        PostgresStore::open_beside(self.address()).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
