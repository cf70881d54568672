//! Steps in the life of a device beside the group: locks, backups, comparisons, and answers of the
//! application.

use super::{
    super::{
        describe::{Field, Kind, Object, words},
        fields::{At, FileReader},
        format::{Action, Answer},
        name::MemberName,
    },
    StepKind,
    membership::IN_GROUP,
};

const LOCK: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members whose devices are locked.")]);

const UNLOCK: Object = Object::new(&[
    Field::required("who", Kind::AnyNames, "The members whose devices are unlocked."),
    Field::optional("wrong_key", Kind::True, "The given key is wrong: the step fails with `wrong_key`."),
]);

const BACKUP: Object = Object::new(&[
    Field::required("who", Kind::Name, "The member whose device makes the backup."),
    Field::required("id", Kind::Name, "The backup's name in other steps."),
]);

const RESTORE: Object = Object::new(&[
    Field::required("who", Kind::Name, "Another device of the same user, which has been in no group."),
    Field::required("from", Kind::Name, "The backup."),
    Field::optional("wrong_passphrase", Kind::True, "The given passphrase is wrong: the step fails with `wrong_key`."),
]);

const VERIFY: Object = Object::new(&[
    Field::required("by", Kind::Name, "One of the members."),
    Field::required("who", Kind::AnyNames, "The members with which it compares, one after the other."),
    IN_GROUP,
]);

const AUTHENTICATE: Object = Object::new(&[
    Field::required("who", Kind::AnyNames, "The members whose applications answer."),
    Field::required("of", Kind::AnyNames, "The members to which the keys belong."),
    Field::required(
        "answer",
        Kind::Word(words::<Answer>),
        "The answer about keys that are new to the device. Every application accepts at the beginning.",
    ),
]);

const UPKEEP: Object = Object::new(&[Field::required("who", Kind::AnyNames, "The members."), IN_GROUP]);

pub(super) const STEPS: &[StepKind] = &[
    StepKind::action(
        "lock",
        Kind::Object(&LOCK),
        |reader, at| Some(Action::Lock { who: who(reader, at, &LOCK)? }),
        "Locks the devices of these members: no secret stays in memory. A locked device does nothing and receives \
         nothing, and a thief finds only its sealed files.",
    ),
    StepKind::action("unlock", Kind::Object(&UNLOCK), unlock, "Unlocks the devices of these members. They catch up."),
    StepKind::action(
        "backup",
        Kind::Object(&BACKUP),
        backup,
        "The device of this member seals its list of groups and of verified users under a passphrase. A backup has no \
         key of a group.",
    ),
    StepKind::action(
        "restore",
        Kind::Object(&RESTORE),
        restore,
        "Makes a new device from a backup. In each group of the backup it joins by external commit, and then removes \
         the device that made the backup.",
    ),
    StepKind::action(
        "verify",
        Kind::Object(&VERIFY),
        verify,
        "Two members meet and compare their safety numbers. Each marks the other as verified if the numbers are \
         equal. Otherwise the step fails with `mismatch`.",
    ),
    StepKind::action(
        "authenticate",
        Kind::Object(&AUTHENTICATE),
        authenticate,
        "The applications of these members accept or refuse the keys of other members from now on.",
    ),
    StepKind::action(
        "upkeep",
        Kind::Object(&UPKEEP),
        upkeep,
        "Each of these members, one after the other, does the work that is due by its policy: it removes inactive \
         members, and replaces its keys. A member that is not connected or not in the group does nothing.",
    ),
];

fn who<'a>(reader: &mut FileReader<'a>, at: At<'a>, object: &'static Object) -> Option<Vec<MemberName>> {
    reader.described(at, object)?.members(reader, "who")
}

fn unlock<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &UNLOCK)?;
    let wrong_key = fields.is_true(reader, "wrong_key");
    Some(Action::Unlock { who: fields.members(reader, "who")?, wrong_key })
}

fn backup<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &BACKUP)?;
    let (who, id) = (fields.member(reader, "who"), fields.backup(reader, "id"));
    Some(Action::Backup { who: who?, id: id? })
}

fn restore<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &RESTORE)?;
    let (who, from) = (fields.member(reader, "who"), fields.backup(reader, "from"));
    let wrong_passphrase = fields.is_true(reader, "wrong_passphrase");
    Some(Action::Restore { who: who?, from: from?, wrong_passphrase })
}

fn verify<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &VERIFY)?;
    let (by, who) = (fields.member(reader, "by"), fields.members(reader, "who"));
    let group = fields.group(reader);
    Some(Action::Verify { by: by?, who: who? }.in_group(group))
}

fn authenticate<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &AUTHENTICATE)?;
    let (who, of) = (fields.members(reader, "who"), fields.members(reader, "of"));
    let answer = fields.word(reader, "answer");
    Some(Action::Authenticate { who: who?, of: of?, answer: answer? })
}

fn upkeep<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &UPKEEP)?;
    let (who, group) = (fields.members(reader, "who"), fields.group(reader));
    Some(Action::Upkeep { who: who? }.in_group(group))
}
