//! Records the costs of each entry of the service's log, if the user or an `expect` asks for them.
//!
//! A device makes an entry before the service orders it. Until then the recorder keeps the counts
//! of the making by the hash of the message. An entry that loses a race is never ordered, so its
//! counts appear nowhere. The counts of an engine call are those after its last crash.

use std::collections::BTreeMap;

use regrow_delivery_service::{DeliveryKind, Sequence};
use regrow_engine::{DeviceId, GroupId, Member, MessageId, PendingCommit};

use super::service_under_test::WrittenBytes;
use crate::{
    cost::{
        ChangeCounts, Contention, ContentionFigures, CostCounts, EntryBytes, EntryCost, EntryKind, ServiceBytes,
        TreeShape, public_tree::PublicTree, update_path::update_path_bytes,
    },
    scenario::{GroupName, MemberName},
};

/// The costs so far.
#[derive(Default)]
pub(super) struct CostRecorder {
    /// True if the user or an `expect` asks for the costs of entries. The contention is always recorded.
    active: bool,
    /// The counts and changes of messages that a device has made, and that are not ordered yet.
    made: BTreeMap<MessageId, (CostCounts, ChangeCounts)>,
    entries: Vec<EntryCost>,
    /// The index of each ordered commit, by its hash.
    commits: BTreeMap<MessageId, usize>,
    groups: BTreeMap<GroupId, CostsOfGroup>,
}

/// The costs of one group so far.
#[derive(Default)]
struct CostsOfGroup {
    /// The index of each handshake, by the sequence of its entry. A welcome is directly after its
    /// commit.
    by_sequence: BTreeMap<Sequence, usize>,
    /// The tree of the present epoch, as soon as a device has entered it.
    tree: Option<TreeShape>,
    /// The last ordered commit, until a device has entered its epoch.
    awaited: Option<AwaitedTree>,
    /// The bytes of the handshakes and welcomes that the service delivered.
    delivered: u64,
    contention: Contention,
}

/// A commit whose tree is not known yet.
struct AwaitedTree {
    group: GroupName,
    entry: usize,
    /// The epoch that the commit begins.
    epoch: u64,
    committer: DeviceId,
    /// The devices that the commit adds.
    added: Vec<DeviceId>,
}

/// The moment and the sender of an ordered entry.
pub(super) struct OrderedBy<'a> {
    pub(super) group: GroupName,
    /// The virtual seconds since the scenario began.
    pub(super) time: u64,
    pub(super) who: &'a MemberName,
    pub(super) device: &'a DeviceId,
    pub(super) number: usize,
    /// The bytes that the service has written, if they are known.
    pub(super) written: Option<WrittenBytes>,
}

/// The part of a device in the delivery of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryRole {
    /// The device processed the handshake of another device.
    Receiver,
    /// The device joined by a welcome.
    Joiner,
    /// The device entered the epoch of its own commit.
    Committer,
    /// The device processed nothing: the entry was an echo, or the device ignored or refused it.
    Bystander,
}

/// The delivery of one entry to one device.
#[derive(Clone, Copy)]
pub(super) struct DeliveryCost {
    pub(super) role: DeliveryRole,
    pub(super) bytes: u64,
    pub(super) counts: CostCounts,
}

impl CostRecorder {
    /// Records the entries from now on.
    pub(super) fn activate(&mut self) {
        self.active = true;
    }

    /// True if the entries are recorded.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// The entries so far, in the order of the log.
    pub(super) fn entries(&self) -> &[EntryCost] {
        &self.entries
    }

    /// The bytes of the handshakes and welcomes of a group that the service has delivered so far.
    pub(super) fn delivered_bytes(&self, group: &GroupId) -> u64 {
        self.groups.get(group).map_or(0, |costs| costs.delivered)
    }

    /// Takes the entries, in the order of the log.
    pub(super) fn take(&mut self) -> Vec<EntryCost> {
        std::mem::take(&mut self.entries)
    }

    /// A device has made a message in one engine call. A known message keeps its counts: a device
    /// that takes up its pending commit again makes nothing.
    pub(super) fn made(&mut self, message: &[u8], counts: CostCounts, changes: ChangeCounts) {
        self.made.entry(MessageId::of(message)).or_insert((counts, changes));
    }

