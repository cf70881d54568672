//! Calls that make proposals and messages, and deliveries, compared with the model.

use regrow_engine::{Client, Error, Lost, ProposalMessage, Received, ReceivedEvent};

use crate::common::{NOW, group};

use super::{
    comparison::{ModelComparison, NAMES},
    prediction::{Failure, Outcome, WantedChange},
    service::{Body, DeviceNo, OrderedEntry, Proposal, ProposedChange},
    translation::{event, failure},
};

impl ModelComparison {
    pub(super) fn propose_add(&mut self, who: DeviceNo, other: DeviceNo, sent: bool) {
        let bytes = self.client(other).key_packages(1, NOW).unwrap().remove(0);
        let package = self.mint(other);
        let member = self.is_member(who, other);
        let expected = if member { Err(Failure::AlreadyMember) } else { Ok(()) };
        self.propose(who, ProposedChange::Add { who: other, package }, expected, sent, None, |client| {
            client.group(&group())?.propose_add(&bytes, NOW)
        });
    }

    pub(super) fn propose(
        &mut self,
        who: DeviceNo,
        what: ProposedChange,
        expected: Result<(), Failure>,
        sent: bool,
        intent: Option<WantedChange>,
        call: impl FnOnce(&mut Client) -> Result<ProposalMessage, Error>,
    ) {
        let result = call(self.client(who));
        let pending = self.devices[who].view().is_some_and(|view| view.pending.is_some());
        let expected = match self.absent(who) {
            Some(absent) => Err(absent),
            None if expected.is_ok() && pending => Err(Failure::CommitPending),
            None => expected,
        };
        match (result, expected) {
            (Ok(message), Ok(())) => {
                self.devices[who].view_mut().unwrap().intents.extend(intent);
                self.proposed(who, what, &message, sent);
            }
            (Err(error), Err(expected)) => assert_eq!(failure(&error), expected),
            (result, expected) => panic!("{result:?}, but expected {expected:?}"),
        }
    }

    pub(super) fn proposed(&mut self, who: DeviceNo, what: ProposedChange, message: &ProposalMessage, sent: bool) {
        let opaque = self.devices[who].rules.opaque;
        let view = self.devices[who].view_mut().unwrap();
        assert_eq!(message.epoch().0, view.epoch);
        let proposal = Proposal { by: who, what };
        let generation = opaque.then_some(view.handshakes);
        view.handshakes += 1;
        if !view.proposals.iter().any(|(known, _)| *known == proposal) {
            view.proposals.push((proposal, false));
        }
        if sent {
            let (by, epoch, bytes) = (who, view.epoch, message.as_bytes().to_vec());
            self.service.submit(OrderedEntry { by, epoch, bytes, body: Body::Proposal { proposal, generation } });
        }
    }

    pub(super) fn send(&mut self, who: DeviceNo) {
        let text = format!("{who} {}", self.number()).into_bytes();
        let result = self.client(who).group(&group()).and_then(|mut chat| chat.send(&text));
        let expected = self
            .absent(who)
            .or_else(|| (!self.devices[who].view().unwrap().proposals.is_empty()).then_some(Failure::ProposalsWait));
        match result {
            Ok(bytes) => {
                assert_eq!(expected, None);
                let view = self.devices[who].view_mut().unwrap();
                let generation = view.messages;
                view.messages += 1;
                let (by, epoch) = (who, view.epoch);
                self.service.submit(OrderedEntry { by, epoch, bytes, body: Body::Message { text, generation } });
            }
            Err(error) => assert_eq!(Some(failure(&error)), expected),
        }
    }

