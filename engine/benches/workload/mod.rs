//! The measured operations, in a group of a given size and shape. Each operation leaves the group
//! unchanged, or in the next epoch with the same shape. So an operation can be repeated without
//! building the group again.

// Each bench target uses only a part of this module.
#![allow(dead_code, unused_imports)]

mod member;

use std::time::{Duration, Instant};

pub use member::{BenchmarkMember, EngineMember, GROUP, PublishesGroupInfo, RawMember, identity};

/// An operation of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Create a group, add all others in one commit, and confirm it.
    Create,
    /// Make a commit that adds one device.
    Add,
    /// Make a commit that removes one member.
    Remove,
    /// Make a commit with fresh keys.
    Update,
    /// Merge an own update.
    Confirm,
    /// Process another member's update and merge it.
    Process,
    /// Join with a welcome.
    Join,
    /// Encrypt an application message.
    Send,
    /// Decrypt an application message.
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

/// The history of the ratchet tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeHistory {
    /// One commit added all members: nearly every parent node is blank.
    Fresh,
    /// Every member has committed: every parent node that can have a key has one.
    Full,
}

impl TreeHistory {
    pub const ALL: [Self; 2] = [Self::Fresh, Self::Full];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Full => "full",
        }
    }

    /// Returns true if the operation is measured with this tree. (A group that was just created is
    /// always fresh.)
    pub fn concerns(self, operation: Operation) -> bool {
        self == Self::Fresh || operation != Operation::Create
    }
}

/// A group in which only two members have a state: the members of the first and the last leaf.
/// These two are in different halves of the tree, like half of all pairs of members. The other
/// members need no state.
pub struct MeasuredGroup<M: BenchmarkMember> {
    first: M,
    last: M,
    /// The key packages of all members except the first, in a fresh tree.
    others: Vec<Vec<u8>>,
    removable: String,
}

const TEXT: &[u8] = &[b'x'; 100];

impl<M: BenchmarkMember> MeasuredGroup<M> {
    /// Creates a group of `size` members. Their commits have no group info.
    pub fn new(size: usize, tree: TreeHistory) -> Self {
        assert!(size >= 2);
        let mut last = M::new(&name(size - 1));
        let mut first = M::new(&name(0));
        first.create_group();
        let others = match tree {
            TreeHistory::Fresh => add_all(&mut first, &mut last, size),
            TreeHistory::Full => commit_all(&mut first, &mut last, size),
        };
        let mut scene = Self { first, last, others, removable: name((size / 2).max(1)) };
        // After these two commits, both members have committed, also in the fresh tree. So repeated
        // operations do not change its shape.
        scene.commit_from_first();
        scene.sample(Operation::Process);
        assert_eq!(scene.first.epoch_authenticator(), scene.last.epoch_authenticator());
        scene
    }

    /// Runs the operation once. Returns its time without the preparation and the cleanup.
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

    /// Makes an update of the first member. Returns the time of its confirmation.
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

impl<M: PublishesGroupInfo> MeasuredGroup<M> {
    /// Makes all later commits include a group info.
    pub fn publish_group_info(&mut self) {
        self.first.publish_group_info();
    }
}

/// Never inlined, because the bench `instructions` counts the instructions of this function.
#[inline(never)]
pub fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = act();
    (start.elapsed(), value)
}

/// Returns the name of the member of a leaf.
pub fn name(leaf: usize) -> String {
    format!("member{leaf}")
}

/// Adds all members in one commit. Returns their key packages.
fn add_all<M: BenchmarkMember>(first: &mut M, last: &mut M, size: usize) -> Vec<Vec<u8>> {
    let mut others: Vec<_> = (1..size - 1).map(|leaf| EngineMember::new(&name(leaf)).key_package()).collect();
    others.push(last.key_package());
    let commit = first.add(&others);
    last.join(M::welcome(&commit));
    first.confirm(commit);
    others
}

/// Lets each member join by external commit. Such a commit has a path, so each member has committed
/// once. Only the first member has to process the commits of the others.
fn commit_all<M: BenchmarkMember>(first: &mut M, last: &mut M, size: usize) -> Vec<Vec<u8>> {
    let mut info = first.group_info();
    for leaf in 1..size - 1 {
        let (commit, next) = EngineMember::new(&name(leaf)).commit_from_outside(&info);
        first.receive(&commit);
        info = next;
    }
    first.receive(&last.join_external(&info));
    Vec::new()
}
