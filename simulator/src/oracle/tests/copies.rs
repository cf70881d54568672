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
fn a_copy_that_commits_has_the_group_and_whom_it_robbed_has_not() {
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
fn both_use_the_same_keys_and_members_read_what_comes_first() {
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
fn each_takes_the_others_leaf_from_outside() {
    let mut story = Story::new(3, POLICY);
    copy(&mut story, 1);
    let external = || Commit { external: true, ..Commit::default() };
    commit_to(&mut story, COPY, external(), &[COPY, 0, 2, 1]);
    assert!(story.steal(1).epochs().is_empty(), "it is out");
    assert_eq!(story.oracle.tree_of(DeviceNumber(0)).unwrap().leaf_of(DeviceNumber(1)), Some(LeafIndex(1)));
    let thiefs = story.send(0);
    let thief = story.steal(COPY);
    commit_to(&mut story, 1, external(), &[1, 0, 2]);
    let back = story.send(0);
    story.reads(&thief, &[thiefs]);
    story.reads(&story.steal(1), &[back]);
}

#[test]
fn an_invitation_is_for_both() {
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
fn a_commit_with_a_key_that_was_used_is_read_by_those_who_have_the_key() {
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
fn a_copy_has_a_number_of_its_own() {
    let mut story = Story::new(2, POLICY);
    story.refuses(Fact::Stolen { of: DeviceNumber(1), thief: DeviceNumber(0) });
    copy(&mut story, 1);
    story.refuses(Fact::Stolen { of: DeviceNumber(1), thief: DeviceNumber(COPY) });
}
