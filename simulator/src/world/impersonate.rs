//! What a thief does in a member's name, and who notices.
//!
//! Its messages and commits go through the delivery service like anybody's, and every member processes them for real. What
//! follows from them is modelled and not excused: a forged message is a message of the group's, which members read as far as
//! their policy lets them; and the device in whose name it came has to say that another acts as it does. A device that a
//! thief has locked out is waited for until it has rejoined.

use std::sync::Arc;

use regrow_delivery_service::{DeliveryKind, Outcome, Sequence};
use regrow_engine::{DeviceId, Error, Layered, Lost, ReceivedEvent};

use super::{
    Failed, World,
    commit::{ORDER_ATTEMPTS, is_settled},
    device::Device,
    event::{Event, fingerprint},
    randomness::SeededCrypto,
    service::Message,
    window::Position,
};
use crate::{
    adversary::{CallLog, Thief, active::ForgedCommit, replay::Replay},
    cost::Operation,
    report::{AuthenticationFigures, Failure},
    scenario::{Act, Body, CompromiseId, DEFAULT_MESSAGE_SIZE, FailCode, MessageId},
};

/// With what a thief acts, and what has come of it.
pub(super) struct Hands {
    crypto: Arc<Layered<SeededCrypto>>,
    log: Arc<CallLog>,
    step: String,
    /// How many messages the stolen device had encrypted in its epoch, and the thief has since.
    encrypted: (u64, u32),
    attempts: Vec<Attempt>,
    detected: bool,
}

/// Something that a thief tried to do.
struct Attempt {
    act: Act,
    /// How many epochs after the compromise.
    after: u64,
    accepted: bool,
}

/// Something of a thief's that the delivery service has ordered.
pub(super) struct Forgery {
    pub(super) thief: CompromiseId,
    /// In whose name.
    pub(super) device: usize,
}

/// What came of an attempt.
enum Answer {
    Ordered(Sequence),
    /// It was not ordered, or could not even be made.
    Refused(String),
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted(receipt) => Self::Ordered(receipt.sequence),
            Outcome::Stale { current_epoch } => Self::Refused(format!("stale in epoch {}", current_epoch.0)),
            Outcome::Rejected(reason) => Self::Refused(format!("the delivery service refuses it: {reason}")),
        }
    }
}

impl Hands {
    pub(super) fn new(crypto: Arc<Layered<SeededCrypto>>, log: Arc<CallLog>, encrypted: (u64, u32)) -> Self {
        Self { crypto, log, step: String::new(), encrypted, attempts: Vec::new(), detected: false }
    }

    /// Its randomness is that of this step from here on.
    pub(super) fn begin_step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        self.crypto.0.begin_step(step);
    }

    /// The generation of the next message of this epoch.
    fn next_generation(&mut self, epoch: u64) -> u32 {
        if self.encrypted.0 != epoch {
            self.encrypted = (epoch, 0);
        }
        self.encrypted.1 += 1;
        self.encrypted.1 - 1
    }

    pub(super) fn figures(&self) -> Option<AuthenticationFigures> {
        if self.attempts.is_empty() {
            return None;
        }
        let accepted = self.attempts.iter().filter(|attempt| attempt.accepted);
        let last = self.attempts.iter().rposition(|attempt| attempt.accepted);
        let since = &self.attempts[last.map_or(0, |last| last + 1)..];
        Some(AuthenticationFigures {
            attempts: self.attempts.len() as u64,
            accepted: accepted.count() as u64,
            acted_until: last.map(|last| self.attempts[last].after),
            healed_after: since.iter().find(|attempt| attempt.act == Act::Rejoin).map(|attempt| attempt.after),
        })
    }
}

