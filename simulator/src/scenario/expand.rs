//! Turns the steps of a file into the steps of a run: `repeat` becomes its turns, and `{i}` becomes
//! the turn's number.

use super::{
    format::{Action, Body, Delivery, Expect, Node, Place, Placed, Proposal, ReadingExpectation, Scenario, Step},
    name::{self, CompromiseId, MemberName, MessageId},
};

impl Scenario {
    /// The steps in the order of the run. The iterator is lazy: a `repeat` of a million turns needs
    /// no memory here.
    pub fn expand(&self) -> impl Iterator<Item = Placed<Step>> + '_ {
        self.steps.iter().flat_map(turns).map(|(node, turn)| node.step(turn))
    }

    /// The number of actions in a run. Each action of a race counts. The number saturates.
    #[must_use]
    pub fn expanded_len(&self) -> u64 {
        expanded_len(&self.steps)
    }
}

fn expanded_len(nodes: &[Placed<Node>]) -> u64 {
    nodes.iter().fold(0, |sum, node| {
        sum.saturating_add(match &node.item {
            Node::Do(_) => 1,
            Node::Race(contenders) => expanded_len(contenders),
            Node::Repeat { times, steps } => u64::from(*times).saturating_mul(expanded_len(steps)),
        })
    })
}

/// Returns the node itself or, for a `repeat`, its inner nodes once for each turn.
fn turns(node: &Placed<Node>) -> Box<dyn Iterator<Item = (&Placed<Node>, Option<u32>)> + '_> {
    match &node.item {
        Node::Repeat { times, steps } => {
            Box::new((1..=*times).flat_map(move |turn| steps.iter().map(move |step| (step, Some(turn)))))
        }
        Node::Do(_) | Node::Race(_) => Box::new(std::iter::once((node, node.place.turn))),
    }
}

impl Placed<Node> {
    /// This node as a step of the given turn. The parser allows no `repeat` inside of another.
    /// Therefore a node that is not an action is a race.
    fn step(&self, turn: Option<u32>) -> Placed<Step> {
        let place = self.place.at_turn(turn);
        match &self.item {
            Node::Do(action) => Placed { place, item: Step::Do(action.at_turn(turn)) },
            Node::Race(nodes) | Node::Repeat { steps: nodes, .. } => {
                Placed { place, item: Step::Race(contenders(nodes, turn)) }
            }
        }
    }
}

fn contenders(nodes: &[Placed<Node>], outer: Option<u32>) -> Vec<Placed<Action>> {
    nodes
        .iter()
        .flat_map(turns)
        .filter_map(|(node, inner)| {
            let turn = inner.or(outer);
            match &node.item {
                Node::Do(action) => Some(Placed { place: node.place.at_turn(turn), item: action.at_turn(turn) }),
                Node::Race(_) | Node::Repeat { .. } => None,
            }
        })
        .collect()
}

impl Place {
    fn at_turn(&self, turn: Option<u32>) -> Self {
        Self { turn, ..self.clone() }
    }
}

impl Action {
    fn at_turn(&self, turn: Option<u32>) -> Self {
        let Some(turn) = turn else {
            return self.clone();
        };
        let one = |name: &MemberName| name.at_turn(turn);
        let all = |names: &[MemberName]| names.iter().map(|name| name.at_turn(turn)).collect::<Vec<_>>();
        let messages = |ids: &[MessageId]| ids.iter().map(|id| id.at_turn(turn)).collect::<Vec<_>>();
        let delivery =
            |what: &Delivery| Delivery { id: what.id.at_turn(turn), to: what.to.as_ref().map(|names| all(names)) };
        match self {
            Self::Create { by, with } => Self::Create { by: one(by), with: all(with) },
            Self::Add { by, who } => Self::Add { by: one(by), who: all(who) },
            Self::Remove { by, who } => Self::Remove { by: one(by), who: all(who) },
            Self::Update { by, signature_key } => Self::Update { by: one(by), signature_key: *signature_key },
            Self::Leave { who } => Self::Leave { who: all(who) },
            Self::Propose { by, what } => Self::Propose {
                by: one(by),
                what: match what {
                    Proposal::Add(who) => Proposal::Add(all(who)),
                    Proposal::Remove(who) => Proposal::Remove(all(who)),
                    Proposal::Update => Proposal::Update,
                },
            },
            Self::Commit { by } => Self::Commit { by: one(by) },
            Self::Join { who } => Self::Join { who: all(who) },
            Self::Rejoin { who } => Self::Rejoin { who: all(who) },
            Self::Send { by, id, body } => Self::Send {
                by: one(by),
                id: id.at_turn(turn),
                body: match body {
                    Body::Size(size) => Body::Size(*size),
                    Body::Text(text) => Body::Text(name::at_turn(text, turn)),
                },
            },
            Self::Offline { who } => Self::Offline { who: all(who) },
            Self::Online { who } => Self::Online { who: all(who) },
            Self::RenewKeyPackages { who } => Self::RenewKeyPackages { who: all(who) },
            Self::Hold(what) => Self::Hold(delivery(what)),
            Self::Release(what) => Self::Release(delivery(what)),
            Self::Drop(what) => Self::Drop(delivery(what)),
            Self::Duplicate(what) => Self::Duplicate(delivery(what)),
            Self::Crash { who, at } => Self::Crash { who: one(who), at: *at },
            Self::Compromise { who, id, scope } => {
                Self::Compromise { who: one(who), id: id.at_turn(turn), scope: *scope }
            }
            Self::Impersonate { compromise, act, id } => Self::Impersonate {
                compromise: compromise.at_turn(turn),
                act: *act,
                id: id.as_ref().map(|id| id.at_turn(turn)),
            },
            Self::Wait(time) => Self::Wait(*time),
            Self::Expect(expect) => Self::Expect(Expect {
                epoch: expect.epoch,
                members: expect.members.as_ref().map(|names| all(names)),
                converged: expect.converged,
                reading: expect.reading.as_ref().map(|reading| match reading {
                    ReadingExpectation::Member { who, reads, cannot_read } => ReadingExpectation::Member {
                        who: all(who),
                        reads: messages(reads),
                        cannot_read: messages(cannot_read),
                    },
                    ReadingExpectation::Thief { compromise, reads, cannot_read, heals_within, accepted, detected } => {
                        ReadingExpectation::Thief {
                            compromise: CompromiseId::at_turn(compromise, turn),
                            reads: messages(reads),
                            cannot_read: messages(cannot_read),
                            heals_within: *heals_within,
                            accepted: *accepted,
                            detected: *detected,
                        }
                    }
                }),
                fails: expect.fails,
            }),
        }
    }
}
