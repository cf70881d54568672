//! The canonical order of the proposals in a commit, and the repetition until a commit has it.
//!
//! OpenMLS keeps updates and removals in a hash map whose order is the machine's. So a commit with
//! n of them comes in one of n! orders. The same scenario and seed have to give the same commit.

use regrow_engine::{Change, Client, DeviceId, Error};

use super::{device::Device, recorder::Recorder, step_failure::StepFailure};
use crate::cost::Operation;

/// The number of attempts for a commit whose proposals are in order.
pub(super) const ORDER_ATTEMPTS: u32 = 6000;

/// The largest number of updates and removals for which the attempts are worthwhile: six come in
/// one of 720 orders.
const ORDER_LIMIT: usize = 6;

impl Device {
    /// Repeats an operation from the same state and the same randomness, until its changes are in
    /// order.
    pub(super) fn make_in_order<T>(
        &mut self,
        recorder: &mut Recorder<'_>,
        make: impl Fn(&mut Client) -> Result<T, Error>,
        changes: impl Fn(&T) -> &[Change],
    ) -> Result<T, StepFailure> {
        self.make_all_in_order(recorder, make, |made| vec![changes(made)])
    }

    /// Repeats an operation that makes commits in several groups, until the changes of each are in
    /// order.
    pub(super) fn make_all_in_order<T>(
        &mut self,
        recorder: &mut Recorder<'_>,
        make: impl Fn(&mut Client) -> Result<T, Error>,
        changes: impl Fn(&T) -> Vec<&[Change]>,
    ) -> Result<T, StepFailure> {
        let checkpoint = self.checkpoint();
        for _ in 0..ORDER_ATTEMPTS {
            let made = self.persist(recorder, Operation::Commit, &make)?;
            let names: Vec<_> = changes(&made).into_iter().map(names_in_order).collect();
            if names.iter().all(|names| names.is_sorted()) {
                return Ok(made);
            }
            if names.iter().map(Vec::len).sum::<usize>() > ORDER_LIMIT {
                break;
            }
            self.go_back(&checkpoint)?;
        }
        self.go_back(&checkpoint)?;
        recorder.tell_unordered(self.name.clone());
        self.persist(recorder, Operation::Commit, &make)
    }
}

/// True if a commit's changes are in order, or too many for further attempts.
pub(super) fn is_settled(changes: &[Change]) -> bool {
    let names = names_in_order(changes);
    names.is_sorted() || names.len() > ORDER_LIMIT
}

/// The devices that a commit updates and removes, in the order of its proposals. Added devices have
/// a fixed order already.
fn names_in_order(changes: &[Change]) -> Vec<&DeviceId> {
    let names = changes.iter().filter_map(|change| match change {
        Change::Removed(device) | Change::Updated(device) => Some(device),
        Change::Added(_) | Change::Data(_) => None,
    });
    names.collect()
}