    /// The service has created a group.
    pub(super) fn group_created(&mut self, group: &GroupId, by: &OrderedBy<'_>, group_info: &[u8]) {
        let made = self.made.remove(&MessageId::of(group_info));
        if !self.active {
            return;
        }
        let size = group_info.len() as u64;
        self.await_tree(
            group,
            AwaitedTree {
                group: by.group.clone(),
                entry: self.entries.len(),
                epoch: 0,
                committer: by.device.clone(),
                added: Vec::new(),
            },
        );
        self.entries.push(EntryCost {
            bytes: EntryBytes { group_info: Some(size), ..EntryBytes::default() },
            service: uploaded(size, by.written.map(|written| written.others)),
            committer: made.map(|(counts, _)| counts),
            ..by.entry(0, 0, EntryKind::Create)
        });
    }

    /// The service has ordered a proposal.
    pub(super) fn proposal_ordered(
        &mut self,
        group: &GroupId,
        by: &OrderedBy<'_>,
        sequence: Sequence,
        epoch: u64,
        proposal: &[u8],
    ) {
        let costs = self.groups.entry(group.clone()).or_default();
        costs.contention.proposed(by.time);
        let made = self.made.remove(&MessageId::of(proposal));
        if !self.active {
            return;
        }
        let size = proposal.len() as u64;
        costs.by_sequence.insert(sequence, self.entries.len());
        self.entries.push(EntryCost {
            changes: made.map(|(_, changes)| changes),
            tree: costs.tree,
            bytes: EntryBytes { proposal: Some(size), ..EntryBytes::default() },
            service: uploaded(size, by.written.map(|written| written.others)),
            committer: made.map(|(counts, _)| counts),
            ..by.entry(sequence.0, epoch, EntryKind::Proposal)
        });
    }

    /// The service has ordered a commit, with its welcome.
    pub(super) fn commit_ordered(&mut self, by: &OrderedBy<'_>, sequence: Sequence, pending: &PendingCommit) {
        let (id, entry) = (MessageId::of(pending.commit()), self.entries.len());
        let made = self.made.remove(&id);
        let epoch = pending.epoch().0;
        let costs = self.groups.entry(pending.group().clone()).or_default();
        costs.contention.ordered(by.number, by.time);
        if !self.active {
            return;
        }
        self.commits.insert(id, entry);
        costs.by_sequence.insert(sequence, entry);
        self.await_tree(
            pending.group(),
            AwaitedTree {
                group: by.group.clone(),
                entry,
                epoch: epoch + 1,
                committer: by.device.clone(),
                added: pending.added().cloned().collect(),
            },
        );
        let bytes = EntryBytes {
            commit: Some(pending.commit().len() as u64),
            update_path: update_path_bytes(pending.commit()),
            group_info: pending.group_info().map(|info| info.len() as u64),
            ..EntryBytes::default()
        };
        let size = pending.commit().len() as u64 + bytes.group_info.unwrap_or_default();
        let kind = if pending.is_external() { EntryKind::ExternalCommit } else { EntryKind::Commit };
        self.entries.push(EntryCost {
            changes: Some(ChangeCounts::of(pending.changes())),
            bytes,
            service: uploaded(size, by.written.map(|written| written.others)),
            committer: made.map(|(counts, _)| counts),
            ..by.entry(sequence.0, epoch, kind)
        });
        if let Some(welcome) = pending.welcome() {
            let size = welcome.len() as u64;
            self.entries.push(EntryCost {
                bytes: EntryBytes { welcome: Some(size), ..EntryBytes::default() },
                service: uploaded(size, by.written.map(|written| written.welcomes)),
                ..by.entry(sequence.0, epoch + 1, EntryKind::Welcome)
            });
        }
    }

    /// A device has submitted a commit whose epoch was over.
    pub(super) fn lost(&mut self, device: usize, now: u64, pending: &PendingCommit) {
        let beside = [pending.welcome(), pending.group_info()].into_iter().flatten();
        let bytes = pending.commit().len() + beside.map(<[u8]>::len).sum::<usize>();
        let made = self.made.remove(&MessageId::of(pending.commit()));
        let made = made.map(|(counts, _)| counts).unwrap_or_default();
        self.groups.entry(pending.group().clone()).or_default().contention.lost(device, now, bytes as u64, made);
    }

