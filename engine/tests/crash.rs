//! Tests that a device continues after its process was killed at any moment.
//!
//! A child process plays one member of a group, with its state in a file. It gets orders over its
//! standard input. The parent kills it (SIGKILL) during an order, at a random moment from a seed:
//! five hundred times in one long life. The parent plays the other member and the delivery service.
//! After each kill, it checks that the child is in the state before the call or in the state after
//! it. It also checks that the child never uses a key twice, and that both end in the same epoch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "it/common/mod.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead as _, BufReader, Write as _, stdin},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::*;
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use regrow_engine::{
    Client, DiskError, Error, GroupId, KeyPackageBytes, PendingCommit, ReceivedEvent, SqliteStore, StoreKey,
    default_crypto,
};
use tempfile::TempDir;

/// The number of times that the child is killed.
const KILLS: usize = 500;

/// The environment variable with the child's folder. A process without it is not a child.
const FOLDER: &str = "REGROW_CRASH_TEST_FOLDER";

/// The number of the key that is a passphrase. Opening with it is slow, so it is soon replaced by
/// another key.
const PASSPHRASE: usize = 2;

/// Returns one of the keys that seal the file in turn.
fn key(number: usize) -> StoreKey {
    match number {
        PASSPHRASE => StoreKey::from_passphrase("correct horse"),
        number => StoreKey::from_bytes([number as u8 + 1; 32]),
    }
}

