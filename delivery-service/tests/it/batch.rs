//! Calls in one batch. Each call succeeds or fails as a whole, and all become durable together.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{DeliveryService, Epoch, HandshakeMode::Assisted, Limits, RejectReason, SqliteStore};

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

#[test]
fn one_of_two_commits_in_a_batch_is_accepted() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let (first, second) = (members[0].update(), members[1].update());
    let (first, second) = service
        .batch(|batch| (batch.submit_commit(&first, NOW).unwrap(), batch.submit_commit(&second, NOW).unwrap()))
        .unwrap();
    assert!(accepted(&first).is_some());
    assert_eq!(second, regrow_delivery_service::Outcome::Stale { current_epoch: Epoch(2) });
}

#[test]
fn a_refused_call_does_not_affect_others_in_the_batch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let (one, two) = (members[0].send("one"), members[1].send("two"));
    let commit = members[2].update();
    let outcomes = service
        .batch(|batch| {
            [
                batch.submit_message(&room(), &device("alice"), &one, NOW).unwrap(),
                batch.submit_message(&room(), &device("mallory"), b"nonsense", NOW).unwrap(),
                batch.submit_message(&room(), &device("bob"), &two, NOW).unwrap(),
                batch.submit_commit(&commit, NOW).unwrap(),
            ]
        })
        .unwrap();
    assert_eq!(outcomes[1], rejected(RejectReason::Malformed));
    let texts: Vec<_> = stream(&service, &device("alice")).into_iter().map(|delivery| delivery.bytes).collect();
    assert_eq!(texts[texts.len() - 3..], [one, two, commit.commit]);
}

#[test]
fn a_panic_in_a_batch_undoes_the_whole_batch() {
    let service = service();
    let mut members = group_of(&service, Assisted, &NAMES);
    let commit = members[0].update();
    let before = visible(&service, &NAMES);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        service.batch(|batch| {
            accept(batch, &commit);
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(visible(&service, &NAMES), before);
    accept(&service, &commit);
}

#[test]
fn a_finished_batch_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let store = SqliteStore::open(directory.path().join("ds.sqlite")).unwrap();
        DeliveryService::open(store, Limits::default(), service_key()).unwrap()
    };
    let mut members = group_of(&open(), Assisted, &NAMES);
    let commit = members[0].update();
    open().batch(|batch| accept(batch, &commit)).unwrap();
    assert_eq!(open().epoch(&room()).unwrap(), Some(Epoch(2)));
}
