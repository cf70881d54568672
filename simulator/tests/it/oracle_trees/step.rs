//! The steps of a walk, and their execution by real clients.

use std::collections::BTreeSet;

use regrow_engine::{Client, Error, GroupId, PendingCommit};
use regrow_simulator::oracle::{DeviceNumber, Fact, KeyPair, ProposalId, ProposalKind};

use super::walk::{LogEntry, MUCH_LATER, NOW, Ordered, Player, Walk, pick};

/// One step. The numbers of members are taken modulo the number of possible members.
#[derive(Clone, Copy, Debug)]
pub enum WalkStep {
    Update {
        by: u8,
        ending: CommitEnding,
    },
    Add {
        by: u8,
        two: bool,
        last_resort: bool,
        ending: CommitEnding,
    },
    Remove {
        by: u8,
        who: u8,
        ending: CommitEnding,
    },
    Commit {
        by: u8,
        ending: CommitEnding,
    },
    Race {
        first: u8,
        second: u8,
        removal: bool,
    },
    ProposeAdd {
        by: u8,
        last_resort: bool,
    },
    ProposeRemove {
        by: u8,
        who: u8,
    },
    ProposeUpdate {
        by: u8,
        lost: bool,
    },
    Leave {
        by: u8,
    },
    Join {
        who: u8,
        ending: CommitEnding,
    },
    Rejoin {
        who: u8,
        forget: bool,
        ending: CommitEnding,
    },
    /// Submits a waiting commit.
    Submit {
        by: u8,
    },
    /// Sends this number of messages. Each message may be lost, or held back or dropped for some
    /// members.
    Send {
        by: u8,
        count: u8,
        lost: u8,
        held_by: u32,
        dropped_by: u32,
    },
    /// Delivers the messages that were held back.
    Release {
        by: u8,
    },
    /// The device gets entries only while it is awake.
    Sleep {
        who: u8,
    },
    Wake {
        who: u8,
    },
    Expire {
        who: u8,
    },
    Steal {
        who: u8,
    },
}

/// The end of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitEnding {
    /// The commit is ordered, and its committer confirms it at once.
    Confirmed,
    /// The commit is ordered, and its committer sees it in the log.
    Ordered,
    /// The commit waits.
    Waits,
    /// The commit is discarded.
    Discarded,
}

/// The settings of a walk.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub members: usize,
    pub past_epochs: usize,
    pub out_of_order: u32,
    pub opaque: bool,
}

impl Walk {
    /// Does a step, if it is possible, and delivers the entries that can be delivered.
    pub fn step(&mut self, step: WalkStep) {
        if self.act(step).is_some() {
            self.deliver();
        }
    }

    /// Does a step. [`None`] if it is not possible now.
    fn act(&mut self, step: WalkStep) -> Option<()> {
        match step {
            WalkStep::Update { by, ending } => {
                self.commit(by, ending, |client, group| client.group(group)?.update())?
            }
            WalkStep::Add { by, two, last_resort, ending } => self.add_outsiders(by, two, last_resort, ending)?,
            WalkStep::Remove { by, who, ending } => {
                let by = self.ready(by)?;
                let device = self.id(self.other(by, who)?);
                let made = self.prepare(by, &[], |client, group| client.group(group)?.remove(&[device]));
                self.meet(by, made, ending);
            }
            WalkStep::Commit { by, ending } => {
                self.commit(by, ending, |client, group| client.group(group)?.commit())?
            }
            WalkStep::Race { first, second, removal } => self.race(first, second, removal),
            WalkStep::ProposeAdd { by, last_resort } => self.propose_outsider(by, last_resort)?,
            WalkStep::ProposeRemove { by, who } => {
                let by = self.ready(by)?;
                let device = self.id(self.other(by, who)?);
                self.propose(by, Ordered::Other, false, |client, group| client.group(group)?.propose_remove(&device));
            }
            WalkStep::ProposeUpdate { by, lost } => {
                let by = self.ready(by)?;
                let update = Ordered::Update(ProposalId(self.numbers + 1));
                self.propose(by, update, lost, |client, group| client.group(group)?.propose_update());
            }
            WalkStep::Leave { by } => {
                let by = self.ready(by)?;
                self.propose(by, Ordered::Other, false, |client, group| client.group(group)?.leave());
            }
            WalkStep::Join { who, ending } => {
                let who = pick(&self.outsiders(), who)?;
                self.catch_up(who);
                self.join(who, ending);
            }
            WalkStep::Rejoin { who, forget, ending } => self.rejoin(who, forget, ending)?,
            WalkStep::Submit { by } => {
                let by = self.player(by);
                let Player { pending, joining, .. } = &self.players[by];
                let made = joining.clone().or_else(|| pending.clone())?;
                self.submit(by, made);
            }
            WalkStep::Send { by, count, lost, held_by, dropped_by } => {
                for turn in 0..count {
                    let set = |mask: u32| (mask >> (8 * u32::from(turn) % 32)) as u8;
                    self.send(by, lost >> turn & 1 == 1, set(held_by), set(dropped_by));
                }
            }
            WalkStep::Steal { who } => self.steal(self.player(who)),
            WalkStep::Release { by } => {
                let by = self.player(by);
                for entry in std::mem::take(&mut self.players[by].held).into_iter().rev() {
                    self.read(by, entry);
                }
            }
            WalkStep::Sleep { who } => self.set_asleep(who, true),
            WalkStep::Wake { who } => self.set_asleep(who, false),
            WalkStep::Expire { who } => self.expire(self.player(who)),
        }
        Some(())
    }

