//! The frequency of each kind of step in generated scenarios.

use std::{fmt, path::Path};

use crate::scenario::{self, FileProblem, Unusable};

/// The largest weight. It keeps the sum of all weights far below the limit of the integer type.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// A kind of step that the generator can draw. `create` is the first step of every scenario, and
/// `expect` follows from other steps, so neither is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum StepKind {
    /// A commit that adds members.
    Add,
    /// A commit that removes members.
    Remove,
    /// A commit with a fresh path, sometimes with a new signature key.
    Update,
    /// A member's proposal to remove itself.
    Leave,
    /// Another proposal by reference.
    Propose,
    /// A commit of the waiting proposals.
    Commit,
    /// An external commit of a new member.
    Join,
    /// An external commit of a member that lost its state.
    Rejoin,
    /// An application message.
    Send,
    /// Members go offline.
    Offline,
    /// Members come online again.
    Online,
    /// A message is held back.
    Hold,
    /// A held message is released.
    Release,
    /// A message is lost.
    Drop,
    /// A message is delivered twice.
    Duplicate,
    /// Several actions in the same epoch.
    Race,
    /// A process crashes during its next step.
    Crash,
    /// A device is stolen.
    Compromise,
    /// A thief acts in its victim's name.
    Impersonate,
    /// Time passes.
    Wait,
    /// The members' connections change, or a member that is cut off acts.
    Network,
    /// A device's clock becomes wrong.
    Clock,
    /// A fault of the delivery service.
    Service,
    /// Devices are locked.
    Lock,
    /// Locked devices are unlocked.
    Unlock,
    /// Two members compare their safety numbers.
    Verify,
    /// A commit sets the group data.
    SetData,
    /// The application of a member refuses a new key of another member.
    Authenticate,
    /// Members do the work that their policies make due.
    Upkeep,
    /// A step in another group than the first one.
    Group,
    /// A step about a user with several devices.
    User,
    /// A member changes its key packages at the delivery service.
    KeyPackages,
}

impl StepKind {
    /// Every kind, with the name of its step and its default weight.
    const ALL: [(Self, &'static str, u32); 32] = [
        (Self::Add, "add", 8),
        (Self::Remove, "remove", 6),
        (Self::Update, "update", 12),
        (Self::Leave, "leave", 3),
        (Self::Propose, "propose", 6),
        (Self::Commit, "commit", 12),
        (Self::Join, "join", 3),
        (Self::Rejoin, "rejoin", 3),
        (Self::Send, "send", 30),
        (Self::Offline, "offline", 5),
        (Self::Online, "online", 8),
        (Self::Hold, "hold", 4),
        (Self::Release, "release", 5),
        (Self::Drop, "drop", 2),
        (Self::Duplicate, "duplicate", 3),
        (Self::Race, "race", 8),
        (Self::Crash, "crash", 5),
        (Self::Compromise, "compromise", 6),
        (Self::Impersonate, "impersonate", 7),
        (Self::Wait, "wait", 3),
        (Self::Network, "network", 4),
        (Self::Clock, "clock", 2),
        (Self::Service, "service", 5),
        (Self::Lock, "lock", 2),
        (Self::Unlock, "unlock", 4),
        (Self::Verify, "verify", 2),
        (Self::SetData, "set_data", 3),
        (Self::Authenticate, "authenticate", 1),
        (Self::Upkeep, "upkeep", 2),
        (Self::Group, "group", 8),
        (Self::User, "user", 4),
        (Self::KeyPackages, "key_packages", 3),
    ];
}

/// The relative frequency of each kind of step. A kind with the weight 0 never occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights([u32; StepKind::ALL.len()]);

impl Default for Weights {
    fn default() -> Self {
        Self(StepKind::ALL.map(|(_, _, weight)| weight))
    }
}

impl Weights {
    /// Reads weights from the text of a file: a JSON object such as `{"send": 50, "crash": 0}`. A
    /// kind that the text does not name keeps its default weight.
    ///
    /// # Errors
    ///
    /// All problems of the text, each with its position.
    pub fn read(text: &str) -> Result<Self, Vec<FileProblem>> {
        let names = StepKind::ALL.map(|(_, name, _)| name);
        let mut weights = Self::default();
        for (name, weight) in scenario::numbers(text, &names, MAX_WEIGHT)? {
            if let Some((kind, ..)) = StepKind::ALL.iter().find(|(_, known, _)| *known == name) {
                weights.0[*kind as usize] = weight;
            }
        }
        if weights.total() == 0 {
            let problem = "every weight is 0: no step can occur".to_owned();
            return Err(vec![FileProblem { position: None, field: String::new(), problem }]);
        }
        Ok(weights)
    }

