//! Tests of identities against a member that breaks the rules. RFC 9420 leaves these rules to the
//! application.

use crate::common::{
    intruder::{GroupWithIntruder, Intruder, SUITE, USE_PERIOD, group_with_intruder, publish, unpublish},
    *,
};
use openmls::{
    messages::proposals::{PreSharedKeyProposal, Proposal},
    prelude::{CredentialType, OpenMlsProvider as _},
    schedule::PreSharedKeyId,
};
use regrow_engine::{Ciphersuite, Error, GroupId, InvalidName, Lost, MemoryStore, ReceivedEvent, Refusal, Timestamp};
use regrow_protocol::profile::{MAX_USE_SECONDS, UsePeriod};

impl GroupWithIntruder {
    /// Checks that Bob refuses these bytes without a change of his state, and continues with Alice.
    /// Returns the reason.
    fn refusal(&mut self, bytes: &[u8]) -> Refusal {
        let before = store::records(&self.store);
        let result = self.bob.receive(bytes, NOW).map(|received| received.event);
        self.bob.acknowledge().unwrap();
        assert!(store::records(&self.store) == before, "the state has changed: {result:?}");
        update(&mut self.alice, &mut [&mut self.bob]);
        assert_same_epoch(&mut [&mut self.alice, &mut self.bob]);
        match result {
            Err(Error::Refused(refusal)) | Ok(ReceivedEvent::Lost(Lost::Unsupported(refusal))) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

#[test]
fn valid_commits_of_the_intruder_are_processed() {
    let mut devices = group_with_intruder();

    let (commit, _) = devices.mallory.commit(vec![], None);

    deliver(&commit, &mut [&mut devices.alice, &mut devices.bob]);
    assert_same_epoch(&mut [&mut devices.alice, &mut devices.bob]);
    assert_eq!(epoch(&mut devices.bob), 2);
}

#[test]
fn a_commit_cannot_rename_its_committer() {
    let mut devices = group_with_intruder();
    let (commit, _) = devices.mallory.commit(vec![], Some(&device("eve").to_identity()));

    let refusal = devices.refusal(&commit);

    assert_eq!(refusal, Refusal::Succession { from: device("mallory"), to: device("eve") });
}

#[test]
fn an_update_proposal_cannot_rename_its_proposer() {
    let mut devices = group_with_intruder();
    let proposal = devices.mallory.propose_update_as(&device("eve").to_identity());

    let refusal = devices.refusal(&proposal);

    assert_eq!(refusal, Refusal::Succession { from: device("mallory"), to: device("eve") });
}

#[test]
fn a_device_is_not_added_twice() {
    let mut devices = group_with_intruder();
    let second_alice = Intruder::new(&device("alice").to_identity());
    let (commit, _) = devices.mallory.commit(vec![second_alice.key_package()], None);

    let refusal = devices.refusal(&commit);

    assert_eq!(refusal, Refusal::Duplicate(device("alice")));
}

#[test]
fn a_new_device_is_not_added_twice_in_one_commit() {
    let mut devices = group_with_intruder();
    let eve = || Intruder::new(&device("eve").to_identity()).key_package();
    let (commit, _) = devices.mallory.commit(vec![eve(), eve()], None);

    let refusal = devices.refusal(&commit);

    assert_eq!(refusal, Refusal::Duplicate(device("eve")));
}

#[test]
fn an_external_commit_cannot_take_over_a_members_name() {
    let mut devices = group_with_intruder();
    let info = group_info(&mut devices.alice);
    let commit = Intruder::new(&device("alice").to_identity()).join_external(&info);

    let refusal = devices.refusal(&commit);

    assert_eq!(refusal, Refusal::Duplicate(device("alice")));
}

#[test]
fn an_external_commit_removes_only_the_joining_device() {
    let mut devices = group_with_intruder();
    let info = group_info(&mut devices.alice);
    // OpenMLS takes the leaf with the joiner's signature key as the joiner's own leaf.
    let mut eve = Intruder::with_key_of(&devices.mallory, &device("eve").to_identity());
    let commit = eve.join_external(&info);

    let refusal = devices.refusal(&commit);

    assert_eq!(refusal, Refusal::ForeignRemoval { joiner: device("eve"), removed: device("mallory") });
}

#[test]
fn a_leaf_without_a_device_identity_is_refused() {
    let mut devices = group_with_intruder();
    let nobody = Intruder::new(b"\x01just anything");
    let (commit, _) = devices.mallory.commit(vec![nobody.key_package()], None);

    let refusal = devices.refusal(&commit);

    assert!(matches!(refusal, Refusal::Credential(InvalidName::Encoding)), "{refusal}");
}

/// A second name that looks like an existing name is refused.
#[test]
fn a_leaf_with_a_name_in_another_form_is_refused() {
    let forms = ["e\u{301}va", "\u{ff45}va", "eva\u{200b}", "eva\u{fe0f}", "e\u{202e}va", "e\u{3164}va"];
    for form in forms {
        let mut devices = group_with_intruder();
        let length = form.len() as u8;
        let identity = [&[1, length], form.as_bytes(), &[5], b"phone"].concat();
        let (commit, _) = devices.mallory.commit(vec![Intruder::new(&identity).key_package()], None);

        let refusal = devices.refusal(&commit);

        assert!(
            matches!(refusal, Refusal::Credential(InvalidName::NotNormal | InvalidName::Character { .. })),
            "{refusal}"
        );
    }
}

#[test]
fn an_external_commit_without_a_device_identity_is_refused() {
    let mut devices = group_with_intruder();
    let commit = Intruder::new(b"\x01just anything").join_external(&group_info(&mut devices.alice));

    let refusal = devices.refusal(&commit);

    assert!(matches!(refusal, Refusal::Credential(InvalidName::Encoding)), "{refusal}");
}

#[test]
fn a_welcome_with_a_duplicate_device_is_refused() {
    for doubled in ["mallory", "carol"] {
        let mut mallory = Intruder::new(&device("mallory").to_identity());
        mallory.create(b"chat");
        let double = Intruder::new(&device(doubled).to_identity());
        let store = MemoryStore::new();
        let mut carol = client_in(&store, "carol", policy());
        let carols = unpublish(&key_package(&mut carol));
        let before = store::records(&store);
        let (_, welcome) = mallory.commit(vec![double.key_package(), carols], None);

        let error = carol.join(&welcome.unwrap(), NOW).unwrap_err();

        assert!(matches!(&error, Error::Refused(Refusal::Duplicate(twice)) if *twice == device(doubled)), "{error}");
        assert!(store::records(&store) == before);
    }
}

#[test]
fn a_group_info_with_a_duplicate_device_is_refused() {
    let mut mallory = Intruder::new(&device("mallory").to_identity());
    mallory.create(b"chat");
    let double = Intruder::new(&device("mallory").to_identity());
    mallory.commit(vec![double.key_package()], None);
    mallory.merge();
    let store = MemoryStore::new();
    let mut carol = client_in(&store, "carol", policy());
    let before = store::records(&store);

    let error = carol.join_external(&mallory.group_info()).unwrap_err();

    assert!(matches!(error, Error::Refused(Refusal::Duplicate(_))), "{error}");
    assert!(store::records(&store) == before);
}

#[test]
fn proposals_of_unsupported_types_are_refused() {
    let mut devices = group_with_intruder();
    let Intruder { provider, signer, group, .. } = &mut devices.mallory;
    let psk = PreSharedKeyId::external(b"psk".to_vec(), vec![7; 32]);
    let (by_reference, _) = group.as_mut().unwrap().propose_pre_shared_key(&*provider, &**signer, psk).unwrap();

    let refusal = devices.refusal(&by_reference.to_bytes().unwrap());

    assert!(matches!(&refusal, Refusal::ProposalType(kind) if kind.contains("PreSharedKey")), "{refusal}");
}

#[test]
fn a_commit_with_an_unsupported_proposal_is_lost() {
    let mut devices = group_with_intruder();
    let Intruder { provider, signer, group, .. } = &mut devices.mallory;
    let psk = PreSharedKeyId::external(b"psk".to_vec(), vec![7; 32]);
    psk.store(&*provider, b"a secret that the others do not have").unwrap();
    let psk = Proposal::PreSharedKey(Box::new(PreSharedKeyProposal::new(psk)));
    let builder = group.as_mut().unwrap().commit_builder().add_proposal(psk).load_psks(provider.storage()).unwrap();
    let built = builder.build(provider.rand(), provider.crypto(), &**signer, |_| true).unwrap();
    let (commit, ..) = built.stage_commit(&*provider).unwrap().into_messages();

    let refusal = devices.refusal(&commit.to_bytes().unwrap());

    assert!(matches!(&refusal, Refusal::ProposalType(kind) if kind.contains("PreSharedKey")), "{refusal}");
}

/// Returns key packages with a use period that is too long for any device, and with a lifetime that
/// is too long.
fn everlasting() -> [openmls::prelude::KeyPackage; 2] {
    let eve = Intruder::new(&device("eve").to_identity());
    let period = UsePeriod { made: NOW, until: Timestamp(NOW.0 + MAX_USE_SECONDS + 1) };
    [eve.key_package_for(period, SUITE), eve.key_package_without_period(0, u64::MAX / 2)]
}

#[test]
fn key_packages_with_a_too_long_period_are_not_used() {
    for key_package in everlasting() {
        let mut alice = client("alice");
        make_group(&mut [&mut alice]);
        let published = publish(&key_package);

        let mut chat = alice.group(&group()).unwrap();
        let proposed = chat.propose_add(&published, NOW);
        let added = chat.add(&[published], NOW);

        assert!(matches!(proposed, Err(Error::Refused(Refusal::Lifetime { .. }))), "{proposed:?}");
        assert!(matches!(added, Err(Error::Refused(Refusal::Lifetime { .. }))), "{added:?}");
    }
}

#[test]
fn commits_with_a_too_long_key_package_period_are_refused() {
    for key_package in everlasting() {
        let mut devices = group_with_intruder();
        let (commit, _) = devices.mallory.commit(vec![key_package], None);

        let refusal = devices.refusal(&commit);

        assert!(matches!(refusal, Refusal::Lifetime { .. }), "{refusal}");
    }
}

#[test]
fn proposals_with_a_too_long_key_package_period_are_refused() {
    for key_package in everlasting() {
        let mut devices = group_with_intruder();
        let proposal = devices.mallory.propose_add(&key_package);

        let refusal = devices.refusal(&proposal);

        assert!(matches!(refusal, Refusal::Lifetime { .. }), "{refusal}");
    }
}

#[test]
fn a_key_package_is_used_until_its_period_ends() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let bob = Intruder::new(&device("bob").to_identity());
    let until = Timestamp(NOW.0 + 100);
    let published = publish(&bob.key_package_for(UsePeriod { made: NOW, until }, SUITE));

    let mut chat = alice.group(&group()).unwrap();
    let error = chat.add(std::slice::from_ref(&published), until);
    assert!(matches!(error, Err(Error::Refused(Refusal::Lifetime { .. }))), "{error:?}");
    assert_eq!(chat.resume().unwrap(), None);

    assert!(chat.add(&[published], Timestamp(until.0 - 1)).is_ok());
}

#[test]
fn key_packages_without_a_period_are_used_within_their_lifetime() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (from, to) = (now - 1000, now + 24 * 60 * 60);
    let published = publish(&Intruder::new(&device("bob").to_identity()).key_package_without_period(from, to));

    let mut chat = alice.group(&group()).unwrap();
    for moment in [from - 1, to] {
        let error = chat.add(std::slice::from_ref(&published), Timestamp(moment));
        assert!(matches!(error, Err(Error::Refused(Refusal::Lifetime { .. }))), "{error:?}");
    }
    assert!(chat.add(&[published], Timestamp(now)).is_ok());
}

#[test]
fn a_key_package_of_another_ciphersuite_is_not_used() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let other = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let published = publish(&Intruder::new(&device("eve").to_identity()).key_package_for(USE_PERIOD, other));

