//! Reads an object by its description: notes unknown fields, missing fields and broken rules, and
//! reads each field within its limits.

use std::time::Duration;

use super::{
    super::{
        fields::{At, Fields, FileReader},
        name::{BackupId, CompromiseId, GroupName, MemberName, MessageId, UserName},
        parse::MAX_IDENTIFIER_BYTES,
        word::Word,
    },
    Kind, Object, Presence, Rule,
    object::listed,
};
use crate::churn::{Decimal, Rate};

/// An object of a file with its description. Its unknown and missing fields are noted already.
#[derive(Debug)]
pub(crate) struct Described<'a> {
    fields: Fields<'a>,
    object: &'static Object,
}

impl<'a> FileReader<'a> {
    /// Reads an object by its description.
    pub(crate) fn described(&mut self, at: At<'a>, object: &'static Object) -> Option<Described<'a>> {
        let fields = self.any_object(at)?;
        Some(self.by_description(fields, object))
    }

    /// Notes every field and rule in which an object differs from its description.
    pub(crate) fn by_description(&mut self, fields: Fields<'a>, object: &'static Object) -> Described<'a> {
        self.refuse_others(&fields, &object.names());
        for field in object.fields {
            let is_required = match field.presence {
                Presence::Required => true,
                Presence::Unless(other) => fields.get(other).is_none(),
                Presence::Optional | Presence::Default(_) => false,
            };
            if is_required {
                fields.required(self, field.name);
            }
        }
        for rule in object.rules {
            if let Some((at, problem)) = rule.broken(&fields, object) {
                self.note(&at, problem);
            }
        }
        Described { fields, object }
    }
}

impl Rule {
    /// The place and the problem, if an object breaks the rule.
    fn broken<'a>(&self, fields: &Fields<'a>, object: &Object) -> Option<(At<'a>, String)> {
        let first = |names: &[&str]| names.iter().find_map(|name| fields.get(name));
        let word = |name: &str| Some(fields.get(name)?.json.text()?.unwrap_or_default());
        match *self {
            Self::NotEmpty(problem) => fields
                .iter()
                .next()
                .is_none()
                .then(|| (fields.at().clone(), format!("{problem}; known are {}", object.names().join(", ")))),
            Self::NotAlone(name, problem) => {
                let at = fields.get(name)?;
                let others: Vec<_> = object.names().into_iter().filter(|other| *other != name).collect();
                fields.iter().nth(1).is_none().then(|| (at, format!("{problem}; known are {}", others.join(", "))))
            }
            Self::ExactlyOne(names) => {
                let found = match names.iter().filter(|name| fields.get(name).is_some()).count() {
                    0 => "none",
                    1 => return None,
                    _ => "more than one",
                };
                Some((fields.at().clone(), format!("expected exactly one of {}, found {found}", listed(names, "and"))))
            }
            Self::AtLeastOne(names, problem) => {
                first(names).is_none().then(|| (fields.at().clone(), problem.to_owned()))
            }
            Self::NotBoth(one, other, problem) => {
                fields.get(one)?;
                Some((fields.get(other)?, problem.to_owned()))
            }
            Self::Needs(names, needed, problem) => {
                let at = first(names)?;
                first(needed).is_none().then(|| (at, problem.to_owned()))
            }
            Self::OnlyWith(field, other, only, problem) => {
                let at = fields.get(field)?;
                fields.get(other).filter(|_| word(other).as_deref() != Some(only))?;
                Some((at, problem.to_owned()))
            }
            Self::WordNeeds(field, special, needed, problem) => {
                word(field).filter(|word| word == special)?;
                fields.get(needed).is_none().then_some(())?;
                Some((fields.get(field)?, problem.to_owned()))
            }
            Self::WordExcludes(field, special, excluded, problem) => {
                word(field).filter(|word| word == special)?;
                fields.get(excluded)?;
                Some((fields.get(field)?, problem.to_owned()))
            }
        }
    }
}