    /// Reads weights from a file.
    ///
    /// # Errors
    ///
    /// All problems of the file.
    pub fn load(path: &Path) -> Result<Self, Unusable> {
        let unusable = |problems| Unusable { file: path.to_owned(), problems };
        let text = scenario::text(path).map_err(|problem| unusable(vec![problem]))?;
        Self::read(&text).map_err(unusable)
    }

    /// The weight of this kind.
    #[must_use]
    pub fn of(&self, kind: StepKind) -> u32 {
        self.0[kind as usize]
    }

    fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Picks a kind by a number below the sum of the weights. A kind is picked by as many numbers
    /// as its weight.
    pub(super) fn pick(&self, below: impl FnOnce(u32) -> u32) -> Option<StepKind> {
        let mut number = below(self.total());
        for ((kind, ..), weight) in StepKind::ALL.iter().zip(self.0) {
            match number.checked_sub(weight) {
                None => return Some(*kind),
                Some(rest) => number = rest,
            }
        }
        None
    }
}

/// Writes the weights as the text of a file.
impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> =
            StepKind::ALL.iter().zip(self.0).map(|((_, name, _), weight)| format!("  \"{name}\": {weight}")).collect();
        write!(f, "{{\n{}\n}}", lines.join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_in_the_order_of_their_numbers() {
        assert!(StepKind::ALL.iter().enumerate().all(|(number, (kind, ..))| *kind as usize == number));
    }

    #[test]
    fn printed_weights_can_be_read_back() {
        let mut weights = Weights::default();
        weights.0[3] = 777;
        assert_eq!(Weights::read(&weights.to_string()), Ok(weights));
    }

    #[test]
    fn unnamed_kind_has_its_default_weight() {
        let weights = Weights::read(r#"{ "crash": 0 }"#).unwrap();
        assert_eq!(weights.of(StepKind::Crash), 0);
        assert_eq!(weights.of(StepKind::Send), Weights::default().of(StepKind::Send));
    }

    #[test]
    fn unknown_name_is_reported_with_position_and_suggestion() {
        let problems = Weights::read("{ \"send\": 1,\n  \"comit\": 1, \"race\": -1 }").unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "2:3: comit: unknown field `comit`; did you mean `commit`?");
        assert!(told[1].starts_with("2:23: race: expected"), "{told:?}");
    }

    #[test]
    fn weights_that_are_all_zero_are_refused() {
        let nothing = StepKind::ALL.map(|(_, name, _)| format!("\"{name}\": 0")).join(", ");
        assert!(Weights::read(&format!("{{ {nothing} }}")).is_err());
    }

    #[test]
    fn each_kind_is_picked_according_to_its_weight() {
        let weights = Weights::read(r#"{ "wait": 0, "send": 3 }"#).unwrap();
        let picked: Vec<_> = (0..weights.total()).filter_map(|number| weights.pick(|_| number)).collect();
        for (kind, ..) in StepKind::ALL {
            assert_eq!(picked.iter().filter(|picked| **picked == kind).count() as u32, weights.of(kind));
        }
    }
}
