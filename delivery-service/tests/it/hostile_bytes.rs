//! Malformed and hostile bytes. The service answers with a typed outcome, changes no group, and
//! never panics.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use crate::common::*;
use proptest::{prelude::*, test_runner::RngSeed};
use regrow_delivery_service::{
    CommitSubmission, GroupId,
    HandshakeMode::{self, Assisted, Opaque},
    Outcome, RejectReason, RosterChange,
};
use regrow_protocol::mls;

/// A group in epoch 1, and one valid message of every kind that has not been submitted.
struct Scene {
    service: TestService,
    samples: Vec<Vec<u8>>,
    commit: CommitSubmission,
}

// All cases share these scenes. Each case tests that its scene stays unchanged.
static ASSISTED: LazyLock<Scene> = LazyLock::new(|| Scene::new(Assisted));
static OPAQUE: LazyLock<Scene> = LazyLock::new(|| Scene::new(Opaque));

impl Scene {
    fn new(mode: HandshakeMode) -> Self {
        let service = service();
        let mut members = group_of(&service, mode, &["alice", "bob"]);
        let message = members[0].send("hello");
        let proposal = members[1].propose_to_update(None);
        let commit = members[0].commit(&[Client::new("carol").claimed_by(&service, &device("alice"))], &[]);
        let info = service.group_info(&room()).unwrap().unwrap();
        let (_, join) = Client::new("dave").join_externally(&info, mode);
        let samples = vec![
            message,
            proposal,
            commit.commit.clone(),
            commit.welcome.clone().unwrap(),
            commit.group_info.clone().unwrap(),
            join.commit,
            info,
            Client::new("alice").upload(0, u64::MAX, false),
        ];
        Self { service, samples, commit }
    }

