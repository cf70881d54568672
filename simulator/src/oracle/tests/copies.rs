//! Stories of thieves that act: a copy of a device acts on its own.

use super::*;

/// The number of the thief of device 1.
const COPY: usize = 10;

fn copy(story: &mut Story, of: usize) {
    story.apply(Fact::Stolen { of: DeviceNumber(of), thief: DeviceNumber(COPY) });
}

/// A commit that only these devices get.
fn commit_to(story: &mut Story, by: usize, what: Commit, to: &[usize]) -> CommitId {
    let commit = story.prepare(by, what);
    story.apply(Fact::Ordered { commit });
    to.iter().for_each(|who| story.apply(Fact::Entered { who: DeviceNumber(*who), commit }));
    commit
}

/// The stolen secrets, together with the secrets that the copy has made itself.
fn with_own(story: &Story, stolen: &Holdings) -> Holdings {
    let mut all = stolen.clone();
    all.pool(&story.steal(COPY));
    all
}

#[test]
fn committing_copy_takes_the_place_of_its_victim() {
    let mut story = Story::new(3, POLICY);
    let stolen = story.steal(1);
    copy(&mut story, 1);
    let commit = commit_to(&mut story, COPY, Commit::default(), &[COPY, 0, 2]);
    story.refuses(Fact::Entered { who: DeviceNumber(1), commit });
    let with_own = with_own(&story, &stolen);
    let after = story.send(0);
    commit_to(&mut story, 2, Commit::default(), &[COPY, 0, 2]);
    let later = story.send(2);
    story.reads(&stolen, &[]);
    story.reads(&with_own, &[after, later]);
}

#[test]
fn members_read_only_the_first_message_of_a_generation() {
    let mut story = Story::new(3, POLICY);
    let stolen = story.steal(1);
    copy(&mut story, 1);
    let (own, forged) = (story.send(1), story.send(COPY));
    story.read(0, own);
    story.refuses(Fact::Read { who: DeviceNumber(0), message: forged });
    story.read(2, forged);
    story.refuses(Fact::Read { who: DeviceNumber(2), message: own });
    story.reads(&stolen, &[own, forged]);
    story.reads(&story.steal(0), &[]);
}

#[test]
fn external_commit_of_one_takes_the_others_leaf() {
    let mut story = Story::new(3, POLICY);
    copy(&mut story, 1);
    let external = || Commit { external: true, ..Commit::default() };
    commit_to(&mut story, COPY, external(), &[COPY, 0, 2, 1]);
    assert!(story.steal(1).epochs().is_empty(), "the device is out of the group");
    assert_eq!(story.oracle.tree_of(DeviceNumber(0)).unwrap().leaf_of(DeviceNumber(1)), Some(LeafIndex(1)));
    let thiefs = story.send(0);
    let thief = story.steal(COPY);
    commit_to(&mut story, 1, external(), &[1, 0, 2]);
    let back = story.send(0);
    story.reads(&thief, &[thiefs]);
    story.reads(&story.steal(1), &[back]);
}

#[test]
fn invitation_serves_the_device_and_its_copy() {
    let mut story = Story::new(2, POLICY);
    let key_package = story.key_package(2);
    copy(&mut story, 2);
    let adds = vec![(DeviceNumber(2), key_package)];
    let commit = commit_to(&mut story, 0, Commit { adds, ..Commit::default() }, &[0, 1]);
    story.apply(Fact::Joined { who: DeviceNumber(COPY), commit });
    let forged = story.send(COPY);
    story.read(0, forged);
    story.apply(Fact::Joined { who: DeviceNumber(2), commit });
    story.refuses(Fact::Read { who: DeviceNumber(2), message: MessageNumber(1000) });
    story.reads(&story.steal(2), &[forged]);
}

/// The owner's proposal and the thief's commit are encrypted with the same key (RFC 9420, 9.1).
#[test]
fn commit_with_a_used_key_opens_only_with_that_key() {
    let mut story = Story::new(3, RetentionPolicy { opaque: true, ..POLICY });
    copy(&mut story, 1);
    let early = story.steal(2);
    let proposal = story.propose_update(1);
    story.apply(Fact::Received { who: DeviceNumber(2), proposal });
    story.refuses(Fact::Received { who: DeviceNumber(2), proposal });
    let late = story.steal(2);
    let commit = commit_to(&mut story, COPY, Commit::default(), &[COPY]);
    story.refuses(Fact::Entered { who: DeviceNumber(2), commit });
    let forged = story.send(COPY);
    story.reads(&early, &[forged]);
    story.reads(&late, &[]);
}

#[test]
fn copy_needs_an_unused_number() {
    let mut story = Story::new(2, POLICY);
    story.refuses(Fact::Stolen { of: DeviceNumber(1), thief: DeviceNumber(0) });
    copy(&mut story, 1);
    story.refuses(Fact::Stolen { of: DeviceNumber(1), thief: DeviceNumber(COPY) });
}
