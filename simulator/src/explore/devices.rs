//! Draws steps in the life of a device: locks, comparisons, refused keys, and upkeep.

use super::{generator::Generator, model::MemberNumber, weights::StepKind};
use crate::scenario::{Action, Answer};

impl Generator<'_> {
    /// Adds a step of this kind, or steps that belong together.
    pub(super) fn device_step(&mut self, kind: StepKind) -> Option<()> {
        match kind {
            StepKind::Lock => {
                let online: Vec<_> = self.model.online.iter().copied().collect();
                let who = self.rng.some(&online, 2);
                // At least one member that can act stays unlocked.
                self.model.present().iter().any(|member| !who.contains(member)).then_some(())?;
                self.act_if_permitted(Action::Lock { who: self.names(&who) })
            }
            StepKind::Unlock => {
                let locked = self.model.locked();
                let who = self.rng.some(&locked, locked.len());
                (!who.is_empty()).then_some(())?;
                self.act_if_permitted(Action::Unlock { who: self.names(&who), wrong_key: false })
            }
            StepKind::Verify => {
                let [by, other] = self.two()?;
                self.act_if_permitted(Action::Verify { by: self.name(by), who: vec![self.name(other)] })
            }
            StepKind::Upkeep => {
                let all: Vec<_> = self.model.all().collect();
                self.act_if_permitted(Action::Upkeep { who: self.names(&all) })
            }
            _ => self.refused_key(),
        }
    }

    /// Adds a new signature key that the application of another member refuses. The application
    /// accepts the key later, and its member rejoins.
    fn refused_key(&mut self) -> Option<()> {
        let [by, refuses] = self.two()?;
        let (by, who) = (self.name(by), vec![self.name(refuses)]);
        let answers = |answer| Action::Authenticate { who: who.clone(), of: vec![by.clone()], answer };
        self.act_if_permitted(answers(Answer::Refuse))?;
        self.act(Action::Update { by: by.clone(), signature_key: true });
        self.act(answers(Answer::Accept));
        self.act(Action::Rejoin { who: who.clone() });
        Some(())
    }

    /// Two members that can act.
    fn two(&mut self) -> Option<[MemberNumber; 2]> {
        let present = self.model.present();
        let one = self.rng.one(&present)?;
        let others: Vec<_> = present.into_iter().filter(|member| *member != one).collect();
        Some([one, self.rng.one(&others)?])
    }
}
