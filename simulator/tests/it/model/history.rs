//! Random histories of a group, in which every step succeeds.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The generator of Knuth's MMIX.
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of(&mut self, from: &BTreeSet<usize>) -> usize {
        *from.iter().nth(self.below(from.len())).unwrap()
    }

    fn some_of(&mut self, from: &BTreeSet<usize>, count: usize) -> BTreeSet<usize> {
        let mut rest = from.clone();
        let mut chosen = BTreeSet::new();
        while chosen.len() < count && !rest.is_empty() {
            let one = self.one_of(&rest);
            rest.remove(&one);
            chosen.insert(one);
        }
        chosen
    }
}

/// The limits of a history.
#[derive(Clone, Copy)]
pub struct Shape {
    pub devices: usize,
    /// The members that the group has at the beginning.
    pub initial: usize,
    pub epochs: usize,
    /// True if devices join by external commit.
    pub external: bool,
}

/// A history under construction.
pub struct History {
    draws: Draws,
    shape: Shape,
    members: BTreeSet<usize>,
    outside: BTreeSet<usize>,
    offline: BTreeSet<usize>,
    /// The former members that others have removed. They cannot join by external commit.
    removed: BTreeSet<usize>,
    /// The devices that have replaced their signature key. If such a device was invited with its
    /// old key, it cannot rejoin after it has forgotten the group, because the key is erased.
    with_new_key: BTreeSet<usize>,
    pub steps: Vec<Value>,
    messages: usize,
}

fn name(device: usize) -> String {
    // The names have different lengths, below and above the limit of a length of one byte.
    format!("m{device}{}", "x".repeat(if device.is_multiple_of(5) { device % 80 } else { 0 }))
}

fn names(devices: &BTreeSet<usize>) -> Vec<String> {
    devices.iter().copied().map(name).collect()
}

impl History {
    pub fn draw(seed: u64, shape: Shape) -> Self {
        let draws = Draws::new(seed);
        let outside = (0..shape.devices).collect();
        let none = BTreeSet::new();
        let mut history = Self {
            draws,
            shape,
            members: none.clone(),
            outside,
            offline: none.clone(),
            removed: none.clone(),
            with_new_key: none,
            steps: Vec::new(),
            messages: 0,
        };
        let first = history.draws.some_of(&history.outside, shape.initial);
        let by = history.draws.one_of(&first);
        let with: BTreeSet<_> = first.iter().copied().filter(|device| *device != by).collect();
        history.steps.push(match with.is_empty() {
            true => json!({ "create": { "by": name(by) } }),
            false => json!({ "create": { "by": name(by), "with": names(&with) } }),
        });
        history.enter(&first);
        let mut epochs = 1;
        while epochs < shape.epochs {
            epochs += history.step();
        }
        let offline = history.offline.clone();
        history.bring_back(&offline);
        history
    }

    pub fn devices(&self) -> Vec<String> {
        (0..self.shape.devices).map(name).collect()
    }

    fn enter(&mut self, who: &BTreeSet<usize>) {
        self.members.extend(who);
        self.outside.retain(|device| !who.contains(device));
        self.removed.retain(|device| !who.contains(device));
    }

    fn leave(&mut self, who: &BTreeSet<usize>) {
        self.members.retain(|device| !who.contains(device));
        self.outside.extend(who);
        self.removed.extend(who);
    }

    /// The members that can act.
    fn active(&self) -> BTreeSet<usize> {
        self.members.difference(&self.offline).copied().collect()
    }

    fn online_outside(&self) -> BTreeSet<usize> {
        self.outside.difference(&self.offline).copied().collect()
    }

    fn bring_back(&mut self, who: &BTreeSet<usize>) {
        if !who.is_empty() {
            self.steps.push(json!({ "online": { "who": names(who) } }));
            self.offline.retain(|device| !who.contains(device));
        }
    }

