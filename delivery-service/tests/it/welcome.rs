//! Welcomes. The service stores a welcome once, and each joiner reads only its own part.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;

use crate::common::*;
use openmls::prelude::MlsMessageBodyIn;
use regrow_delivery_service::{
    Cursor, DeliveryKind, DeviceId,
    HandshakeMode::{self, Assisted, Opaque},
    RejectReason, SqliteStore, Store as _, StoreError,
    store::Table,
};

/// Reads the device's part of its welcome.
fn welcome(service: &TestService, device: &DeviceId) -> Vec<u8> {
    let first = stream(service, device).remove(0);
    assert_eq!(first.kind, DeliveryKind::Welcome);
    first.bytes
}

fn secrets(welcome: &[u8]) -> usize {
    match parse(welcome) {
        MlsMessageBodyIn::Welcome(welcome) => welcome.secrets().len(),
        _ => panic!("not a welcome"),
    }
}

/// Creates a group of Alice, who adds all joiners in one commit.
fn add_all(service: &TestService, mode: HandshakeMode, joiners: &[Client]) {
    let mut alice = Client::new("alice").create(service, mode);
    let key_packages: Vec<_> = joiners.iter().map(|joiner| joiner.claimed_by(service, &alice.id())).collect();
    accept(service, &alice.commit(&key_packages, &[]));
}

fn joiners(count: usize) -> Vec<Client> {
    (0..count).map(|number| Client::new(&format!("joiner{number}"))).collect()
}

#[test]
fn each_joiner_gets_and_uses_its_own_secrets() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let joiners = joiners(20);
        add_all(&service, mode, &joiners);
        for joiner in joiners {
            let welcome = welcome(&service, &joiner.id);
            assert_eq!(secrets(&welcome), 1);
            joiner.join(&welcome, mode);
        }
    }
}

#[test]
fn a_joiners_part_is_independent_of_other_joiners() {
    let part = |count: usize| {
        let service = service();
        let joiners = joiners(count);
        add_all(&service, Assisted, &joiners);
        // Without the tree in the group info, which grows.
        let tree = service.group_info(&room()).unwrap().unwrap().len();
        welcome(&service, &joiners[0].id).len() - tree
    };
    let (few, many) = (part(2), part(60));
    assert!(many.abs_diff(few) < 32, "{few} bytes for 2, {many} for 60");
}

#[test]
fn a_welcome_with_wrong_recipients_is_refused() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut alice = Client::new("alice").create(&service, mode);
        let (bob, carol) = (Client::new("bob"), Client::new("carol"));
        let both = alice
            .commit(&[bob.claimed_by(&service, &device("alice")), carol.claimed_by(&service, &device("alice"))], &[]);
        alice.discard();
        let one = alice.commit(&[bob.claimed_by(&service, &device("alice"))], &[]);
        for (commit, welcome) in [(&one, &both.welcome), (&both, &one.welcome)] {
            let mut wrong = commit.clone();
            wrong.welcome.clone_from(welcome);
            assert_eq!(service.submit_commit(&wrong, NOW).unwrap(), rejected(RejectReason::WelcomeMismatch));
        }
    }
}

#[test]
fn a_welcome_is_deleted_after_everyone_has_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ds.sqlite");
    let joiners = joiners(5);
    {
        let service = service_over(SqliteStore::open(&path).unwrap());
        add_all(&service, Assisted, &joiners);
        for device in joiners.iter().map(|joiner| joiner.id.clone()).chain([device("alice")]) {
            service.acknowledge(&device, Cursor(u64::MAX)).unwrap();
        }
    }
    let mut left = 0;
    SqliteStore::open(&path)
        .unwrap()
        .transaction::<_, StoreError>(|tx| {
            for table in [Table::Welcomes, Table::WelcomeSecrets] {
                tx.scan(table, &[0][..]..&[1][..], &mut |_, _| {
                    left += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(left, 0);
}
