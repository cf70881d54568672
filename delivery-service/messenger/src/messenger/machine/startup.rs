//! The machine's start from the device's store, and its erasure from memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use regrow_engine::{Client, GroupId};

use super::state::Machine;
use crate::{
    error::Error,
    messenger::{
        app_data::{self, Changes},
        event::Rejoin,
        group::MessengerGroup,
        key_package_lane::KeyPackageLane,
        lane::Lanes,
        list_lane::ListLane,
        options::Options,
        service_clock::ServiceClock,
    },
    receipt::ServicePublicKey,
    retry::Retry,
};

impl Machine {
    /// The machine of a registered device, as an earlier process has left it.
    pub(in crate::messenger) fn new(
        client: Client,
        service: ServicePublicKey,
        options: Options,
        retry: Retry,
    ) -> Result<Self, Error> {
        let mut machine = Self {
            groups: BTreeMap::new(),
            busy: BTreeSet::new(),
            cursor: app_data::cursor(&client)?,
            fetched: VecDeque::new(),
            welcome_tree: None,
            tree_failures: 0,
            events: VecDeque::new(),
            unsettled: true,
            to_acknowledge: None,
            key_packages: KeyPackageLane::new(&client)?,
            lists: ListLane::new(&client)?,
            lanes: Lanes::default(),
            clock: ServiceClock::default(),
            service_answered: false,
            upkeep_at: Duration::ZERO,
            cut_off: false,
            client,
            service,
            options,
            retry,
        };
        machine.take_up()?;
        Ok(machine)
    }

    /// Loads the state again, after [`erase`](Self::erase).
    pub(in crate::messenger) fn reload(&mut self) -> Result<(), Error> {
        self.key_packages = KeyPackageLane::new(&self.client)?;
        self.lists = ListLane::new(&self.client)?;
        self.cursor = app_data::cursor(&self.client)?;
        self.unsettled = true;
        self.take_up()
    }

    /// Erases from memory all that can be loaded again, texts above all.
    pub(in crate::messenger) fn erase(&mut self) {
        self.groups.clear();
        self.busy.clear();
        self.fetched.clear();
        self.events.clear();
        self.welcome_tree = None;
    }

    /// Looks at all groups in the next pass: the engine has found that the device's state is old.
    pub(in crate::messenger) fn look_at_all_groups(&mut self) {
        self.busy = self.groups.keys().cloned().collect();
    }

    /// Takes up the work of an earlier process.
    fn take_up(&mut self) -> Result<(), Error> {
        for (id, record) in app_data::groups(&self.client)? {
            let damaged = record.is_err();
            self.groups.insert(id.clone(), MessengerGroup::load(record.unwrap_or_default()));
            if damaged {
                self.rejoin(&id, Rejoin::Failed);
                self.save(&[&id], Changes::default())?;
            }
        }
        for id in self.client.groups_to_rejoin()? {
            _ = self.group(&id).begin_rejoin(Rejoin::Restored);
        }
        self.take_up_engine_groups()?;
        let known: BTreeSet<GroupId> = self.groups.keys().cloned().collect();
        for received in self.client.unacknowledged()? {
            self.report_received(received)?;
        }
        // A group that was dropped since gets no record again.
        self.groups.retain(|id, _| known.contains(id));
        self.look_at_all_groups();
        Ok(())
    }

    fn take_up_engine_groups(&mut self) -> Result<(), Error> {
        let now = self.monotonic();
        for id in self.client.groups()? {
            let known = self.groups.contains_key(&id);
            if !known && self.is_alone_at_the_beginning(&id)? {
                // The earlier process died after the engine had made the group.
                let info = self.client.group(&id)?.group_info()?;
                self.group(&id).resume_creation(info);
            }
            let group = self.group(&id);
            (group.resume_due, group.roster_unchecked, group.first_proposal_at) = (true, true, Some(now));
        }
        Ok(())
    }

    fn is_alone_at_the_beginning(&mut self, id: &GroupId) -> Result<bool, Error> {
        let mut group = self.client.group(id)?;
        Ok(group.epoch()?.0 == 0 && group.pending()?.is_none() && group.roster()?.len() == 1)
    }
}
