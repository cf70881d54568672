//! A store in a file. All acknowledged state is still there after a restart of the service.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;

use crate::common::*;
use regrow_delivery_service::{
    DeliveryService,
    HandshakeMode::{self, Assisted, Opaque},
    Limits, Outcome, SqliteStore, Store as _, StoreError,
    store::Table,
};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn open(directory: &tempfile::TempDir) -> DeliveryService<SqliteStore> {
    DeliveryService::open(
        SqliteStore::open(directory.path().join("ds.sqlite")).unwrap(),
        Limits::default(),
        service_key(),
    )
    .unwrap()
}

fn continues_after_a_restart(mode: HandshakeMode) {
    let directory = tempfile::tempdir().unwrap();
    let service = open(&directory);
    let mut members = group_of(&service, mode, &NAMES);
    let bob = Client::new("bob");
    service.upload_key_packages(&bob.id, &[bob.upload(0, u64::MAX, false)], None, NOW).unwrap();
    let commit = members[0].update();
    let answer = accept(&service, &commit);
    members[0].confirm();
    members[1].receive(&commit.commit);
    let leave = members[1].propose_to_leave();
    service.submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
    let seen = visible(&service, &NAMES);
    drop(service);

    let service = open(&directory);
    assert_eq!(visible(&service, &NAMES), seen);
    assert_eq!(accept(&service, &commit), answer, "another answer to a resubmission");
    assert_eq!(service.key_packages_left(&bob.id, NOW).unwrap().left, 1);
    // The public group still has the proposal from before the restart.
    members[0].receive(&leave);
    accept(&service, &members[0].update());
    assert_eq!(service.roster(&room()).unwrap().unwrap().devices, devices(&["alice", "carol"]));
    members[0].confirm();
    say(&service, &mut members[0], "hello");
    assert_eq!(stream(&service, &device("carol")).len(), 5);
}

#[test]
fn an_assisted_group_continues_after_a_restart() {
    continues_after_a_restart(Assisted);
}

#[test]
fn an_opaque_group_continues_after_a_restart() {
    continues_after_a_restart(Opaque);
}

#[test]
fn a_large_public_group_continues_after_each_restart() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..20).map(|number| format!("m{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut members = group_of(&open(&directory), Assisted, &names);
    for turn in [3, 11, 19, 0] {
        // A new service each time, so that each commit is verified against the stored state.
        let commit = members[turn].update();
        accept(&open(&directory), &commit);
        for (number, member) in members.iter_mut().enumerate() {
            if number == turn { member.confirm() } else { drop(member.receive(&commit.commit)) }
        }
    }
    let remove = members[5]
        .commit(&[Client::new("new").claimed_by(&open(&directory), &device("m5"))], &[&device("m7"), &device("m8")]);
    assert!(matches!(open(&directory).submit_commit(&remove, NOW).unwrap(), Outcome::Accepted(_)));
}

#[test]
fn committed_proposals_do_not_stay_in_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let records = || {
        let mut store = SqliteStore::open(directory.path().join("ds.sqlite")).unwrap();
        let mut count = 0;
        store
            .transaction::<_, StoreError>(|tx| {
                tx.scan(Table::PublicGroups, &[0][..]..&[1][..], &mut |_, _| {
                    count += 1;
                    Ok(ControlFlow::Continue(()))
                })
            })
            .unwrap();
        count
    };
    let mut members = group_of(&open(&directory), Assisted, &NAMES);
    let before = records();
    let leave = members[1].propose_to_leave();
    open(&directory).submit_proposal(&room(), &device("bob"), &leave, NOW).unwrap();
    assert_eq!(records(), before + 1);
    members[0].receive(&leave);
    // The service keeps the previous epoch, because the last commit may be rolled back.
    for _ in 0..2 {
        accept(&open(&directory), &members[0].update());
        members[0].confirm();
    }
    assert_eq!(records(), before);
}

#[test]
fn a_file_of_a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    drop(SqliteStore::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 99, supported: 6 }), "{error}");
}

#[test]
fn a_file_that_is_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    let _first = SqliteStore::open(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse), "{error}");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    std::fs::write(&path, "not a database at all, but long enough to be taken for one".repeat(100)).unwrap();
    assert!(matches!(SqliteStore::open(&path).unwrap_err(), StoreError::Backend(_)));
}