    pub(super) fn receive(&mut self, who: DeviceNo, entries: usize, together: bool) {
        let to = (self.devices[who].cursor + entries).min(self.service.log.len());
        while self.devices[who].cursor < to {
            let from = self.devices[who].cursor;
            let welcome = |at: &usize| self.service.log[*at].welcome_of(who).is_some();
            let upto = if together { (from..to).find(welcome).unwrap_or(to) } else { from };
            if upto <= from + 1 {
                self.give(who, from);
                self.devices[who].cursor += 1;
                continue;
            }
            let page: Vec<Vec<u8>> = self.service.log[from..upto].iter().map(|entry| entry.bytes.clone()).collect();
            let expected: Vec<Outcome> =
                (from..upto).map(|at| self.devices[who].deliver(&self.service, &self.service.log[at])).collect();
            let results = self.client(who).receive_all(&page, NOW).unwrap();
            self.news[who] = expected.iter().filter(|outcome| outcome.is_news()).cloned().collect();
            for ((result, expected), at) in results.into_iter().zip(expected).zip(from..upto) {
                self.compare(who, at, result, &expected);
            }
            self.devices[who].cursor = upto;
        }
    }

    /// Delivers one entry at any position of the log to the device.
    pub(super) fn give(&mut self, who: DeviceNo, at: usize) {
        let Some(entry) = self.service.log.get(at) else { return };
        if self.devices[who].unclear(&self.service, entry) {
            return;
        }
        let expected = self.devices[who].deliver(&self.service, entry);
        let client = self.clients[who].as_mut().unwrap();
        let result = match entry.welcome_of(who) {
            Some((_, welcome)) => {
                let joined = client.join(welcome, NOW).map(|_| Outcome::Joined);
                assert_eq!(joined.unwrap_or_else(|error| Outcome::Fails(failure(&error))), expected);
                return;
            }
            None => client.receive(&entry.bytes, NOW),
        };
        self.news[who] = Some(expected.clone()).into_iter().filter(Outcome::is_news).collect();
        self.compare(who, at, result, &expected);
    }

    pub(super) fn compare(&mut self, who: DeviceNo, at: usize, result: Result<Received, Error>, expected: &Outcome) {
        let observed = match result {
            Ok(received) => event(received.event),
            Err(error) => Outcome::Fails(failure(&error)),
        };
        assert_eq!(observed, *expected, "{} is given entry {at}", NAMES[who]);
        if let Outcome::Message { by, epoch, .. } = observed {
            // The same claim without the model's ratchets.
            assert!(self.read.insert((who, at)), "{} has read entry {at} twice", NAMES[who]);
            assert!(
                by != who && self.service.roster(epoch).contains_key(&who),
                "{} was not a member, or is the sender",
                NAMES[who]
            );
        }
    }

    /// Delivers a damaged entry, which must have no effect.
    pub(super) fn garble(&mut self, who: DeviceNo, location: usize, with: u8) {
        let Some(entry) = self.service.log.get(self.devices[who].cursor) else { return };
        let mut bytes = entry.bytes.clone();
        let welcome = match entry.welcome_of(who) {
            // The parts of a welcome for other devices are not bound to the part for this device.
            Some((commit, _)) if commit.effect.added.len() > 1 => return,
            Some((_, welcome)) => Some(bytes.splice(.., welcome.iter().copied())).is_some(),
            None => false,
        };
        let at = location % bytes.len();
        bytes[at] ^= with.max(1);
        if welcome {
            assert!(self.client(who).join(&bytes, NOW).is_err(), "byte {at} of a welcome");
        } else {
            let result = self.client(who).receive(&bytes, NOW);
            self.news[who].clear();
            match result {
                Err(_) | Ok(Received { event: ReceivedEvent::Own | ReceivedEvent::Ignored(_), .. }) => {}
                // The commit's confirmation tag is not signed. A commit of an epoch whose keys are
                // erased cannot be verified at all.
                Ok(Received { event: ReceivedEvent::Lost(Lost::Commit { .. } | Lost::Fork { .. }), .. }) => {
                    self.news[who].push(Outcome::Lost);
                }
                Ok(other) => panic!("byte {at} of a message: {other:?}"),
            }
        }
    }
}