fn open(folder: &Path) -> (Arc<SqliteStore>, usize) {
    for number in 0..=PASSPHRASE {
        match SqliteStore::open(folder.join("alice"), &key(number), default_crypto()) {
            Ok(store) => return (Arc::new(store), number),
            Err(DiskError::WrongKey | DiskError::OtherProtection { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("no key opens the file");
}

/// Returns the identifier of the group that belongs to the turn's welcome.
fn room(bytes: &[u8]) -> GroupId {
    GroupId::new([b"room ", bytes].concat()).unwrap()
}

/// Executes an order in the child and returns the answer.
fn act(client: &mut Client, store: &SqliteStore, opened_with: usize, command: &str, bytes: &[u8]) -> String {
    let only = |client: &Client| -> PendingCommit { client.pending().unwrap().remove(0) };
    match command {
        "state" => {
            let pending = client.pending().unwrap();
            let mut group = client.group(&group()).unwrap();
            let (epoch, authenticator) = (group.epoch().unwrap(), group.epoch_authenticator().unwrap());
            let pending = pending.first().map(|pending| hex::encode(pending.commit())).unwrap_or_default();
            format!("{epoch},{},{pending}", hex::encode(authenticator.as_bytes()))
        }
        "send" => hex::encode(client.group(&group()).unwrap().send(bytes).unwrap()),
        "unread" => {
            let unacknowledged = client.unacknowledged().unwrap().pop();
            client.acknowledge().unwrap();
            match unacknowledged.map(|received| received.event) {
                Some(ReceivedEvent::Message(message)) => hex::encode(&**message.text),
                _ => String::new(),
            }
        }
        "receive" => match client.receive(bytes, NOW).unwrap().event {
            ReceivedEvent::Message(message) => hex::encode(&**message.text),
            ReceivedEvent::Commit(_) => "commit".into(),
            ReceivedEvent::Ignored(_) => "ignored".into(),
            other => panic!("{other:?}"),
        },
        "update" => hex::encode(client.group(&group()).unwrap().update().unwrap().commit()),
        "rejoin" => hex::encode(client.join_external(bytes).unwrap().commit()),
        "confirm" => {
            let pending = only(client);
            client.confirm(pending, NOW).unwrap();
            "confirmed".into()
        }
        "discard" => {
            let pending = only(client);
            client.discard(pending).unwrap();
            "discarded".into()
        }
        "which key" => opened_with.to_string(),
        "key" | "passphrase" => {
            let other = if command == "key" { usize::from(opened_with == 0) } else { PASSPHRASE };
            store.change_key(&key(other)).unwrap();
            "changed".into()
        }
        "lock" => {
            client.lock().unwrap();
            assert!(matches!(client.groups(), Err(Error::Locked)));
            client.unlock(&key(opened_with)).unwrap();
            "unlocked".into()
        }
        "key_package" => hex::encode(key_package(client).as_bytes()),
        "join" => match client.join(bytes, NOW) {
            Ok(_) => "joined".into(),
            // The key package of the welcome is used up.
            Err(Error::NotInvited) => "joined before".into(),
            Err(other) => panic!("{other}"),
        },
        "forget" => {
            client.forget(&room(bytes)).unwrap();
            "forgotten".into()
        }
        "key_packages" => {
            client.expire(regrow_engine::Timestamp::LATEST).unwrap();
            client.key_packages(2, NOW).unwrap().len().to_string()
        }
        other => panic!("{other}"),
    }
}

/// Runs the child process. Without the environment variable, this test does nothing.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let (store, opened_with) = open(&PathBuf::from(folder));
    let mut client = Client::open(store.clone(), default_crypto(), policy()).unwrap();
    println!("\n>ready");
    for line in stdin().lines() {
        let line = line.unwrap();
        let (command, bytes) = line.rsplit_once(' ').unwrap();
        println!(">{}", act(&mut client, &store, opened_with, command, &hex::decode(bytes).unwrap()));
    }
}

/// The child process, as the parent sees it.
struct ChildProcess {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl ChildProcess {
    /// Starts the child and waits until it has opened its file.
    fn start(folder: &Path) -> Self {
        let mut child = Self::spawn(folder);
        assert_eq!(child.answer().as_deref(), Some("ready"));
        child
    }

    fn spawn(folder: &Path) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, orders, answers }
    }

    fn order(&mut self, command: &str, bytes: &[u8]) {
        writeln!(self.orders, "{command} {}", hex::encode(bytes)).unwrap();
    }

    /// Returns the next answer, or [`None`] if the child died before it had sent the whole answer.
    fn answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let ended = self.answers.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n');
            match line.trim_end().strip_prefix('>') {
                Some(answer) if !ended => return Some(answer.to_owned()),
                None if !ended => {}
                _ => return None,
            }
        }
    }

    fn ask(&mut self, command: &str, bytes: &[u8]) -> String {
        self.order(command, bytes);
        self.answer().expect("the child answers, because nobody has killed it")
    }

    /// Kills the child after this time.
    fn kill_after(&mut self, delay: Duration) {
        let now = Instant::now();
        while now.elapsed() < delay {
            std::hint::spin_loop();
        }
        self.kill();
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The duration of each order. The parent uses it to kill the child before, during or after an
/// order.
#[derive(Default)]
struct Durations(BTreeMap<&'static str, Duration>);

impl Durations {
    fn moment(&self, command: &'static str, rng: &mut TestRng) -> Duration {
        // A passphrase order is slow and rare, so its duration may never be measured.
        let first = Duration::from_millis(if command == "passphrase" { 150 } else { 5 });
        let whole = self.0.get(command).copied().unwrap_or(first);
        whole.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX) * 1.5)
    }
}

/// The state of the child, as it has answered after its start.
struct ChildState {
    epoch: u64,
    /// The child's pending commit. Empty if there is none.
    pending: Vec<u8>,
}

/// The parent: it plays Bob and the delivery service, and kills the child, which plays Alice.
struct CrashTest {
    folder: TempDir,
    rng: TestRng,
    bob: Client,
    durations: Durations,
    /// The ordered commits, by the epoch that they end.
    ordered: BTreeMap<u64, Vec<u8>>,
    /// The authenticators of the epochs on which both agree.
    authenticators: BTreeMap<u64, String>,
    /// Bob's last message.
    inbox: Vec<u8>,
    /// The texts that the child has read.
    read: BTreeSet<String>,
    /// The number of messages that Bob has read.
    sent: u32,
    answered: usize,
    unanswered: usize,
    /// The number of times that each order was given.
    orders: BTreeMap<&'static str, usize>,
}

impl CrashTest {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bob = client("bob");
        let store = SqliteStore::create(folder.path().join("alice"), &key(0), default_crypto()).unwrap();
        let mut alice = Client::create(Arc::new(store), default_crypto(), device("alice"), policy()).unwrap();
        make_group(&mut [&mut bob, &mut alice]);
        Self {
            folder,
            rng: TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]),
            bob,
            durations: Durations::default(),
            ordered: BTreeMap::new(),
            authenticators: BTreeMap::new(),
            inbox: Vec::new(),
            read: BTreeSet::new(),
            sent: 0,
            answered: 0,
            unanswered: 0,
            orders: BTreeMap::new(),
        }
    }

    fn start_child(&self) -> ChildProcess {
        ChildProcess::start(self.folder.path())
    }

    fn bobs_epoch(&mut self) -> u64 {
        self.bob.group(&group()).unwrap().epoch().unwrap().0
    }

    /// Starts the child, gives it one order, and kills it.
    fn turn(&mut self, turn: usize) {
        // In one of ten turns, the child also dies while it opens its file.
        if turn % 10 == 9 {
            let delay = Duration::from_micros(u64::from(self.rng.next_u32() % 20_000));
            ChildProcess::spawn(self.folder.path()).kill_after(delay);
        }
        let mut child = self.start_child();
        let state = self.check_state(turn, &mut child);
        let (command, bytes) = self.choose_order(turn, &mut child, state);
        let answer = self.give_order(turn, child, command, &bytes);
        self.check_answer(turn, command, &bytes, answer);
    }

    /// Checks that the child has lost no event and is in a state on which both agree.
    fn check_state(&mut self, turn: usize, child: &mut ChildProcess) -> ChildState {
        let unread = child.ask("unread", &[]);
        assert!(
            unread.is_empty() || self.read.contains(&unread),
            "turn {turn}: an unacknowledged message that was not delivered before"
        );
        let state = child.ask("state", &[]);
        let [epoch, authenticator, pending] = state.split(',').collect::<Vec<_>>().try_into().unwrap();
        let (epoch, pending) = (epoch.parse::<u64>().unwrap(), hex::decode(pending).unwrap());
        let bobs_epoch = self.bobs_epoch();
        let bobs_authenticator = self.bob.group(&group()).unwrap().epoch_authenticator().unwrap();
        self.authenticators.insert(bobs_epoch, hex::encode(bobs_authenticator.as_bytes()));
        let known = self.authenticators.get(&epoch).map(String::as_str);
        assert_eq!(known, Some(authenticator), "epoch {epoch}: a fork");
        ChildState { epoch, pending }
    }

    /// Returns the next order for the child, and its input.
    fn choose_order(
        &mut self,
        turn: usize,
        child: &mut ChildProcess,
        ChildState { epoch, pending }: ChildState,
    ) -> (&'static str, Vec<u8>) {
        let draw = self.rng.next_u32() % 100;
        if child.ask("which key", &[]) == PASSPHRASE.to_string() {
            return ("key", Vec::new());
        }
        if !pending.is_empty() {
            return self.settle_commit(draw, epoch, pending);
        }
        match self.ordered.get(&epoch) {
            Some(commit) => ("receive", commit.clone()),
            None => self.new_order(turn, draw, child),
        }
    }

    /// Returns the order that ends the wait for the service's answer to the child's commit.
    fn settle_commit(&mut self, draw: u32, epoch: u64, pending: Vec<u8>) -> (&'static str, Vec<u8>) {
        if self.ordered.values().any(|commit| *commit == pending) {
            return if draw < 50 { ("confirm", Vec::new()) } else { ("receive", pending) };
        }
        if draw < 30 {
            return ("discard", Vec::new());
        }
        // The service accepts the commit, unless another commit was ordered first.
        let bobs_epoch = self.bobs_epoch();
        match self.bob.receive(&pending, NOW).unwrap().event {
            ReceivedEvent::Commit(_) => {
                self.ordered.insert(bobs_epoch, pending);
                ("confirm", Vec::new())
            }
            _ => ("receive", self.ordered[&epoch].clone()),
        }
    }

    /// Returns an order for a child that has no pending commit and is in Bob's epoch.
    fn new_order(&mut self, turn: usize, draw: u32, child: &mut ChildProcess) -> (&'static str, Vec<u8>) {
        match draw {
            0..25 => ("send", format!("from alice {turn}").into_bytes()),
            25..50 => {
                self.inbox = send(&mut self.bob, format!("from bob {turn}").as_bytes());
                ("receive", self.inbox.clone())
            }
            50..65 => ("update", Vec::new()),
            65..80 => {
                let bobs_epoch = self.bobs_epoch();
                let update = self.bob.group(&group()).unwrap().update().unwrap();
                self.ordered.insert(bobs_epoch, update.commit().to_vec());
                self.bob.confirm(update, NOW).unwrap();
                ("receive", self.ordered[&bobs_epoch].clone())
            }
            80..84 => ("rejoin", self.bob.group(&group()).unwrap().group_info().unwrap()),
            84..88 => ("key", Vec::new()),
            88..90 => ("passphrase", Vec::new()),
            90..93 => ("lock", Vec::new()),
            93..96 => {
                let invited = KeyPackageBytes::new(hex::decode(child.ask("key_package", &[])).unwrap());
                let mut room = self.bob.create_group(room(&turn.to_be_bytes()), NOW).unwrap();
                let added = room.add(&[invited], NOW).unwrap();
                let welcome = added.welcome().unwrap().to_vec();
                self.bob.confirm(added, NOW).unwrap();
                ("join", welcome)
            }
            _ => ("key_packages", Vec::new()),
        }
    }

    /// Gives the order, kills the child, and returns its answer, if it has answered before.
    fn give_order(
        &mut self,
        turn: usize,
        mut child: ChildProcess,
        command: &'static str,
        bytes: &[u8],
    ) -> Option<String> {
        let started = Instant::now();
        child.order(command, bytes);
        // In one of ten turns, the child is killed only after its answer, to measure the duration.
        let answer = if turn.is_multiple_of(10) {
            let answer = child.answer();
            self.durations.0.insert(command, started.elapsed());
            child.kill();
            answer
        } else {
            child.kill_after(self.durations.moment(command, &mut self.rng));
            child.answer()
        };
        *self.orders.entry(command).or_default() += 1;
        match &answer {
            Some(_) => self.answered += 1,
            None => self.unanswered += 1,
        }
        answer
    }

    /// Checks that the order has happened as a whole or not at all.
    fn check_answer(&mut self, turn: usize, command: &'static str, bytes: &[u8], answer: Option<String>) {
        match (command, answer) {
            // Bob can read a message that the child has sent, so its key was not used before.
            ("send", Some(message)) => {
                let received = self.bob.receive(&hex::decode(message).unwrap(), NOW).unwrap();
                let ReceivedEvent::Message(message) = received.event else {
                    panic!("turn {turn}: bob cannot read the message, or has read it before")
                };
                assert_eq!(message.text.to_vec(), bytes);
                self.sent += 1;
            }
            ("receive", Some(text)) if bytes == self.inbox => {
                assert_ne!(text, "ignored", "turn {turn}: a message that was never read");
                assert!(self.read.insert(text), "turn {turn}: a message that was read twice");
            }
            ("receive", None) if bytes == self.inbox => {
                // The child was killed before or after the write. It reads the message now, or the
                // message waits to be acknowledged.
                let mut child = self.start_child();
                let (waiting, again) = (child.ask("unread", &[]), child.ask("receive", &self.inbox));
                let text = if waiting.is_empty() { again } else { waiting };
                assert_ne!(text, "ignored", "turn {turn}: a message that was lost");
                assert!(self.read.insert(text), "turn {turn}: a message that was read twice");
            }
            ("join", answer) => self.check_join(turn, bytes, answer),
            ("update" | "rejoin", Some(commit)) => assert!(!commit.is_empty()),
            _ => {}
        }
    }

    /// Checks that the child is in the new group, or that the welcome is still valid. The group
    /// works.
    fn check_join(&mut self, turn: usize, welcome: &[u8], answer: Option<String>) {
        assert!(
            answer.is_none_or(|answer| answer == "joined"),
            "turn {turn}: an unexpected answer to the order to join"
        );
        let mut child = self.start_child();
        assert!(child.ask("join", welcome).starts_with("joined"));
        let name = turn.to_be_bytes();
        let message = self.bob.group(&room(&name)).unwrap().send(b"welcome").unwrap();
        assert_eq!(child.ask("receive", &message), hex::encode(b"welcome"), "turn {turn}");
        assert_eq!(child.ask("unread", &[]), hex::encode(b"welcome"));
        assert_eq!(child.ask("forget", &name), "forgotten");
        self.bob.forget(&room(&name)).unwrap();
    }
}

#[test]
fn a_device_continues_after_a_kill_at_any_moment() {
    let mut test = CrashTest::new();

    for turn in 0..KILLS {
        test.turn(turn);
    }

    let CrashTest { answered, unanswered, sent, read, orders, .. } = test;
    println!(
        "{answered} calls were answered, {unanswered} were not; {sent} messages were sent, {} read; {orders:?}",
        read.len()
    );
    assert!(
        answered > KILLS / 10 && unanswered > KILLS / 10,
        "too few kills before or after the answer: {answered} after, {unanswered} before"
    );
    assert_eq!(orders.len(), 11, "{orders:?}");
}