impl World<'_> {
    /// The thief tries to act. That it is refused is no failure of the step: it is what an expectation may ask for.
    pub(super) fn impersonate(
        &mut self,
        compromise: &CompromiseId,
        act: Act,
        id: Option<&MessageId>,
    ) -> Result<(), Failed> {
        let thief = self.thieves.iter().position(|thief| thief.id == *compromise);
        let thief = thief.ok_or_else(|| Failed::new(FailCode::Rejected, format!("there is no {compromise}")))?;
        let device = self.thieves[thief].device;
        let after = self.service_epoch().saturating_sub(self.thieves[thief].epoch);
        let (answer, made) = match act {
            Act::Send => self.forge_message(thief, id)?,
            Act::Commit | Act::Rejoin => self.forge_commit(thief, act)?,
        };
        let (accepted, outcome) = match answer {
            Answer::Ordered(sequence) => {
                self.forged.insert(sequence, Forgery { thief: compromise.clone(), device });
                (true, "accepted".to_owned())
            }
            Answer::Refused(why) => (false, why),
        };
        if let Some(hands) = self.hands.get_mut(compromise) {
            hands.attempts.push(Attempt { act, after, accepted });
        }
        self.tell(Event::Impersonated {
            thief: compromise.clone(),
            who: self.devices[device].name.clone(),
            act,
            id: id.cloned(),
            outcome,
            sha256: made.as_deref().map(fingerprint),
        });
        Ok(())
    }

    fn forge_message(&mut self, thief: usize, id: Option<&MessageId>) -> Result<(Answer, Option<Vec<u8>>), Failed> {
        let (compromise, sender) = (self.thieves[thief].id.clone(), self.thieves[thief].device);
        let number = self.hands.get(&compromise).map_or(0, |hands| hands.attempts.len()) + 1;
        // No name of a file has spaces in it.
        let id = id.cloned().unwrap_or_else(|| MessageId::new(format!("{number} of the thief of {compromise}")));
        let text = self.text(&id, &Body::Size(DEFAULT_MESSAGE_SIZE));
        let Some(stolen) = self.runs(thief, Operation::Send) else { return Ok(unable("it runs no device")) };
        let (epoch, bytes) = match stolen.send(&text) {
            Ok(made) => made,
            Err(error) => return Ok(unable(error)),
        };
        self.chronicle.encrypted(self.thieves[thief].number, &bytes);
        let generation = self.hands.get_mut(&compromise).map_or(0, |hands| hands.next_generation(epoch));
        let outcome = self.offer_message(sender, &bytes).map_err(broken)?;
        let answer = Answer::from(outcome);
        if let Answer::Ordered(sequence) = answer {
            let at = Position { sender, epoch, generation };
            self.note_message(Message { id, at, text, time: self.now(), forged: true }, &bytes, sequence);
        }
        Ok((answer, Some(bytes)))
    }

    fn forge_commit(&mut self, thief: usize, act: Act) -> Result<(Answer, Option<Vec<u8>>), Failed> {
        let info = match act {
            Act::Rejoin => self.service.group_info(&self.group).map_err(broken)?,
            Act::Commit | Act::Send => None,
        };
        let operation = if info.is_some() { Operation::ExternalCommit } else { Operation::Commit };
        let Some(stolen) = self.runs(thief, operation) else { return Ok(unable("it runs no device")) };
        let made = match (act, &info) {
            (Act::Rejoin, None) => return Ok(unable("the delivery service has no group info")),
            (Act::Rejoin, Some(info)) => stolen.rejoin(info),
            _ => self.commit_in_order(thief),
        };
        let forged: ForgedCommit = match made {
            Ok(forged) => forged,
            Err(error) => return Ok(unable(error)),
        };
        let pending = forged.pending.clone();
        let Thief { device: sender, number, .. } = self.thieves[thief];
        self.note_prepared(number, &pending);
        let answer = Answer::from(self.offer_commit(sender, &pending).map_err(broken)?);
        match answer {
            Answer::Ordered(sequence) => {
                self.note_commit(sender, &pending, sequence)?;
                self.enter(thief, forged)?;
            }
            Answer::Refused(_) => {
                if let Some(stolen) = self.runs(thief, Operation::Housekeeping) {
                    stolen.refused(forged).map_err(broken)?;
                }
                self.chronicle.discarded(number, &pending);
            }
        }
        Ok((answer, Some(pending.commit().to_vec())))
    }

    /// Makes a commit again and again until its changes are in order, like a member's.
    fn commit_in_order(&mut self, thief: usize) -> Result<ForgedCommit, Error> {
        let thief = &mut self.thieves[thief];
        let (Some(stolen), Some(hands)) = (thief.replay.stolen(), self.hands.get(&thief.id)) else {
            return Err(Error::UnknownGroup { group: self.group.clone() });
        };
        let (before, mark) = (stolen.snapshot()?, hands.log.mark());
        for _ in 1..ORDER_ATTEMPTS {
            hands.crypto.0.begin_step(&format!("{} commit", hands.step));
            let forged = stolen.commit()?;
            if is_settled(forged.pending.changes()) {
                return Ok(forged);
            }
            stolen.go_back(&before)?;
            hands.log.go_back(&mark);
        }
        hands.crypto.0.begin_step(&format!("{} commit", hands.step));
        stolen.commit()
    }

    /// A thief enters the epoch that its commit has made, and has what it made there besides what it stole.
    fn enter(&mut self, thief: usize, forged: ForgedCommit) -> Result<(), Failed> {
        let number = self.thieves[thief].number;
        let commit = forged.pending.commit().to_vec();
        let Some(stolen) = self.runs(thief, Operation::Confirm) else { return Ok(()) };
        stolen.ordered(forged).map_err(broken)?;
        let own = stolen.snapshot().map_err(broken)?;
        let (epoch, authenticator) = stolen.epoch().map_err(broken)?;
        self.chronicle.confirmed(number, &commit);
        self.chronicle.epoch(epoch, authenticator.as_bytes());
        let holdings = self.chronicle.holdings(number);
        self.thieves[thief].knows(&own, holdings);
        Ok(())
    }

    /// The stolen device as the thief runs it, which has seen all that was ordered; for this.
    fn runs(&mut self, thief: usize, operation: Operation) -> Option<&mut Replay> {
        self.observe(thief);
        if let Some(hands) = self.hands.get(&self.thieves[thief].id) {
            hands.log.begin(operation);
        }
        self.thieves[thief].replay.stolen()
    }

    /// Lets a thief see all that has been ordered until now, and tells what of that it could follow.
    pub(super) fn observe(&mut self, thief: usize) {
        let thief = &mut self.thieves[thief];
        for entry in thief.observe(&self.traffic) {
            self.chronicle.followed(thief.number, &entry);
        }
    }

    /// A device has noticed an entry that is a thief's.
    pub(super) fn note_detection(&mut self, device: usize, entry: Sequence, how: &str) {
        let Some(thief) = self.forged.get(&entry).map(|forgery| forgery.thief.clone()) else { return };
        if let Some(hands) = self.hands.get_mut(&thief) {
            hands.detected = true;
        }
        self.tell(Event::Detected { thief, by: self.devices[device].name.clone(), how: how.to_owned() });
    }

    /// What does not hold of what is expected of a thief's acts.
    pub(super) fn thief_acted(
        &self,
        compromise: &CompromiseId,
        accepted: Option<bool>,
        detected: Option<bool>,
    ) -> Vec<Failure> {
        let Some(hands) = self.hands.get(compromise) else { return Vec::new() };
        let mut failures = Vec::new();
        let last = hands.attempts.last().is_some_and(|attempt| attempt.accepted);
        if accepted.is_some_and(|expected| expected != last) {
            let words = ["is not accepted", "is accepted"];
            failures.push(self.failure(
                format!("what the thief of {compromise} did last {}", words[usize::from(!last)]),
                format!("it {}", words[usize::from(last)]),
            ));
        }
        if detected.is_some_and(|expected| expected != hands.detected) {
            let words = ["nobody has noticed", "somebody has noticed"];
            failures.push(self.failure(
                format!("{} the thief of {compromise}", words[usize::from(!hands.detected)]),
                words[usize::from(hands.detected)],
            ));
        }
        failures
    }
}

