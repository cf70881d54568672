//! The step `key_packages`: the key packages of members at the delivery service.

use super::{
    super::{
        describe::{Described, Field, Kind, Object, Rule},
        fields::{At, FileReader},
        format::{Action, KeyPackageChange, KeyPackagePublication},
        policy::{MAX_KEY_PACKAGES, key_package_lifetime},
    },
    StepKind,
};

const KEY_PACKAGES: Object = Object::new(&[
    Field::required("who", Kind::AnyNames, "The members that own the key packages."),
    Field::optional(
        "renew",
        Kind::True,
        "True: the new key packages replace all others. The member erases the old private keys as soon as no welcome \
         is on its way to it. Without it, the new ones come in addition.",
    ),
    Field::optional(
        "count",
        Kind::Number(0, MAX_KEY_PACKAGES as u64),
        "The number of new key packages for one use each. Without it, a renewal publishes as many as the policy says. \
         With `renew`, the member keeps this number at the delivery service; otherwise, it keeps this number more.",
    ),
    Field::optional(
        "last_resort",
        Kind::Truth,
        "True: publishes a last-resort key package, in the place of the former one. False: a renewal publishes none. \
         Without it, a renewal replaces the last-resort key package if the member has published one.",
    ),
    Field::optional(
        "lifetime",
        Kind::Duration,
        "The time in which the new key packages can be used, at most 400 days. Without it, the policy's.",
    ),
    Field::optional(
        "withdraw",
        Kind::True,
        "True: withdraws all key packages. The member publishes none until its next step with `count` or `renew`.",
    ),
])
.rules(&[
    Rule::AtLeastOne(
        &["renew", "count", "last_resort", "withdraw"],
        "the change is missing: add `renew`, `count`, `last_resort` or `withdraw`",
    ),
    Rule::NotBoth("withdraw", "renew", "`withdraw` publishes nothing; use `renew` alone to replace all key packages"),
    Rule::NotBoth("withdraw", "count", "`withdraw` publishes nothing; to replace all, use `renew` with `count`"),
    Rule::NotBoth("withdraw", "last_resort", "`withdraw` also withdraws the last-resort key package; leave this out"),
    Rule::NotBoth("withdraw", "lifetime", "`withdraw` publishes nothing that has a lifetime; leave this out"),
]);

pub(super) const STEP: StepKind = StepKind::action(
    "key_packages",
    Kind::Object(&KEY_PACKAGES),
    key_packages,
    "Changes the key packages of these members at the delivery service. They have to be online.",
);

fn key_packages<'a>(reader: &mut FileReader<'a>, at: At<'a>) -> Option<Action> {
    let fields = reader.described(at, &KEY_PACKAGES)?;
    let (renew, withdraw) = (fields.is_true(reader, "renew"), fields.is_true(reader, "withdraw"));
    let (count, last_resort) = (fields.small(reader, "count"), fields.truth(reader, "last_resort"));
    let lifetime = key_package_lifetime(reader, &fields, "lifetime");
    let publication = KeyPackagePublication { renew, count, last_resort, lifetime };
    if !withdraw {
        refuse_contradictions(reader, &fields, publication);
    }
    let change = if withdraw { KeyPackageChange::Withdraw } else { KeyPackageChange::Publish(publication) };
    Some(Action::KeyPackages { who: fields.members(reader, "who")?, change })
}

/// Notes a publication of nothing, and a last-resort key package that would have to disappear.
fn refuse_contradictions<'a>(reader: &mut FileReader<'a>, fields: &Described<'a>, publication: KeyPackagePublication) {
    let KeyPackagePublication { renew, count, last_resort, .. } = publication;
    let problem = match (renew, count, last_resort) {
        (true, Some(0), Some(false)) => Some(("count", "the step publishes nothing; if this is meant, use `withdraw`")),
        (false, _, Some(false)) => Some((
            "last_resort",
            "only a renewal takes the last-resort key package away: add `renew`, or leave `last_resort` out",
        )),
        (false, Some(0), None) => {
            Some(("count", "the step publishes nothing: `count` is at least 1 here, or `last_resort` is true"))
        }
        _ => None,
    };
    if let Some((field, problem)) = problem
        && let Some(at) = fields.get(field)
    {
        reader.note(&at, problem);
    }
}
