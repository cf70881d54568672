//! The way of a thief from a stolen record to a secret, each step with its section of RFC 9420.

use std::collections::BTreeMap;

use super::{
    explanation::{LeftOut, Way, WayStep},
    story::{Story, capital},
    terms::Terms,
};
use crate::{
    adversary::{Derivation, DerivationStep, How, SecretKind, Source},
    oracle::{KeyPair, NodeIndex},
    report::{
        Goal, StolenKeyPackage,
        record::{EpochRecord, ThiefRecord},
    },
    scenario::{GroupName, MemberName, TheftScope},
};

/// The largest number of steps of a way. A way through many epochs repeats the same steps.
const MAX_STEPS: usize = 60;

/// The largest number of groups that the sentence about a theft tells.
const MAX_GROUPS: usize = 6;

/// The beginning of the names of the records that a thief has made itself.
const OWN: &str = "the thief's own: ";

/// The way of a thief to a secret. [`None`] if the record has no derivation of it.
pub(super) fn way(story: &Story<'_>, terms: &mut Terms, thief: &ThiefRecord, goal: &Goal) -> Option<Way> {
    let derivation = story.record.derivations.get(&(thief.id.clone(), goal.clone()))?;
    let teller = Teller::new(story, thief, goal, derivation)?;
    let title = match goal {
        Goal::Message(id) => match story.record.has_several_groups() {
            true => format!("How the thief of {} reads {id}, a message{}", thief.id, story.of_group(teller.group)),
            false => format!("How the thief of {} reads {id}", thief.id),
        },
        Goal::Epoch(group, epoch) => {
            format!("How the thief of {} gets into epoch {epoch}{}", thief.id, story.of_group(group))
        }
    };
    let theft = theft(story, terms, thief, std::slice::from_ref(teller.group));
    let steps = derivation.steps.len() + usize::from(matches!(goal, Goal::Message(_)));
    // The words of the middle are not told, so they need no meaning.
    let (head, tail) = if steps > MAX_STEPS { (MAX_STEPS / 2, steps - MAX_STEPS / 2) } else { (steps, steps) };
    let told = (0..head).chain(tail..steps).map(|step| {
        let (text, rfc9420) = teller.tell(terms, step);
        WayStep { number: step + 1, text, rfc9420 }
    });
    let left_out = (tail > head).then_some(LeftOut { after: head, steps: tail - head });
    let steps = told.collect();
    let remedy = teller.stolen_key_package().map(StolenKeyPackage::remedy);
    Some(Way { thief: thief.id.clone(), title, theft, steps, left_out, remedy })
}

/// The theft in two sentences. The second one tells the epochs of these groups.
pub(super) fn theft(story: &Story<'_>, terms: &mut Terms, thief: &ThiefRecord, groups: &[GroupName]) -> String {
    let what = match thief.scope {
        TheftScope::Device => "the stored records and the memory of",
        TheftScope::Disk => "the storage files, without their key, of",
        TheftScope::Backup => "the latest backup, with its passphrase, of",
    };
    format!(
        "The {} has a copy of {what} {}'s device. It was made in {}{}.",
        terms.first("thief", format!("thief of {}", thief.id)),
        thief.who,
        story.step_words(thief.step),
        moment(story, terms, thief, groups),
    )
}

/// The epochs of these groups at a theft, as the end of a sentence.
fn moment(story: &Story<'_>, terms: &mut Terms, thief: &ThiefRecord, groups: &[GroupName]) -> String {
    let mut words = String::new();
    let epoch = |group: &GroupName| thief.groups.get(group).and_then(|known| known.epoch);
    let existing = groups.iter().filter_map(|group| Some((group, epoch(group)?)));
    for (number, (group, epoch)) in existing.take(MAX_GROUPS).enumerate() {
        words += if number == 0 { ", when " } else { ", " };
        words += &story.group_words(group);
        words += if number == 0 { " was in " } else { " in " };
        words += &terms.first("epoch", format!("epoch {epoch}"));
    }
    let later = groups.iter().filter(|group| epoch(group).is_none());
    for group in later.take(MAX_GROUPS) {
        words += &format!(", before {} existed", story.group_words(group));
    }
    words
}

