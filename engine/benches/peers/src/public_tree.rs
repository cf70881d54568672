//! The public state of a group, which the delivery service has of an assisted group.

use std::time::Duration;

use openmls::{
    group::{ProposalStore, PublicGroup},
    prelude::{
        MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider as _, ProcessedMessageContent, ProtocolMessage,
        tls_codec::DeserializeBytes as _,
    },
};
use regrow_crypto::MemoryProvider;

use crate::{
    allocation::{self, Memory},
    workload::timed,
};

/// The public state of a group, on OpenMLS and its memory storage.
pub struct PublicTree {
    provider: MemoryProvider,
    group: PublicGroup,
}

fn message(bytes: &[u8]) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap().extract()
}

impl PublicTree {
    /// Verifies a group info with its tree. Returns the memory that the state takes, without the
    /// stored records.
    pub fn new(group_info: &[u8]) -> (Memory, Self) {
        let (memory, tree) = allocation::measured(|| {
            let provider = MemoryProvider::default();
            let MlsMessageBodyIn::GroupInfo(info) = message(group_info) else { panic!("not a group info") };
            let tree = info.extensions().ratchet_tree().unwrap().ratchet_tree().clone();
            let records = provider.storage();
            let (group, _) =
                PublicGroup::from_external(provider.crypto(), records, tree, info, ProposalStore::new()).unwrap();
            Self { provider, group }
        });
        let records = tree.provider.storage().values.read().unwrap();
        let stored: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
        drop(records);
        (Memory { kept: memory.kept - stored as isize, ..memory }, tree)
    }

    /// Verifies a commit and merges it.
    pub fn process(&mut self, commit: &[u8]) -> Duration {
        let (time, ()) = timed(|| {
            let MlsMessageBodyIn::PublicMessage(commit) = message(commit) else { panic!("not a public message") };
            let commit: ProtocolMessage = commit.into();
            let processed = self.group.process_message(self.provider.crypto(), commit).unwrap();
            let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
                panic!("not a commit")
            };
            self.group.merge_commit(self.provider.storage(), *staged).unwrap();
        });
        time
    }
}