    let error = alice.group(&group()).unwrap().add(&[published], NOW);

    assert!(matches!(error, Err(Error::Refused(Refusal::Ciphersuite(suite))) if suite == other), "{error:?}");
}

/// No member would accept the commit. OpenMLS also refuses it (RFC 9420, 7.3).
#[test]
fn a_key_package_with_another_devices_key_is_not_used() {
    let mut devices = group_with_intruder();
    let shares_mallorys = publish(&Intruder::with_key_of(&devices.mallory, &device("eve").to_identity()).key_package());
    let carol = Intruder::new(&device("carol").to_identity());
    let shares_carols = publish(&Intruder::with_key_of(&carol, &device("dave").to_identity()).key_package());
    let carols = publish(&carol.key_package());
    let in_use = |new: &str, owner: &str| Refusal::KeyInUse { device: device(new), owner: device(owner) };

    let mut chat = devices.alice.group(&group()).unwrap();
    let proposed = chat.propose_add(&shares_mallorys, NOW).unwrap_err();
    let added = chat.add(&[shares_mallorys], NOW).unwrap_err();
    let together = chat.add(&[carols, shares_carols], NOW).unwrap_err();

    assert!(matches!(proposed, Error::Refused(refusal) if refusal == in_use("eve", "mallory")));
    assert!(matches!(added, Error::Refused(refusal) if refusal == in_use("eve", "mallory")));
    assert!(matches!(together, Error::Refused(refusal) if refusal == in_use("dave", "carol")));
    assert_eq!(chat.resume().unwrap(), None, "the intent was not dropped");
}

