//! An action as it is run: in one turn of a `repeat`, and with all names written out.

use super::{
    format::{Action, Delivery, Expect, MessageBody, Proposal, ReadingExpectation, VerifiedExpectation},
    name::{BackupId, CompromiseId, EVERYBODY, GroupName, MemberName, MessageId, OTHERS, UserName},
    name_row::NameRow,
    network::NetworkChange,
    turn,
    users::Users,
};

/// The values on which short forms in a step depend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'s> {
    /// The number of the turn, inside of a `repeat`.
    pub(super) number: Option<u32>,
    /// All members of the scenario.
    pub(super) members: &'s [MemberName],
    /// The users that have devices with names.
    pub(super) users: &'s Users<'s>,
}

impl Turn<'_> {
    fn text(self, text: &str) -> String {
        self.number.map_or_else(|| text.to_owned(), |number| turn::at_turn(text, number))
    }

    fn member(self, name: &MemberName) -> MemberName {
        self.number.map_or_else(|| name.clone(), |number| name.at_turn(number))
    }

    fn message(self, id: &MessageId) -> MessageId {
        self.number.map_or_else(|| id.clone(), |number| id.at_turn(number))
    }

    fn user(self, name: &UserName) -> UserName {
        self.number.map_or_else(|| name.clone(), |number| name.at_turn(number))
    }

    fn group(self, name: &GroupName) -> GroupName {
        self.number.map_or_else(|| name.clone(), |number| name.at_turn(number))
    }

    fn compromise(self, id: &CompromiseId) -> CompromiseId {
        self.number.map_or_else(|| id.clone(), |number| id.at_turn(number))
    }

    fn backup(self, id: &BackupId) -> BackupId {
        self.number.map_or_else(|| id.clone(), |number| id.at_turn(number))
    }

    fn messages(self, ids: &[MessageId]) -> Vec<MessageId> {
        if self.number.is_none() {
            return ids.to_vec();
        }
        let ids = ids.iter().map(|id| self.message(id));
        ids.flat_map(|id| names_of(id, MessageId::as_str, MessageId::new)).collect()
    }

    /// The members of a list in a step without an acting member.
    fn members(self, names: &[MemberName]) -> Vec<MemberName> {
        self.listed(names, None)
    }

    /// The members of a list, and the acting member for `others`.
    fn listed(self, names: &[MemberName], by: Option<&MemberName>) -> Vec<MemberName> {
        let mut all = Vec::with_capacity(names.len());
        let mut is_word = false;
        for name in names {
            match name.as_str() {
                EVERYBODY if self.is_no_member(name) => {
                    all.extend_from_slice(self.members);
                    is_word = true;
                }
                OTHERS if by.is_some() && self.is_no_member(name) => {
                    all.extend(self.members.iter().filter(|member| Some(*member) != by).cloned());
                    is_word = true;
                }
                _ if self.number.is_none() => is_word |= self.extend(&mut all, name),
                _ => {
                    for name in names_of(self.member(name), MemberName::as_str, MemberName::new) {
                        is_word |= self.extend(&mut all, &name);
                    }
                }
            }
        }
        if is_word && names.len() > 1 {
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|name| seen.insert(name.clone()));
        }
        all
    }

    /// Adds a device, or all devices of a user. True for a user.
    fn extend(self, all: &mut Vec<MemberName>, name: &MemberName) -> bool {
        let devices = self.users.devices(name.as_str());
        match devices {
            Some(devices) => all.extend(devices.iter().map(|device| (*device).clone())),
            None => all.push(name.clone()),
        }
        devices.is_some()
    }

    /// A member with this name has the name, and the word has no other meaning.
    fn is_no_member(self, name: &MemberName) -> bool {
        !self.members.contains(name)
    }
}

/// The names of a row whose numbers depend on the turn, or the name itself.
fn names_of<T>(name: T, text: impl Fn(&T) -> &str, new: impl Fn(String) -> T) -> Vec<T> {
    let row = match NameRow::read(text(&name)) {
        Some(Ok(row)) => Some(row.names().map(new).collect()),
        _ => None,
    };
    row.unwrap_or_else(|| vec![name])
}

