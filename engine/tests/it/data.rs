//! Tests of group data: all members agree on it, and nothing else of the group context changes.

use std::sync::{Arc, Mutex};

use crate::common::{
    intruder::{GROUP_DATA, Intruder, USE, infiltrate, publish},
    *,
};
use openmls::{
    group::GroupContext,
    prelude::{
        Capabilities, Extension, Extensions, KeyPackage, OpenMlsProvider, RequiredCapabilitiesExtension,
        UnknownExtension,
    },
};
use regrow_engine::{
    Authenticate, Change, Client, DeviceId, Error, GroupId, HandshakeMode, IdentityClaim, LeafFault, Lost,
    MAX_GROUP_DATA_BYTES, MemoryStore, Outgoing, PendingCommit, Policy, Proposed, ReceivedEvent, Refusal,
};

fn data(client: &mut Client) -> Vec<u8> {
    client.group(&group()).unwrap().data().unwrap()
}

fn set(client: &mut Client, data: &[u8]) -> PendingCommit {
    client.group(&group()).unwrap().set_data(data).unwrap()
}

fn resume(client: &mut Client) -> Option<PendingCommit> {
    match client.group(&group()).unwrap().resume().unwrap() {
        Some(Outgoing::Commit(commit)) => Some(commit),
        None => None,
        other => panic!("not a commit: {other:?}"),
    }
}

fn content(version: u8, data: &[u8]) -> Extension {
    Extension::Unknown(GROUP_DATA.into(), UnknownExtension([&[version], data].concat()))
}

fn changed(extensions: &Extensions<GroupContext>, extension: Extension) -> Extensions<GroupContext> {
    let mut extensions = extensions.clone();
    extensions.add_or_replace(extension).unwrap();
    extensions
}

/// Makes an intruder's proposal that changes the group context.
fn propose(mallory: &mut Intruder, extensions: Extensions<GroupContext>) -> Vec<u8> {
    let Intruder { provider, signer, group, .. } = mallory;
    let group = group.as_mut().unwrap();
    let proposal = group.propose_group_context_extensions(provider, extensions, &**signer).unwrap().0;
    group.clear_pending_proposals(provider.storage()).unwrap();
    proposal.to_bytes().unwrap()
}

/// Makes an intruder's commit that changes the group context.
fn commit(mallory: &mut Intruder, extensions: Extensions<GroupContext>) -> Vec<u8> {
    let Intruder { provider, signer, group, .. } = mallory;
    let group = group.as_mut().unwrap();
    let (commit, _, _) = group.update_group_context_extensions(provider, extensions, &**signer).unwrap();
    group.clear_pending_commit(provider.storage()).unwrap();
    commit.to_bytes().unwrap()
}

#[test]
fn members_agree_on_group_data_in_both_modes_after_restarts() {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        let policy = Policy { handshake, ..policy() };
        let stores = [MemoryStore::new(), MemoryStore::new()];
        let mut alice = client_in(&stores[0], "alice", policy.clone());
        let mut bob = client_in(&stores[1], "bob", policy);
        make_group(&mut [&mut alice, &mut bob]);
        assert_eq!(data(&mut alice), b"");

        let pending = set(&mut alice, b"The chess club");
        assert_eq!(data(&mut alice), b"", "the change is not ordered yet");
        let events = accept(&mut alice, pending, &mut [&mut bob]);

        let expected = [Change::Data(b"The chess club".to_vec())];
        assert!(matches!(&events[0], ReceivedEvent::Commit(change) if change.changes == expected), "{events:?}");
        assert_same_epoch(&mut [&mut alice, &mut bob]);
        for store in &stores {
            assert_eq!(data(&mut reopen(store)), b"The chess club");
        }
    }
}

#[test]
fn devices_that_join_get_the_group_data() {
    let (mut alice, mut bob, mut carol) = (client("alice"), client("bob"), client("carol"));
    make_group(&mut [&mut alice]);
    let pending = set(&mut alice, b"rules");
    alice.confirm(pending, NOW).unwrap();

    let pending = alice.group(&group()).unwrap().add(&[key_package(&mut bob)], NOW).unwrap();
    bob.join(pending.welcome().unwrap(), NOW).unwrap();
    alice.confirm(pending, NOW).unwrap();
    let pending = carol.join_external(&group_info(&mut alice)).unwrap();
    accept(&mut carol, pending, &mut [&mut alice, &mut bob]);

    assert_eq!([data(&mut bob), data(&mut carol)], [b"rules", b"rules"]);
    update(&mut carol, &mut [&mut alice, &mut bob]);
    assert_eq!([data(&mut alice), data(&mut carol)], [b"rules", b"rules"]);
}

