//! Stories of thieves, with the messages that each thief can read by RFC 9420.

use std::collections::BTreeSet;

use super::*;

mod copies;

/// Plays the life of a group. Everything reaches all devices at once, unless a test says otherwise.
struct Story {
    oracle: Oracle,
    next: u64,
}

const POLICY: RetentionPolicy = RetentionPolicy { past_epochs: 0, out_of_order: 5, opaque: false };

impl Story {
    /// A group of the devices 0 to `members - 1`. Device 0 adds the others in one commit, whose
    /// path is sealed to nobody.
    fn new(members: usize, policy: RetentionPolicy) -> Self {
        let mut story = Self { oracle: Oracle::new(policy), next: 0 };
        story.apply(Fact::Created { by: DeviceNumber(0) });
        if members > 1 {
            let adds = (1..members).map(|device| (DeviceNumber(device), story.key_package(device))).collect();
            story.commit(0, Commit { adds, ..Commit::default() });
        }
        story
    }

    fn apply(&mut self, fact: Fact) {
        self.oracle.apply(fact).unwrap();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn key_package(&mut self, of: usize) -> KeyPackageId {
        let key_package = KeyPackageId(self.number());
        self.apply(Fact::KeyPackageMade { of: DeviceNumber(of), key_package, last_resort: false });
        key_package
    }

    fn prepare(&mut self, by: usize, what: Commit) -> CommitId {
        let commit = CommitId(self.number());
        let epoch = self.oracle.ordered.len() as u64;
        self.apply(Fact::Prepared { by: DeviceNumber(by), commit, what: Commit { epoch, ..what } });
        commit
    }

    /// A commit that all devices get. The added devices join.
    fn commit(&mut self, by: usize, what: Commit) -> CommitId {
        let commit = self.prepare(by, what);
        self.order(commit);
        commit
    }

    fn order(&mut self, commit: CommitId) {
        self.apply(Fact::Ordered { commit });
        let made = self.oracle.commits[&commit].clone();
        let here: Vec<DeviceNumber> = self
            .oracle
            .devices
            .iter()
            .filter(|(_, it)| {
                it.joining == Some(commit) || it.group.as_ref().is_some_and(|it| it.epoch == made.in_epoch)
            })
            .map(|(device, _)| *device)
            .collect();
        here.into_iter().for_each(|who| self.apply(Fact::Entered { who, commit }));
        made.joiners.iter().for_each(|joiner| self.apply(Fact::Joined { who: joiner.device, commit }));
    }

    fn update(&mut self, by: usize) -> CommitId {
        self.commit(by, Commit::default())
    }

    fn propose_update(&mut self, by: usize) -> ProposalId {
        let proposal = ProposalId(self.number());
        self.apply(Fact::Proposed { by: DeviceNumber(by), proposal, what: ProposalKind::Update });
        proposal
    }

    fn encrypt(&mut self, by: usize) -> MessageNumber {
        let message = MessageNumber(self.number());
        self.apply(Fact::Encrypted { by: DeviceNumber(by), message });
        message
    }

    /// A message that has been sent and that no device has read.
    fn send(&mut self, by: usize) -> MessageNumber {
        let message = self.encrypt(by);
        self.apply(Fact::Sent { message });
        message
    }

    fn read(&mut self, who: usize, message: MessageNumber) {
        self.apply(Fact::Read { who: DeviceNumber(who), message });
    }

    fn steal(&self, who: usize) -> Holdings {
        self.oracle.holdings(DeviceNumber(who))
    }

    #[track_caller]
    fn reads(&self, thief: &Holdings, expected: &[MessageNumber]) {
        let expected: BTreeSet<MessageNumber> = expected.iter().copied().collect();
        let exposed = self.oracle.exposed(thief);
        let why: Vec<String> =
            exposed.symmetric_difference(&expected).flat_map(|it| self.oracle.reach(thief).why(*it)).collect();
        assert_eq!(exposed, expected, "{why:#?}");
    }

    #[track_caller]
    fn refuses(&mut self, fact: Fact) {
        self.oracle.apply(fact).unwrap_err();
    }
}

#[test]
fn thief_reads_unread_and_later_messages_until_the_victim_updates() {
    let mut story = Story::new(3, POLICY);
    let read = story.send(0);
    story.read(1, read);
    let unread = story.send(0);
    let thief = story.steal(1);
    let later = story.send(2);
    story.update(0);
    let next_epoch = story.send(2);
    story.update(1);
    let healed = story.send(0);
    story.reads(&thief, &[unread, later, next_epoch]);
    let _ = healed;
}

#[test]
fn thief_reads_later_messages_of_its_victim_in_that_epoch() {
    let mut story = Story::new(2, POLICY);
    let sent = story.send(1);
    let thief = story.steal(1);
    let later = story.send(1);
    story.reads(&thief, &[later]);
    let _ = sent;
}

#[test]
fn unsent_message_uses_its_generation() {
    let mut story = Story::new(2, POLICY);
    story.encrypt(0);
    let second = story.send(0);
    story.read(1, second);
    let thief = story.steal(1);
    let third = story.send(0);
    story.reads(&thief, &[third]);
}

#[test]
fn skipped_keys_are_exposed_within_the_window() {
    let mut story = Story::new(2, RetentionPolicy { out_of_order: 2, ..POLICY });
    let sent: Vec<_> = (0..4).map(|_| story.send(0)).collect();
    story.read(1, sent[3]);
    let thief = story.steal(1);
    story.reads(&thief, &[sent[2]]);
}

#[test]
fn kept_past_epochs_are_exposed() {
    let mut story = Story::new(3, RetentionPolicy { past_epochs: 2, ..POLICY });
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(story.send(0));
        story.update(0);
    }
    story.read(1, sent[3]);
    let thief = story.steal(1);
    story.reads(&thief, &[sent[2]]);
    story.update(0);
    let later = story.send(0);
    story.reads(&thief, &[sent[2], later]);
}