impl Action {
    pub(super) fn at_turn(&self, turn: Turn<'_>) -> Self {
        let one = |name: &MemberName| turn.member(name);
        let all = |names: &[MemberName]| turn.members(names);
        let beside = |by: &MemberName, names: &[MemberName]| turn.listed(names, Some(&one(by)));
        match self {
            Self::InGroup { group, action } => {
                Self::InGroup { group: turn.group(group), action: Box::new(action.at_turn(turn)) }
            }
            Self::Named { id, action } => Self::Named { id: turn.message(id), action: Box::new(action.at_turn(turn)) },
            Self::Create { by, with } => Self::Create { by: one(by), with: beside(by, with) },
            Self::Add { by, who } => Self::Add { by: one(by), who: beside(by, who) },
            Self::Remove { by, who } => Self::Remove { by: one(by), who: beside(by, who) },
            Self::AddUser { by, who } => Self::AddUser { by: one(by), who: turn.user(who) },
            Self::RemoveUser { by, who } => Self::RemoveUser { by: one(by), who: turn.user(who) },
            Self::LinkDevice { by, who } => Self::LinkDevice { by: one(by), who: one(who) },
            Self::LostDevice { by, who } => Self::LostDevice { by: one(by), who: one(who) },
            Self::Update { by, signature_key } => Self::Update { by: one(by), signature_key: *signature_key },
            Self::Leave { who } => Self::Leave { who: all(who) },
            Self::Propose { by, what } => Self::Propose { by: one(by), what: what.at_turn(turn, &one(by)) },
            Self::SetData { by, data } => Self::SetData { by: one(by), data: turn.text(data) },
            Self::Commit { by } => Self::Commit { by: one(by) },
            Self::Join { who } => Self::Join { who: all(who) },
            Self::Rejoin { who } => Self::Rejoin { who: all(who) },
            Self::Send { by, id, body } => Self::Send { by: one(by), id: turn.message(id), body: body.at_turn(turn) },
            Self::Offline { who } => Self::Offline { who: all(who) },
            Self::Online { who } => Self::Online { who: all(who) },
            Self::KeyPackages { who, change } => Self::KeyPackages { who: all(who), change: *change },
            Self::Hold(what) => Self::Hold(what.at_turn(turn)),
            Self::Release(what) => Self::Release(what.at_turn(turn)),
            Self::Drop(what) => Self::Drop(what.at_turn(turn)),
            Self::Duplicate(what) => Self::Duplicate(what.at_turn(turn)),
            Self::Crash { who, at } => Self::Crash { who: one(who), at: *at },
            Self::Compromise { who, id, scope } => {
                Self::Compromise { who: one(who), id: turn.compromise(id), scope: *scope }
            }
            Self::Impersonate { compromise, act, id } => Self::Impersonate {
                compromise: turn.compromise(compromise),
                act: *act,
                id: id.as_ref().map(|id| turn.message(id)),
            },
            Self::Service(fault) => {
                Self::Service(fault.with_names(|names| all(names)).unwrap_or_else(|| fault.clone()))
            }
            Self::Compare { who } => Self::Compare { who: all(who) },
            Self::Lock { who } => Self::Lock { who: all(who) },
            Self::Unlock { who, wrong_key } => Self::Unlock { who: all(who), wrong_key: *wrong_key },
            Self::Backup { who, id } => Self::Backup { who: one(who), id: turn.backup(id) },
            Self::Restore { who, from, wrong_passphrase } => {
                Self::Restore { who: one(who), from: turn.backup(from), wrong_passphrase: *wrong_passphrase }
            }
            Self::Verify { by, who } => Self::Verify { by: one(by), who: beside(by, who) },
            Self::Authenticate { who, of, answer } => {
                Self::Authenticate { who: all(who), of: all(of), answer: *answer }
            }
            Self::Upkeep { who } => Self::Upkeep { who: all(who) },
            Self::Network(change) => Self::Network(change.at_turn(turn)),
            Self::Clock { who, change } => Self::Clock { who: all(who), change: *change },
            Self::Wait(time) => Self::Wait(*time),
            Self::Expect(expect) => Self::Expect(Box::new(expect.at_turn(turn))),
        }
    }
}

impl Proposal {
    fn at_turn(&self, turn: Turn<'_>, by: &MemberName) -> Self {
        match self {
            Self::Add(who) => Self::Add(turn.listed(who, Some(by))),
            Self::Remove(who) => Self::Remove(turn.listed(who, Some(by))),
            Self::Update => Self::Update,
        }
    }
}

impl MessageBody {
    fn at_turn(&self, turn: Turn<'_>) -> Self {
        match self {
            Self::Size(size) => Self::Size(*size),
            Self::Text(text) => Self::Text(turn.text(text)),
        }
    }
}

impl Delivery {
    fn at_turn(&self, turn: Turn<'_>) -> Self {
        Self { id: turn.message(&self.id), to: self.to.as_ref().map(|names| turn.members(names)) }
    }
}

impl NetworkChange {
    fn at_turn(&self, turn: Turn<'_>) -> Self {
        let side = |names: &Vec<MemberName>| turn.members(names);
        let partition = self.partition.as_ref().map(|sides| sides.iter().map(side).collect());
        Self { who: self.who.as_ref().map(side), partition, ..self.clone() }
    }
}

impl Expect {
    fn at_turn(&self, turn: Turn<'_>) -> Self {
        Self {
            epoch: self.epoch,
            members: self.members.as_ref().map(|names| turn.members(names)),
            converged: self.converged,
            reading: self.reading.as_ref().map(|reading| reading.at_turn(turn)),
            evidence: self.evidence.iter().filter_map(|it| it.with_names(|names| turn.members(names))).collect(),
            cut_off: turn.members(&self.cut_off),
            due: self.due.as_ref().and_then(|due| due.with_names(|names| turn.members(names))),
            exactly: self.exactly.as_ref().map(|ids| turn.messages(ids)),
            data: self.data.as_deref().map(|data| turn.text(data)),
            verified: self.verified.as_ref().map(|VerifiedExpectation { by, who }| {
                let by = turn.member(by);
                VerifiedExpectation { who: turn.listed(who, Some(&by)), by }
            }),
            events: self.events.iter().filter_map(|event| event.with_names(|names| turn.members(names))).collect(),
            costs: self.costs.clone(),
            fails: self.fails,
            bound: self.bound,
        }
    }
}

impl ReadingExpectation {
    fn at_turn(&self, turn: Turn<'_>) -> Self {
        let messages = |ids: &[MessageId]| turn.messages(ids);
        match self {
            Self::Member { who, reads, cannot_read } => {
                Self::Member { who: turn.members(who), reads: messages(reads), cannot_read: messages(cannot_read) }
            }
            Self::Thief { compromise, reads, cannot_read, healed, heals_within, accepted, detected } => Self::Thief {
                compromise: turn.compromise(compromise),
                reads: messages(reads),
                cannot_read: messages(cannot_read),
                healed: *healed,
                heals_within: *heals_within,
                accepted: *accepted,
                detected: *detected,
            },
        }
    }
}
