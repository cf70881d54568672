//! Tests that a device continues after its process was killed at any moment.
//!
//! A child process plays one member of a group, with its state in a file. It gets orders over its
//! standard input. The parent kills it (SIGKILL) during an order, at a random moment from a seed:
//! five hundred times in one long life. The parent plays the other member and the delivery service.
//! After each kill, it checks that the child is in the state before the call or in the state after
//! it. It also checks that the child never uses a key twice, and that both end in the same epoch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

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
struct Life {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Life {
    /// Starts the child and waits until it has opened its file.
    fn start(folder: &Path) -> Self {
        let mut life = Self::born(folder);
        assert_eq!(life.answer().as_deref(), Some("ready"));
        life
    }

    fn born(folder: &Path) -> Self {
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

impl Drop for Life {
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

#[test]
fn a_device_continues_after_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut bob = client("bob");
    {
        let path = folder.path().join("alice");
        let store = SqliteStore::create(path, &key(0), default_crypto()).unwrap();
        let mut alice = Client::create(Arc::new(store), default_crypto(), device("alice"), policy()).unwrap();
        make_group(&mut [&mut bob, &mut alice]);
    }
    let mut durations = Durations::default();
    // The ordered commits, by the epoch that they end. Then the authenticators of the epochs on
    // which both agree.
    let mut ordered: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut authenticators: BTreeMap<u64, String> = BTreeMap::new();
    let (mut inbox, mut read, mut sent) = (Vec::new(), BTreeSet::new(), 0_u32);
    let (mut done, mut undone, mut seen) = (0, 0, BTreeMap::<&'static str, usize>::new());

    for turn in 0..KILLS {
        // In one of ten turns, the child also dies while it opens its file.
        if turn % 10 == 9 {
            Life::born(folder.path()).kill_after(Duration::from_micros(u64::from(rng.next_u32() % 20_000)));
        }
        let mut life = Life::start(folder.path());
        let unread = life.ask("unread", &[]);
        assert!(
            unread.is_empty() || read.contains(&unread),
            "turn {turn}: an unacknowledged message that was not delivered before"
        );
        let state = life.ask("state", &[]);
        let [epoch, authenticator, pending] = state.split(',').collect::<Vec<_>>().try_into().unwrap();
        let (epoch, pending) = (epoch.parse::<u64>().unwrap(), hex::decode(pending).unwrap());
        let bobs = bob.group(&group()).unwrap().epoch().unwrap().0;
        let bobs_authenticator = bob.group(&group()).unwrap().epoch_authenticator().unwrap();
        authenticators.insert(bobs, hex::encode(bobs_authenticator.as_bytes()));
        assert_eq!(authenticators.get(&epoch).map(String::as_str), Some(authenticator), "epoch {epoch}: a fork");

        let draw = rng.next_u32() % 100;
        let (command, bytes) = if life.ask("which key", &[]) == PASSPHRASE.to_string() {
            ("key", Vec::new())
        } else if !pending.is_empty() {
            if ordered.values().any(|commit| *commit == pending) {
                if draw < 50 { ("confirm", Vec::new()) } else { ("receive", pending) }
            } else if draw < 30 {
                ("discard", Vec::new())
            } else {
                // The service accepts the commit, unless another commit was ordered first.
                match bob.receive(&pending, NOW).unwrap().event {
                    ReceivedEvent::Commit(_) => {
                        ordered.insert(bobs, pending);
                        ("confirm", Vec::new())
                    }
                    _ => ("receive", ordered[&epoch].clone()),
                }
            }
        } else if let Some(commit) = ordered.get(&epoch) {
            ("receive", commit.clone())
        } else {
            match draw {
                0..25 => ("send", format!("from alice {turn}").into_bytes()),
                25..50 => {
                    inbox = send(&mut bob, format!("from bob {turn}").as_bytes());
                    ("receive", inbox.clone())
                }
                50..65 => ("update", Vec::new()),
                65..80 => {
                    let update = bob.group(&group()).unwrap().update().unwrap();
                    ordered.insert(bobs, update.commit().to_vec());
                    bob.confirm(update, NOW).unwrap();
                    ("receive", ordered[&bobs].clone())
                }
                80..84 => ("rejoin", bob.group(&group()).unwrap().group_info().unwrap()),
                84..88 => ("key", Vec::new()),
                88..90 => ("passphrase", Vec::new()),
                90..93 => ("lock", Vec::new()),
                93..96 => {
                    let invited = KeyPackageBytes::new(hex::decode(life.ask("key_package", &[])).unwrap());
                    let mut room = bob.create_group(room(&turn.to_be_bytes()), NOW).unwrap();
                    let added = room.add(&[invited], NOW).unwrap();
                    let welcome = added.welcome().unwrap().to_vec();
                    bob.confirm(added, NOW).unwrap();
                    ("join", welcome)
                }
                _ => ("key_packages", Vec::new()),
            }
        };
        let started = Instant::now();
        life.order(command, &bytes);
        // In one of ten turns, the child is killed only after its answer, to measure the duration.
        let answer = if turn % 10 == 0 {
            let answer = life.answer();
            durations.0.insert(command, started.elapsed());
            life.kill();
            answer
        } else {
            life.kill_after(durations.moment(command, &mut rng));
            life.answer()
        };
        *seen.entry(command).or_default() += 1;
        match &answer {
            Some(_) => done += 1,
            None => undone += 1,
        }
        match (command, answer) {
            // Bob can read a message that the child has sent, so its key was not used before.
            ("send", Some(message)) => {
                let ReceivedEvent::Message(message) = bob.receive(&hex::decode(message).unwrap(), NOW).unwrap().event
                else {
                    panic!("turn {turn}: bob cannot read the message, or has read it before")
                };
                assert_eq!(message.text.to_vec(), bytes);
                sent += 1;
            }
            ("receive", Some(text)) if bytes == inbox => {
                assert_ne!(text, "ignored", "turn {turn}: a message that was never read");
                assert!(read.insert(text), "turn {turn}: a message that was read twice");
            }
            ("receive", None) if bytes == inbox => {
                // The child was killed before or after the write. It reads the message now, or the
                // message waits to be acknowledged.
                let mut life = Life::start(folder.path());
                let (waiting, again) = (life.ask("unread", &[]), life.ask("receive", &inbox));
                let text = if waiting.is_empty() { again } else { waiting };
                assert_ne!(text, "ignored", "turn {turn}: a message that was lost");
                assert!(read.insert(text), "turn {turn}: a message that was read twice");
            }
            // The child is in the group, or the welcome is still valid. The group works.
            ("join", answer) => {
                assert!(
                    answer.is_none_or(|answer| answer == "joined"),
                    "turn {turn}: an unexpected answer to the order to join"
                );
                let mut life = Life::start(folder.path());
                assert!(life.ask("join", &bytes).starts_with("joined"));
                let name = turn.to_be_bytes();
                let message = bob.group(&room(&name)).unwrap().send(b"welcome").unwrap();
                assert_eq!(life.ask("receive", &message), hex::encode(b"welcome"), "turn {turn}");
                assert_eq!(life.ask("unread", &[]), hex::encode(b"welcome"));
                assert_eq!(life.ask("forget", &name), "forgotten");
                bob.forget(&room(&name)).unwrap();
            }
            ("update" | "rejoin", Some(commit)) => assert!(!commit.is_empty()),
            _ => {}
        }
    }
    println!("{done} calls were answered, {undone} were not; {sent} messages were sent, {} read; {seen:?}", read.len());
    assert!(
        done > KILLS / 10 && undone > KILLS / 10,
        "too few kills before or after the answer: {done} after, {undone} before"
    );
    assert_eq!(seen.len(), 11, "{seen:?}");
}
