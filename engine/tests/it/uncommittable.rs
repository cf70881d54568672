//! Tests of proposals and additions that no commit may contain. They must not block the group.

use std::sync::Arc;

use crate::common::{
    intruder::{GROUP_DATA, GroupWithIntruder, Intruder, USE, group_with_intruder, publish, unpublish},
    *,
};
use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    ExternalProposal, ExternalSender, KeyPackage, LeafNode, LeafNodeParameters, RequiredCapabilitiesExtension,
    SenderExtensionIndex, UnknownExtension,
};
use regrow_crypto::MemoryProvider;
use regrow_engine::{
    Batch, Change, Client, Error, LeafFault, LeftOut, MemoryStore, Outgoing, PendingCommit, Proposed, Refusal,
    Store as _, default_crypto,
};

/// A type that RFC 9420, 13.5, reserves for GREASE.
const GREASE: u16 = 0x8A8A;
const UNDECLARED: u16 = 0xF123;
/// A time after every system clock. Its bytes are in no record by chance.
const EXPIRY: u32 = 0xF1F2_F3F4;

impl GroupWithIntruder {
    /// Delivers the proposal to Alice and Bob, who must both refuse it. Returns the reason.
    fn refusal_of_proposal(&mut self, proposal: &[u8]) -> Refusal {
        let refusals = [&mut self.alice, &mut self.bob].map(|client| match client.receive(proposal, NOW) {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        });
        assert_eq!(refusals[0], refusals[1]);
        refusals[0].clone()
    }

    /// Checks that Alice and Bob can send, rotate and add, and can remove Mallory.
    fn assert_goes_on(&mut self) {
        let Self { alice, bob, .. } = self;
        if alice.group(&group()).unwrap().send(b"still here").is_err() {
            let pending = alice.group(&group()).unwrap().commit().unwrap();
            accept(alice, pending, &mut [bob]);
        }
        let text = send(alice, b"hello");
        assert_eq!(read(bob, &text), b"hello");
        let rotation = bob.group(&group()).unwrap().rotate_signature_key().unwrap();
        accept(bob, rotation, &mut [alice]);
        let addition = alice.group(&group()).unwrap().add(&[key_package(&mut client("carol"))], NOW).unwrap();
        accept(alice, addition, &mut [bob]);
        let removal = bob.group(&group()).unwrap().remove(&[device("mallory")]).unwrap();
        accept(bob, removal, &mut [alice]);
        assert_same_epoch(&mut [alice, bob]);
        assert_eq!(members(alice), ["alice", "bob", "carol"]);
    }

    /// Restarts Bob's device at a time when the key packages with a lifetime until [`EXPIRY`] have
    /// expired.
    fn restart_bob_after_expiry(&mut self) {
        let [before, after] = [EXPIRY, 1].map(|moment| [&[0xce][..], &moment.to_be_bytes()].concat());
        let mut batch = Batch::default();
        for (key, value) in store::records(&self.store) {
            if let Some(at) = value.windows(before.len()).position(|window| window == before) {
                let aged = [&value[..at], &after, &value[at + before.len()..]].concat();
                batch.put(key, aged.into());
            }
        }
        assert!(!batch.is_empty());
        self.store.apply(batch).unwrap();
        self.bob = Client::open(Arc::new(self.store.clone()), default_crypto(), policy()).unwrap();
        self.bob.acknowledge().unwrap();
    }
}

fn unknown(extension: u16) -> Extensions<LeafNode> {
    Extensions::single(Extension::Unknown(extension, UnknownExtension(vec![1]))).unwrap()
}

/// Returns capabilities that list these extensions in addition to the use period.
fn declaring(extensions: &[ExtensionType]) -> Capabilities {
    let extensions = [&[USE], extensions].concat();
    Capabilities::new(None, None, Some(&extensions), None, Some(&[CredentialType::Basic]))
}

/// Returns capabilities and extensions of leaves that no commit may contain, and the fault of each.
fn faulty_leaves() -> Vec<(Capabilities, Extensions<LeafNode>, LeafFault)> {
    let other = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let (none, data) = (Extensions::empty(), [GROUP_DATA, USE]);
    let basic = [CredentialType::Basic];
    vec![
        (declaring(&data), unknown(UNDECLARED), LeafFault::UndeclaredExtension { extension: UNDECLARED }),
        (
            declaring(&[GROUP_DATA, ExtensionType::Grease(GREASE)]),
            unknown(GREASE),
            LeafFault::UndeclaredExtension { extension: GREASE },
        ),
        (declaring(&[]), none.clone(), LeafFault::GroupExtension { extension: 0xF752 }),
        (
            Capabilities::new(None, Some(&[other]), Some(&data), None, Some(&basic)),
            none.clone(),
            LeafFault::Ciphersuite,
        ),
        (
            Capabilities::new(None, None, Some(&data), None, Some(&[CredentialType::X509])),
            none,
            LeafFault::CredentialType,
        ),
    ]
}

