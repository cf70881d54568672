//! Effects outside the store. Only accepted calls have effects.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use regrow_delivery_service::{
    Effect,
    HandshakeMode::{Assisted, Opaque},
    Reply,
};

#[test]
fn an_accepted_submission_has_its_effects_once() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let message = members[1].send("hello");
        let commit = members[0].commit(&[], &[&device("bob")]);
        let entry = || Effect::Entry(room());
        let effects = service.batch(|batch| {
            batch.submit_message(&room(), &device("bob"), &message, NOW).unwrap();
            let of_message = batch.take_effects();
            accept(batch, &commit);
            let of_commit = batch.take_effects();
            batch.submit_message(&room(), &device("bob"), &message, NOW).unwrap();
            accept(batch, &commit);
            (of_message, of_commit, batch.take_effects())
        });
        let readers = Effect::Readers(room(), vec![device("bob")]);
        assert_eq!(effects.unwrap(), (vec![entry()], vec![entry(), readers], vec![]));
    }
}

#[test]
fn refused_requests_of_a_stranger_wake_nobody() {
    for mode in [Assisted, Opaque] {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let mallory = device("mallory");
        let (message, mut commit) = (members[0].send("hello"), members[0].update());
        commit.sender = mallory.clone();
        let group_info = members[0].group_info();
        let effects = service.batch(|batch| {
            batch.submit_message(&room(), &mallory, &message, NOW).unwrap();
            batch.submit_proposal(&room(), &mallory, &message, NOW).unwrap();
            batch.submit_commit(&commit, NOW).unwrap();
            batch.create_group(&room(), &mallory, mode, &group_info, NOW).unwrap();
            assert_ne!(batch.end_group(&room(), &mallory, NOW).unwrap(), Reply::Done);
            assert_ne!(batch.decline_invitation(&room(), &mallory, NOW).unwrap(), Reply::Done);
            batch.take_effects()
        });
        assert_eq!(effects.unwrap(), []);
    }
}