    /// The player with this number, modulo their count.
    fn player(&self, number: u8) -> usize {
        number as usize % self.players.len()
    }

    fn set_asleep(&mut self, who: u8, asleep: bool) {
        let who = self.player(who);
        self.players[who].asleep = asleep;
    }

    fn commit(
        &mut self,
        by: u8,
        ending: CommitEnding,
        make: impl FnOnce(&mut Client, &GroupId) -> Result<PendingCommit, Error>,
    ) -> Option<()> {
        let by = self.ready(by)?;
        let made = self.prepare(by, &[], make);
        self.meet(by, made, ending);
        Some(())
    }

    fn add_outsiders(&mut self, by: u8, two: bool, last_resort: bool, ending: CommitEnding) -> Option<()> {
        let by = self.ready(by)?;
        let proposed = self.proposed_adds();
        let mut outside = self.outsiders().into_iter().filter(|who| !proposed.contains(who));
        let who: Vec<usize> = outside.by_ref().take(if two { 2 } else { 1 }).collect();
        if !who.is_empty() {
            let made = self.add(by, &who, last_resort);
            self.meet(by, made, ending);
        }
        Some(())
    }

    fn propose_outsider(&mut self, by: u8, last_resort: bool) -> Option<()> {
        let by = self.ready(by)?;
        let proposed = self.proposed_adds();
        let who = self.outsiders().into_iter().find(|who| !proposed.contains(who))?;
        let (id, bytes) = self.key_package(who, last_resort);
        self.propose(by, Ordered::Add(who, id), false, |client, group| client.group(group)?.propose_add(&bytes, NOW));
        Some(())
    }

    fn rejoin(&mut self, who: u8, forget: bool, ending: CommitEnding) -> Option<()> {
        let members: Vec<usize> = self.roster.iter().copied().collect();
        let who = pick(&members, who)?;
        if forget {
            let group = self.group.clone();
            let player = &mut self.players[who];
            player.client.forget(&group).unwrap();
            (player.pending, player.joining) = (None, None);
            self.tell(Fact::Forgot { who: DeviceNumber(who) });
        }
        self.join(who, ending);
        Some(())
    }

    /// Erases the player's key packages, because they have expired.
    fn expire(&mut self, who: usize) {
        self.players[who].client.expire(MUCH_LATER).unwrap();
        self.players[who].last_resort = None;
        for key in self.oracle.holdings(DeviceNumber(who)).private_keys() {
            if let KeyPair::Init(key_package) = *key {
                self.tell(Fact::KeyPackageErased { of: DeviceNumber(who), key_package });
            }
        }
    }

    /// Two members commit in the same epoch. Only the first commit is accepted.
    pub fn race(&mut self, first: u8, second: u8, removal: bool) {
        let (Some(first), Some(second)) = (self.ready(first), self.ready(second)) else { return };
        if first == second {
            return;
        }
        let removed = self.id(first);
        let winner = self.prepare(first, &[], |client, group| client.group(group)?.update());
        let loser = self.prepare(second, &[], |client, group| match removal {
            true => client.group(group)?.remove(&[removed]),
            false => client.group(group)?.update(),
        });
        self.meet(first, winner, CommitEnding::Ordered);
        self.meet(second, loser, CommitEnding::Ordered);
    }

    pub fn propose(
        &mut self,
        by: usize,
        what: Ordered,
        lost: bool,
        make: impl FnOnce(&mut Client, &GroupId) -> Result<regrow_engine::ProposalMessage, Error>,
    ) {
        let message = make(&mut self.players[by].client, &self.group).unwrap();
        let proposal = ProposalId(self.number());
        let kind = if matches!(what, Ordered::Update(_)) { ProposalKind::Update } else { ProposalKind::Other };
        self.tell(Fact::Proposed { by: DeviceNumber(by), proposal, what: kind });
        self.compare(by);
        if !lost {
            self.order(LogEntry::Proposal {
                id: proposal,
                by,
                epoch: self.epoch,
                bytes: message.as_bytes().to_vec(),
                what,
            });
        }
    }

    /// The devices that the proposals of this epoch add.
    pub fn proposed_adds(&self) -> BTreeSet<usize> {
        let added = self.log.iter().filter_map(|entry| match entry {
            LogEntry::Proposal { epoch, what: Ordered::Add(who, _), .. } if *epoch == self.epoch => Some(*who),
            _ => None,
        });
        added.collect()
    }

    pub fn join(&mut self, who: usize, ending: CommitEnding) {
        let group_info = self.group_info.clone();
        let made = self.prepare(who, &[], |client, _| client.join_external(&group_info));
        self.meet(who, made, ending);
    }
}
