//! Makes steps smaller, and removes members from them.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    churn::{Churn, Commits, CommitterPolicy, StayLength, Updates},
    scenario::{
        Action, DEFAULT_MESSAGE_SIZE, Delivery, Expect, KeyPackageChange, MemberName, MessageBody, MessageId,
        NetworkChange, Placed, Proposal, WrittenStep,
    },
};

/// Shorter waits that can replace a wait, in seconds.
const SHORT_WAITS: [u64; 4] = [1, 60, 60 * 60, 24 * 60 * 60];

/// Removes the steps that make no sense any more: delivery rules for messages that are not sent,
/// releases of messages that are not held, and actions of thieves without a theft.
pub(super) fn sensible(mut steps: Vec<Placed<WrittenStep>>) -> Vec<Placed<WrittenStep>> {
    let mut stolen = BTreeSet::new();
    steps.retain(|step| match &step.item {
        WrittenStep::Do(Action::Compromise { id, .. }) => {
            stolen.insert(id.clone());
            true
        }
        WrittenStep::Do(action) => match action.unnamed() {
            Action::Impersonate { compromise, .. } => stolen.contains(compromise),
            _ => true,
        },
        _ => true,
    });
    let sent: BTreeSet<MessageId> = steps.iter().flat_map(|step| sent_in(&step.item)).collect();
    let mut held = BTreeSet::new();
    steps.retain(|step| match &step.item {
        WrittenStep::Do(Action::Hold(what)) => {
            held.insert(what.id.clone());
            sent.contains(&what.id)
        }
        WrittenStep::Do(Action::Drop(what) | Action::Duplicate(what)) => sent.contains(&what.id),
        WrittenStep::Do(Action::Release(what)) => sent.contains(&what.id) && held.contains(&what.id),
        _ => true,
    });
    steps
}

fn sent_in(node: &WrittenStep) -> Vec<MessageId> {
    match node {
        WrittenStep::Do(action) => action.message_ids().cloned().collect(),
        WrittenStep::Churn(_) => Vec::new(),
        WrittenStep::Race(nodes) | WrittenStep::Repeat { steps: nodes, .. } => {
            nodes.iter().flat_map(|node| sent_in(&node.item)).collect()
        }
    }
}

/// Returns the steps without a member: without its own actions, and without its name in the actions
/// of others.
pub(super) fn without_member(steps: &[Placed<WrittenStep>], name: &MemberName) -> Vec<Placed<WrittenStep>> {
    let without = |step: &Placed<WrittenStep>| {
        let item = node_without(&step.item, name)?;
        Some(Placed { place: step.place.clone(), item })
    };
    steps.iter().filter_map(without).collect()
}

fn node_without(node: &WrittenStep, name: &MemberName) -> Option<WrittenStep> {
    match node {
        WrittenStep::Do(action) => action_without(action, name).map(WrittenStep::Do),
        WrittenStep::Race(contenders) => race(without_member(contenders, name)),
        WrittenStep::Repeat { times, steps } => {
            let steps = without_member(steps, name);
            (!steps.is_empty()).then_some(WrittenStep::Repeat { times: *times, steps })
        }
        WrittenStep::Churn(churn) => {
            let mut churn = churn.clone();
            if matches!(&churn.committer, CommitterPolicy::Fixed(fixed) if fixed == name) {
                churn.committer = CommitterPolicy::default();
            }
            Some(WrittenStep::Churn(churn))
        }
    }
}

/// Returns a race of the remaining contenders. A single contender becomes an ordinary step.
fn race(mut contenders: Vec<Placed<WrittenStep>>) -> Option<WrittenStep> {
    match contenders.len() {
        0 | 1 => contenders.pop().map(|contender| contender.item),
        _ => Some(WrittenStep::Race(contenders)),
    }
}

