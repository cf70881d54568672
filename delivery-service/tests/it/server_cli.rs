//! The program `regrow-ds`: settings, exit statuses, one server per store file, and commands beside
//! a server.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use crate::common::postgres::Cluster;
use crate::http::Key;
use crate::test_directory::TestDirectory;
use regrow_delivery_service::{
    ServicePublicKey, SqliteStore,
    api::{self, Admission},
};
use serde::Serialize;

impl TestDirectory {
    /// The command in this directory, without the variables of the test's environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrow-ds"));
        command.current_dir(self.root()).env_clear().args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> CommandResult {
        CommandResult(self.command(arguments).output().unwrap())
    }

    fn serve(&self, arguments: &[&str]) -> ServerProcess {
        let own = ["serve", "--listen", "127.0.0.1:0", "--listen-operators", "127.0.0.1:0"];
        let mut child = self
            .command(&[&own, arguments].concat())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.file("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(self.file("log")).unwrap();
        let addresses = line.trim().strip_prefix("listening on http://");
        let addresses = addresses.and_then(|rest| rest.split_once(", for operators on http://"));
        let (devices, operators) = addresses.unwrap_or_else(|| panic!("{line:?}: {}", log()));
        ServerProcess { devices: devices.parse().unwrap(), operators: operators.parse().unwrap(), child }
    }
}

/// The result of a command that has ended.
struct CommandResult(Output);

impl CommandResult {
    #[track_caller]
    fn ends(&self, status: i32) -> &Self {
        assert_eq!(self.0.status.code(), Some(status), "{}{}", self.out(), self.error());
        self
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn error(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }
}

/// A running server. It is killed when this value is dropped.
struct ServerProcess {
    child: Child,
    devices: SocketAddr,
    operators: SocketAddr,
}

impl ServerProcess {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    async fn post<T: Serialize>(&self, path: &str, body: &T) -> reqwest::Response {
        let request = client().post(format!("http://{}{path}", self.devices));
        let body = serde_json::to_vec(body).unwrap();
        request.header("content-type", api::JSON).body(body).send().await.unwrap()
    }

    async fn key(&self) -> ServicePublicKey {
        let response = client().get(format!("http://{}/v1/service", self.devices)).send().await.unwrap();
        let info: api::ServiceInfo = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        ServicePublicKey(info.key.0.try_into().unwrap())
    }

    async fn challenge(&self, device: &Key) -> Vec<u8> {
        let request = api::ChallengeRequest { device: device.name.clone() };
        let response = self.post("/v1/challenges", &request).await;
        let challenge: api::Challenge = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        challenge.challenge.0
    }

    async fn register(&self, device: &Key, invitation: &str) -> u16 {
        let (key, challenge) = (self.key().await, self.challenge(device).await);
        let admission = Some(Admission::Invitation(invitation.to_owned()));
        self.post("/v1/devices", &device.registration(&key, &challenge, admission)).await.status().as_u16()
    }

    async fn session(&self, device: &Key) -> String {
        let (key, challenge) = (self.key().await, self.challenge(device).await);
        let response = self.post("/v1/sessions", &device.session(&key, &challenge)).await;
        let session: api::Session = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        session.token
    }

