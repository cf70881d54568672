//! What is measured: operations in a group of a size and a shape, each of which leaves the group as it found it, or in
//! the next epoch of the same shape. So they can be repeated as often as is wanted without building the group again.

// Each bench target uses a part of it.
#![allow(dead_code, unused_imports)]

mod member;

use std::time::{Duration, Instant};

pub use member::{EngineMember, Member, RawMember};

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create a group and add all others in one commit, which is confirmed.
    Create,
    /// Make a commit that adds one device.
    Add,
    /// Make a commit that removes one member.
    Remove,
    /// Make a commit with fresh keys.
    Update,
    /// Merge an own update.
    Confirm,
    /// Process another's update and merge it.
    Process,
    /// Join by a welcome.
    Join,
    /// Encrypt an application message.
    Send,
    /// Decrypt one.
    Receive,
}

impl Operation {
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Add,
        Self::Remove,
        Self::Update,
        Self::Confirm,
        Self::Process,
        Self::Join,
        Self::Send,
        Self::Receive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Update => "update",
            Self::Confirm => "confirm",
            Self::Process => "process",
            Self::Join => "join",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

/// How the ratchet tree came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// One commit added all: nearly every parent node is blank.
    Fresh,
    /// Every member has committed: no parent node is blank that could have a key.
    Full,
}

impl Tree {
    pub const ALL: [Self; 2] = [Self::Fresh, Self::Full];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Full => "full",
        }
    }

    /// Whether the operation is different in such a tree. (A group that was just created is always fresh.)
    pub fn concerns(self, operation: Operation) -> bool {
        self == Self::Fresh || operation != Operation::Create
    }
}

/// A group of which two members are alive: the first leaf's and the last one's. Half of all members are, like these two,
/// in different halves of the tree; of the others nobody needs a state.
pub struct Scene<M: Member> {
    first: M,
    last: M,
    /// The key packages of all but the first, in a fresh tree.
    others: Vec<Vec<u8>>,
    removable: String,
}

const TEXT: &[u8] = &[b'x'; 100];

impl<M: Member> Scene<M> {
    /// A group of `size` members. Their commits carry no group info.
    pub fn new(size: usize, tree: Tree) -> Self {
        assert!(size >= 2);
        let mut last = M::new(&name(size - 1));
        let mut first = M::new(&name(0));
        first.create_group();
        let others = match tree {
            Tree::Fresh => add_all(&mut first, &mut last, size),
            Tree::Full => commit_all(&mut first, &mut last, size),
        };
        let mut scene = Self { first, last, others, removable: name((size / 2).max(1)) };
        // Both have committed from here on, also in the fresh tree: what is repeated does not change its shape.
        scene.commit_from_first();
        scene.sample(Operation::Process);
        assert_eq!(scene.first.epoch_authenticator(), scene.last.epoch_authenticator());
        scene
    }

    /// From here on, the commits that are made carry a group info.
    pub fn publish_group_info(&mut self) {
        self.first.publish_group_info();
    }

    /// Does it once; how long it took without what had to be made ready before and put right afterwards.
    pub fn sample(&mut self, operation: Operation) -> Duration {
        match operation {
            Operation::Create => {
                let mut creator = M::new("creator");
                timed(|| {
                    creator.create_group();
                    let commit = creator.add(&self.others);
                    creator.confirm(commit);
                })
                .0
            }
            Operation::Add => {
                let key_package = EngineMember::new("newcomer").key_package();
                self.abandoned(|first| first.add(&[key_package]))
            }
            Operation::Remove => {
                let removed = self.removable.clone();
                self.abandoned(|first| first.remove(&removed))
            }
            Operation::Update => self.abandoned(M::update),
            Operation::Confirm => self.commit_from_first(),
            Operation::Process => {
                let commit = self.last.update();
                let (time, ()) = timed(|| self.first.receive(M::bytes(&commit)));
                self.last.confirm(commit);
                time
            }
            Operation::Join => {
                let mut newcomer = M::new("newcomer");
                let commit = self.first.add(&[newcomer.key_package()]);
                let (time, ()) = timed(|| newcomer.join(M::welcome(&commit)));
                self.first.abandon(commit);
                time
            }
            Operation::Send => {
                let (time, message) = timed(|| self.first.send(TEXT));
                self.last.receive(&message);
                time
            }
            Operation::Receive => {
                let message = self.last.send(TEXT);
                timed(|| self.first.receive(&message)).0
            }
        }
    }

    /// The first member updates; how long its confirmation took.
    fn commit_from_first(&mut self) -> Duration {
        let commit = self.first.update();
        self.last.receive(M::bytes(&commit));
        timed(|| self.first.confirm(commit)).0
    }

    fn abandoned(&mut self, make: impl FnOnce(&mut M) -> M::Commit) -> Duration {
        let (time, commit) = timed(|| make(&mut self.first));
        self.first.abandon(commit);
        time
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = act();
    (start.elapsed(), value)
}

fn name(leaf: usize) -> String {
    format!("member{leaf}")
}

/// One commit adds all. Returns their key packages.
fn add_all<M: Member>(first: &mut M, last: &mut M, size: usize) -> Vec<Vec<u8>> {
    let mut others: Vec<_> = (1..size - 1).map(|leaf| EngineMember::new(&name(leaf)).key_package()).collect();
    others.push(last.key_package());
    let commit = first.add(&others);
    last.join(M::welcome(&commit));
    first.confirm(commit);
    others
}

/// Each joins by external commit, which has a path: so each has committed once, and none but the first has to follow
/// the others.
fn commit_all<M: Member>(first: &mut M, last: &mut M, size: usize) -> Vec<Vec<u8>> {
    let mut info = first.group_info();
    for leaf in 1..size - 1 {
        let (commit, next) = EngineMember::new(&name(leaf)).commit_from_outside(&info);
        first.receive(&commit);
        info = next;
    }
    first.receive(&last.join_external(&info));
    Vec::new()
}