    /// The intent behind a lost commit of a device in a group is void.
    pub(super) fn void(&mut self, group: &GroupId, device: usize) {
        if let Some(costs) = self.groups.get_mut(group) {
            costs.contention.void(device);
        }
    }

    /// The contention in all groups so far.
    pub(super) fn contention(&self) -> ContentionFigures {
        let mut all = Contention::default();
        self.groups.values().for_each(|costs| all.pool(&costs.contention));
        all.figures()
    }

    /// A device has confirmed its own commit.
    pub(super) fn confirmed(&mut self, commit: &[u8], counts: CostCounts) {
        if self.active
            && let Some(entry) = self.commits.get(&MessageId::of(commit))
        {
            self.entries[*entry].add_to_committer(counts);
        }
    }

    /// The service has delivered an entry to a device.
    pub(super) fn delivered(
        &mut self,
        group: &GroupId,
        sequence: Sequence,
        kind: DeliveryKind,
        delivery: DeliveryCost,
    ) {
        let Some(costs) = self.groups.get_mut(group) else { return };
        let Some(handshake) = costs.by_sequence.get(&sequence).copied() else { return };
        let index = if kind == DeliveryKind::Welcome { handshake + 1 } else { handshake };
        let Some(entry) = self.entries.get_mut(index) else { return };
        let DeliveryCost { role, bytes, counts } = delivery;
        costs.delivered += bytes;
        entry.service.deliveries += 1;
        entry.service.delivered += bytes;
        if entry.kind == EntryKind::Welcome {
            entry.bytes.welcome_for_one = entry.bytes.welcome_for_one.max(Some(bytes));
        }
        match role {
            DeliveryRole::Receiver => entry.receivers.add(counts),
            DeliveryRole::Joiner => entry.joiners.add(counts),
            DeliveryRole::Committer => entry.add_to_committer(counts),
            DeliveryRole::Bystander => {}
        }
    }

    fn await_tree(&mut self, group: &GroupId, awaited: AwaitedTree) {
        let costs = self.groups.entry(group.clone()).or_default();
        costs.tree = None;
        costs.awaited = Some(awaited);
    }

    /// True if the tree of this epoch of a group is not known yet.
    pub(super) fn wants_tree(&self, group: &GroupId, epoch: u64) -> bool {
        let awaited = self.groups.get(group).and_then(|costs| costs.awaited.as_ref());
        awaited.is_some_and(|awaited| awaited.epoch == epoch)
    }

    /// Records the tree and the members of the awaited epoch of a group. False if the bytes are no
    /// tree.
    #[must_use]
    pub(super) fn tree(&mut self, group: &GroupId, bytes: &[u8], members: &[Member]) -> bool {
        let Some(tree) = PublicTree::read(bytes) else { return false };
        let Some(costs) = self.groups.get_mut(group) else { return true };
        let Some(awaited) = costs.awaited.take() else { return true };
        let leaf_of =
            |device: &DeviceId| members.iter().find(|member| member.device == *device).map(|member| member.leaf_index);
        costs.tree = Some(tree.shape());
        let since = self.entries[awaited.entry..].iter_mut();
        for entry in since.filter(|entry| entry.group == awaited.group) {
            entry.tree = costs.tree;
            if matches!(entry.kind, EntryKind::Commit | EntryKind::ExternalCommit) {
                let added = awaited.added.iter().filter_map(leaf_of).collect();
                entry.path = leaf_of(&awaited.committer).map(|leaf| tree.path(leaf, &added));
            }
        }
        true
    }
}

impl OrderedBy<'_> {
    /// The entry without its costs.
    fn entry(&self, sequence: u64, epoch: u64, kind: EntryKind) -> EntryCost {
        EntryCost { group: self.group.clone(), ..EntryCost::new(sequence, epoch, self.time, kind, self.who) }
    }
}

impl EntryCost {
    /// Adds the counts of a further engine call of the device that made the entry. A thief's entry
    /// has no such device.
    fn add_to_committer(&mut self, counts: CostCounts) {
        if let Some(committer) = &mut self.committer {
            *committer += counts;
        }
    }
}

fn uploaded(uploaded: u64, stored: Option<u64>) -> ServiceBytes {
    ServiceBytes { uploaded, stored, ..ServiceBytes::default() }
}
