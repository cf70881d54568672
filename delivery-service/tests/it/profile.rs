//! MLS features that Regrow's devices do not support. The service refuses them before it orders a
//! handshake, if it can see them.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::common::*;
use openmls::prelude::{Extension, ExternalSender, ExternalSendersExtension, UnknownExtension};
use regrow_delivery_service::{HandshakeMode::Assisted, Outcome, RejectReason, Unsupported};

fn unsupported(what: Unsupported) -> Outcome {
    rejected(RejectReason::Unsupported(what))
}

/// Proposes the extension and commits it. Returns the outcomes of both.
fn with_extension(extension: Extension) -> [Outcome; 2] {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let proposal = members[1].propose_extension(extension.clone());
    let proposed = service.submit_proposal(&room(), &device("bob"), &proposal, NOW).unwrap();
    let commit = members[0].commit_extension(extension);
    [proposed, service.submit_commit(&commit, NOW).unwrap()]
}

#[test]
fn a_psk_proposal_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let proposal = members[1].propose_psk();
    let outcome = service.submit_proposal(&room(), &device("bob"), &proposal, NOW).unwrap();
    assert_eq!(outcome, unsupported(Unsupported::Proposal { kind: 4 }));
}

#[test]
fn an_unknown_extension_of_the_group_context_is_refused() {
    let extension = Extension::Unknown(OTHER_EXTENSION, UnknownExtension(vec![1]));
    let refused = unsupported(Unsupported::GroupContextExtension { kind: OTHER_EXTENSION });
    assert_eq!(with_extension(extension), [refused.clone(), refused]);
}

#[test]
fn external_senders_are_refused() {
    let mallory = Client::new("mallory");
    let senders: ExternalSendersExtension =
        vec![ExternalSender::new(mallory.credential().signature_key.clone(), mallory.credential().credential.clone())];
    let refused = unsupported(Unsupported::GroupContextExtension { kind: 5 });
    assert_eq!(with_extension(Extension::ExternalSenders(senders)), [refused.clone(), refused]);
}

#[test]
fn group_data_of_an_unknown_version_is_refused() {
    let extension = Extension::Unknown(APPLICATION_DATA.into(), UnknownExtension(vec![2, 0]));
    let refused = unsupported(Unsupported::DataVersion { version: 2 });
    assert_eq!(with_extension(extension), [refused.clone(), refused]);
}

#[test]
fn a_group_does_not_begin_with_an_unknown_extension() {
    let service = service();
    let alice = Client::new("alice").create_with_extension(OTHER_EXTENSION);
    let outcome = service.create_group(&room(), &alice.id(), Assisted, &alice.group_info(), NOW).unwrap();
    assert_eq!(outcome, unsupported(Unsupported::GroupContextExtension { kind: OTHER_EXTENSION }));
}

#[test]
fn a_proposal_to_add_a_foreign_identity_is_refused() {
    let service = service();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let stranger = Client::new("carol").with_identity(b"carol@example.org");
    let proposal = members[1].propose_to_add(&stranger.key_package());
    let outcome = service.submit_proposal(&room(), &device("bob"), &proposal, NOW).unwrap();
    assert_eq!(outcome, rejected(RejectReason::UnacceptableCredential));
}