fn action_without(action: &Action, name: &MemberName) -> Option<Action> {
    let without = |names: &[MemberName]| -> Option<Vec<MemberName>> {
        let names: Vec<_> = names.iter().filter(|other| *other != name).cloned().collect();
        (!names.is_empty()).then_some(names)
    };
    let of_others = |by: &MemberName| (by != name).then(|| by.clone());
    let delivery = |what: &Delivery| {
        let to = match &what.to {
            Some(names) => Some(without(names)?),
            None => None,
        };
        Some(Delivery { id: what.id.clone(), to })
    };
    Some(match action {
        Action::InGroup { group, action } => action_without(action, name)?.in_group(Some(group.clone())),
        Action::Named { id, action } => action_without(action, name)?.named(Some(id.clone())),
        Action::Network(change) => Action::Network(network_without(change, name)?),
        Action::Clock { who, change } => Action::Clock { who: without(who)?, change: *change },
        Action::Create { by, with } => Action::Create { by: of_others(by)?, with: without(with).unwrap_or_default() },
        Action::Add { by, who } => Action::Add { by: of_others(by)?, who: without(who)? },
        Action::Remove { by, who } => Action::Remove { by: of_others(by)?, who: without(who)? },
        Action::AddUser { by, who } => Action::AddUser { by: of_others(by)?, who: who.clone() },
        Action::RemoveUser { by, who } => Action::RemoveUser { by: of_others(by)?, who: who.clone() },
        Action::LinkDevice { by, who } => Action::LinkDevice { by: of_others(by)?, who: of_others(who)? },
        Action::LostDevice { by, who } => Action::LostDevice { by: of_others(by)?, who: of_others(who)? },
        Action::Leave { who } => Action::Leave { who: without(who)? },
        Action::Join { who } => Action::Join { who: without(who)? },
        Action::Rejoin { who } => Action::Rejoin { who: without(who)? },
        Action::Offline { who } => Action::Offline { who: without(who)? },
        Action::Online { who } => Action::Online { who: without(who)? },
        Action::KeyPackages { who, change } => Action::KeyPackages { who: without(who)?, change: *change },
        Action::Service(fault) => {
            Action::Service(fault.with_names(|names| names.iter().filter(|other| *other != name).cloned().collect())?)
        }
        Action::Lock { who } => Action::Lock { who: without(who)? },
        Action::Unlock { who, wrong_key } => Action::Unlock { who: without(who)?, wrong_key: *wrong_key },
        Action::Verify { by, who } => Action::Verify { by: of_others(by)?, who: without(who)? },
        Action::Authenticate { who, of, answer } => {
            Action::Authenticate { who: without(who)?, of: without(of)?, answer: *answer }
        }
        Action::Upkeep { who } => Action::Upkeep { who: without(who)? },
        Action::Expect(expect) => Action::Expect(Box::new(expectation_without(expect, name)?)),
        Action::Compare { who } => Action::Compare { who: without(who).filter(|who| who.len() > 1)? },
        Action::Propose { by, what } => Action::Propose {
            by: of_others(by)?,
            what: match what {
                Proposal::Add(who) => Proposal::Add(without(who)?),
                Proposal::Remove(who) => Proposal::Remove(without(who)?),
                Proposal::Update => Proposal::Update,
            },
        },
        Action::Hold(what) => Action::Hold(delivery(what)?),
        Action::Release(what) => Action::Release(delivery(what)?),
        Action::Drop(what) => Action::Drop(delivery(what)?),
        Action::Duplicate(what) => Action::Duplicate(delivery(what)?),
        Action::Update { by, .. } | Action::SetData { by, .. } | Action::Commit { by } | Action::Send { by, .. }
            if by == name =>
        {
            return None;
        }
        Action::Crash { who, .. }
        | Action::Compromise { who, .. }
        | Action::Backup { who, .. }
        | Action::Restore { who, .. }
            if who == name =>
        {
            return None;
        }
        other => other.clone(),
    })
}

/// A change of the network without a member. [`None`] if it concerns nobody else.
fn network_without(change: &NetworkChange, name: &MemberName) -> Option<NetworkChange> {
    let without = |names: &Vec<MemberName>| names.iter().filter(|other| *other != name).cloned().collect::<Vec<_>>();
    let who = change.who.as_ref().map(without);
    let partition = change.partition.as_ref().map(|sides| sides.iter().map(without).collect::<Vec<_>>());
    let empties = who.as_ref().is_some_and(Vec::is_empty) || partition.iter().flatten().any(Vec::is_empty);
    (!empties).then(|| NetworkChange { who, partition, ..change.clone() })
}

