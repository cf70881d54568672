//! Writes the step `churn`.

use std::time::Duration;

use super::{
    format::DEFAULT_MESSAGE_SIZE,
    step::churn::POLICIES,
    write::{LineFields, duration},
};
use crate::churn::{Churn, Commits, CommitterPolicy, Messages, StayLength, Updates};

/// The value of a churn, on one line. Fields that have their default are left out.
pub(super) fn churn(churn: &Churn) -> String {
    let mut fields = LineFields::default();
    if let Some(initial) = churn.initial {
        fields.add("initial", initial);
    }
    time(&mut fields, "for", churn.time);
    for (name, end) in [("epochs", churn.epochs), ("events", churn.events)] {
        if let Some(end) = end {
            fields.add(name, end);
        }
    }
    joins(&mut fields, churn);
    stay(&mut fields, &churn.stay);
    if let Some(settings) = &churn.messages {
        fields.add("messages", messages(settings));
    }
    if churn.updates != Updates::default() {
        fields.add("updates", updates(&churn.updates));
    }
    committer(&mut fields, &churn.committer);
    match churn.commits {
        Commits::Direct => {}
        Commits::Window(window) => fields.add("commits", object(|fields| time(fields, "window", Some(window)))),
        Commits::Batch(most) => fields.add("commits", object(|fields| fields.add("batch", most))),
    }
    if let Some(presence) = &churn.presence {
        let periods = object(|fields| {
            time(fields, "online", Some(presence.online));
            time(fields, "offline", Some(presence.offline));
        });
        fields.add("presence", periods);
    }
    time(&mut fields, "latency", churn.latency);
    fields.object()
}

fn object(add: impl FnOnce(&mut LineFields)) -> String {
    let mut fields = LineFields::default();
    add(&mut fields);
    fields.object()
}

fn time(fields: &mut LineFields, name: &str, length: Option<Duration>) {
    if let Some(length) = length {
        fields.text(name, &duration(length));
    }
}

fn joins(fields: &mut LineFields, churn: &Churn) {
    match churn.joins.as_slice() {
        [] => {}
        [piece] => fields.text("joins", &piece.rate.to_string()),
        pieces => {
            let pieces = pieces.iter().map(|piece| {
                object(|fields| {
                    time(fields, "from", Some(piece.from));
                    fields.text("rate", &piece.rate.to_string());
                })
            });
            fields.add("joins", format_args!("[{}]", pieces.collect::<Vec<_>>().join(", ")));
        }
    }
}

fn stay(fields: &mut LineFields, stay: &StayLength) {
    let (kind, parameters) = match stay {
        StayLength::Forever => return,
        StayLength::Exponential { mean } => ("exponential", object(|fields| time(fields, "mean", Some(*mean)))),
        StayLength::Lognormal { median, sigma } => {
            let parameters = object(|fields| {
                time(fields, "median", Some(*median));
                fields.add("sigma", sigma);
            });
            ("lognormal", parameters)
        }
        StayLength::Pareto { least, alpha } => {
            let parameters = object(|fields| {
                time(fields, "least", Some(*least));
                fields.add("alpha", alpha);
            });
            ("pareto", parameters)
        }
    };
    fields.add("stay", object(|fields| fields.add(kind, parameters)));
}

fn messages(messages: &Messages) -> String {
    object(|fields| {
        fields.text("rate", &messages.rate.to_string());
        if !messages.zipf.is_zero() {
            fields.add("zipf", messages.zipf);
        }
        if messages.size != DEFAULT_MESSAGE_SIZE {
            fields.add("size", messages.size);
        }
    })
}

/// The rules for updates.
pub(super) fn updates(updates: &Updates) -> String {
    object(|fields| {
        time(fields, "every", updates.every);
        if let Some(count) = updates.after_messages {
            fields.add("after_messages", count);
        }
        if let Some(fraction) = updates.daily_fraction {
            fields.add("daily_fraction", fraction);
        }
    })
}

fn committer(fields: &mut LineFields, policy: &CommitterPolicy) {
    if let CommitterPolicy::Fixed(name) = policy {
        fields.add("committer", object(|fields| fields.text("fixed", name.as_str())));
    } else if *policy != CommitterPolicy::default() {
        let word = POLICIES.into_iter().find(|(_, known)| known == policy).map_or("", |(word, _)| word);
        fields.text("committer", word);
    }
}
