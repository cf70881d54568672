//! Tests each cell of the tables in the documentation of the engine's module `group`: the result of
//! every operation in every state of a group.

use std::collections::BTreeSet;

use crate::common::*;
use regrow_engine::{Client, Error, Outgoing, PendingCommit, ReceivedEvent};

/// The documentation with the tables.
const DOCUMENTATION: &str = include_str!("../../src/group/mod.rs");

const STATES: [&str; 7] = ["operational", "open", "pending", "later", "joining", "restored", "removed"];

/// Alice in one of the states. Bob, Carol and Erin are members.
struct DeviceInState {
    alice: Client,
    bob: Client,
    /// Alice's pending commit. If none is pending, a commit of Alice that was discarded.
    commit: PendingCommit,
}

type GroupOperation = fn(&mut DeviceInState) -> Result<(), Error>;

impl DeviceInState {
    fn new(state: &str) -> Self {
        let [mut alice, mut bob, mut carol, mut erin] = ["alice", "bob", "carol", "erin"].map(client);
        if state == "joining" {
            make_group(&mut [&mut bob, &mut carol, &mut erin]);
            let commit = alice.join_external(&group_info(&mut bob)).unwrap();
            return Self { alice, bob, commit };
        }
        make_group(&mut [&mut bob, &mut alice, &mut carol, &mut erin]);
        let mut chat = alice.group(&group()).unwrap();
        let commit = chat.update().unwrap();
        match state {
            "operational" => chat.abandon().unwrap(),
            "open" => alice.discard(commit.clone()).unwrap(),
            "pending" => {}
            "later" => drop(alice.remove_device(&device("erin")).unwrap()),
            "restored" => {
                chat.abandon().unwrap();
                alice.storage_restored().unwrap();
            }
            "removed" => {
                let removal = bob.group(&group()).unwrap().remove(&[device("alice")]).unwrap();
                accept(&mut bob, removal, &mut [&mut alice]);
            }
            other => panic!("no such state: {other}"),
        }
        Self { alice, bob, commit }
    }

    /// Returns the state of Alice's group. It makes further calls, so it ends the test.
    fn state(mut self) -> &'static str {
        if self.alice.pending().unwrap().iter().any(PendingCommit::is_external) {
            return "joining";
        }
        let mut chat = match self.alice.group(&group()) {
            Err(Error::UnknownGroup { .. }) => return "outside",
            Err(Error::Removed { .. }) => return "removed",
            chat => chat.unwrap(),
        };
        if matches!(chat.send(b"text"), Err(Error::Restored { .. })) {
            return "restored";
        }
        if let Some(pending) = chat.pending().unwrap() {
            let removed = pending.removed().count();
            self.alice.discard(pending).unwrap();
            return match self.alice.group(&group()).unwrap().resume().unwrap() {
                Some(Outgoing::Commit(again)) if again.removed().count() > removed => "later",
                _ => "pending",
            };
        }
        let commit = self.bob.group(&group()).unwrap().update().unwrap();
        match hear(&mut self.alice, commit.commit()) {
            ReceivedEvent::Commit(change) if change.resume => "open",
            ReceivedEvent::Commit(_) => "operational",
            other => panic!("{other:?}"),
        }
    }

    fn is_member(&mut self) -> bool {
        members(&mut self.bob).contains(&"alice".into())
    }

    /// Lets Bob commit, and delivers the commit to Alice.
    fn receive_of_bob(&mut self, commit: PendingCommit) -> Result<(), Error> {
        let bytes = commit.commit().to_vec();
        self.bob.confirm(commit, NOW).unwrap();
        self.alice.receive(&bytes, NOW).map(drop)
    }

    /// Delivers Alice's pending commit to Bob.
    fn order(&mut self) {
        if self.alice.pending().unwrap().contains(&self.commit) {
            hear(&mut self.bob, self.commit.commit());
        }
    }
}

/// Returns the operations of a row.
fn operations(row: &str) -> Vec<GroupOperation> {
    let operation: GroupOperation = match row {
        "add, remove, update, commit" => return changes(),
        "propose" => return proposals(),
        "remove a device from all groups" => |test| {
            let mut results = test.alice.remove_device(&device("erin"))?;
            results.remove(&group()).unwrap_or(Ok(regrow_engine::IntentStatus::Kept)).map(drop)
        },
        "leave" => |test| test.alice.group(&group())?.leave().map(drop),
        "send" => |test| test.alice.group(&group())?.send(b"hello").map(drop),
        "receive a message" => |test| {
            let message = send(&mut test.bob, b"hello");
            test.alice.receive(&message, NOW).map(drop)
        },
        "receive a commit" => |test| {
            let update = test.bob.group(&group()).unwrap().update().unwrap();
            test.receive_of_bob(update)
        },
        "receive the own removal" => |test| {
            let other = if test.is_member() { "alice" } else { "carol" };
            let removal = test.bob.group(&group()).unwrap().remove(&[device(other)]).unwrap();
            test.receive_of_bob(removal)
        },
        "receive the own commit" => |test| {
            test.order();
            test.alice.receive(test.commit.commit(), NOW).map(drop)
        },
        "confirm" => |test| {
            test.order();
            test.alice.confirm(test.commit.clone(), NOW).map(drop)
        },
        "discard" => |test| test.alice.discard(test.commit.clone()),
        "resume" => |test| test.alice.group(&group())?.resume().map(drop),
        "abandon" => |test| test.alice.group(&group())?.abandon(),
        "get the group info" => |test| test.alice.group(&group())?.group_info().map(drop),
        "join by external commit" => |test| {
            let info = group_info(&mut test.bob);
            test.alice.join_external(&info).map(drop)
        },
        "join by welcome" => |test| {
            // A member gets the welcome to another group with the same identifier.
            let mut dave = client("dave");
            let inviter = if test.is_member() { &mut dave } else { &mut test.bob };
            if inviter.groups().unwrap().is_empty() {
                inviter.create_group(group(), NOW).unwrap();
            }
            let added = inviter.group(&group()).unwrap().add(&[key_package(&mut test.alice)], NOW).unwrap();
            let welcome = added.welcome().unwrap().to_vec();
            inviter.confirm(added, NOW).unwrap();
            test.alice.join(&welcome, NOW).map(drop)
        },
        "forget" => |test| test.alice.forget(&group()),
        other => panic!("no such operation: {other}"),
    };
    vec![operation]
}

