//! The fields of an `expect` about due work, verified members, group data and the delivery service.

use std::time::Duration;

use regrow_engine::Policy;

use super::{costs, events as told_events, expectation::last_lines, located::Located, story::Story, terms::Terms};
use crate::{
    report::{
        ExpectField,
        record::{StepEvent, StepEventKind},
    },
    scenario::{DueExpectation, Evidence, Limit, MemberName, write_duration},
};

/// The meaning of the field, and the events of the run that decide it. One paragraph each.
pub(super) fn words(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>, field: ExpectField) -> Vec<String> {
    match field {
        ExpectField::Converged => Vec::new(),
        ExpectField::Costs(figure) => costs::words(terms, figure),
        ExpectField::Event(event) => told_events::words(event, located.expect()),
        ExpectField::Data => vec![
            format!(
                "`data` asks for the application's data of the group. A `set_data` step changes them by a {}, so all \
                 members of one {} have the same data.",
                terms.word("commit"),
                terms.word("epoch")
            ),
            "A member that has not followed the commit still has the older data.".to_owned(),
        ],
        ExpectField::CutOff => vec![
            format!(
                "`cut_off` says that the {} keeps the member from following the group: it withholds entries, or shows \
                 another history.",
                terms.word("delivery service")
            ),
            "It holds only after a `service` step with such a lie, and only until the member has followed again."
                .to_owned(),
        ],
        ExpectField::Verified => verified(story, located),
        ExpectField::Due => {
            let due = located.expect().and_then(|expect| expect.due.as_ref());
            let who = located.failure.subject.members.first();
            due.zip(who).map(|(due, who)| due_work(story, due, who)).unwrap_or_default()
        }
        ExpectField::Evidence(what) => evidence(story, terms, located, what),
    }
}

fn verified(story: &Story<'_>, located: &Located<'_>) -> Vec<String> {
    let mut words = vec![
        "`verified` asks for the users that a member has verified: exactly these. A `verify` step compares the safety \
         numbers of two users, and verifies both if the numbers are equal."
            .to_owned(),
        "A safety number stands for the keys of two users. A new signature key or a new device changes it. \
         Then the user is not verified any more, until a new `verify` step."
            .to_owned(),
    ];
    words.extend(events(story, located, "The comparisons so far:", |event| {
        event.kind == StepEventKind::Device && event.text.contains("safety number")
    }));
    words
}

/// The rule of each part of `due` that the `expect` asks for.
fn due_work(story: &Story<'_>, due: &DueExpectation, who: &MemberName) -> Vec<String> {
    let (settings, defaults) = (story.scenario.policy_of(who), Policy::default());
    let seconds = |setting: Option<Limit<Duration>>, default: Option<u64>| match setting {
        Some(Limit::Never) => None,
        Some(Limit::At(time)) => Some(write_duration(time)),
        None => default.map(|seconds| write_duration(Duration::from_secs(seconds))),
    };
    let mut words = vec![format!("`due` asks for the work that the policy of {who} wants now.")];
    if due.rotation.is_some() {
        let age = seconds(settings.rotate_after, defaults.rotate_after.map(Into::into));
        let messages = match settings.rotate_after_messages {
            Some(Limit::Never) => None,
            Some(Limit::At(count)) => Some(count),
            None => defaults.rotate_after_messages.map(Into::into),
        };
        let age = age.map(|age| format!("its keys in the group are {age} old (`rotate_after`)"));
        let messages = messages.map(|count| format!("it has sent {count} messages (`rotate_after_messages`)"));
        let rules: Vec<_> = age.into_iter().chain(messages).collect();
        words.push(match rules.is_empty() {
            true => "The policy has no limit for the age of keys, so new keys are never due.".to_owned(),
            false => format!("New keys of {who} are due as soon as {}.", rules.join(", or ")),
        });
        words.push(format!("{who} gets new keys when it makes a commit, such as an `update`, or joins the group."));
    }
    if due.inactive.is_some() {
        let age = seconds(settings.remove_inactive_after, defaults.remove_inactive_after.map(Into::into));
        words.push(match age {
            None => "The policy has no limit for inactive members, so no removal is ever due.".to_owned(),
            Some(age) => {
                format!(
                    "The removal of a member is due if it has made no new keys for {age} (`remove_inactive_after`)."
                )
            }
        });
    }
    if due.key_packages.is_some() {
        words.push(format!(
            "{who} keeps a stock of key packages at the delivery service (`key_packages`), and has to publish as \
             many as are missing."
        ));
    }
    if due.rotation.is_some() || due.inactive.is_some() {
        words.push("An `upkeep` step does the due work. Without such a step, due work stays due.".to_owned());
    }
    words
}

fn evidence(story: &Story<'_>, terms: &mut Terms, located: &Located<'_>, what: Evidence) -> Vec<String> {
    let service = terms.word("delivery service");
    let meaning = match what {
        Evidence::Gap => format!(
            "A gap is a missing entry: the {service} numbers its entries, and an entry between two others did not come; \
             or the service is in a later {} than the entries that came.",
            terms.word("epoch")
        ),
        Evidence::Equivocation => format!(
            "An equivocation is proof that the {service} shows two histories: two signed answers contradict each other, \
             or two members have different keys in one {}.",
            terms.word("epoch")
        ),
        Evidence::RosterLie => format!(
            "A false roster is a list of members of the {service} that differs from the members that a device knows."
        ),
    };
    let when = match what {
        Evidence::Gap => {
            "A member finds a gap when a later entry comes, or when it sends something. \
             Before, nothing tells it that an entry is missing."
        }
        Evidence::Equivocation => {
            "Members find it when they `compare` their state with each other, or when one of them sees both histories."
        }
        Evidence::RosterLie => "Each online member compares the list once in each epoch.",
    };
    let mut words = vec![meaning, when.to_owned()];
    let found = events(story, located, "The findings so far:", |event| {
        event.kind == StepEventKind::Detected && event.text.contains(" found")
    });
    words.extend(if found.is_empty() { vec!["No member has found anything so far.".to_owned()] } else { found });
    words
}

/// The last events until the failure that are of interest, after a heading.
fn events(
    story: &Story<'_>,
    located: &Located<'_>,
    heading: &str,
    is_wanted: impl Fn(&StepEvent) -> bool,
) -> Vec<String> {
    let events = last_lines(story.events(located.position, is_wanted));
    let heading = (!events.is_empty()).then(|| heading.to_owned());
    heading.into_iter().chain(events).collect()
}