#[test]
fn emptied_group_data_equals_group_data_that_was_never_set() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let pending = set(&mut alice, b"rules");
    accept(&mut alice, pending, &mut [&mut bob]);

    let pending = set(&mut bob, b"");
    accept(&mut bob, pending, &mut [&mut alice]);

    assert_eq!(data(&mut alice), b"");
    let again = alice.group(&group()).unwrap().set_data(b"");
    assert!(matches!(again, Err(Error::NothingToCommit)));
}

#[test]
fn group_data_intents_survive_a_lost_race_and_a_restart() {
    let store = MemoryStore::new();
    let mut alice = client_in(&store, "alice", policy());
    let (mut bob, mut carol) = (client("bob"), client("carol"));
    make_group(&mut [&mut alice, &mut bob, &mut carol]);
    let _lost = set(&mut alice, b"Alice's");
    let won = set(&mut bob, b"Bob's");
    accept(&mut bob, won, &mut [&mut alice, &mut carol]);

    let mut alice = reopen(&store);
    assert_eq!(data(&mut alice), b"Bob's");
    let pending = alice.group(&group()).unwrap().remove(&[device("carol")]).unwrap();

    assert_eq!(pending.changes().len(), 2, "{:?}", pending.changes());
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!([data(&mut alice), data(&mut bob)], [b"Alice's", b"Alice's"]);
    assert_eq!(members(&mut bob), ["alice", "bob"]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
}

#[test]
fn the_last_own_intent_for_group_data_counts() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    for intent in [&b"first"[..], b"second"] {
        let pending = set(&mut alice, intent);
        alice.discard(pending).unwrap();
    }

    let pending = resume(&mut alice).unwrap();
    assert_eq!(pending.changes(), [Change::Data(b"second".to_vec())]);

    // The first intent does not return after another member has fulfilled the last one.
    let won = set(&mut bob, b"second");
    accept(&mut bob, won, &mut [&mut alice]);
    assert_eq!(resume(&mut alice), None);
}

#[test]
fn a_group_data_intent_is_done_if_another_fulfils_it() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);
    let _lost = set(&mut alice, b"the same");
    let won = set(&mut bob, b"the same");

    let events = accept(&mut bob, won, &mut [&mut alice]);

    assert!(matches!(&events[0], ReceivedEvent::Commit(change) if !change.resume));
    assert_eq!(resume(&mut alice), None);
}

#[test]
fn setting_the_same_group_data_again_is_nothing_to_commit() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let pending = set(&mut alice, b"rules");
    alice.confirm(pending, NOW).unwrap();

    let again = alice.group(&group()).unwrap().set_data(b"rules");

    assert!(matches!(again, Err(Error::NothingToCommit)));
    assert_eq!(resume(&mut alice), None);
}

#[test]
fn group_data_beyond_the_length_limit_is_refused() {
    let (mut alice, mut bob) = (client("alice"), client("bob"));
    make_group(&mut [&mut alice, &mut bob]);

    let refused = alice.group(&group()).unwrap().set_data(&[7; MAX_GROUP_DATA_BYTES + 1]);
    assert!(matches!(refused, Err(Error::Refused(Refusal::DataLength { bytes: 4097 }))), "{refused:?}");
    assert_eq!(resume(&mut alice), None);

    let pending = set(&mut alice, &[7; MAX_GROUP_DATA_BYTES]);
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!(data(&mut bob), [7; MAX_GROUP_DATA_BYTES]);
}

#[test]
fn valid_group_data_from_another_client_is_accepted() {
    let mut bob = client("bob");
    let (mut alice, mut mallory) = infiltrate(&mut bob);
    let extensions = changed(mallory.group().extensions(), content(1, b"theirs"));

    let proposal = propose(&mut mallory, extensions.clone());
    let events = deliver(&proposal, &mut [&mut alice, &mut bob]);
    assert!(matches!(&events[0], ReceivedEvent::Proposal { by, change: Proposed::Data(data) }
        if *by == device("mallory") && data == b"theirs"));
    let pending = alice.group(&group()).unwrap().commit().unwrap();
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!([data(&mut alice), data(&mut bob)], [b"theirs", b"theirs"]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);

    let (mut alice, mut mallory) = infiltrate(&mut client("bob"));
    let commit = commit(&mut mallory, extensions);
    deliver(&commit, &mut [&mut alice]);
    assert_eq!(data(&mut alice), b"theirs");
}

