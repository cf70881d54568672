//! A process that is killed at any moment leaves a device that goes on.
//!
//! A child process plays one member of a group, with its state in a file. It is told what to do over its standard
//! input, and is killed (SIGKILL) while it does it, at a moment drawn from a seed: five hundred times in one long life.
//! The parent plays the other member and the delivery service, and sees to it that the child is each time where it was
//! before the call or where it is after it, that it never uses a key twice, and that it ends in the same epoch.

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
    Client, DiskError, Error, Event, GroupId, KeyPackageBytes, PendingCommit, SqliteStore, StoreKey, default_crypto,
};

/// How often the child is killed.
const KILLS: usize = 500;

/// Where the child finds its file. Without it this is no child.
const FOLDER: &str = "REGROW_CRASH_TEST_FOLDER";

/// The number of the key that is a passphrase: dear to open with, so it is soon changed again.
const PASSPHRASE: usize = 2;

/// The keys that the file is sealed under by turns.
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

/// The group that the turn's welcome is of.
fn room(bytes: &[u8]) -> GroupId {
    GroupId::new([b"room ", bytes].concat()).unwrap()
}

/// What the child does when it is told so.
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
                Some(Event::Message(message)) => hex::encode(&**message.text),
                _ => String::new(),
            }
        }
        "receive" => match client.receive(bytes, NOW).unwrap().event {
            Event::Message(message) => hex::encode(&**message.text),
            Event::Commit(_) => "commit".into(),
            Event::Ignored(_) => "ignored".into(),
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
            // Its key package is used up.
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

/// The child's side. As a test of its own it does nothing.
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

/// A child, from the parent's side.
struct Life {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Life {
    /// Starts it, and waits until it has opened its file.
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

    /// The next answer; [`None`] if it died before it had said it whole.
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
        self.answer().expect("an answer: the child has died of its own")
    }

    /// Kills it after this long.
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

/// How long each order takes, so that the moments of death fall before, into and after it.
#[derive(Default)]
struct Durations(BTreeMap<&'static str, Duration>);

impl Durations {
    fn moment(&self, command: &'static str, rng: &mut TestRng) -> Duration {
        // A passphrase takes its time, and so rarely has its turn that it may never be measured.
        let first = Duration::from_millis(if command == "passphrase" { 150 } else { 5 });
        let whole = self.0.get(command).copied().unwrap_or(first);
        whole.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX) * 1.5)
    }
}

#[test]
fn a_device_that_is_killed_at_any_moment_goes_on() {
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
    // The commits that were ordered, by the epoch that they end; how far everybody agrees.
    let mut ordered: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut authenticators: BTreeMap<u64, String> = BTreeMap::new();
    let (mut inbox, mut read, mut sent) = (Vec::new(), BTreeSet::new(), 0_u32);
    let (mut done, mut undone, mut seen) = (0, 0, BTreeMap::<&'static str, usize>::new());

    for turn in 0..KILLS {
        // Now and then it dies while it opens.
        if turn % 10 == 9 {
            Life::born(folder.path()).kill_after(Duration::from_micros(u64::from(rng.next_u32() % 20_000)));
        }
        let mut life = Life::start(folder.path());
        let unread = life.ask("unread", &[]);
        assert!(unread.is_empty() || read.contains(&unread), "turn {turn}: a message that was never told");
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
                // The delivery service takes it, unless it has been overtaken.
                match bob.receive(&pending, NOW).unwrap().event {
                    Event::Commit(_) => {
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
        // One in ten lives to tell how long it takes.
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
            // What got out can be read, and so uses no key that was used before.
            ("send", Some(message)) => {
                let Event::Message(message) = bob.receive(&hex::decode(message).unwrap(), NOW).unwrap().event else {
                    panic!("turn {turn}: a message that bob cannot read, or has read")
                };
                assert_eq!(message.text.to_vec(), bytes);
                sent += 1;
            }
            ("receive", Some(text)) if bytes == inbox => {
                assert_ne!(text, "ignored", "turn {turn}: a message that was never read");
                assert!(read.insert(text), "turn {turn}: a message that was read twice");
            }
            ("receive", None) if bytes == inbox => {
                // Before the call or after it: it is read now, or it was, and waits to be acknowledged.
                let mut life = Life::start(folder.path());
                let (waiting, again) = (life.ask("unread", &[]), life.ask("receive", &inbox));
                let text = if waiting.is_empty() { again } else { waiting };
                assert_ne!(text, "ignored", "turn {turn}: a message that was lost");
                assert!(read.insert(text), "turn {turn}: a message that was read twice");
            }
            // It is in the group, or the welcome still is good; and the group is all there.
            ("join", answer) => {
                assert!(
                    answer.is_none_or(|answer| answer == "joined"),
                    "turn {turn}: joined without having been asked"
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
    assert!(done > KILLS / 10 && undone > KILLS / 10, "the moments of death: {done} after, {undone} before the answer");
    assert_eq!(seen.len(), 11, "{seen:?}");
}