/// A member adds a removed device again with the key package of its first addition. The group
/// cannot know that it was used. The device has used it up, so it cannot join.
#[test]
fn a_used_key_package_is_useless_after_a_removal() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    let bobs = key_package(&mut bob);
    alice.create_group(group(), NOW).unwrap();
    let pending = alice.group(&group()).unwrap().add(std::slice::from_ref(&bobs), NOW).unwrap();
    bob.join(pending.welcome().unwrap(), NOW).unwrap();
    alice.confirm(pending, NOW).unwrap();
    assert!(matches!(
        alice.group(&group()).unwrap().add(std::slice::from_ref(&bobs), NOW),
        Err(Error::AlreadyMember { .. })
    ));
    let removal = alice.group(&group()).unwrap().remove(&[device("bob")]).unwrap();
    accept(&mut alice, removal, &mut [&mut bob]);

    let again = alice.group(&group()).unwrap().add(&[bobs], NOW).unwrap();

    assert!(matches!(bob.join(again.welcome().unwrap(), NOW), Err(Error::NotInvited)));
}

#[test]
fn only_last_resort_key_packages_are_used_more_than_once() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    let (single, last) = (key_package(&mut bob), bob.last_resort_key_package(NOW).unwrap());
    assert_eq!(bob.key_package_count().unwrap(), 2);

    let mut invite = |name: &str, published: &regrow_engine::KeyPackageBytes| {
        let id = GroupId::new(name).unwrap();
        let mut chat = alice.create_group(id, NOW).unwrap();
        chat.add(std::slice::from_ref(published), NOW).unwrap().welcome().unwrap().to_vec()
    };
    let welcomes =
        [invite("first", &single), invite("second", &single), invite("third", &last), invite("fourth", &last)];

    bob.join(&welcomes[0], NOW).unwrap();
    assert!(matches!(bob.join(&welcomes[1], NOW), Err(Error::NotInvited)));
    bob.join(&welcomes[2], NOW).unwrap();
    bob.join(&welcomes[3], NOW).unwrap();
    assert_eq!(bob.key_package_count().unwrap(), 1);
}

#[test]
fn a_leaf_lists_the_ciphersuites_of_the_cryptography() {
    let mut bob = client("bob");
    let key_package = unpublish(&key_package(&mut bob));

    let capabilities = key_package.leaf_node().capabilities();

    let supported = regrow_engine::default_crypto().supported_ciphersuites();
    let listed: Vec<_> =
        capabilities.ciphersuites().iter().map(|suite| Ciphersuite::try_from(*suite).unwrap()).collect();
    assert_eq!(listed, supported);
    assert_eq!(capabilities.credentials(), [CredentialType::Basic]);
}
