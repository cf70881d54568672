//! The description of an object: its fields, and the rules for their combination.

use super::Kind;

/// An object of a scenario file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    /// The meaning of the object, in sentences. Empty for the object of a step, which has its
    /// meaning in the list of steps.
    pub(crate) about: &'static str,
    /// The fields, in the order of the reference.
    pub(crate) fields: &'static [Field],
    /// The rules for their combination.
    pub(crate) rules: &'static [Rule],
    /// The name of the object's own definition in the schema, if several places use the object.
    pub(crate) shared: Option<&'static str>,
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The name in a file.
    pub(crate) name: &'static str,
    /// The kind of the value.
    pub(crate) kind: Kind,
    /// Tells if the field may be left out.
    pub(crate) presence: Presence,
    /// The meaning, in sentences.
    pub(crate) about: &'static str,
}

/// Tells if a field may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The field is always given.
    Required,
    /// The field is given, except if this other field is given.
    Unless(&'static str),
    /// The field may be left out.
    Optional,
    /// The field may be left out, and then has this value.
    Default(&'static str),
}

/// A rule for the combination of fields. The last text of a rule is the problem of a file that
/// breaks it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// At least one field is given. The problem ends with the names of all fields.
    NotEmpty(&'static str),
    /// This field is given together with another one. The problem ends with the names of the others.
    NotAlone(&'static str, &'static str),
    /// Exactly one of these fields is given.
    ExactlyOne(&'static [&'static str]),
    /// At least one of these fields is given.
    AtLeastOne(&'static [&'static str], &'static str),
    /// These two fields are not given together.
    NotBoth(&'static str, &'static str, &'static str),
    /// If one of the first fields is given, so is at least one of the second ones.
    Needs(&'static [&'static str], &'static [&'static str], &'static str),
    /// If the first field is given, the second one is this word or left out.
    OnlyWith(&'static str, &'static str, &'static str, &'static str),
    /// If the first field is this word, the second field is given.
    WordNeeds(&'static str, &'static str, &'static str, &'static str),
    /// If the first field is this word, the second field is left out.
    WordExcludes(&'static str, &'static str, &'static str, &'static str),
}

impl Object {
    /// An object with these fields, and without rules.
    pub(crate) const fn new(fields: &'static [Field]) -> Self {
        Self { about: "", fields, rules: &[], shared: None }
    }

    /// Adds the meaning.
    pub(crate) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Adds the rules.
    pub(crate) const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }

    /// Gives the object its own definition in the schema.
    pub(crate) const fn shared(mut self, name: &'static str) -> Self {
        self.shared = Some(name);
        self
    }

    /// The field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.fields.iter().map(|field| field.name).collect()
    }

    /// The object in the error of a wrong type: its fields, the required ones first.
    pub(super) fn expected(&self) -> String {
        let is_required = |field: &&Field| field.presence == Presence::Required;
        let names = |fields: Vec<&Field>, last| {
            let names: Vec<_> = fields.into_iter().map(|field| field.name).collect();
            listed(&names, last)
        };
        let (required, optional): (Vec<_>, Vec<_>) = self.fields.iter().partition(is_required);
        match (required.is_empty(), optional.is_empty()) {
            (true, _) => format!("an object with some of {}", names(optional, "and")),
            (false, true) => format!("an object with {}", names(required, "and")),
            (false, false) => {
                format!("an object with {}, and optionally {}", names(required, "and"), names(optional, "or"))
            }
        }
    }

    /// The meaning of the object, and its rules as sentences after it.
    pub(super) fn meaning(&self, about: &str) -> String {
        let sentences = std::iter::once(about.to_owned()).chain(self.rules.iter().map(|rule| rule.sentence()));
        sentences.filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl Field {
    /// A field that is always given.
    pub(crate) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, about }
    }

    /// A field that is given, except if this other field is given.
    pub(crate) const fn unless(other: &'static str, name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, presence: Presence::Unless(other), about }
    }

    /// A field that may be left out.
    pub(crate) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional, about }
    }

    /// A field that may be left out, and then has this value.
    pub(crate) const fn with_default(
        default: &'static str,
        name: &'static str,
        kind: Kind,
        about: &'static str,
    ) -> Self {
        Self { name, kind, presence: Presence::Default(default), about }
    }
}

impl Rule {
    /// The rule as a sentence of the reference.
    fn sentence(&self) -> String {
        match self {
            Self::NotEmpty(_) => "At least one field is given.".to_owned(),
            Self::NotAlone(name, _) => format!("`{name}` needs another field."),
            Self::ExactlyOne(names) => format!("Exactly one of {} is given.", listed(names, "and")),
            Self::AtLeastOne(names, _) => format!("At least one of {} is given.", listed(names, "and")),
            Self::NotBoth(one, other, _) => format!("`{one}` and `{other}` exclude each other."),
            Self::Needs(fields, needed, _) => {
                let verb = if fields.len() == 1 { "needs" } else { "need" };
                format!("{} {verb} {}.", listed(fields, "and"), listed(needed, "or"))
            }
            Self::OnlyWith(field, other, word, _) => format!("`{field}` needs the {other} `{word}`."),
            Self::WordNeeds(field, word, needed, _) => format!("The {field} `{word}` needs `{needed}`."),
            Self::WordExcludes(field, word, other, _) => format!("The {field} `{word}` excludes `{other}`."),
        }
    }
}

/// Names as a part of a sentence: `a`, `b` and `c`.
pub(super) fn listed(names: &[&str], last: &str) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., end] => format!("{} {last} {end}", all.join(", ")),
    }
}
