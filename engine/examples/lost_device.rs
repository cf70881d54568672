//! A tablet is linked to all groups of its user. Then the user's phone is lost and is removed from
//! all groups, while one group is busy. Run it with
//! `cargo run -p regrow-engine --example lost_device`.

#![allow(clippy::print_stdout)]

use std::{error::Error, sync::Arc, time::SystemTime};

use regrow_engine::{
    Client, DeviceId, GroupId, IntentStatus, MemoryStore, Outgoing, PendingCommit, Policy, Timestamp, UserId,
    default_crypto,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    let (mut laptop, mut phone) = (device("alice", "laptop")?, device("alice", "phone")?);
    let (mut tablet, mut bob) = (device("alice", "tablet")?, device("bob", "phone")?);
    let groups = [GroupId::new("friends")?, GroupId::new("work")?, GroupId::new("chess")?];

    println!("Alice talks to Bob in {} groups, with a laptop and a phone.", groups.len());
    for group in &groups {
        laptop.create_group(group.clone(), now)?;
        for (user, device) in [("alice", &mut phone), ("bob", &mut bob)] {
            let key_packages = device.key_packages(1, now)?;
            let pending = laptop.group(group)?.add_user(&UserId::new(user)?, &key_packages, now)?;
            submit(&mut laptop, pending, now, &mut [device])?;
        }
    }

    println!("\nA new tablet: two of its key packages are claimed, and it takes three.");
    let wanted = tablet.device().clone();
    let mut claimed = tablet.key_packages(2, now)?;
    loop {
        let answer = laptop.link_device(&wanted, &claimed, now)?;
        if answer.is_empty() {
            break;
        }
        for (group, intent) in answer {
            match intent {
                Ok(IntentStatus::Commit(pending)) => {
                    println!("  {group}: added");
                    submit(&mut laptop, pending, now, &mut [&mut tablet])?;
                }
                Ok(IntentStatus::Kept) => println!("  {group}: busy"),
                Err(regrow_engine::Error::NoKeyPackage) => {
                    println!("  {group}: one key package more, please");
                    claimed = tablet.key_packages(1, now)?;
                }
                Err(other) => return Err(other.into()),
            }
        }
    }
    println!("  the tablet is in {} groups", laptop.groups_of_device(&wanted)?.len());

    println!("\nThe phone is lost, while the laptop waits for an answer in one of the groups.");
    let [friends, ..] = &groups;
    let waits = laptop.group(friends)?.update()?;
    let lost = phone.device().clone();
    for (group, intent) in laptop.remove_device(&lost)? {
        match intent? {
            IntentStatus::Commit(pending) => {
                println!("  {group}: removed");
                submit(&mut laptop, pending, now, &mut [])?;
            }
            IntentStatus::Kept => println!("  {group}: busy; the intent is kept"),
        }
    }
    if laptop.confirm(waits, now)?.resume {
        // The service has accepted the pending commit, and there is an intent left.
        if let Some(Outgoing::Commit(pending)) = laptop.group(friends)?.resume()? {
            println!("  {friends}: removed, now that its turn has come");
            submit(&mut laptop, pending, now, &mut [])?;
        }
    }
    println!("  the phone is in {} groups", laptop.groups_of_device(&lost)?.len());
    println!("  to call it again changes nothing: {} groups are left", laptop.remove_device(&lost)?.len());

    println!("\nBob is removed from the chess club, with whatever devices he has.");
    let pending = laptop.group(&groups[2])?.remove_user(&UserId::new("bob")?)?;
    submit(&mut laptop, pending, now, &mut [])?;
    println!("  Bob is in {} groups", laptop.groups_of_user(&UserId::new("bob")?)?.len());
    Ok(())
}

fn device(user: &str, name: &str) -> Result<Client, Box<dyn Error>> {
    let id = DeviceId::new(user, name)?;
    Ok(Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())?)
}

/// Plays a delivery service that accepts the commit and gives the welcome to the joining devices.
/// (The deliveries to other members are left out.)
fn submit(
    client: &mut Client,
    pending: PendingCommit,
    now: Timestamp,
    joiners: &mut [&mut Client],
) -> Result<(), regrow_engine::Error> {
    if let Some(welcome) = pending.welcome() {
        for joiner in joiners {
            joiner.join(welcome, now)?;
        }
    }
    client.confirm(pending, now).map(drop)
}
