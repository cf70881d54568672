//! The actions of steps.

use std::time::Duration;

use super::{Answer, Expect, KeyPackageChange, ServiceFault, TheftScope, ThiefAction};
use crate::scenario::{
    name::{BackupId, CompromiseId, GroupName, MemberName, MessageId, UserName},
    network::{ClockChange, NetworkChange},
};

/// The size of a message's plaintext, in bytes, if its `send` gives neither `size` nor `text`.
pub const DEFAULT_MESSAGE_SIZE: u32 = 32;

/// The action of a step. A list of members contains each member once, and is only empty if its
/// field says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An action in a group that the step names.
    InGroup {
        /// The name of the group.
        group: GroupName,
        /// The action, which may be [`Named`](Self::Named). It is in no other group.
        action: Box<Action>,
    },
    /// An action whose commit or proposals have a name, for the delivery rules.
    Named {
        /// The name of the commit and its welcome, or of each proposal.
        id: MessageId,
        /// The action, which is not named itself.
        action: Box<Action>,
    },
    /// Creates the group, and adds members in one commit.
    Create {
        /// The creator.
        by: MemberName,
        /// The added members; may be empty.
        with: Vec<MemberName>,
    },
    /// Adds members in one commit.
    Add {
        /// The committer.
        by: MemberName,
        /// The added members.
        who: Vec<MemberName>,
    },
    /// Removes members in one commit.
    Remove {
        /// The committer.
        by: MemberName,
        /// The removed members.
        who: Vec<MemberName>,
    },
    /// Adds all devices of a user that are not in the group, in one commit.
    AddUser {
        /// The committer.
        by: MemberName,
        /// The added user.
        who: UserName,
    },
    /// Removes all devices of a user from the group, in one commit.
    RemoveUser {
        /// The committer.
        by: MemberName,
        /// The removed user.
        who: UserName,
    },
    /// A device adds another device of its user to all of its groups.
    LinkDevice {
        /// The device that is in the groups.
        by: MemberName,
        /// The new device.
        who: MemberName,
    },
    /// A device is removed from the delivery service, and from all groups.
    LostDevice {
        /// The device that reports the loss.
        by: MemberName,
        /// The lost device.
        who: MemberName,
    },
    /// A commit with a fresh path.
    Update {
        /// The committer.
        by: MemberName,
        /// True if the leaf also gets a new signature key.
        signature_key: bool,
    },
    /// Each member proposes its own removal. The next commit of another member carries it out.
    Leave {
        /// The members that leave.
        who: Vec<MemberName>,
    },
    /// A proposal by reference.
    Propose {
        /// The proposer.
        by: MemberName,
        /// The proposed change.
        what: Proposal,
    },
    /// A commit that sets the group data.
    SetData {
        /// The committer.
        by: MemberName,
        /// The new data.
        data: String,
    },
    /// Commits the waiting proposals.
    Commit {
        /// The committer.
        by: MemberName,
    },
    /// External commits of devices that are not members, one after the other.
    Join {
        /// The devices that join.
        who: Vec<MemberName>,
    },
    /// External commits that replace the members' own lost leaves, one after the other.
    Rejoin {
        /// The members that have lost their state.
        who: Vec<MemberName>,
    },
    /// An application message.
    Send {
        /// The sender.
        by: MemberName,
        /// The id of the message.
        id: MessageId,
        /// The plaintext of the message.
        body: MessageBody,
    },
    /// The members are offline from this step on.
    Offline {
        /// The members that go offline.
        who: Vec<MemberName>,
    },
    /// The members are online again, and catch up.
    Online {
        /// The members that come online.
        who: Vec<MemberName>,
    },
    /// Changes the key packages at the delivery service.
    KeyPackages {
        /// The members that own the key packages.
        who: Vec<MemberName>,
        /// The change.
        change: KeyPackageChange,
    },
    /// Holds deliveries of a message back.
    Hold(Delivery),
    /// Releases held deliveries.
    Release(Delivery),
    /// Drops deliveries of a message.
    Drop(Delivery),
    /// Delivers a message twice.
    Duplicate(Delivery),
    /// Arms a crash. The member's next operation that reaches this point crashes there, and the
    /// member's process starts again. If no operation reaches the point until the end, the scenario
    /// fails.
    Crash {
        /// The member whose process crashes.
        who: MemberName,
        /// The point at which it crashes.
        at: CrashPoint,
    },
    /// A thief steals a device, or its files.
    Compromise {
        /// The member whose device is stolen.
        who: MemberName,
        /// The id of the theft, for expectations.
        id: CompromiseId,
        /// The stolen part of the device.
        scope: TheftScope,
    },
    /// A thief acts in the name of the device that it stole.
    Impersonate {
        /// The theft that gave the thief its snapshot.
        compromise: CompromiseId,
        /// The thief's action.
        act: ThiefAction,
        /// The id of the thief's message. Only a message can have an id, and it need not have one.
        id: Option<MessageId>,
    },
    /// Changes the members' connections to the delivery service.
    Network(NetworkChange),
    /// Changes the clocks of devices.
    Clock {
        /// The members whose devices have the clocks.
        who: Vec<MemberName>,
        /// The change.
        change: ClockChange,
    },
    /// A fault or a lie of the delivery service, or its end.
    Service(ServiceFault),
    /// Members compare their latest receipts and their epoch authenticators, without the service.
    Compare {
        /// The members; at least two.
        who: Vec<MemberName>,
    },
    /// The members' devices erase all secrets from memory. They do nothing until they are unlocked.
    Lock {
        /// The members whose devices are locked.
        who: Vec<MemberName>,
    },
    /// The members give the keys of their devices again.
    Unlock {
        /// The members whose devices are unlocked.
        who: Vec<MemberName>,
        /// True if the given key is wrong.
        wrong_key: bool,
    },
    /// A device makes a backup.
    Backup {
        /// The member whose device makes it.
        who: MemberName,
        /// The id of the backup.
        id: BackupId,
    },
    /// A device becomes the restored device of a backup, and comes into the groups of the backup.
    Restore {
        /// The member whose device is restored.
        who: MemberName,
        /// The backup of another device of the same user.
        from: BackupId,
        /// True if the given passphrase is wrong.
        wrong_passphrase: bool,
    },
    /// Two members compare their safety numbers, and mark each other as verified if these are equal.
    Verify {
        /// One of the members.
        by: MemberName,
        /// The members with which it compares, one after the other.
        who: Vec<MemberName>,
    },
    /// The applications of members change their answer about keys of other members.
    Authenticate {
        /// The members whose applications answer.
        who: Vec<MemberName>,
        /// The members to which the keys belong.
        of: Vec<MemberName>,
        /// The answer about keys that are new to the device.
        answer: Answer,
    },
    /// The members do the work that is due by their policies.
    Upkeep {
        /// The members. Those that cannot act do nothing.
        who: Vec<MemberName>,
    },
    /// Virtual time passes: whole seconds, at least one.
    Wait(Duration),
    /// Fails the scenario if an expectation does not hold here.
    Expect(Box<Expect>),
}