#[test]
fn an_update_with_a_faulty_leaf_is_refused() {
    for (capabilities, extensions, fault) in faulty_leaves() {
        let mut devices = group_with_intruder();
        let parameters =
            LeafNodeParameters::builder().with_capabilities(capabilities).with_extensions(extensions).build();
        let proposal = devices.mallory.propose_update(parameters);

        let refusal = devices.refusal_of_proposal(&proposal);

        assert_eq!(refusal, Refusal::Leaf { device: device("mallory"), fault });
        devices.assert_goes_on();
    }
}

#[test]
fn an_addition_with_a_faulty_leaf_is_refused() {
    // OpenMLS does not let the intruder propose a leaf without support for the group's extensions.
    let proposable = |fault: &LeafFault| !matches!(fault, LeafFault::GroupExtension { .. });
    for (capabilities, extensions, fault) in faulty_leaves().into_iter().filter(|(_, _, fault)| proposable(fault)) {
        let mut devices = group_with_intruder();
        let eve = Intruder::new(&device("eve").to_identity()).key_package_with(capabilities, extensions);
        let proposal = devices.mallory.propose_add(&eve);

        let refusal = devices.refusal_of_proposal(&proposal);

        assert_eq!(refusal, Refusal::Leaf { device: device("eve"), fault });
        devices.assert_goes_on();
    }
}

#[test]
fn an_addition_with_a_members_key_is_refused() {
    let mut devices = group_with_intruder();
    let eve = Intruder::with_key_of(&devices.mallory, &device("eve").to_identity()).key_package();
    let proposal = devices.mallory.propose_add(&eve);

    let refusal = devices.refusal_of_proposal(&proposal);

    assert_eq!(refusal, Refusal::KeyInUse { device: device("eve"), owner: device("mallory") });
    devices.assert_goes_on();
}

#[test]
fn an_update_to_another_members_key_is_refused() {
    let mut devices = group_with_intruder();
    let eve = Intruder::new(&device("eve").to_identity());
    let pending = devices.alice.group(&group()).unwrap().add(&[publish(&eve.key_package())], NOW).unwrap();
    let commit = pending.commit().to_vec();
    accept(&mut devices.alice, pending, &mut [&mut devices.bob]);
    devices.mallory.receive(&commit);
    let proposal = devices.mallory.propose_update_with_key_of(&eve);

    let refusal = devices.refusal_of_proposal(&proposal);

    assert_eq!(refusal, Refusal::KeyInUse { device: device("mallory"), owner: device("eve") });
}