/// The cause in a few words: the stolen records, and the commits and welcomes that they open.
pub(super) fn cause(story: &Story<'_>, thief: &ThiefRecord, goal: &Goal) -> Option<String> {
    let derivation = story.record.derivations.get(&(thief.id.clone(), goal.clone()))?;
    let mut records: Vec<&str> = Vec::new();
    let mut opened: Vec<String> = Vec::new();
    let teller = Teller::new(story, thief, goal, derivation)?;
    for (number, step) in derivation.steps.iter().enumerate() {
        match (&step.source, &step.secret.kind) {
            (Source::Stolen(record), _) if !records.contains(&record.as_str()) => records.push(record),
            (Source::From { how: How::Decrypted, .. }, SecretKind::PathSecret | SecretKind::CommitSecret) => {
                opened.push(teller.commit_of(number));
            }
            (Source::From { how: How::Decrypted, .. }, SecretKind::GroupSecrets) => {
                opened.push(teller.welcome());
            }
            _ => {}
        }
    }
    let count = records.len();
    let records: Vec<_> = records.into_iter().map(|record| format!("`{record}`")).collect();
    let records = records.join(" and ");
    let from = format!("The key follows from the stolen {records}");
    let with = if count == 1 { "With it" } else { "With them" };
    Some(match opened.len() {
        0 => from,
        1..=3 => format!("{from}. {with} the thief opens {}", opened.join(", and then ")),
        count => {
            format!("{from}. {with} the thief opens {}, and then {} more commits", opened[0], count - 1)
        }
    })
}

/// Tells the steps of a derivation.
struct Teller<'a> {
    story: &'a Story<'a>,
    thief: &'a ThiefRecord,
    goal: &'a Goal,
    /// The group of the goal.
    group: &'a GroupName,
    derivation: &'a Derivation,
    /// For each step with a secret of a commit's path, the epoch that the commit made, and the node of
    /// the path secret.
    path_secrets: BTreeMap<usize, (u64, Option<NodeIndex>)>,
    /// The steps whose secret opens a welcome.
    opens_welcome: Vec<usize>,
    /// The epoch to which the opened welcome leads.
    welcome_to: Option<u64>,
}

impl<'a> Teller<'a> {
    /// [`None`] if the run has no such message.
    fn new(story: &'a Story<'a>, thief: &'a ThiefRecord, goal: &'a Goal, derivation: &'a Derivation) -> Option<Self> {
        let group = match goal {
            Goal::Message(id) => &story.message(id)?.1.group,
            Goal::Epoch(group, _) => group,
        };
        let mut path_secrets = BTreeMap::new();
        let (mut opens_welcome, mut welcome_to) = (Vec::new(), None);
        for step in &derivation.steps {
            let Source::From { steps: from, .. } = &step.source else { continue };
            if step.secret.kind == SecretKind::GroupSecrets {
                opens_welcome.extend(from);
            }
            // The commit secret belongs to the epoch whose joiner secret follows from it.
            let (SecretKind::JoinerSecret, Some(epoch)) = (&step.secret.kind, step.secret.epoch) else { continue };
            let is_welcome = |from: &usize| derivation.steps[*from].secret.kind == SecretKind::GroupSecrets;
            if from.iter().any(is_welcome) {
                welcome_to = Some(epoch);
            }
            let of_commit = |from: &&usize| derivation.steps[**from].secret.kind == SecretKind::CommitSecret;
            if let Some(commit_secret) = from.iter().find(of_commit) {
                name_path(story.epochs(group), derivation, epoch, *commit_secret, &mut path_secrets);
            }
        }
        Some(Self { story, thief, goal, group, derivation, path_secrets, opens_welcome, welcome_to })
    }