/// The change that a `propose` proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// One Add proposal for each member.
    Add(Vec<MemberName>),
    /// One Remove proposal for each member.
    Remove(Vec<MemberName>),
    /// An Update of the proposer's own leaf.
    Update,
}

/// The plaintext of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageBody {
    /// This number of bytes, drawn from the seed.
    Size(u32),
    /// This text.
    Text(String),
}

/// Deliveries of one message or handshake that have not happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message or handshake; a later step may send it.
    pub id: MessageId,
    /// The receivers; all members if not set.
    pub to: Option<Vec<MemberName>>,
}

/// The point at which a process crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// The operation is prepared and stored, and nothing has been sent.
    BeforeSubmit,
    /// The delivery service has answered, and the device has not read the answer.
    AfterSubmit,
    /// The device has read the answer, and has not applied it.
    BeforeConfirm,
    /// The batch of storage writes that applies the answer has not been finished.
    DuringWrite,
}

impl Action {
    /// The action, with a name for its commit or proposals if there is one.
    #[must_use]
    pub fn named(self, id: Option<MessageId>) -> Self {
        match id {
            Some(id) => Self::Named { id, action: Box::new(self) },
            None => self,
        }
    }

    /// The action in a group, if the step names one.
    #[must_use]
    pub fn in_group(self, group: Option<GroupName>) -> Self {
        match group {
            Some(group) => Self::InGroup { group, action: Box::new(self) },
            None => self,
        }
    }

    /// The action in the same group as another one, and with the same name of its handshakes.
    pub(crate) fn like(self, other: &Self) -> Self {
        let (group, id, _) = other.parts();
        self.named(id.cloned()).in_group(group.cloned())
    }

    /// The parts of the action: the group that the step names, the name of its commit or proposals,
    /// and the action itself.
    #[must_use]
    pub fn parts(&self) -> (Option<&GroupName>, Option<&MessageId>, &Self) {
        let (group, action) = match self {
            Self::InGroup { group, action } => (Some(group), &**action),
            other => (None, other),
        };
        match action {
            Self::Named { id, action } => (group, Some(id), action),
            other => (group, None, other),
        }
    }

    /// The action without its group, and without the name of its commit or proposals.
    #[must_use]
    pub fn unnamed(&self) -> &Self {
        self.parts().2
    }

    /// The name of the action's commit or proposals.
    #[must_use]
    pub fn handshake_id(&self) -> Option<&MessageId> {
        self.parts().1
    }

    /// The group of the action: the one that the step names, or the default one.
    #[must_use]
    pub fn group(&self) -> GroupName {
        self.parts().0.cloned().unwrap_or_default()
    }