fn changes() -> Vec<GroupOperation> {
    vec![
        |test| test.alice.group(&group())?.add(&[key_package(&mut client("dave"))], NOW).map(drop),
        |test| test.alice.group(&group())?.remove(&[device("carol")]).map(drop),
        |test| test.alice.group(&group())?.update().map(drop),
        |test| test.alice.group(&group())?.rotate_signature_key().map(drop),
        |test| test.alice.group(&group())?.set_data(b"a topic").map(drop),
        |test| {
            let proposal = test.bob.group(&group()).unwrap().propose_update().unwrap();
            // Alice gets the proposal, if she is a member.
            let _ = test.alice.receive(proposal.as_bytes(), NOW);
            test.alice.group(&group())?.commit().map(drop)
        },
    ]
}

fn proposals() -> Vec<GroupOperation> {
    vec![
        |test| test.alice.group(&group())?.propose_add(&key_package(&mut client("dave")), NOW).map(drop),
        |test| test.alice.group(&group())?.propose_remove(&device("carol")).map(drop),
        |test| test.alice.group(&group())?.propose_update().map(drop),
    ]
}

/// Returns the cells of the documented tables: operation, state before, and result.
fn documented_cells() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |"));
    let (mut states, mut cells): (Vec<&str>, _) = (Vec::new(), Vec::new());
    for row in rows {
        let (first, rest) = row.split_once(" | ").unwrap();
        let rest: Vec<&str> = rest.split(" | ").map(|cell| cell.trim_matches('`')).collect();
        match first {
            "---" => {}
            "state" => states.clear(),
            "operation" => states = rest,
            operation => cells.extend(states.iter().zip(rest).map(|(state, result)| (operation, *state, result))),
        }
    }
    cells
}

/// Returns the name of the error's variant.
fn name(error: &Error) -> String {
    format!("{error:?}").split([' ', '(']).next().unwrap().to_owned()
}

#[test]
fn each_cell_of_the_documented_tables_is_true() {
    let mut wrong = Vec::new();
    for (row, state, documented) in documented_cells() {
        for (number, operation) in operations(row).into_iter().enumerate() {
            let mut test = DeviceInState::new(state);
            let result = operation(&mut test);
            let after = test.state();
            let observed = match result {
                Ok(()) => after.to_owned(),
                Err(error) if after == state => name(&error),
                Err(error) => format!("{}, and the state is {after}", name(&error)),
            };
            if observed != documented {
                wrong.push(format!("{row} ({number}), {state}: documented {documented}, observed {observed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_documented_tables_have_a_cell_for_each_operation_and_state() {
    let cells = documented_cells();
    let operations: BTreeSet<_> = cells.iter().map(|(operation, ..)| *operation).collect();

    assert_eq!(operations.len(), 17);
    for operation in operations {
        for state in STATES {
            assert!(cells.iter().any(|cell| (cell.0, cell.1) == (operation, state)), "{operation}, {state}");
        }
    }
    assert_eq!(cells.len(), 17 * STATES.len());
}

#[test]
fn each_state_is_recognized() {
    for state in STATES {
        assert_eq!(DeviceInState::new(state).state(), state);
    }
}

#[test]
fn a_restart_changes_no_state() {
    for state in STATES {
        let mut test = DeviceInState::new(state);
        let snapshot = test.alice.snapshot().unwrap();
        test.alice = reopen(&snapshot.to_store());

        assert_eq!(test.state(), state);
    }
}

#[test]
fn a_restored_device_settles_its_pending_commit() {
    let confirm: GroupOperation = |test| test.alice.confirm(test.commit.clone(), NOW).map(drop);
    let discard: GroupOperation = |test| test.alice.discard(test.commit.clone());
    for settle in [confirm, discard] {
        let mut test = DeviceInState::new("pending");
        test.alice.storage_restored().unwrap();
        let refused = test.alice.group(&group()).unwrap().update();
        assert!(matches!(refused, Err(Error::CommitPending { .. })));

        settle(&mut test).unwrap();

        assert!(test.alice.pending().unwrap().is_empty());
        assert_eq!(test.state(), "restored");
    }
}
