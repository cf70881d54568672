//! Makes backups of devices, and restores other devices from them.
//!
//! A restored device is a new device with a new signature key. It joins each group of its backup by
//! external commit. The engine then has the intent to remove the former device, and the device takes
//! it up when the world [settles](World::settle).
//!
//! The archive of a backup belongs to the application, and is empty here.

use std::{collections::BTreeMap, sync::Arc};

use regrow_engine::{Backup, Client, CryptoProvider, DeviceId, GroupId, MemoryStore, Policy};

use super::{
    event::{TranscriptEvent, fingerprint, of_group},
    state::World,
    step_failure::StepFailure,
    submission::Submission,
};
use crate::{
    adversary::StolenState,
    report::Failure,
    scenario::{BackupId, CompromiseId, FailCode, MemberName},
};

/// The passphrase of every backup.
const PASSPHRASE: &str = "correct horse battery staple";

/// A passphrase that opens no backup.
const WRONG_PASSPHRASE: &str = "incorrect horse battery staple";

/// All backups of a run, and the devices that were restored from them.
#[derive(Default)]
pub(super) struct Backups {
    made: BTreeMap<BackupId, Vec<u8>>,
    /// The latest backup of each device.
    latest: BTreeMap<usize, BackupId>,
    restored: Vec<Restored>,
}

/// A restored device.
struct Restored {
    device: usize,
    /// The device of the backup.
    former: usize,
    groups: Vec<GroupId>,
}

impl World<'_> {
    /// Has a device make a backup. It needs no connection.
    pub(super) fn back_up(&mut self, who: &MemberName, id: &BackupId) -> Result<(), StepFailure> {
        let device = self.devices.find(who)?;
        if self.devices[device].is_lost {
            return Err(StepFailure::new(FailCode::Removed, format!("{who} was lost, and makes no backup")));
        }
        let backup = self.devices[device].client.backup(&[], PASSPHRASE)?;
        let (bytes, sha256) = (backup.len(), fingerprint(&backup));
        self.recorder.tell(TranscriptEvent::BackedUp { who: who.clone(), id: id.clone(), bytes, sha256 });
        self.backups.made.insert(id.clone(), backup);
        self.backups.latest.insert(device, id.clone());
        Ok(())
    }

    /// The state of a thief that has the latest backup of a device and its passphrase. The thief
    /// restores a device on its own machine. All content of the backup is in the records of this
    /// device. The thief does not join a group with it: a scenario has the step `restore` for that.
    pub(super) fn steal_backup(
        &self,
        device: usize,
        thief: &CompromiseId,
        crypto: Arc<dyn CryptoProvider>,
        policy: Policy,
    ) -> Result<StolenState, StepFailure> {
        let latest = self.backups.latest.get(&device).and_then(|id| self.backups.made.get(id));
        let none = || StepFailure::rejected(format!("{} has made no backup", self.devices[device].name));
        let backup = Backup::open(latest.ok_or_else(none)?, PASSPHRASE)?;
        let name = DeviceId::of(backup.device().user().clone(), &format!("the thief of {thief}"));
        let name = name.map_err(StepFailure::broken)?;
        let restored = Client::restore(Arc::new(MemoryStore::new()), crypto, name, policy, &backup)?;
        Ok(StolenState::Backup(restored.snapshot()?))
    }

    /// Restores a device from a backup of another device, and brings it into the groups of the backup.
    /// A group that the device cannot join does not keep it from the others.
    pub(super) fn restore(&mut self, who: &MemberName, from: &BackupId, wrong: bool) -> Result<(), StepFailure> {
        let device = self.devices.find(who)?;
        self.refuse_if_offline(device)?;
        self.refuse_if_ever_in_a_group(device)?;
        self.ask(device)?;
        let made = self.backups.made.get(from);
        let made = made.ok_or_else(|| StepFailure::rejected(format!("the backup {from} could not be made")))?;
        let backup = Backup::open(made, if wrong { WRONG_PASSPHRASE } else { PASSPHRASE })?;
        let former = self.devices.index_of(backup.device());
        let former = former.ok_or_else(|| StepFailure::broken(format!("{} is no device", backup.device())))?;
        self.devices[device].restore(&backup, &mut self.recorder)?;
        let groups: Vec<_> = backup.groups().cloned().collect();
        self.recorder.facts.emptied(device);
        let event = TranscriptEvent::Restored { who: who.clone(), from: from.clone(), groups: groups.len() };
        self.recorder.tell(event);
        self.backups.restored.push(Restored { device, former, groups: groups.clone() });
        self.key_packages.renew_later(device);
        if self.devices[device].client.groups_to_rejoin()? != groups {
            return Err(StepFailure::broken(format!("{who} does not know the groups of the backup {from}")));
        }
        let mut failed = None;
        for group in groups {
            if let Err(failure) = self.come_back(&group, device) {
                let of_group = of_group(self.service.label(&group).as_ref());
                failed.get_or_insert(StepFailure::new(failure.code, failure.detail + &of_group));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Joins a group of the backup by external commit.
    fn come_back(&mut self, group: &GroupId, device: usize) -> Result<(), StepFailure> {
        let user = self.devices[device].name.user();
        let members = self.service.roster(group);
        if !members.iter().any(|member| self.devices[*member].name.user() == user) {
            let detail = format!("since the backup, {user} was removed with all devices");
            return Err(StepFailure::new(FailCode::Removed, detail));
        }
        let pending = self.make_external_commit(group, device)?;
        self.devices[device].naming = None;
        self.carry_through(device, Submission::Commit(pending))
    }

    /// A device gets all groups from its backup, so it has no past of its own.
    fn refuse_if_ever_in_a_group(&self, device: usize) -> Result<(), StepFailure> {
        let name = &self.devices[device].name;
        if self.service.groups.keys().any(|group| self.service.roster(group).contains(&device)) {
            let detail = format!("{name} is in a group; restore the backup to a device that has been in none");
            return Err(StepFailure::new(FailCode::AlreadyAMember, detail));
        }
        if self.service.groups.values().any(|group| group.rosters.iter().any(|roster| roster.contains(&device))) {
            let detail = format!("{name} was in a group before; restore the backup to a device that has been in none");
            return Err(StepFailure::rejected(detail));
        }
        Ok(())
    }

    /// Former devices that their restored devices have not removed from a group.
    pub(super) fn former_devices_left(&self) -> Vec<Failure> {
        if self.service.endpoint.is_disk_full() {
            return Vec::new();
        }
        let mut failures = Vec::new();
        for Restored { device, former, groups } in &self.backups.restored {
            let restored = &self.devices[*device];
            let groups = groups.iter().filter(|group| restored.keeps_up(group) && !restored.is_locked_out(group));
            for (id, group) in groups.filter_map(|id| Some((id, self.service.groups.get(id)?))) {
                // A member may have added the former device again since.
                let is_alone = group.rosters.iter().any(|roster| roster.contains(device) && !roster.contains(former));
                if group.roster().contains(device) && !is_alone {
                    let (name, former) = (&restored.name, &self.devices[*former].name);
                    let of_group = of_group(self.service.label(id).as_ref());
                    let expected = format!("{name} removes {former}, the device of its backup{of_group}");
                    let failure = self.recorder.failure(expected, format!("{former} has stayed a member"));
                    failures.push(failure.about_member(name).about_member(former));
                }
            }
        }
        failures
    }
}