    /// The status and the body of `/readyz`.
    async fn ready(&self) -> (u16, String) {
        let response = client().get(format!("http://{}/readyz", self.operators)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Opens a stream.
    async fn stream(&self, token: &str) -> reqwest::Response {
        let request = client().get(format!("http://{}/v1/stream", self.devices)).bearer_auth(token);
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> u16 {
        let request = client().get(format!("http://{}{path}", self.devices)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

#[test]
fn config_prints_the_settings_in_force() {
    let directory = TestDirectory::new();
    fs::write(directory.file("regrow-ds.toml"), "[limits]\nqueue = 7\n").unwrap();
    let result = CommandResult(
        directory
            .command(&["config", "--listen", "127.0.0.1:9"])
            .env("REGROW_DS_LIMITS__STREAMS", "8")
            .output()
            .unwrap(),
    );
    result.ends(0);
    for line in [
        "listen = \"127.0.0.1:9\"  # flag --listen",
        "queue = 7  # regrow-ds.toml",
        "streams = 8  # environment variable REGROW_DS_LIMITS__STREAMS",
        "drain_seconds = 30  # default",
    ] {
        assert!(result.out().lines().any(|printed| printed == line), "{line} is not in\n{}", result.out());
    }
}

#[test]
fn unusable_settings_are_named_with_their_source() {
    let directory = TestDirectory::new();
    fs::write(directory.file("regrow-ds.toml"), "[limits]\nqueu = 7\n").unwrap();
    let result = directory.run(&["config"]);
    assert_eq!(
        result.ends(2).error(),
        "regrow-ds: regrow-ds.toml: there is no setting `limits.queu`; did you mean `limits.queue`?\n"
    );
    let result = directory.run(&["serve", "--config", "other.toml"]);
    assert!(result.ends(2).error().starts_with("regrow-ds: cannot read other.toml: "), "{}", result.error());
    let result = directory.run(&["serve", "--listen", "0.0.0.0:0", "--config", "/dev/null"]);
    assert!(result.ends(2).error().contains("flag --listen: `listen`: 0.0.0.0:0 can be reached"), "{}", result.error());
    assert!(directory.run(&["serve", "--nonsense"]).ends(2).error().contains("--nonsense"));
}

#[test]
fn a_missing_certificate_is_named() {
    let directory = TestDirectory::new();
    let result =
        directory.run(&["serve", "--listen", "127.0.0.1:0", "--tls-certificate", "c.pem", "--tls-key", "k.pem"]);
    assert!(result.ends(2).error().contains("cannot read the certificate in c.pem"), "{}", result.error());
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let directory = TestDirectory::new();
    let _first = directory.serve(&[]);
    let result = directory.run(&["serve", "--listen", "127.0.0.1:0", "--listen-operators", "127.0.0.1:0"]);
    let expected = "regrow-ds: the store is in use by another process. Another server uses regrow-ds.db";
    assert!(result.ends(3).error().contains(expected), "{}", result.error());
}

#[test]
fn a_taken_address_is_named_with_its_setting() {
    let directory = TestDirectory::new();
    let first = directory.serve(&[]);
    let taken = first.devices.to_string();
    let result =
        directory.run(&["serve", "--database", "other.db", "--listen", &taken, "--listen-operators", "127.0.0.1:0"]);
    let expected = format!("cannot listen at {taken} (`listen`)");
    assert!(result.ends(3).error().contains(&expected), "{}", result.error());
}

#[test]
fn the_server_ends_on_signals_and_starts_again() {
    let directory = TestDirectory::new();
    assert!(directory.serve(&[]).end().success());
    let again = directory.serve(&[]);
    again.signal("-INT");
    let mut again = again;
    assert!(again.child.wait().unwrap().success());
    directory.run(&["check"]).ends(0);
}

#[tokio::test]
async fn invitations_made_beside_a_server_work_once() {
    let directory = TestDirectory::new();
    let server = directory.serve(&["--registration", "token"]);
    let tokens = directory.run(&["invite", "--count", "2", "--expires", "1h"]).ends(0).out();
    let tokens: Vec<_> = tokens.lines().collect();
    assert_eq!(tokens.len(), 2);
    let (alice, bob) = (Key::new("alice", "phone"), Key::new("bob", "phone"));
    assert_eq!(server.register(&alice, "guessed").await, 403);
    assert_eq!(server.register(&alice, tokens[0]).await, 201);
    assert_eq!(server.register(&bob, tokens[0]).await, 403, "an invitation works twice");
    assert_eq!(server.register(&bob, tokens[1]).await, 201);
    // A second device of Alice needs an invitation that names her.
    let tablet = Key::new("alice", "tablet");
    let for_anybody = directory.run(&["invite"]).ends(0).out();
    assert_eq!(server.register(&tablet, for_anybody.trim()).await, 403);
    let for_alice = directory.run(&["invite", "--user", "alice"]).ends(0).out();
    assert_eq!(server.register(&tablet, for_alice.trim()).await, 201);
}

#[tokio::test]
async fn a_device_removed_beside_a_server_loses_its_stream() {
    let directory = TestDirectory::new();
    let server = directory.serve(&["--registration", "token"]);
    let alice = Key::new("alice", "phone");
    let token = directory.run(&["invite"]).ends(0).out();
    assert_eq!(server.register(&alice, token.trim()).await, 201);
    let token = server.session(&alice).await;
    assert_eq!(server.get("/v1/key-packages", &token).await, 200);
    let stream = client().get(format!("http://{}/v1/stream", server.devices)).bearer_auth(&token).send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);

    let result = directory.run(&["remove-device", "alice", "phone"]);
    assert_eq!(result.ends(0).out(), "removed alice/phone, and ended its sessions (1)\n");
    assert_eq!(server.get("/v1/key-packages", &token).await, 401);
    stream.text().await.unwrap();
    directory.run(&["remove-device", "alice", "phone"]).ends(1);
    directory.run(&["remove-device", "nobody", "phone"]).ends(1);
}

#[tokio::test]
async fn a_user_is_exported_and_removed_beside_a_server() {
    let directory = TestDirectory::new();
    let server = directory.serve(&["--registration", "token"]);
    let mut tokens = Vec::new();
    for device in ["phone", "laptop"] {
        let invitation = directory.run(&["invite", "--user", "alice"]).ends(0).out();
        let key = Key::new("alice", device);
        assert_eq!(server.register(&key, invitation.trim()).await, 201);
        tokens.push(server.session(&key).await);
    }
    let spare = directory.run(&["invite", "--user", "alice"]).ends(0).out();
    directory.run(&["remove-device", "alice", "laptop"]).ends(0);
    let users = || directory.run(&["users"]).ends(0).out();
    assert_eq!(users(), "alice: 1 devices, and 1 that were removed\n");

    let exported: serde_json::Value =
        serde_json::from_str(&directory.run(&["export-user", "alice"]).ends(0).out()).unwrap();
    assert_eq!(exported["user"], "alice");
    assert_eq!(exported["devices"].as_array().unwrap().len(), 2);
    assert_eq!(exported["devices"][1]["removed"], true);
    assert_eq!(exported["devices"][0]["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(exported["invitations"].as_array().unwrap().len(), 1);

    assert_eq!(directory.run(&["remove-user", "alice"]).ends(0).out(), "removed alice/phone\nended 1 sessions\n");
    for token in tokens {
        assert_eq!(server.get("/v1/key-packages", &token).await, 401);
    }
    assert_eq!(server.register(&Key::new("alice", "tablet"), spare.trim()).await, 403);
    assert_eq!(users(), "alice: 0 devices, and 2 that were removed\n");
    assert!(directory.run(&["remove-user", "alice"]).ends(1).error().contains("no device of alice is known"));
    directory.run(&["export-user", "nobody"]).ends(1);
}

#[tokio::test]
async fn a_revoked_invitation_admits_nobody() {
    let directory = TestDirectory::new();
    let server = directory.serve(&["--registration", "token"]);
    let token = directory.run(&["invite", "--user", "alice", "--expires", "2h"]).ends(0).out();
    let other = directory.run(&["invite"]).ends(0).out();
    let listed = directory.run(&["invitations"]).ends(0).out();
    let (first, second) = listed.trim().split_once('\n').unwrap();
    let (id, _) = first.split_once(" for alice, good for ").unwrap();
    assert!(second.contains(" for a new user, good for "), "{listed}");
    assert!(!listed.contains(token.trim()) && !listed.contains(other.trim()));

    assert_eq!(directory.run(&["revoke-invitation", id]).ends(0).out(), format!("revoked {id}\n"));
    assert_eq!(server.register(&Key::new("alice", "phone"), token.trim()).await, 403);
    assert_eq!(server.register(&Key::new("bob", "phone"), other.trim()).await, 201);
    directory.run(&["revoke-invitation", id]).ends(1);
    assert!(directory.run(&["revoke-invitation", "xyz"]).ends(2).error().contains("16 hexadecimal digits"));
    assert_eq!(directory.run(&["invitations"]).ends(0).out(), "");
}

#[tokio::test]
async fn a_backup_made_beside_a_server_can_be_restored() {
    let directory = TestDirectory::new();
    let server = directory.serve(&["--registration", "token"]);
    let alice = Key::new("alice", "phone");
    let token = directory.run(&["invite"]).ends(0).out();
    assert_eq!(server.register(&alice, token.trim()).await, 201);
    directory.run(&["backup", "copy.db"]).ends(0);
    assert!(directory.run(&["backup", "copy.db"]).ends(2).error().contains("never overwritten"));
    directory.run(&["check", "--database", "copy.db"]).ends(0);
    let key = server.key().await;
    assert!(server.end().success());

    fs::remove_file(directory.store_path()).unwrap();
    fs::rename(directory.file("copy.db"), directory.store_path()).unwrap();
    let server = directory.serve(&["--registration", "token"]);
    assert_eq!(server.key().await, key);
    assert!(!server.session(&alice).await.is_empty());
}

#[test]
fn check_runs_beside_a_server_and_finds_damage() {
    let directory = TestDirectory::new();
    let server = directory.serve(&[]);
    assert_eq!(directory.run(&["check"]).ends(0).out(), "nothing found\n");
    assert!(server.end().success());
    rusqlite::Connection::open(directory.store_path())
        .unwrap()
        .execute("INSERT INTO members (key, value) VALUES (x'01', x'')", [])
        .unwrap();
    assert_eq!(directory.run(&["check"]).ends(1).out(), "members 01: cannot be understood\n1 finding\n");
}

#[tokio::test]
async fn a_server_and_commands_share_a_database() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, directory) = (cluster.schema(), TestDirectory::new());
    let url = address.url();
    let on = |arguments: &[&str]| directory.run(&[arguments, &["--database", &url]].concat());
    assert!(on(&["check"]).ends(2).error().contains("the database has no store. "));
    let server = directory.serve(&["--database", &url, "--registration", "token"]);
    let alice = Key::new("alice", "phone");
    let token = on(&["invite"]).ends(0).out();
    assert_eq!(server.register(&alice, token.trim()).await, 201);
    let session = server.session(&alice).await;
    assert_eq!(server.get("/v1/key-packages", &session).await, 200);
    assert_eq!(on(&["users"]).ends(0).out(), "alice: 1 devices, and 0 that were removed\n");
    assert_eq!(on(&["check"]).ends(0).out(), "nothing found\n");
    assert!(on(&["backup", "copy.db"]).ends(2).error().contains("pg_dump"));
    on(&["remove-device", "alice", "phone"]).ends(0);
    assert_eq!(server.get("/v1/key-packages", &session).await, 401);
    assert_eq!(server.ready().await, (200, "ready\n".to_owned()));
    assert!(!directory.store_path().exists());
    assert!(server.end().success());
    let wrong = url.replace(&cluster.port().to_string(), "1");
    let failed = directory.run(&["check", "--database", &wrong]);
    assert!(failed.ends(3).error().contains("the database cannot be used now"), "{}", failed.error());
}

#[tokio::test]
async fn a_store_is_moved_from_its_file_into_a_database() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, directory) = (cluster.schema(), TestDirectory::new());
    let url = address.url();
    let server = directory.serve(&[]);
    let (alice, key) = (Key::new("alice", "phone"), server.key().await);
    assert_eq!(server.register(&alice, "").await, 201);
    assert!(directory.run(&["move", "--to", &url]).ends(3).error().contains("the store is in use"));
    // A rehearsal with a copy.
    directory.run(&["backup", "copy.db"]).ends(0);
    directory.run(&["move", "--database", "copy.db", "--to", &cluster.schema().url()]).ends(0);
    assert!(server.end().success());
    assert!(directory.run(&["move", "--to", "other.db"]).ends(2).error().contains("begins with `postgres://`"));
    let from = ["move", "--to", &url, "--database", &url];
    assert!(directory.run(&from).ends(2).error().contains("only a store in a file"));

    let moved = directory.run(&["move", "--to", &url]);
    assert!(moved.ends(0).out().ends_with("Set `database` to that address, and start the server\n"), "{}", moved.out());
    let remedy = "the store was moved into a database. Name that database in `database`";
    // A command comes first: a server that could use the file would not end.
    for command in ["check", "serve"] {
        let refused = directory.run(&[command]);
        assert!(refused.ends(2).error().contains(remedy), "{}", refused.error());
    }
    assert!(directory.run(&["move", "--to", &url]).ends(2).error().contains("the database has a store already"));
    let server = directory.serve(&["--database", &url]);
    assert_eq!(server.key().await, key);
    let session = server.session(&alice).await;
    assert_eq!(server.get("/v1/key-packages", &session).await, 200);
    assert_eq!(directory.run(&["check", "--database", &url]).ends(0).out(), "nothing found\n");
    assert!(server.end().success());
}

#[tokio::test]
async fn a_server_that_was_stopped_meanwhile_serves_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, directories) = (cluster.schema(), [TestDirectory::new(), TestDirectory::new()]);
    let url = address.url();
    let serve = |directory: &TestDirectory| directory.serve(&["--database", &url]);
    let first = serve(&directories[0]);
    let (alice, key) = (Key::new("alice", "phone"), first.key().await);
    assert_eq!(first.register(&alice, "").await, 201);
    let session = first.session(&alice).await;
    let mut stream = first.stream(&session).await;
    first.signal("-STOP");
    let second = serve(&directories[1]);
    assert_eq!(second.key().await, key);
    assert_eq!(second.get("/v1/key-packages", &session).await, 200);
    assert_eq!(second.register(&Key::new("bob", "phone"), "").await, 201);

    first.signal("-CONT");
    assert_eq!(first.get("/v1/key-packages", &session).await, 503);
    assert_eq!(first.register(&Key::new("carol", "phone"), "").await, 503);
    while stream.chunk().await.unwrap().is_some() {}
    assert_eq!(first.ready().await, (503, "another server has taken the store\n".to_owned()));
    assert_eq!(second.ready().await.0, 200);
    assert!(first.end().success());
    let users = directories[0].run(&["users", "--database", &url]).ends(0).out();
    assert_eq!(users.lines().count(), 2, "{users}");
}

#[tokio::test]
async fn a_server_waits_for_its_database() {
    let Some(mut cluster) = Cluster::start(&[]) else { return };
    let (address, directory) = (cluster.schema(), TestDirectory::new());
    let server = directory.serve(&["--database", &address.url()]);
    let alice = Key::new("alice", "phone");
    assert_eq!(server.register(&alice, "").await, 201);
    let session = server.session(&alice).await;
    cluster.kill();
    assert_eq!(server.get("/v1/key-packages", &session).await, 503);
    assert_eq!(server.ready().await, (503, "the database cannot be used now\n".to_owned()));
    cluster.run();
    while server.ready().await.0 != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(server.get("/v1/key-packages", &session).await, 200);
    assert!(server.end().success());
}

#[test]
fn commands_create_no_store() {
    let directory = TestDirectory::new();
    let commands: [&[&str]; 9] = [
        &["invite"],
        &["invitations"],
        &["revoke-invitation", "0123456789abcdef"],
        &["users"],
        &["export-user", "alice"],
        &["remove-user", "alice"],
        &["remove-device", "alice", "phone"],
        &["backup", "copy.db"],
        &["check"],
    ];
    for command in commands {
        let result = directory.run(command);
        assert!(result.ends(2).error().contains("there is no store at regrow-ds.db"), "{}", result.error());
    }
    assert_eq!(fs::read_dir(directory.root()).unwrap().count(), 0);
}

#[test]
fn a_store_of_another_version_is_left_alone() {
    let directory = TestDirectory::new();
    drop(SqliteStore::open(directory.store_path()).unwrap());
    rusqlite::Connection::open(directory.store_path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for command in ["serve", "check"] {
        let result = directory.run(&[command]);
        assert!(result.ends(2).error().contains("format 99"), "{}", result.error());
    }
}

#[tokio::test]
async fn operators_are_answered() {
    let directory = TestDirectory::new();
    let server = directory.serve(&[]);
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/service", 404)] {
        let response = client().get(format!("http://{}{path}", server.operators)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}

#[test]
fn another_name_of_the_file_starts_no_second_server() {
    let directory = TestDirectory::new();
    let _first = directory.serve(&[]);
    fs::hard_link(directory.store_path(), directory.file("other.db")).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--listen-operators", "127.0.0.1:0", "--database", "other.db"];
    let result = directory.run(&[&["serve"], &arguments[..]].concat());
    assert!(result.ends(3).error().contains("the store is in use by another process"), "{}", result.error());
    assert!(!directory.file("other.db-wal").exists());
}

#[tokio::test]
async fn sighup_without_a_certificate_ends_nothing() {
    let directory = TestDirectory::new();
    let mut server = directory.serve(&[]);
    for _ in 0..3 {
        server.signal("-HUP");
        server.key().await;
    }
    assert!(server.child.try_wait().unwrap().is_none());
    assert!(server.end().success());
}

#[test]
fn the_benchmark_runs_within_the_limits_that_it_sets() {
    let directory = TestDirectory::new();
    let results = directory.run(&["bench", "commits", "fanout", "joining", "claims", "--quick"]);
    results.ends(0);

    let out = results.out();
    for figure in ["commits, 500 groups of 2", "deliveries to 1000 streams", "joiners", "key packages claimed"] {
        assert!(out.contains(figure), "{figure}: {out}");
    }
}