/// Returns copies of a change of the network, each without one of its faults.
fn simpler_networks(change: &NetworkChange) -> Vec<NetworkChange> {
    let changes: [&dyn Fn(&mut NetworkChange); 5] = [
        &|change| change.loss = None,
        &|change| change.duplicate = None,
        &|change| change.reorder = None,
        &|change| change.jitter_ms = None,
        &|change| change.latency_ms = None,
    ];
    let changed = changes.iter().map(|simplify| {
        let mut changed = change.clone();
        simplify(&mut changed);
        changed
    });
    let nothing = |it: &NetworkChange| NetworkChange { who: None, ..it.clone() } == NetworkChange::default();
    changed.filter(|changed| changed != change && !nothing(changed)).collect()
}

/// Returns the expectation without a member that found evidence, or that is cut off.
fn expectation_without(expect: &Expect, name: &MemberName) -> Option<Expect> {
    let others = |names: &[MemberName]| names.iter().filter(|other| *other != name).cloned().collect::<Vec<_>>();
    let about_service = !expect.evidence.is_empty() || !expect.cut_off.is_empty();
    let evidence: Vec<_> = expect.evidence.iter().filter_map(|evidence| evidence.with_names(others)).collect();
    let cut_off = others(&expect.cut_off);
    let is_left = !evidence.is_empty() || !cut_off.is_empty();
    (is_left || !about_service).then(|| Expect { evidence, cut_off, ..expect.clone() })
}

/// Returns simpler replacements for a step, the simplest first.
pub(super) fn simpler(node: &WrittenStep) -> Vec<WrittenStep> {
    match node {
        WrittenStep::Do(action) => simpler_actions(action).into_iter().map(WrittenStep::Do).collect(),
        WrittenStep::Churn(churn) => {
            simpler_churns(churn).into_iter().map(|churn| WrittenStep::Churn(Box::new(churn))).collect()
        }
        WrittenStep::Race(contenders) => {
            let fewer = shorter(contenders).into_iter().filter_map(race);
            let simpler = contenders.iter().enumerate().flat_map(|(index, contender)| {
                simpler(&contender.item).into_iter().map(move |item| {
                    let mut contenders = contenders.clone();
                    contenders[index].item = item;
                    WrittenStep::Race(contenders)
                })
            });
            fewer.chain(simpler).collect()
        }
        WrittenStep::Repeat { times, steps } => {
            let fewer = (*times > 1).then(|| WrittenStep::Repeat { times: times / 2, steps: steps.clone() });
            let shorter = shorter(steps).into_iter().filter(|steps| !steps.is_empty());
            fewer.into_iter().chain(shorter.map(|steps| WrittenStep::Repeat { times: *times, steps })).collect()
        }
    }
}

/// Returns copies of a churn, each without one of its parts, or with half of its length.
fn simpler_churns(churn: &Churn) -> Vec<Churn> {
    let halved = |end: Option<u64>| end.map(|end| (end / 2).max(1));
    let changes: [&dyn Fn(&mut Churn); 12] = [
        &|churn| churn.time = churn.time.map(|time| Duration::from_secs((time.as_secs() / 2).max(1))),
        &|churn| churn.epochs = halved(churn.epochs),
        &|churn| churn.events = halved(churn.events),
        &|churn| churn.initial = churn.initial.map(|initial| (initial / 2).max(1)),
        &|churn| churn.latency = None,
        &|churn| churn.presence = None,
        &|churn| churn.updates = Updates::default(),
        &|churn| churn.messages = None,
        &|churn| churn.commits = Commits::default(),
        &|churn| churn.committer = CommitterPolicy::default(),
        &|churn| churn.joins.clear(),
        &|churn| churn.stay = StayLength::default(),
    ];
    let changed = changes.iter().map(|change| {
        let mut changed = churn.clone();
        change(&mut changed);
        changed
    });
    changed.filter(|changed| changed != churn).collect()
}

/// Returns copies of the list, each without one of its items.
fn shorter<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let without = |index: usize| {
        let mut items = items.to_vec();
        items.remove(index);
        items
    };
    (0..items.len()).map(without).collect()
}