#[test]
fn the_committers_intent_precedes_proposals_for_group_data() {
    for wanted in [None, Some(&b"mine"[..]), Some(b"second")] {
        let mut bob = client("bob");
        let (mut alice, mut mallory) = infiltrate(&mut bob);
        for theirs in [&b"first"[..], b"second"] {
            let extensions = changed(mallory.group().extensions(), content(1, theirs));
            let proposal = propose(&mut mallory, extensions);
            deliver(&proposal, &mut [&mut alice, &mut bob]);
        }

        let mut chat = alice.group(&group()).unwrap();
        let pending = match wanted {
            Some(wanted) => chat.set_data(wanted),
            None => chat.commit(),
        };
        accept(&mut alice, pending.unwrap(), &mut [&mut bob]);

        match wanted {
            Some(wanted) => assert_eq!(data(&mut bob), wanted),
            None => assert!([&b"first"[..], b"second"].contains(&&data(&mut bob)[..])),
        }
        assert_same_epoch(&mut [&mut alice, &mut bob]);
    }
}

/// Checks that Bob refuses a change of the group context by Mallory, and that Bob's state does not
/// change. Returns the reason.
fn refusal(change: impl Fn(&Extensions<GroupContext>) -> Extensions<GroupContext>) -> Refusal {
    let store = MemoryStore::new();
    let mut bob = client_in(&store, "bob", policy());
    let (mut alice, mut mallory) = infiltrate(&mut bob);
    let before = store::records(&store);
    let extensions = change(mallory.group().extensions());
    let proposal = propose(&mut mallory, extensions.clone());
    let commit = commit(&mut mallory, extensions);
    let refused = match bob.receive(&proposal, NOW) {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let unsupported = match hear(&mut bob, &commit) {
        ReceivedEvent::Lost(Lost::Unsupported(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert!(store::records(&store) == before);
    update(&mut alice, &mut [&mut bob]);
    assert_same_epoch(&mut [&mut alice, &mut bob]);
    assert_eq!(refused, unsupported);
    refused
}

#[test]
fn other_changes_of_the_group_context_are_refused() {
    let required = |types: &[_]| Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(types, &[], &[]));

    // The change requires more, less or nothing, with and without data.
    let more = required(&[GROUP_DATA, openmls::prelude::ExtensionType::ApplicationId]);
    assert_eq!(refusal(|present| changed(present, more.clone())), Refusal::GroupContext);
    assert_eq!(refusal(|_| Extensions::single(required(&[])).unwrap()), Refusal::GroupContext);
    assert_eq!(refusal(|_| Extensions::empty()), Refusal::GroupContext);
    assert_eq!(
        refusal(|present| changed(&changed(present, more.clone()), content(1, b"and rules"))),
        Refusal::GroupContext
    );
}

#[test]
fn group_data_with_a_wrong_length_or_version_is_refused() {
    let long = vec![7; MAX_GROUP_DATA_BYTES + 1];
    assert_eq!(refusal(|present| changed(present, content(1, &long))), Refusal::DataLength { bytes: long.len() });
    assert_eq!(
        refusal(|present| changed(present, content(2, b"of tomorrow"))),
        Refusal::DataVersion { version: Some(2) }
    );
}

/// Creates a group of Mallory that Carol could join. Returns the welcome and the group info.
fn mallorys(extensions: Option<Extension>, carol: &mut Client) -> (Vec<u8>, Vec<u8>) {
    let mut mallory = Intruder::new(&device("mallory").to_identity());
    mallory.create(b"chat");
    if let Some(extension) = extensions {
        let required = RequiredCapabilitiesExtension::new(&[GROUP_DATA], &[], &[]);
        let mut extensions = Extensions::single(Extension::RequiredCapabilities(required)).unwrap();
        extensions.add(extension).unwrap();
        let Intruder { provider, signer, group, .. } = &mut mallory;
        let group = group.as_mut().unwrap();
        group.update_group_context_extensions(provider, extensions, &**signer).unwrap();
        mallory.merge();
    }
    let group_info = mallory.group_info();
    let (_, welcome) = mallory.commit(vec![crate::common::intruder::unpublish(&key_package(carol))], None);
    (welcome.unwrap(), group_info)
}

#[test]
fn a_group_with_another_data_version_is_not_joined() {
    let store = MemoryStore::new();
    let mut carol = client_in(&store, "carol", policy());
    let (welcome, group_info) = mallorys(Some(content(2, b"of tomorrow")), &mut carol);
    let before = store::records(&store);

    for error in [carol.join(&welcome, NOW).unwrap_err(), carol.join_external(&group_info).unwrap_err()] {
        let refused = matches!(&error, Error::Refused(Refusal::DataVersion { version: Some(2) }));
        assert!(refused, "{error}");
    }
    assert!(store::records(&store) == before);
}

#[test]
fn a_group_without_support_for_data_has_no_data() {
    let mut carol = client("carol");
    let (welcome, _) = mallorys(None, &mut carol);
    carol.join(&welcome, NOW).unwrap();

    assert_eq!(data(&mut carol), b"");
    let refused = carol.group(&group()).unwrap().set_data(b"rules");
    assert!(matches!(refused, Err(Error::DataUnsupported)), "{refused:?}");
    assert_eq!(resume(&mut carol), None);
    // Everything else works, also with members of the same kind.
    let others = publish(&old_key_package("old"));
    assert!(carol.group(&group()).unwrap().add(&[others], NOW).is_ok());
}

/// A key package of a client without support for group data.
fn old_key_package(user: &str) -> KeyPackage {
    let capabilities = Capabilities::builder().extensions(vec![USE]).build();
    Intruder::new(&device(user).to_identity()).key_package_with(capabilities, Extensions::empty())
}

#[test]
fn a_device_without_support_for_group_data_is_not_added() {
    let mut alice = client("alice");
    make_group(&mut [&mut alice]);
    let old = publish(&old_key_package("old"));
    let fault = LeafFault::GroupExtension { extension: 0xF752 };
    let expected = Refusal::Leaf { device: device("old"), fault };

    let mut chat = alice.group(&group()).unwrap();
    let added = chat.add(std::slice::from_ref(&old), NOW);
    let proposed = chat.propose_add(&old, NOW);

    assert!(matches!(&added, Err(Error::Refused(refusal)) if *refusal == expected), "{added:?}");
    assert!(matches!(&proposed, Err(Error::Refused(refusal)) if *refusal == expected), "{proposed:?}");
    assert_eq!(resume(&mut alice), None);
}

/// Permits only Alice to set group data, and records every attempt.
#[derive(Default)]
struct OnlyAlice(Mutex<Vec<(DeviceId, Vec<u8>)>>);

impl Authenticate for OnlyAlice {
    fn authenticate(&self, _: &IdentityClaim) -> Result<(), String> {
        Ok(())
    }

    fn may(&self, _: &GroupId, by: &DeviceId, change: &Change) -> Result<(), String> {
        let Change::Data(data) = change else { return Ok(()) };
        self.0.lock().unwrap().push((by.clone(), data.clone()));
        if by.user() == "alice" { Ok(()) } else { Err("only Alice says what the rules are".into()) }
    }
}

#[test]
fn the_application_decides_who_may_set_group_data() {
    let store = MemoryStore::new();
    let asked = Arc::new(OnlyAlice::default());
    let mut bob = client_in(&store, "bob", policy()).with_authentication(asked.clone());
    let (mut alice, mut mallory) = infiltrate(&mut bob);
    let before = store::records(&store);
    let extensions = changed(mallory.group().extensions(), content(1, b"no rules"));

    let own = bob.group(&group()).unwrap().set_data(b"mine").map(drop);
    let proposed = bob.receive(&propose(&mut mallory, extensions.clone()), NOW).map(drop);
    let committed = bob.receive(&commit(&mut mallory, extensions), NOW).map(drop);

    for result in [own, proposed, committed] {
        assert!(matches!(result, Err(Error::Refused(Refusal::Forbidden { .. }))), "{result:?}");
    }
    assert!(store::records(&store) == before);
    let pending = set(&mut alice, b"rules");
    accept(&mut alice, pending, &mut [&mut bob]);
    assert_eq!(data(&mut bob), b"rules");
    let by: Vec<_> = asked.0.lock().unwrap().iter().map(|(by, _)| by.user().to_owned()).collect();
    assert_eq!(by, ["bob", "mallory", "mallory", "alice"]);
}