/// Carol's path is sealed to the node above Alice and Bob. Bob's thief learns that node's key only
/// from the commit before.
#[test]
fn thief_follows_with_keys_from_earlier_commits() {
    let mut story = Story::new(4, POLICY);
    let thief = story.steal(1);
    story.update(0);
    let commit = story.update(2);
    let after = story.send(3);
    let sealed_to: Vec<KeyPair> =
        story.oracle.path_of(commit).unwrap().nodes.iter().flat_map(|node| node.sealed_to.clone()).collect();
    assert!(sealed_to.iter().all(|key| !thief.private_keys().contains(key)), "{sealed_to:?}");
    story.reads(&thief, &[after]);
}

/// Private keys of nodes live longer than epochs. But a thief also needs the secrets that lead into
/// the next epoch.
#[test]
fn init_secret_alone_does_not_open_the_next_epoch() {
    let mut story = Story::new(4, POLICY);
    story.update(0);
    let thief = story.steal(3);
    story.update(3);
    let healed = story.send(0);
    story.update(0);
    story.update(1);
    story.reads(&thief, &[]);
    assert!(story.oracle.reach(&thief).why(healed).iter().any(|line| line.ends_with("not known")));
}

#[test]
fn a_committed_update_proposal_heals_its_proposer() {
    let mut story = Story::new(3, POLICY);
    let early = story.steal(1);
    let proposal = story.propose_update(1);
    let late = story.steal(1);
    story.commit(0, Commit { updates: vec![(DeviceNumber(1), proposal)], ..Commit::default() });
    let after = story.send(2);
    story.reads(&early, &[]);
    story.reads(&late, &[after]);
    let kept = story.steal(1);
    assert!(kept.private_keys().contains(&KeyPair::UpdateLeaf(proposal)), "the update's key is the leaf's key now");
}

#[test]
fn an_update_proposal_that_nobody_commits_leaves_no_key() {
    let mut story = Story::new(3, POLICY);
    let proposal = story.propose_update(1);
    let key = KeyPair::UpdateLeaf(proposal);
    assert!(story.steal(1).private_keys().contains(&key));
    story.update(0);
    assert!(!story.steal(1).private_keys().contains(&key));
}

#[test]
fn removed_member_reads_no_later_message_and_keeps_no_secret() {
    let mut story = Story::new(3, POLICY);
    let thief = story.steal(2);
    let before = story.send(0);
    story.commit(0, Commit { removes: vec![DeviceNumber(2)], ..Commit::default() });
    story.send(0);
    story.reads(&thief, &[before]);
    assert_eq!(story.steal(2), Holdings::default());
}

#[test]
fn pending_commit_holds_the_secrets_of_its_epoch() {
    let mut story = Story::new(3, POLICY);
    let commit = story.prepare(1, Commit::default());
    let thief = story.steal(1);
    story.order(commit);
    let after = story.send(0);
    story.reads(&thief, &[after]);
    let replaced = story.prepare(1, Commit::default());
    story.prepare(1, Commit::default());
    assert!(!story.steal(1).epochs().contains(&EpochId::After(replaced)));
}

/// The commit of another member wins. The thief goes on with the keys that the loser had before.
#[test]
fn lost_commit_heals_nobody() {
    let mut story = Story::new(3, POLICY);
    let lost = story.prepare(1, Commit::default());
    let thief = story.steal(1);
    story.update(0);
    let after = story.send(0);
    story.reads(&thief, &[after]);
    assert!(!story.steal(1).epochs().contains(&EpochId::After(lost)), "it was dropped when the other commit arrived");
    story.refuses(Fact::Ordered { commit: lost });
}

#[test]
fn external_secret_opens_an_external_commit() {
    let mut story = Story::new(2, POLICY);
    let thief = story.steal(1);
    story.commit(5, Commit { external: true, ..Commit::default() });
    let after = story.send(5);
    story.reads(&thief, &[after]);
    let held_apart = story.prepare(6, Commit { external: true, ..Commit::default() });
    assert!(story.steal(6).epochs().contains(&EpochId::After(held_apart)));
}