impl Device {
    /// Something that a thief did in this device's name has come: what should have come of it, if something else did.
    pub(super) fn meets_forgery(
        &mut self,
        kind: DeliveryKind,
        epoch: Option<u64>,
        result: &Result<Option<ReceivedEvent>, Error>,
    ) -> Option<&'static str> {
        match result {
            Ok(Some(ReceivedEvent::Lost(Lost::RolledBack))) => {
                self.lost = true;
                self.ousted |= kind == DeliveryKind::Commit;
                None
            }
            Ok(Some(ReceivedEvent::Removed { by, .. })) if by == self.client.device() => {
                self.lost = true;
                self.ousted = true;
                None
            }
            // It is not in the group, and knows it; by now it may have a leaf there that is the thief's.
            Err(Error::UnknownGroup { .. } | Error::Removed { .. }) if epoch.is_none() => {
                self.ousted |= kind == DeliveryKind::Commit;
                None
            }
            Err(Error::FutureEpoch { .. }) if self.missed || self.ousted => None,
            _ => Some("it notices that another acts in its name"),
        }
    }
}

/// Whether this, which came of a thief's message or commit on that device, shows that something is wrong.
pub(super) fn is_noticed(result: &Result<Option<ReceivedEvent>, Error>, own: &DeviceId) -> bool {
    match result {
        Ok(Some(ReceivedEvent::Lost(_))) => true,
        Ok(Some(ReceivedEvent::Removed { by, .. })) => by == own,
        Ok(Some(ReceivedEvent::Commit(change))) => !change.no_longer_verified.is_empty(),
        Err(Error::Refused(_) | Error::Invalid { .. }) => true,
        _ => false,
    }
}

fn unable(why: impl ToString) -> (Answer, Option<Vec<u8>>) {
    (Answer::Refused(format!("it cannot make it: {}", why.to_string())), None)
}

fn broken(error: impl std::error::Error) -> Failed {
    Failed::new(FailCode::InvalidMessage, error)
}