fn simpler_actions(action: &Action) -> Vec<Action> {
    let fewer = |names: &[MemberName], make: &dyn Fn(Vec<MemberName>) -> Action| {
        shorter(names).into_iter().filter(|names| !names.is_empty()).map(make).collect::<Vec<_>>()
    };
    let delivery = |what: &Delivery, make: &dyn Fn(Delivery) -> Action| {
        let Some(to) = &what.to else { return Vec::new() };
        let everyone = make(Delivery { id: what.id.clone(), to: None });
        let some = fewer(to, &|to| make(Delivery { id: what.id.clone(), to: Some(to) }));
        std::iter::once(everyone).chain(some).collect()
    };
    match action {
        Action::InGroup { group, action } => {
            simpler_actions(action).into_iter().map(|it| it.in_group(Some(group.clone()))).collect()
        }
        Action::Named { id, action } => {
            let unnamed = std::iter::once((**action).clone());
            unnamed.chain(simpler_actions(action).into_iter().map(|it| it.named(Some(id.clone())))).collect()
        }
        Action::Network(change) => simpler_networks(change).into_iter().map(Action::Network).collect(),
        Action::Clock { who, change } => fewer(who, &|who| Action::Clock { who, change: *change }),
        Action::Create { by, with } => {
            shorter(with).into_iter().map(|with| Action::Create { by: by.clone(), with }).collect()
        }
        Action::Add { by, who } => fewer(who, &|who| Action::Add { by: by.clone(), who }),
        Action::Remove { by, who } => fewer(who, &|who| Action::Remove { by: by.clone(), who }),
        Action::Update { by, signature_key: true } => vec![Action::Update { by: by.clone(), signature_key: false }],
        Action::Leave { who } => fewer(who, &|who| Action::Leave { who }),
        Action::Join { who } => fewer(who, &|who| Action::Join { who }),
        Action::Rejoin { who } => fewer(who, &|who| Action::Rejoin { who }),
        Action::Offline { who } => fewer(who, &|who| Action::Offline { who }),
        Action::Online { who } => fewer(who, &|who| Action::Online { who }),
        Action::Lock { who } => fewer(who, &|who| Action::Lock { who }),
        Action::Unlock { who, wrong_key } => fewer(who, &|who| Action::Unlock { who, wrong_key: *wrong_key }),
        Action::Verify { by, who } => fewer(who, &|who| Action::Verify { by: by.clone(), who }),
        Action::Authenticate { who, of, answer } => {
            let fewer_who = fewer(who, &|who| Action::Authenticate { who, of: of.clone(), answer: *answer });
            let fewer_of = fewer(of, &|of| Action::Authenticate { who: who.clone(), of, answer: *answer });
            fewer_who.into_iter().chain(fewer_of).collect()
        }
        Action::SetData { by, .. } => vec![Action::Update { by: by.clone(), signature_key: false }],
        Action::Upkeep { who } => fewer(who, &|who| Action::Upkeep { who }),
        Action::KeyPackages { who, change } => {
            let fewer = fewer(who, &|who| Action::KeyPackages { who, change: *change });
            let plain = (*change != KeyPackageChange::RENEWAL)
                .then(|| Action::KeyPackages { who: who.clone(), change: KeyPackageChange::RENEWAL });
            fewer.into_iter().chain(plain).collect()
        }
        Action::Propose { by, what } => {
            let propose = |what| Action::Propose { by: by.clone(), what };
            match what {
                Proposal::Add(who) => fewer(who, &|who| propose(Proposal::Add(who))),
                Proposal::Remove(who) => fewer(who, &|who| propose(Proposal::Remove(who))),
                Proposal::Update => Vec::new(),
            }
        }
        Action::Send { by, id, body } if *body != MessageBody::Size(DEFAULT_MESSAGE_SIZE) => {
            vec![Action::Send { by: by.clone(), id: id.clone(), body: MessageBody::Size(DEFAULT_MESSAGE_SIZE) }]
        }
        Action::Hold(what) => delivery(what, &Action::Hold),
        Action::Release(what) => delivery(what, &Action::Release),
        Action::Drop(what) => delivery(what, &Action::Drop),
        Action::Duplicate(what) => delivery(what, &Action::Duplicate),
        Action::Wait(time) => {
            let shorter = SHORT_WAITS.map(Duration::from_secs).into_iter().filter(|short| short < time);
            shorter.map(Action::Wait).collect()
        }
        _ => Vec::new(),
    }
}
