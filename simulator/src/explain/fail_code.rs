//! The cause of a step that failed, and the remedy.

use crate::scenario::FailCode;

/// The cause and the remedy, one sentence each.
pub(super) fn words(code: FailCode) -> [&'static str; 2] {
    match code {
        FailCode::NotAMember => {
            ["The acting device is not in the group at this step.", "Let a member add the device in an earlier step."]
        }
        FailCode::AlreadyAMember => [
            "The device that should come into the group is in it already.",
            "Leave the step out, or remove the device first.",
        ],
        FailCode::UnknownMember => [
            "The device that should be removed is not in the group.",
            "Look at the members above: an earlier step may have removed the device.",
        ],
        FailCode::Removed => {
            ["The acting device was removed from the group.", "Let a member add the device again before this step."]
        }
        FailCode::Lost => [
            "The acting device knows that another device acts in its name.",
            "Let the device `rejoin` before this step.",
        ],
        FailCode::Offline => [
            "The acting member is not connected to the delivery service.",
            "Connect the member with an `online` step before this step, or end a partition with `heal`.",
        ],
        FailCode::Locked => [
            "The device of the acting member is locked: it has no key in memory, and does nothing.",
            "Add an `unlock` step before this step.",
        ],
        FailCode::WrongKey => [
            "The key does not open the device, or the passphrase does not open the backup.",
            "Leave `wrong_key` or `wrong_passphrase` out.",
        ],
        FailCode::Mismatch => [
            "The two members see different keys of each other, so their safety numbers differ.",
            "Let both members be online and catch up. If the numbers still differ, somebody shows them false keys.",
        ],
        FailCode::Refused => [
            "The application of the acting member has refused a key of another member.",
            "Let it accept the key with an `authenticate` step. A member that has refused a commit has to `rejoin`.",
        ],
        FailCode::ProposalsWait => [
            "Proposals wait for a commit, and a member sends no message before it.",
            "Add a `commit` step before this step.",
        ],
        FailCode::NothingToCommit => {
            ["No proposal waits for a commit.", "Add a `propose` or `leave` step before this step, or use `update`."]
        }
        FailCode::CommitPending => [
            "A commit of the same member waits for the delivery service's answer.",
            "Let the member get the answer before it makes another commit.",
        ],
        FailCode::NoKeyPackage => [
            "The delivery service has no key package of the device that should be added.",
            "Let the device publish key packages before this step.",
        ],
        FailCode::KeyPackageExpired => [
            "A key package of the device that should be added is expired, by the clock of the acting device.",
            "Correct the clock of the acting member with a `clock` step before this step.",
        ],
        FailCode::NoGroupInfo => [
            "The delivery service has no group info of the present epoch, and an external commit needs one.",
            "Set `publish_group_info` in `group`, or let a member add the device.",
        ],
        FailCode::Stale => [
            "The member was in an older epoch than the delivery service, and could not follow.",
            "Let the commits of the later epochs reach the member before this step.",
        ],
        FailCode::Unavailable => [
            "The delivery service could not write to its store, because its disk was full.",
            "End the fault with `disk_full` false before this step.",
        ],
        FailCode::Rejected => [
            "The delivery service or the simulator refused the step. The text after the code has the reason.",
            "Change the step so that the reason is gone.",
        ],
        FailCode::InvalidMessage => [
            "A device got or made a message that is not valid.",
            "Look for a thief or a fault in the earlier steps. A product should never see this.",
        ],
    }
}
