//! Writes the policies of devices, the changes of their key packages, and the expectation about due
//! work.

use std::{fmt, time::Duration};

use super::{LineFields, duration, service::names, text};
use crate::scenario::{
    MemberName,
    format::{DueExpectation, KeyPackageChange, KeyPackagePublication, Limit, MemberPolicy, PolicySettings},
    policy::NEVER,
    word::word,
};

/// Adds the settings that are given.
pub(super) fn settings(fields: &mut LineFields, policy: &PolicySettings) {
    let PolicySettings { past_epochs, past_epoch_age, out_of_order, max_forward, padding, .. } = *policy;
    let PolicySettings { key_package_lifetime, key_packages, publish_group_info, send_ratchet_tree, .. } = *policy;
    let PolicySettings { rotate_after_messages, rotate_after, .. } = *policy;
    let PolicySettings { rotate_signature_key_every, remove_inactive_after, .. } = *policy;
    given(fields, "past_epochs", past_epochs);
    given(fields, "past_epoch_age", past_epoch_age.map(time_limit));
    given(fields, "out_of_order", out_of_order);
    given(fields, "max_forward", max_forward);
    given(fields, "padding", padding);
    given(fields, "key_package_lifetime", key_package_lifetime.map(|time| text(&duration(time))));
    given(fields, "key_packages", key_packages);
    given(fields, "publish_group_info", publish_group_info);
    given(fields, "send_ratchet_tree", send_ratchet_tree);
    given(fields, "rotate_after_messages", rotate_after_messages.map(number_limit));
    given(fields, "rotate_after", rotate_after.map(time_limit));
    given(fields, "rotate_signature_key_every", rotate_signature_key_every.map(number_limit));
    given(fields, "remove_inactive_after", remove_inactive_after.map(time_limit));
    given(fields, "lock_after", policy.lock_after.map(time_limit));
}

/// The own policies of members, each on a line.
pub(super) fn policies(policies: &[MemberPolicy]) -> String {
    let lines = policies.iter().map(|MemberPolicy { who, policy }| {
        let mut fields = LineFields::default();
        names(&mut fields, "who", who);
        settings(&mut fields, policy);
        format!("    {}", fields.object())
    });
    format!("[\n{}\n  ]", lines.collect::<Vec<_>>().join(",\n"))
}

/// A change of key packages.
pub(super) fn key_packages(fields: &mut LineFields, who: &[MemberName], change: KeyPackageChange) {
    fields.names("who", who.iter().map(|name| name.as_str()));
    match change {
        KeyPackageChange::Withdraw => fields.add("withdraw", true),
        KeyPackageChange::Publish(KeyPackagePublication { renew, count, last_resort, lifetime }) => {
            given(fields, "renew", renew.then_some(true));
            given(fields, "count", count);
            given(fields, "last_resort", last_resort);
            given(fields, "lifetime", lifetime.map(|time| text(&duration(time))));
        }
    }
}

/// The due work that is expected.
pub(super) fn due(fields: &mut LineFields, due: &DueExpectation) {
    let mut inner = LineFields::default();
    let DueExpectation { who, rotation, inactive, key_packages } = due;
    names(&mut inner, "who", who);
    given(&mut inner, "rotation", rotation.map(|rotation| text(word(rotation))));
    if let Some(inactive) = inactive {
        names(&mut inner, "inactive", inactive);
    }
    given(&mut inner, "key_packages", *key_packages);
    fields.add("due", inner.object());
}

fn given(fields: &mut LineFields, name: &str, value: Option<impl fmt::Display>) {
    if let Some(value) = value {
        fields.add(name, value);
    }
}

fn time_limit(limit: Limit<Duration>) -> String {
    match limit {
        Limit::Never => text(NEVER),
        Limit::At(time) => text(&duration(time)),
    }
}

fn number_limit(limit: Limit<u32>) -> String {
    match limit {
        Limit::Never => text(NEVER),
        Limit::At(number) => number.to_string(),
    }
}