    /// Adds a step, or a few. Returns the number of epochs that they begin.
    fn step(&mut self) -> usize {
        let active = self.active();
        let by = self.draws.one_of(&active);
        let step = |kind: &str, value: Value| json!({ kind: value });
        match self.draws.below(16) {
            0..=2 => {
                let count = 1 + self.draws.below(4);
                let who = self.draws.some_of(&self.online_outside(), count);
                if who.is_empty() {
                    return 0;
                }
                self.steps.push(step("add", json!({ "by": name(by), "who": names(&who) })));
                self.enter(&who);
                1
            }
            3 | 4 => {
                let count = 1 + self.draws.below(4);
                let mut who = self.draws.some_of(&self.members, count);
                who.remove(&by);
                if who.is_empty() {
                    return 0;
                }
                self.steps.push(step("remove", json!({ "by": name(by), "who": names(&who) })));
                self.leave(&who);
                1
            }
            5 | 6 => {
                let signature_key = self.draws.below(4) == 0;
                if signature_key {
                    self.with_new_key.insert(by);
                }
                self.steps.push(step("update", json!({ "by": name(by), "signature_key": signature_key })));
                1
            }
            7 | 8 => self.propose_and_commit(by, &active),
            9 if active.len() > 2 => {
                let mut others = active;
                others.remove(&by);
                let leaves = self.draws.one_of(&others);
                self.steps.push(step("leave", json!({ "who": name(leaves) })));
                self.steps.push(step("commit", json!({ "by": name(by) })));
                self.leave(&[leaves].into());
                1
            }
            10 => self.race(&active),
            11 => {
                let count = 1 + self.draws.below(3);
                let mut who = self.draws.some_of(&active, count);
                who.remove(&by);
                if !who.is_empty() {
                    self.steps.push(step("offline", json!({ "who": names(&who) })));
                    self.offline.extend(&who);
                }
                0
            }
            12 if !self.offline.is_empty() => {
                let count = 1 + self.draws.below(2);
                let who = self.draws.some_of(&self.offline.clone(), count);
                self.bring_back(&who);
                0
            }
            13 => {
                for _ in 0..=self.draws.below(4) {
                    let by = self.draws.one_of(&active);
                    let size = self.draws.below(400);
                    self.messages += 1;
                    self.steps
                        .push(step("send", json!({ "by": name(by), "id": self.messages.to_string(), "size": size })));
                }
                0
            }
            14 if self.shape.external => {
                let fresh: BTreeSet<_> = self.online_outside().difference(&self.removed).copied().collect();
                if self.draws.below(2) == 0 && active.len() > 1 && !self.with_new_key.contains(&by) {
                    self.steps.push(step("rejoin", json!({ "who": name(by) })));
                    return 1;
                }
                if fresh.is_empty() {
                    return 0;
                }
                let joins = self.draws.one_of(&fresh);
                self.steps.push(step("join", json!({ "who": name(joins) })));
                self.enter(&[joins].into());
                1
            }
            _ => {
                let time = 1 + self.draws.below(1000);
                self.steps.push(step("wait", json!(format!("{time}s"))));
                0
            }
        }
    }

    fn propose_and_commit(&mut self, by: usize, active: &BTreeSet<usize>) -> usize {
        let (mut added, mut removed, mut updated) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for _ in 0..=self.draws.below(5) {
            let proposer = self.draws.one_of(active);
            match self.draws.below(3) {
                0 => {
                    let free: BTreeSet<_> = self.online_outside().difference(&added).copied().collect();
                    if let Some(who) = self.draws.some_of(&free, 1).first() {
                        added.insert(*who);
                        self.steps.push(json!({ "propose": { "by": name(proposer), "add": name(*who) } }));
                    }
                }
                1 => {
                    let who = self.draws.one_of(&self.members.clone());
                    if who != by {
                        removed.insert(who);
                        self.steps.push(json!({ "propose": { "by": name(proposer), "remove": name(who) } }));
                    }
                }
                // A second update of one leaf in one epoch, or an update of a leaf that is removed,
                // is possible, but rare enough to stay out.
                _ if proposer != by && updated.insert(proposer) => {
                    self.steps.push(json!({ "propose": { "by": name(proposer), "update": true } }));
                }
                _ => {}
            }
        }
        updated.retain(|who| !removed.contains(who));
        if added.is_empty() && removed.is_empty() && updated.is_empty() {
            return 0;
        }
        // An intent of the committer itself may come on top.
        match self.draws.below(3) {
            0 => self.steps.push(json!({ "update": { "by": name(by) } })),
            _ => self.steps.push(json!({ "commit": { "by": name(by) } })),
        }
        self.leave(&removed);
        self.enter(&added);
        1
    }

    fn race(&mut self, active: &BTreeSet<usize>) -> usize {
        let count = 2 + self.draws.below(2);
        let racers = self.draws.some_of(active, count);
        if racers.len() < 2 {
            return 0;
        }
        let mut steps = Vec::new();
        let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for racer in &racers {
            let kind = self.draws.below(4);
            let free: BTreeSet<_> = self.online_outside().difference(&added).copied().collect();
            let others: BTreeSet<_> = self.members.difference(&racers).copied().collect();
            match kind {
                0 if !free.is_empty() => {
                    let who = self.draws.one_of(&free);
                    added.insert(who);
                    steps.push(json!({ "add": { "by": name(*racer), "who": name(who) } }));
                }
                1 if !others.is_empty() => {
                    let who = self.draws.one_of(&others);
                    removed.insert(who);
                    steps.push(json!({ "remove": { "by": name(*racer), "who": name(who) } }));
                }
                2 => {
                    self.messages += 1;
                    steps.push(json!({ "send": { "by": name(*racer), "id": self.messages.to_string() } }));
                }
                _ => steps.push(json!({ "update": { "by": name(*racer) } })),
            }
        }
        let epochs = steps.iter().filter(|step| step.get("send").is_none()).count();
        self.steps.push(json!({ "race": steps }));
        self.leave(&removed);
        self.enter(&added);
        epochs
    }
}