impl<'a> Described<'a> {
    /// The object itself.
    pub(crate) fn at(&self) -> &At<'a> {
        self.fields.at()
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<At<'a>> {
        self.fields.get(name)
    }

    /// The only field of an object that has exactly one field, and its name.
    pub(crate) fn only(&self) -> Option<(&'static str, At<'a>)> {
        let mut given = self.object.fields.iter().filter_map(|field| Some((field.name, self.get(field.name)?)));
        let first = given.next()?;
        given.next().is_none().then_some(first)
    }

    /// Reads the name of a member.
    pub(crate) fn member(&self, reader: &mut FileReader<'a>, name: &str) -> Option<MemberName> {
        reader.name(&self.get(name)?).map(MemberName::new)
    }

    /// Reads the name of a user.
    pub(crate) fn user(&self, reader: &mut FileReader<'a>, name: &str) -> Option<UserName> {
        reader.name(&self.get(name)?).map(UserName::new)
    }

    /// Reads the names of members.
    pub(crate) fn members(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Vec<MemberName>> {
        Some(self.names(reader, name)?.into_iter().map(MemberName::new).collect())
    }

    /// Reads the id of a message.
    pub(crate) fn message(&self, reader: &mut FileReader<'a>, name: &str) -> Option<MessageId> {
        reader.name(&self.get(name)?).map(MessageId::new)
    }

    /// Reads the ids of messages.
    pub(crate) fn messages(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Vec<MessageId>> {
        Some(self.names(reader, name)?.into_iter().map(MessageId::new).collect())
    }

    /// Reads the name of a group, in the field `group`. Its bytes become the group's identifier.
    pub(crate) fn group(&self, reader: &mut FileReader<'a>) -> Option<GroupName> {
        let at = self.get("group")?;
        let name = reader.name(&at)?;
        if name.len() > MAX_IDENTIFIER_BYTES {
            reader.note(
                &at,
                format!("the name of a group has at most {MAX_IDENTIFIER_BYTES} bytes, found {}", name.len()),
            );
            return None;
        }
        Some(GroupName::new(name))
    }

    /// Reads the id of a compromise.
    pub(crate) fn compromise(&self, reader: &mut FileReader<'a>, name: &str) -> Option<CompromiseId> {
        reader.name(&self.get(name)?).map(CompromiseId::new)
    }

    /// Reads the id of a backup.
    pub(crate) fn backup(&self, reader: &mut FileReader<'a>, name: &str) -> Option<BackupId> {
        reader.name(&self.get(name)?).map(BackupId::new)
    }

    /// Reads a list of names, each at most once.
    pub(crate) fn name_list(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Vec<String>> {
        let Kind::NameList(least, most) = self.kind(name) else { return None };
        let at = self.get(name)?;
        let Some(elements) = at.elements() else {
            reader.wrong_type(&at, "a list of names");
            return None;
        };
        let (_, names) = reader.distinct(&elements)?;
        if !(least..=most).contains(&names.len()) {
            reader.note(&at, format!("expected {least} to {most} names, found {}", names.len()));
            return None;
        }
        Some(names)
    }

    fn names(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Vec<String>> {
        reader.names(&self.get(name)?, matches!(self.kind(name), Kind::AnyNames))
    }

    /// Reads a text of one line.
    pub(crate) fn line(&self, reader: &mut FileReader<'a>, name: &str) -> Option<String> {
        reader.line(&self.get(name)?)
    }

    /// Reads a text within its limit.
    pub(crate) fn text(&self, reader: &mut FileReader<'a>, name: &str) -> Option<String> {
        let at = self.get(name)?;
        let text = reader.text(&at)?;
        if let Kind::Text(most) = self.kind(name)
            && text.len() > most as usize
        {
            reader.note(&at, format!("this text has at most {most} bytes, found {}", text.len()));
            return None;
        }
        Some(text)
    }

    /// Reads a whole number within its limits.
    pub(crate) fn number(&self, reader: &mut FileReader<'a>, name: &str) -> Option<u64> {
        let (least, most) = self.kind(name).limits();
        reader.number(&self.get(name)?, least, most)
    }

    /// Reads a whole number within its limits, which fit into 32 bits.
    pub(crate) fn small(&self, reader: &mut FileReader<'a>, name: &str) -> Option<u32> {
        self.number(reader, name).and_then(|number| u32::try_from(number).ok())
    }

    /// Reads a decimal number within its limits.
    pub(crate) fn decimal(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Decimal> {
        let (least, most) = match self.kind(name) {
            Kind::Decimal(least, most) => (Decimal::parse(least)?, Decimal::parse(most)?),
            _ => return None,
        };
        reader.decimal(&self.get(name)?, least, most)
    }

    /// Reads true or false.
    pub(crate) fn truth(&self, reader: &mut FileReader<'a>, name: &str) -> Option<bool> {
        reader.truth(&self.get(name)?)
    }

    /// Tells if a field that can only be true is given.
    pub(crate) fn is_true(&self, reader: &mut FileReader<'a>, name: &str) -> bool {
        self.get(name).and_then(|at| reader.just_true(&at)).is_some()
    }

    /// Reads one of the words of a type.
    pub(crate) fn word<T: Word>(&self, reader: &mut FileReader<'a>, name: &str) -> Option<T> {
        reader.word(&self.get(name)?)
    }

    /// Reads a duration.
    pub(crate) fn duration(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Duration> {
        let least = if matches!(self.kind(name), Kind::Instant) { Duration::ZERO } else { Duration::from_secs(1) };
        reader.duration(&self.get(name)?, least)
    }

    /// Reads a rate.
    pub(crate) fn rate(&self, reader: &mut FileReader<'a>, name: &str) -> Option<Rate> {
        reader.rate(&self.get(name)?)
    }

    /// The kind of a field. A field without description has no limits.
    fn kind(&self, name: &str) -> Kind {
        self.object.field(name).map_or(Kind::Number(0, u64::MAX), |field| field.kind)
    }
}