    /// Passes the bytes to every call that takes bytes. Fails the test if a call accepts them or
    /// changes the group.
    fn assert_refuses(&self, bytes: &[u8]) {
        let service = &self.service;
        let (alice, bob, dave) = (device("alice"), device("bob"), device("dave"));
        let before = visible(service, &["alice", "bob", "dave"]);
        let mut accepted = Vec::new();
        for device in [&alice, &bob, &dave] {
            let upload = service.upload_key_packages(device, &[bytes.to_vec()], Some(bytes), NOW).unwrap();
            assert_eq!(upload.refused.len(), 2);
            for mode in [Assisted, Opaque] {
                accepted.push(service.create_group(&room(), device, mode, bytes, NOW).unwrap());
                accepted
                    .push(service.create_group(&GroupId::new("new").unwrap(), device, Assisted, bytes, NOW).unwrap());
            }
            if !self.samples.iter().any(|sample| sample == bytes) {
                accepted.push(service.submit_proposal(&room(), device, bytes, NOW).unwrap());
                let commit = CommitSubmission {
                    group: room(),
                    sender: device.clone(),
                    commit: bytes.to_vec(),
                    welcome: Some(bytes.to_vec()),
                    group_info: Some(bytes.to_vec()),
                    roster_change: RosterChange::default(),
                };
                accepted.push(service.submit_commit(&commit, NOW).unwrap());
            }
        }
        for (welcome, group_info) in [(Some(bytes), None), (None, Some(bytes))] {
            let mut commit = self.commit.clone();
            commit.welcome = welcome.map(<[u8]>::to_vec);
            commit.group_info = group_info.map(<[u8]>::to_vec);
            accepted.push(service.submit_commit(&commit, NOW).unwrap());
        }
        for outcome in accepted {
            assert!(!matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
        assert_eq!(visible(service, &["alice", "bob", "dave"]), before);
    }
}

/// A valid message with one mutation.
fn mutated(sample: &[u8], at: usize, value: u8, how: u8) -> Vec<u8> {
    let at = at % sample.len();
    let mut bytes = sample.to_vec();
    match how {
        0 => bytes[at] ^= value.max(1),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, value),
        3 => drop(bytes.remove(at)),
        4 => bytes.extend_from_slice(&sample[..at]),
        // A length in four bytes that declares a gigabyte (RFC 9420, 2.1.2).
        _ => bytes.splice(at..at, [0xbf, 0xff, 0xff, value]).for_each(drop),
    }
    bytes
}

/// True if the service cannot distinguish the changed bytes from a valid message, but members can.
///
/// In an encrypted message or proposal, the service cannot check the encrypted and authenticated
/// parts. In a public handshake, only members can check the tags (RFC 9420, 6.1, 6.2). The tests
/// skip such bytes.
fn service_cannot_detect(mode: HandshakeMode, which: usize, sample: &[u8], bytes: &[u8]) -> bool {
    let tags = 2 * 33;
    let intact = bytes.iter().zip(sample).take_while(|(a, b)| a == b).count();
    match (mode, which) {
        (Assisted, 1 | 2 | 5) | (Opaque, 5) => intact >= sample.len() - tags,
        (Opaque, 0 | 1 | 2 | 4) => true,
        (_, 3) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, rng_seed: RngSeed::Fixed(9420), ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages_change_nothing(
        which in 0..8_usize, at in any::<usize>(), value in any::<u8>(), how in 0..6_u8, opaque in any::<bool>(),
    ) {
        let (scene, mode) = if opaque { (&*OPAQUE, Opaque) } else { (&*ASSISTED, Assisted) };
        let sample = &scene.samples[which];
        let bytes = mutated(sample, at, value, how);
        prop_assume!(!service_cannot_detect(mode, which, sample, &bytes));
        scene.assert_refuses(&bytes);
    }

    #[test]
    fn random_bytes_change_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        ASSISTED.assert_refuses(&bytes);
        OPAQUE.assert_refuses(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_good_header_change_nothing(
        wire_format in 0..7_u8, bytes in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        // MLSMessage: version mls10, wire format, and the identifier of this group, which some
        // formats contain (RFC 9420, 6).
        let header = [&[0, 1, 0, wire_format], &[4_u8][..], b"room", &bytes].concat();
        ASSISTED.assert_refuses(&header);
        OPAQUE.assert_refuses(&header);
    }
}

#[test]
fn mutated_messages_never_panic_and_are_answered_as_messages() {
    // `submit_message` cannot detect a changed ciphertext. Therefore each mode has its own service
    // here, which may change.
    for mode in [Assisted, Opaque] {
        let scene = Scene::new(mode);
        for sample in &scene.samples {
            for at in 0..sample.len().min(200) {
                for how in 0..6 {
                    let bytes = mutated(sample, at, 0x55, how);
                    scene.service.submit_message(&room(), &device("alice"), &bytes, NOW).unwrap();
                }
            }
        }
        assert_eq!(scene.service.epoch(&room()).unwrap().unwrap().0, 1);
    }
}

/// A commit in a PublicMessage (RFC 9420, 6.2, 12.4) with `count` references, each of no bytes.
fn empty_references(count: usize) -> Vec<u8> {
    let mut commit = vec![0, 1, 0, 1];
    assert!(mls::put_vector(&mut commit, room().as_bytes()));
    // The epoch, the first member as sender, no authenticated data, and the content type of a
    // commit.
    commit.extend([0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 3]);
    assert!(mls::put_vector(&mut commit, &[2, 0].repeat(count)));
    // No path, and a signature, a confirmation tag and a membership tag of no bytes.
    commit.extend([0, 0, 0, 0]);
    commit
}

#[test]
fn a_message_with_too_many_elements_is_not_decoded() {
    let service = &OPAQUE.service;
    let submit = |count| {
        let commit = CommitSubmission { commit: empty_references(count), ..OPAQUE.commit.clone() };
        service.submit_commit(&commit, NOW).unwrap()
    };
    // The limit is four elements for each of 10,000 devices, and 2,000 proposals.
    assert_eq!(
        submit(42_000),
        Outcome::Rejected(RejectReason::WrongWireFormat),
        "a message at the limit is not decoded"
    );
    assert_eq!(submit(42_001), Outcome::Rejected(RejectReason::Malformed));
}