#[test]
fn commits_take_the_first_of_two_additions_with_one_key() {
    let mut devices = group_with_intruder();
    let eve = Intruder::new(&device("eve").to_identity());
    let frank = Intruder::with_key_of(&eve, &device("frank").to_identity());
    for key_package in [eve.key_package(), frank.key_package()] {
        let proposal = devices.mallory.propose_add(&key_package);
        deliver(&proposal, &mut [&mut devices.alice, &mut devices.bob]);
    }

    let pending = devices.alice.group(&group()).unwrap().commit().unwrap();

    assert_eq!(pending.changes(), [Change::Added(device("eve"))]);
    let reason = Refusal::KeyInUse { device: device("frank"), owner: device("eve") };
    assert_eq!(pending.left_out(), [by_mallory("frank", reason)]);
    accept(&mut devices.alice, pending, &mut [&mut devices.bob]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn an_own_addition_precedes_a_proposal_with_the_same_key() {
    let mut devices = group_with_intruder();
    let carol = Intruder::new(&device("carol").to_identity());
    let eve = Intruder::with_key_of(&carol, &device("eve").to_identity());
    let proposal = devices.mallory.propose_add(&eve.key_package());
    deliver(&proposal, &mut [&mut devices.alice, &mut devices.bob]);

    let pending = devices.alice.group(&group()).unwrap().add(&[publish(&carol.key_package())], NOW).unwrap();

    assert_eq!(pending.changes(), [Change::Added(device("carol"))]);
    accept(&mut devices.alice, pending, &mut [&mut devices.bob]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn proposals_to_add_a_member_again_do_not_block_commits() {
    let mut devices = group_with_intruder();
    let again = Intruder::new(&device("bob").to_identity()).key_package();
    let proposal = devices.mallory.propose_add(&again);
    deliver(&proposal, &mut [&mut devices.alice, &mut devices.bob]);

    let pending = devices.alice.group(&group()).unwrap().commit().unwrap();

    assert_eq!(pending.left_out(), [by_mallory("bob", Refusal::Duplicate(device("bob")))]);
    accept(&mut devices.alice, pending, &mut [&mut devices.bob]);
    devices.assert_goes_on();
}

fn by_mallory(added: &str, reason: Refusal) -> LeftOut {
    LeftOut { by: device("mallory"), change: Proposed::Add(device(added)), reason }
}

/// Returns a key package that expires at [`EXPIRY`].
fn expiring(user: &str) -> KeyPackage {
    Intruder::new(&device(user).to_identity()).key_package_until(EXPIRY.into())
}

fn left_out_as_expired(pending: &PendingCommit, by: &str, added: &str) -> bool {
    let is_it = |part: &LeftOut| {
        part.by == device(by)
            && part.change == Proposed::Add(device(added))
            && matches!(part.reason, Refusal::Lifetime { .. } | Refusal::NotCommittable { .. })
    };
    matches!(pending.left_out(), [part] if is_it(part))
}

#[test]
fn a_waiting_proposal_that_expires_is_left_out() {
    let mut devices = group_with_intruder();
    let good = Intruder::new(&device("dave").to_identity()).key_package();
    for key_package in [&expiring("eve"), &good] {
        let proposal = devices.mallory.propose_add(key_package);
        deliver(&proposal, &mut [&mut devices.alice, &mut devices.bob]);
    }
    devices.restart_bob_after_expiry();

    let pending = devices.bob.group(&group()).unwrap().commit().unwrap();

    assert!(left_out_as_expired(&pending, "mallory", "eve"), "{:?}", pending.left_out());
    assert_eq!(pending.changes(), [Change::Added(device("dave"))]);
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn a_removal_is_committed_while_an_expired_proposal_waits() {
    let mut devices = group_with_intruder();
    let proposal = devices.mallory.propose_add(&expiring("eve"));
    deliver(&proposal, &mut [&mut devices.alice, &mut devices.bob]);
    devices.restart_bob_after_expiry();

    let pending = devices.bob.group(&group()).unwrap().remove(&[device("mallory")]).unwrap();

    assert!(left_out_as_expired(&pending, "mallory", "eve"), "{:?}", pending.left_out());
    assert_eq!(pending.changes(), [Change::Removed(device("mallory"))]);
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

#[test]
fn an_expired_own_addition_does_not_affect_other_intents() {
    let mut devices = group_with_intruder();
    let wanted = [publish(&expiring("eve")), key_package(&mut client("dave"))];
    drop(devices.bob.group(&group()).unwrap().add(&wanted, NOW).unwrap());
    update(&mut devices.alice, &mut [&mut devices.bob]);
    devices.restart_bob_after_expiry();

    let Some(Outgoing::Commit(pending)) = devices.bob.group(&group()).unwrap().resume().unwrap() else { panic!() };

    assert!(left_out_as_expired(&pending, "bob", "eve"), "{:?}", pending.left_out());
    assert_eq!(pending.changes(), [Change::Added(device("dave"))]);
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
    assert_eq!(devices.bob.group(&group()).unwrap().resume().unwrap(), None);
}

#[test]
fn a_commit_reports_the_expiry_of_the_only_intent() {
    let mut devices = group_with_intruder();
    drop(devices.bob.group(&group()).unwrap().add(&[publish(&expiring("eve"))], NOW).unwrap());
    update(&mut devices.alice, &mut [&mut devices.bob]);
    devices.restart_bob_after_expiry();

    let Some(Outgoing::Commit(pending)) = devices.bob.group(&group()).unwrap().resume().unwrap() else { panic!() };

    assert!(left_out_as_expired(&pending, "bob", "eve"), "{:?}", pending.left_out());
    assert_eq!(pending.changes(), []);
    accept(&mut devices.bob, pending, &mut [&mut devices.alice]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
}

/// Creates a group of Mallory with the members Alice and Bob, in which a server may propose.
fn with_an_external_sender(server: &Intruder, alice: &mut Client, bob: &mut Client) -> Intruder {
    let mut mallory = Intruder::new(&device("mallory").to_identity());
    mallory.create(group().as_bytes());
    let required = RequiredCapabilitiesExtension::new(&[GROUP_DATA], &[], &[]);
    let mut extensions = Extensions::single(Extension::RequiredCapabilities(required)).unwrap();
    let CredentialWithKey { credential, signature_key } = server.credential();
    extensions.add(Extension::ExternalSenders(vec![ExternalSender::new(signature_key, credential)])).unwrap();
    let Intruder { provider, signer, group, .. } = &mut mallory;
    group.as_mut().unwrap().update_group_context_extensions(provider, extensions, &**signer).unwrap();
    mallory.merge();
    let key_packages = [&mut *alice, &mut *bob].map(|client| unpublish(&key_package(client)));
    let (_, welcome) = mallory.commit(key_packages.to_vec(), None);
    mallory.merge();
    for client in [alice, bob] {
        client.join(welcome.as_deref().unwrap(), NOW).unwrap();
    }
    mallory
}

#[test]
fn a_proposal_from_outside_the_group_is_refused() {
    let store = MemoryStore::new();
    let (mut alice, mut bob) = (client("alice"), client_in(&store, "bob", policy()));
    let server = Intruder::new(b"server");
    let mut mallory = with_an_external_sender(&server, &mut alice, &mut bob);
    let removed = mallory.leaf_of(&device("bob").to_identity());
    let (id, epoch) = (mallory.group().group_id().clone(), mallory.group().epoch());
    let index = SenderExtensionIndex::new(0);
    let proposal = ExternalProposal::new_remove::<MemoryProvider>(removed, id, epoch, &*server.signer, index).unwrap();
    let mut devices = GroupWithIntruder { alice, bob, store, mallory };

    let refusal = devices.refusal_of_proposal(&proposal.to_bytes().unwrap());

    assert_eq!(refusal, Refusal::OutsideProposal);
    devices.assert_goes_on();
}
