//! Measures the cost of a call with a store in a file: `cargo bench -p regrow-engine --bench disk`.
//!
//! For comparison, the table also shows the same call in memory, and the time that SQLite needs to
//! make one page durable. This time is measured for the write-ahead log alone, and with the log
//! emptied afterwards, which erases old data.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use regrow_engine::{
    Client, DeviceId, GroupId, KeyPackageBytes, MemoryStore, Policy, SqliteStore, Store, StoreKey, Timestamp,
    default_crypto,
};
use rusqlite::Connection;

const SIZES: [usize; 3] = [10, 100, 1000];
const TURNS: usize = 101;

fn main() {
    // `cargo test --all-targets` runs this program too, but not to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (logged, emptied) =
        (PlainSqlite::new(&folder.path().join("logged")), PlainSqlite::new(&folder.path().join("emptied")));
    println!(
        "| operation | members | disk µs | memory µs | page in the log µs | and the log emptied µs | bytes | by SQLite |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for size in SIZES {
        let path = folder.path().join(format!("alice-{size}"));
        let store = Arc::new(SqliteStore::create(path, &StoreKey::from_bytes([1; 32]), default_crypto()).unwrap());
        let mut disk = Pair::new(store.clone(), size);
        let mut memory = Pair::new(Arc::new(MemoryStore::new()), size);
        for (name, operation) in [
            ("send", Pair::send as fn(&mut Pair) -> Duration),
            ("receive", Pair::receive),
            ("process a commit", Pair::process),
            ("own update, confirmed", Pair::update),
        ] {
            let mut times: [Vec<Duration>; 4] = Default::default();
            let (mut bytes, mut by_sqlite) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let before = (store.bytes_written().unwrap(), to_file_system());
                times[0].push(operation(&mut disk));
                bytes.push(store.bytes_written().unwrap() - before.0);
                by_sqlite.push(to_file_system() - before.1);
                times[1].push(operation(&mut memory));
                times[2].push(logged.write(false));
                times[3].push(emptied.write(true));
            }
            let [disk, memory, log, emptied] = times.map(|times| median(times).as_micros());
            let (bytes, by_sqlite) = (median(bytes), median(by_sqlite));
            println!("| {name} | {size} | {disk} | {memory} | {log} | {emptied} | {bytes} | {by_sqlite} |");
        }
    }
}

/// Returns the number of bytes that this process has written to files, or 0 if the operating system
/// does not count them.
fn to_file_system() -> u64 {
    let counters = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let written = counters.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

/// A member on the measured store and another member in memory, in one group of a given size.
struct Pair {
    measured: Client,
    other: Client,
    group: GroupId,
    now: Timestamp,
}

impl Pair {
    fn new(store: Arc<dyn Store>, members: usize) -> Self {
        let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
        let client = |store, user: &str| {
            Client::create(store, default_crypto(), DeviceId::new(user, "phone").unwrap(), Policy::default()).unwrap()
        };
        let group = GroupId::new("chat").unwrap();
        let (mut measured, mut other) = (client(store, "alice"), client(Arc::new(MemoryStore::new()), "bob"));
        let mut added: Vec<KeyPackageBytes> = other.key_packages(1, now).unwrap();
        for number in 2..members {
            let mut member = client(Arc::new(MemoryStore::new()), &format!("m{number}"));
            added.extend(member.key_packages(1, now).unwrap());
        }
        let pending = measured.create_group(group.clone(), now).unwrap().add(&added, now).unwrap();
        let welcome = pending.welcome().unwrap().to_vec();
        measured.confirm(pending, now).unwrap();
        other.join(&welcome, now).unwrap();
        Self { measured, other, group, now }
    }

    fn send(&mut self) -> Duration {
        let (message, time) = timed(|| self.measured.group(&self.group).unwrap().send(&[7; 100]).unwrap());
        self.other.receive(&message, self.now).unwrap();
        time
    }

    fn receive(&mut self) -> Duration {
        let message = self.other.group(&self.group).unwrap().send(&[7; 100]).unwrap();
        timed(|| self.measured.receive(&message, self.now).unwrap()).1
    }

    fn process(&mut self) -> Duration {
        let pending = self.other.group(&self.group).unwrap().update().unwrap();
        let commit = pending.commit().to_vec();
        self.other.confirm(pending, self.now).unwrap();
        timed(|| self.measured.receive(&commit, self.now).unwrap()).1
    }

    fn update(&mut self) -> Duration {
        let (commit, time) = timed(|| {
            let pending = self.measured.group(&self.group).unwrap().update().unwrap();
            let commit = pending.commit().to_vec();
            self.measured.confirm(pending, self.now).unwrap();
            commit
        });
        self.other.receive(&commit, self.now).unwrap();
        time
    }
}

/// SQLite alone, in the same mode. It overwrites one row that fills most of a page.
struct PlainSqlite {
    connection: Connection,
    /// Changes with each write, because SQLite writes nothing if the data are the same.
    turn: Cell<u8>,
}

impl PlainSqlite {
    fn new(path: &std::path::Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let setup = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 0; CREATE TABLE page (id INTEGER PRIMARY KEY, page BLOB);
            INSERT INTO page VALUES (1, zeroblob(3900));";
        connection.execute_batch(setup).unwrap();
        Self { connection, turn: Cell::new(0) }
    }

    fn write(&self, empty_log: bool) -> Duration {
        self.turn.set(self.turn.get().wrapping_add(1));
        let page = [self.turn.get(); 3900];
        timed(|| {
            self.connection.prepare_cached("UPDATE page SET page = ?1").unwrap().execute([&page[..]]).unwrap();
            if empty_log {
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            }
        })
        .1
    }
}