    /// The expectations, if the action is an `expect`.
    #[must_use]
    pub fn expect(&self) -> Option<&Expect> {
        match self.unnamed() {
            Self::Expect(expect) => Some(expect),
            _ => None,
        }
    }

    /// The ids that the action gives to messages and handshakes.
    pub(crate) fn message_ids(&self) -> impl Iterator<Item = &MessageId> {
        let (_, handshake, action) = self.parts();
        let message = match action {
            Self::Send { id, .. } | Self::Impersonate { id: Some(id), .. } => Some(id),
            _ => None,
        };
        handshake.into_iter().chain(message)
    }

    /// The name of the step in a file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InGroup { action, .. } | Self::Named { action, .. } => action.name(),
            Self::Create { .. } => "create",
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::AddUser { .. } => "add_user",
            Self::RemoveUser { .. } => "remove_user",
            Self::LinkDevice { .. } => "link_device",
            Self::LostDevice { .. } => "lost_device",
            Self::Update { .. } => "update",
            Self::Leave { .. } => "leave",
            Self::Propose { .. } => "propose",
            Self::SetData { .. } => "set_data",
            Self::Commit { .. } => "commit",
            Self::Join { .. } => "join",
            Self::Rejoin { .. } => "rejoin",
            Self::Send { .. } => "send",
            Self::Offline { .. } => "offline",
            Self::Online { .. } => "online",
            Self::KeyPackages { .. } => "key_packages",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Drop(_) => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Crash { .. } => "crash",
            Self::Compromise { .. } => "compromise",
            Self::Impersonate { .. } => "impersonate",
            Self::Network(_) => "network",
            Self::Clock { .. } => "clock",
            Self::Service(_) => "service",
            Self::Compare { .. } => "compare",
            Self::Lock { .. } => "lock",
            Self::Unlock { .. } => "unlock",
            Self::Backup { .. } => "backup",
            Self::Restore { .. } => "restore",
            Self::Verify { .. } => "verify",
            Self::Authenticate { .. } => "authenticate",
            Self::Upkeep { .. } => "upkeep",
            Self::Wait(_) => "wait",
            Self::Expect(_) => "expect",
        }
    }

    /// True if the cost model can carry the step out.
    #[must_use]
    pub fn has_model(&self) -> bool {
        match self {
            Self::InGroup { group, action } => *group == GroupName::default() && action.has_model(),
            Self::Named { action, .. } => action.has_model(),
            Self::Network(_)
            | Self::Clock { .. }
            | Self::Hold(_)
            | Self::Release(_)
            | Self::Drop(_)
            | Self::Duplicate(_)
            | Self::AddUser { .. }
            | Self::RemoveUser { .. }
            | Self::LinkDevice { .. }
            | Self::LostDevice { .. }
            | Self::Crash { .. }
            | Self::Compromise { .. }
            | Self::Impersonate { .. }
            | Self::Service(_)
            | Self::Compare { .. }
            | Self::SetData { .. }
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::Backup { .. }
            | Self::Restore { .. }
            | Self::Verify { .. }
            | Self::Authenticate { .. }
            | Self::Upkeep { .. } => false,
            Self::KeyPackages { change, .. } => *change == KeyPackageChange::RENEWAL,
            Self::Expect(expect) => expect.has_model(),
            _ => true,
        }
    }

    /// The members that submit something to an existing group in this step. Empty for every other
    /// step.
    #[must_use]
    pub fn submitters(&self) -> &[MemberName] {
        match self {
            Self::InGroup { action, .. } | Self::Named { action, .. } => action.submitters(),
            Self::Add { by, .. }
            | Self::Remove { by, .. }
            | Self::AddUser { by, .. }
            | Self::RemoveUser { by, .. }
            | Self::Update { by, .. }
            | Self::Propose { by, .. }
            | Self::SetData { by, .. }
            | Self::Commit { by }
            | Self::Send { by, .. } => std::slice::from_ref(by),
            Self::Leave { who } | Self::Join { who } | Self::Rejoin { who } => who,
            _ => &[],
        }
    }

    /// True if an `expect` with `fails` can follow the step.
    #[must_use]
    pub fn can_fail(&self) -> bool {
        let of_all_groups =
            matches!(self.unnamed(), Self::Create { .. } | Self::LinkDevice { .. } | Self::LostDevice { .. });
        let of_a_device = matches!(
            self.unnamed(),
            Self::Unlock { .. } | Self::Verify { .. } | Self::Backup { .. } | Self::Restore { .. }
        );
        of_all_groups || of_a_device || !self.submitters().is_empty()
    }

    /// True if the action may be a part of a `race`: it submits something to the group, for one
    /// member.
    #[must_use]
    pub fn can_race(&self) -> bool {
        self.submitters().len() == 1
    }
}