#[test]
fn a_rejoin_replaces_the_lost_leaf_and_heals_it() {
    let mut story = Story::new(3, POLICY);
    let thief = story.steal(1);
    story.apply(Fact::Forgot { who: DeviceNumber(1) });
    assert_eq!(story.steal(1), Holdings::default());
    story.commit(1, Commit { external: true, ..Commit::default() });
    story.send(0);
    story.reads(&thief, &[]);
    assert_eq!(story.oracle.tree_of(DeviceNumber(1)).unwrap().leaf_of(DeviceNumber(1)), Some(LeafIndex(1)));
}

/// The theft happens before the invitation. The welcome is traffic, even after the device has used
/// it.
#[test]
fn key_package_opens_its_welcome() {
    let mut story = Story::new(2, POLICY);
    let key_package = story.key_package(7);
    let thief = story.steal(7);
    let before = story.send(0);
    story.commit(0, Commit { adds: vec![(DeviceNumber(7), key_package)], ..Commit::default() });
    let after = story.send(1);
    story.update(0);
    let next = story.send(1);
    story.update(7);
    story.send(1);
    story.reads(&thief, &[after, next]);
    assert!(!story.steal(7).private_keys().contains(&KeyPair::Init(key_package)), "the used init key is erased");
    let _ = before;
}

#[test]
fn last_resort_key_package_opens_its_welcome_until_erased() {
    let mut story = Story::new(1, POLICY);
    let key_package = KeyPackageId(99);
    story.apply(Fact::KeyPackageMade { of: DeviceNumber(1), key_package, last_resort: true });
    story.commit(0, Commit { adds: vec![(DeviceNumber(1), key_package)], ..Commit::default() });
    let read = story.send(0);
    story.read(1, read);
    let thief = story.steal(1);
    story.reads(&thief, &[read]);
    story.apply(Fact::KeyPackageErased { of: DeviceNumber(1), key_package });
    let thief = story.steal(1);
    story.reads(&thief, &[]);
}

/// In opaque mode the path is inside of a PrivateMessage. At the theft, the victim had not used its
/// key.
#[test]
fn handshake_key_opens_an_opaque_commit() {
    let mut story = Story::new(3, RetentionPolicy { opaque: true, ..POLICY });
    let thief = story.steal(1);
    story.propose_update(2);
    story.update(0);
    let after = story.send(0);
    story.reads(&thief, &[after]);
}

/// A used key opens nothing. Old commits stay closed even if past epochs are kept, and even if the
/// keys to which their paths are sealed still exist.
#[test]
fn processed_opaque_commit_cannot_be_opened_again() {
    let open = |opaque| {
        let mut story = Story::new(4, RetentionPolicy { opaque, past_epochs: 3, ..POLICY });
        let commit = story.update(0);
        story.update(0);
        let thief = story.steal(3);
        story.oracle.reach(&thief).secrets().any(|secret| secret == Secret::Commit(commit))
    };
    assert!(open(false), "the leaf's key is as old as that commit");
    assert!(!open(true));
}

#[test]
fn impossible_fact_is_refused_and_changes_nothing() {
    let mut story = Story::new(3, POLICY);
    let message = story.send(0);
    story.read(1, message);
    let before = format!("{:?}", story.oracle);
    let commit = CommitId(1000);
    let commit_of = |by, what| Fact::Prepared { by: DeviceNumber(by), commit, what };
    story.refuses(Fact::Read { who: DeviceNumber(1), message });
    story.refuses(Fact::Read { who: DeviceNumber(0), message });
    story.refuses(Fact::Sent { message: MessageNumber(1000) });
    story.refuses(Fact::Created { by: DeviceNumber(1) });
    story.refuses(Fact::Encrypted { by: DeviceNumber(9), message: MessageNumber(1000) });
    story.refuses(Fact::Entered { who: DeviceNumber(0), commit });
    story.refuses(Fact::Discarded { by: DeviceNumber(0), commit });
    story.refuses(Fact::KeyPackageErased { of: DeviceNumber(0), key_package: KeyPackageId(1) });
    story.refuses(commit_of(0, Commit { epoch: 0, ..Commit::default() }));
    story.refuses(commit_of(0, Commit { epoch: 1, removes: vec![DeviceNumber(0)], ..Commit::default() }));
    story.refuses(commit_of(0, Commit { epoch: 1, removes: vec![DeviceNumber(9)], ..Commit::default() }));
    story.refuses(commit_of(
        0,
        Commit { epoch: 1, adds: vec![(DeviceNumber(9), KeyPackageId(9))], ..Commit::default() },
    ));
    story.refuses(commit_of(
        9,
        Commit { epoch: 1, external: true, removes: vec![DeviceNumber(0)], ..Commit::default() },
    ));
    story.refuses(commit_of(9, Commit { epoch: 2, external: true, ..Commit::default() }));
    story.oracle.devices.retain(|_, device| device.group.is_some());
    assert_eq!(format!("{:?}", story.oracle), before);
}