    /// The stolen key package with which the way opens a welcome.
    fn stolen_key_package(&self) -> Option<&'a StolenKeyPackage> {
        let epoch = self.welcome_to?;
        let mut stolen = self.story.stolen_key_packages(self.thief).iter();
        let is_here = |name: &Option<GroupName>| name.as_ref().is_none_or(|name| name == self.group);
        stolen.find(|stolen| stolen.opens.iter().any(|welcome| welcome.epoch == epoch && is_here(&welcome.group)))
    }

    /// The opened welcome in words.
    fn welcome(&self) -> String {
        match self.welcome_to {
            Some(epoch) => format!("the welcome to epoch {epoch}"),
            None => "the welcome".to_owned(),
        }
    }

    /// The text of a step, and its section of RFC 9420. The step after the last one decrypts the message.
    fn tell(&self, terms: &mut Terms, number: usize) -> (String, &'static str) {
        let Some(step) = self.derivation.steps.get(number) else {
            let id = match self.goal {
                Goal::Message(id) => id.as_str(),
                Goal::Epoch(..) => "the message",
            };
            return (format!("The key [{number}] decrypts {id}."), "6.3.1");
        };
        let (secret, section) = self.secret(terms, number, step);
        let text = match &step.source {
            Source::Public => format!("Everybody knows {secret}."),
            Source::Stolen(record) => match record.strip_prefix(OWN) {
                Some(own) => format!("The thief's own record `{own}`, which it made when it acted, contains {secret}."),
                None => format!("The stolen record `{record}` contains {secret}."),
            },
            Source::From { how, steps } => {
                let from: Vec<_> = steps.iter().map(|from| self.reference(*from)).collect();
                let subject = from.join(" and ");
                let many = steps.len() > 1;
                match how {
                    How::Decrypted => format!("{} open{} {secret}.", capital(&subject), if many { "" } else { "s" }),
                    How::Contained => format!("{} contain{} {secret}.", capital(&subject), if many { "" } else { "s" }),
                    How::Derived => format!("From {subject} follows {secret}."),
                }
            }
        };
        (text, section)
    }

    /// An earlier step, by its secret in a word and its number.
    fn reference(&self, number: usize) -> String {
        let step = &self.derivation.steps[number];
        let word = match step.secret.kind {
            SecretKind::PrivateKey | SecretKind::NodePrivateKey | SecretKind::ExternalPrivateKey => "the private key",
            SecretKind::PathSecret => "the path secret",
            SecretKind::CommitSecret => "the commit secret",
            SecretKind::InitSecret | SecretKind::ExternalInitSecret => "the init secret",
            SecretKind::JoinerSecret => "the joiner secret",
            SecretKind::EpochSecret => "the epoch secret",
            SecretKind::EncryptionSecret => "the encryption secret",
            SecretKind::ExternalSecret => "the external secret",
            SecretKind::TreeChild(_) => "the part of the secret tree",
            SecretKind::ApplicationRatchet | SecretKind::HandshakeRatchet | SecretKind::RatchetAt(_) => "the ratchet",
            SecretKind::KeyOfGeneration(_) | SecretKind::KeyFromWelcome | SecretKind::KeyFromSenderData => "the key",
            SecretKind::GroupSecrets => "the opened welcome",
            SecretKind::AeadPlaintext | SecretKind::HpkePlaintext => "the plaintext",
            SecretKind::Ciphertext => "the ciphertext",
            _ => "the secret",
        };
        format!("{word} [{}]", number + 1)
    }

    /// The secret of a step in words, and the section of RFC 9420 for the step.
    fn secret(&self, terms: &mut Terms, number: usize, step: &DerivationStep) -> (String, &'static str) {
        let at = step.secret.epoch.map(|epoch| format!(" of epoch {epoch}")).unwrap_or_default();
        let contained = matches!(step.source, Source::From { how: How::Contained, .. });
        match &step.secret.kind {
            SecretKind::PrivateKey if self.opens_welcome.contains(&number) => {
                (format!("the private key of {}", terms.first("key package", self.key_package(step))), "10")
            }
            SecretKind::PrivateKey => {
                (format!("the private key of {}", terms.first("leaf", format!("{}'s leaf", self.owner(step)))), "7.2")
            }
            SecretKind::NodePrivateKey => match (self.node_below(step), self.stolen_node(number)) {
                (Some(node), _) => (format!("the private key of {}", node_words(node)), "7.4"),
                (None, Some(node)) => {
                    let above = format!("{}, a node above {}'s leaf", node_words(node), self.thief.who);
                    (format!("the private key of {above}"), "7.1")
                }
                (None, None) => (format!("the private key of a node above {}'s leaf", self.thief.who), "7.1"),
            },
            SecretKind::PathSecret => {
                let node = self.path_secrets.get(&number).and_then(|(_, node)| *node);
                let of = node.map(|node| format!(" of {}", node_words(node))).unwrap_or_default();
                let derived = matches!(step.source, Source::From { how: How::Derived, .. });
                let place = if derived { String::new() } else { format!(" in {}", self.commit_of(number)) };
                let secret = format!("{}{of}{place}", terms.first("path secret", "the path secret"));
                (
                    secret,
                    if contained {
                        "12.4.3.1"
                    } else if derived {
                        "7.4"
                    } else {
                        "7.6"
                    },
                )
            }
            SecretKind::CommitSecret => {
                let of = match self.path_secrets.get(&number) {
                    Some((epoch, _)) => {
                        format!(" of {}, which made epoch {epoch}", self.story.commit_words(self.group, *epoch))
                    }
                    None => String::new(),
                };
                (format!("{}{of}", terms.first("commit secret", "the commit secret")), "7.4")
            }
            SecretKind::InitSecret => (format!("{}{at}", terms.first("init secret", "the init secret")), "8"),
            SecretKind::ExternalInitSecret => {
                (format!("the init secret in {}", terms.first("external commit", "an external commit")), "8.3")
            }
            SecretKind::JoinerSecret => (
                format!("{}{at}", terms.first("joiner secret", "the joiner secret")),
                if contained { "12.4.3.1" } else { "8" },
            ),
            SecretKind::EpochSecret => (format!("{}{at}", terms.first("epoch secret", "the epoch secret")), "8"),
            SecretKind::EncryptionSecret => {
                (format!("{}{at}", terms.first("encryption secret", "the encryption secret")), "8")
            }
            SecretKind::TreeChild(_) => {
                (format!("a part of the secret tree{at}, from which the ratchets of several members follow"), "9")
            }
            SecretKind::ApplicationRatchet => {
                (format!("{}{at}", terms.first("ratchet", format!("{} ratchet for messages", self.sender()))), "9")
            }
            SecretKind::HandshakeRatchet => {
                (format!("{}{at}", terms.first("ratchet", "a ratchet for commits and proposals")), "9")
            }
            SecretKind::RatchetAt(generation) => {
                let generation = terms.first("generation", format!("generation {generation}"));
                (
                    format!("{}, at {generation}", terms.first("ratchet", format!("{} ratchet{at}", self.sender()))),
                    "9.1",
                )
            }
            SecretKind::KeyOfGeneration(generation) => {
                (format!("the key of {}", terms.first("generation", format!("generation {generation}"))), "9.1")
            }
            SecretKind::ExternalSecret => (format!("the external secret{at}, which is for external commits"), "8"),
            SecretKind::ExternalPrivateKey => (format!("the private key for external commits{at}"), "8.3"),
            SecretKind::GroupSecrets => (format!("{} to the group", terms.first("welcome", "a welcome")), "12.4.3.1"),
            SecretKind::AeadPlaintext => ("a commit that was sent as a PrivateMessage".to_owned(), "6.3.1"),
            SecretKind::Ciphertext => ("an encrypted path secret".to_owned(), "7.6"),
            SecretKind::MessageText => ("the text of the message itself".to_owned(), "9.2"),
            SecretKind::SignatureKey => (terms.first("signature key", "a signature key"), "5.1.2"),
            other => (format!("the {other}{at}"), "8"),
        }
    }

    /// The commit whose path has the secret of a step, in words.
    fn commit_of(&self, number: usize) -> String {
        let epoch = self.path_secrets.get(&number).map(|(epoch, _)| *epoch);
        match epoch.or(self.derivation.steps[number].secret.epoch) {
            Some(epoch) => format!("{}, which made epoch {epoch}", self.story.commit_words(self.group, epoch)),
            None => "a commit".to_owned(),
        }
    }

    /// The node of the path secret from which a private key follows.
    fn node_below(&self, step: &DerivationStep) -> Option<NodeIndex> {
        let Source::From { steps, .. } = &step.source else { return None };
        steps.iter().find_map(|from| self.path_secrets.get(from)?.1)
    }

    /// The node whose private key the thief stole: the key opens a path secret, which is sealed to it.
    fn stolen_node(&self, number: usize) -> Option<NodeIndex> {
        let is_opened = |step: &DerivationStep| match &step.source {
            Source::From { how: How::Decrypted, steps } => steps.contains(&number),
            _ => false,
        };
        let opened = self.derivation.steps.iter().position(is_opened)?;
        let (epoch, node) = *self.path_secrets.get(&opened)?;
        let made = usize::try_from(epoch).ok()?;
        let epochs = self.story.epochs(self.group);
        let path = &epochs.get(made)?.commit.as_ref()?.path;
        let sealed_to = &path.nodes.iter().find(|path| Some(path.node) == node)?.sealed_to;
        let parents = epochs.get(made.checked_sub(1)?)?.tree.parents();
        let stolen = &self.thief.groups.get(self.group)?.keys;
        let is_stolen = |key: &KeyPair| sealed_to.contains(key) && stolen.contains(key);
        let at = parents.iter().position(|parent| parent.as_ref().is_some_and(|parent| is_stolen(&parent.key)))?;
        Some(NodeIndex(2 * u32::try_from(at).ok()? + 1))
    }

    /// The key package of a private key, in words.
    fn key_package(&self, step: &DerivationStep) -> String {
        let stolen = self.stolen_key_package();
        stolen.map_or_else(|| format!("a key package of {}", self.owner(step)), StolenKeyPackage::words)
    }

    /// The member that made a key. A thief also makes keys.
    fn owner(&self, step: &DerivationStep) -> String {
        step.maker.as_ref().map_or_else(|| self.thief.who.to_string(), |(device, _)| device.to_string())
    }

    /// The sender of the message, as an owner: `alice's`.
    fn sender(&self) -> String {
        let sender = |id| self.story.message(id).map(|(_, message)| &message.sender);
        let sender: Option<&MemberName> = match self.goal {
            Goal::Message(id) => sender(id),
            Goal::Epoch(..) => None,
        };
        sender.map_or_else(|| "a member's".to_owned(), |sender| format!("{sender}'s"))
    }
}

/// Names the path secrets of a commit, from the commit secret back to the first known one.
fn name_path(
    epochs: &[EpochRecord],
    derivation: &Derivation,
    epoch: u64,
    commit_secret: usize,
    names: &mut BTreeMap<usize, (u64, Option<NodeIndex>)>,
) {
    names.insert(commit_secret, (epoch, None));
    let made = usize::try_from(epoch).ok().and_then(|epoch| epochs.get(epoch)?.commit.as_ref());
    let mut nodes = made.map(|commit| commit.path.nodes.iter().rev()).into_iter().flatten();
    let mut at = commit_secret;
    while let Source::From { how: How::Derived, steps } = &derivation.steps[at].source {
        let is_path = |from: &&usize| derivation.steps[**from].secret.kind == SecretKind::PathSecret;
        let Some(below) = steps.iter().find(is_path) else { break };
        names.insert(*below, (epoch, nodes.next().map(|path| path.node)));
        at = *below;
    }
}

fn node_words(node: NodeIndex) -> String {
    format!("node {}", node.0)
}
