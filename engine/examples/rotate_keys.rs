//! A device rotates its keys during three months in which another device is lost. Run it with
//! `cargo run -p regrow-engine --example rotate_keys`.

#![allow(clippy::print_stdout)]

use std::{error::Error, num::NonZeroU32, sync::Arc, time::SystemTime};

use regrow_engine::{
    Client, DeviceId, Due, GroupId, MemoryStore, PendingCommit, Policy, Rotation, Timestamp, default_crypto,
};

const WEEK: u64 = 7 * 24 * 60 * 60;

fn main() -> Result<(), Box<dyn Error>> {
    // Keys are replaced every week, which is the default. Every fourth time, the signature key is
    // replaced too.
    let policy = Policy { rotate_signature_key_every: NonZeroU32::new(4), ..Policy::default() };
    let mut alice = device("alice", policy)?;
    let mut bob = device("bob", Policy::default())?;
    let chat = GroupId::new("chat")?;
    let start = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();

    let key_packages = bob.key_packages(1, Timestamp(start))?;
    let pending = alice.create_group(chat.clone(), Timestamp(start))?.add(&key_packages, Timestamp(start))?;
    submit(&mut alice, pending, Timestamp(start))?;

    // Bob's phone is lost. Alice's phone asks the engine once a week for the changes that are due.
    for week in 1..=13 {
        let now = Timestamp(start + week * WEEK);
        let Due { rotation, inactive } = alice.group(&chat)?.due(now)?;
        if !inactive.is_empty() {
            let names: Vec<String> = inactive.iter().map(ToString::to_string).collect();
            println!("week {week}: {} had the same keys for too long and is removed", names.join(", "));
            let pending = alice.group(&chat)?.remove(&inactive)?;
            submit(&mut alice, pending, now)?;
            // Like every commit, the removal has given Alice's device new keys.
            continue;
        }
        let (pending, what) = match rotation {
            Some(Rotation::Keys) => (alice.group(&chat)?.update()?, "new keys"),
            Some(Rotation::SignatureKey) => {
                (alice.group(&chat)?.rotate_signature_key()?, "new keys, and a new signature key")
            }
            None => continue,
        };
        println!("week {week}: {what}");
        submit(&mut alice, pending, now)?;
    }
    println!("members: {}, epoch {}", alice.group(&chat)?.roster()?.len(), alice.group(&chat)?.epoch()?);
    Ok(())
}

fn device(user: &str, policy: Policy) -> Result<Client, Box<dyn Error>> {
    let id = DeviceId::new(user, "phone")?;
    Ok(Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, policy)?)
}

/// Plays a delivery service that accepts the commit with its welcome and its group info.
fn submit(client: &mut Client, pending: PendingCommit, now: Timestamp) -> Result<(), regrow_engine::Error> {
    client.confirm(pending, now).map(drop)
}
