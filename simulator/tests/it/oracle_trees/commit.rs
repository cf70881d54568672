//! Commits of real clients. The walk makes them, tells the oracle, and orders some of them.

use regrow_engine::{Change, Client, DeviceId, Error, GroupId, PendingCommit};
use regrow_simulator::oracle::{Commit, CommitId, DeviceNumber, Fact, KeyPackageId};

use super::{
    step::CommitEnding,
    walk::{LogEntry, Made, NOW, Ordered, Walk},
};

impl Walk {
    pub fn add(&mut self, by: usize, who: &[usize], last_resort: bool) -> Option<Made> {
        let (adds, bytes): (Vec<_>, Vec<_>) = who
            .iter()
            .map(|who| {
                let (id, bytes) = self.key_package(*who, last_resort);
                ((*who, id), bytes)
            })
            .unzip();
        self.prepare(by, &adds, |client, group| client.group(group)?.add(&bytes, NOW))
    }

    /// Makes a commit, if there is anything to commit.
    pub fn prepare(
        &mut self,
        by: usize,
        adds: &[(usize, KeyPackageId)],
        make: impl FnOnce(&mut Client, &GroupId) -> Result<PendingCommit, Error>,
    ) -> Option<Made> {
        self.players[by].crypto.0.take_sealed();
        let pending = match make(&mut self.players[by].client, &self.group) {
            Ok(pending) => pending,
            Err(Error::NothingToCommit) => return None,
            Err(error) => panic!("{error}"),
        };
        let id = CommitId(self.number());
        let what = self.describe(&pending, adds);
        self.epochs.insert(id, what.epoch + 1);
        let slot = if what.external { &mut self.players[by].joining } else { &mut self.players[by].pending };
        *slot = Some((id, pending.clone()));
        self.tell(Fact::Prepared { by: DeviceNumber(by), commit: id, what });
        self.compare_path(by, id);
        self.compare(by);
        Some((id, pending))
    }

    /// The effects of the commit, in the form that the oracle needs.
    pub fn describe(&self, pending: &PendingCommit, own: &[(usize, KeyPackageId)]) -> Commit {
        let mut what = Commit { epoch: pending.epoch().0, external: pending.is_external(), ..Commit::default() };
        let index = |device: &DeviceId| device.user().as_str()[1..].parse::<usize>().unwrap();
        let proposed = || {
            self.log.iter().filter_map(|entry| match entry {
                LogEntry::Proposal { by, epoch, what, .. } if *epoch == self.epoch => Some((*by, *what)),
                _ => None,
            })
        };
        for change in pending.changes() {
            match change {
                Change::Added(_) if what.external => {}
                Change::Added(device) => {
                    let who = index(device);
                    let by_reference = proposed().find_map(|(_, it)| match it {
                        Ordered::Add(added, key_package) if added == who => Some(key_package),
                        _ => None,
                    });
                    let by_value = || own.iter().find(|(added, _)| *added == who).map(|(_, key_package)| *key_package);
                    what.adds.push((DeviceNumber(who), by_reference.or_else(by_value).unwrap()));
                }
                Change::Removed(device) => what.removes.push(DeviceNumber(index(device))),
                Change::Updated(device) => {
                    let who = index(device);
                    let mut latest = proposed().filter_map(|(by, it)| match it {
                        Ordered::Update(proposal) if by == who => Some(proposal),
                        _ => None,
                    });
                    what.updates.push((DeviceNumber(who), latest.next_back().unwrap()));
                }
                Change::Data(_) => panic!("nobody sets data"),
            }
        }
        what
    }

    /// Brings a device's last commit to its end, if there was anything to commit.
    pub fn meet(&mut self, by: usize, made: Option<Made>, ending: CommitEnding) {
        let Some(made) = made else { return };
        match ending {
            CommitEnding::Confirmed => {
                self.submit(by, made.clone());
                self.players[by].client.confirm(made.1, NOW).unwrap();
                self.entered(by, made.0);
            }
            CommitEnding::Ordered => self.submit(by, made),
            CommitEnding::Waits => {}
            CommitEnding::Discarded => self.discard(by, made),
        }
    }

    /// The service accepts the commit. If its epoch is over, the device discards it.
    pub fn submit(&mut self, by: usize, (id, pending): Made) {
        if pending.epoch().0 != self.epoch {
            return self.discard(by, (id, pending));
        }
        let index = |device: &DeviceId| device.user().as_str()[1..].parse::<usize>().unwrap();
        pending.removed().for_each(|device| {
            self.roster.remove(&index(device));
        });
        let added: Vec<usize> = pending.added().map(index).collect();
        self.roster.extend(&added);
        self.group_info = pending.group_info().unwrap().to_vec();
        self.order(LogEntry::Commit {
            id,
            by,
            epoch: self.epoch,
            bytes: pending.commit().to_vec(),
            adds: added,
            welcome: pending.welcome().map(<[u8]>::to_vec),
        });
        self.epoch += 1;
        self.tell(Fact::Ordered { commit: id });
    }

    /// A device is in the epoch that a commit makes. Its own commit for the old epoch is gone.
    pub fn entered(&mut self, who: usize, id: CommitId) {
        let player = &mut self.players[who];
        if player.joining.as_ref().is_some_and(|(joining, _)| *joining == id) {
            player.joining = None;
        }
        player.pending = None;
        // The device's intents are given up here.
        if let Ok(mut group) = player.client.group(&self.group) {
            group.abandon().unwrap();
        }
        self.tell(Fact::Entered { who: DeviceNumber(who), commit: id });
    }

    pub fn discard(&mut self, by: usize, (id, pending): Made) {
        let player = &mut self.players[by];
        if pending.is_external() {
            player.joining = None;
            player.client.discard(pending).unwrap();
        } else {
            player.pending = None;
            player.client.discard(pending).unwrap();
            player.client.group(&self.group).unwrap().abandon().unwrap();
        }
        self.tell(Fact::Discarded { by: DeviceNumber(by), commit: id });
    }
}
