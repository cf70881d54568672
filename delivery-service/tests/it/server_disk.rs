//! A store file that is moved, replaced or deleted while the server uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(all(feature = "server", target_os = "linux"))]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::http::{Device, World};
use axum::http::StatusCode;
use regrow_delivery_service::{HandshakeMode, SqliteStore, api::Code};

/// A server over a store file, and a device with its own group.
struct ServerOnFile {
    world: World,
    alice: Device,
    member: crate::common::Member,
    directory: tempfile::TempDir,
}

impl ServerOnFile {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(directory.path().join("store.db")).expect("a store");
        let world = World::over(store, |_| {}).await;
        let alice = world.device("alice", "phone").await;
        let member = world.group(HandshakeMode::Opaque, &[&alice]).await.remove(0);
        Self { world, alice, member, directory }
    }

    async fn send(&mut self) -> crate::http::Answer {
        let message = self.member.send("hello");
        self.world.message(&self.alice, &message).await
    }

    async fn readiness(&self) -> Result<(), &'static str> {
        self.world.server.state().upkeep().await;
        self.world.server.state().readiness().await
    }

    fn files(&self) -> Vec<PathBuf> {
        ["store.db", "store.db-wal", "store.db-shm"].map(|name| self.directory.path().join(name)).into()
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("{}-aside", path.extension().expect("an extension").to_string_lossy()))
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_file_was_moved_away() {
    let mut server = ServerOnFile::new().await;
    server.send().await.is(StatusCode::OK);
    for path in server.files() {
        fs::rename(&path, aside(&path)).expect("a file");
    }
    let problem = server.send().await.refused(Code::Unavailable);
    assert_eq!(problem.detail.as_deref(), Some("the file of the store is gone or was replaced"));
    assert_eq!(server.readiness().await, Err("the file of the store is gone or was replaced"));

    for path in server.files() {
        fs::rename(aside(&path), &path).expect("a file");
    }
    assert_eq!(server.readiness().await, Ok(()));
    server.send().await.is(StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_acknowledged_after_the_file_was_replaced() {
    let mut server = ServerOnFile::new().await;
    let path = server.directory.path().join("store.db");
    fs::copy(&path, server.directory.path().join("copy.db")).expect("a copy");
    fs::rename(server.directory.path().join("copy.db"), &path).expect("a file");
    server.send().await.refused(Code::Unavailable);
    assert!(server.readiness().await.is_err());
}

#[tokio::test]
async fn nothing_is_acknowledged_without_the_write_ahead_log() {
    let mut server = ServerOnFile::new().await;
    fs::remove_file(server.directory.path().join("store.db-wal")).expect("a file");
    server.send().await.refused(Code::Unavailable);
}
