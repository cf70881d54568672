//! Two friends compare their safety number. Then one of them gets a new device. Run it with
//! `cargo run -p regrow-engine --example verify_a_friend`.

#![allow(clippy::print_stdout)]

use std::{error::Error, sync::Arc, time::SystemTime};

use regrow_engine::{
    Client, Comparison, DeviceId, GroupId, MemoryStore, Policy, ReceivedEvent, Timestamp, UserId, default_crypto,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    let chat = GroupId::new("chat")?;
    let (mut alice, mut bob) = (device("alice", "phone")?, device("bob", "phone")?);
    let pending = alice.create_group(chat.clone(), now)?.add(&bob.key_packages(1, now)?, now)?;
    bob.join(pending.welcome().ok_or("nobody is added")?, now)?;
    alice.confirm(pending, now)?;

    // The friends meet. Each device computes the number itself, and Alice scans the number that
    // Bob's device shows.
    let shown = bob.group(&chat)?.safety_number(&UserId::new("alice")?)?;
    let own = alice.group(&chat)?.safety_number(&UserId::new("bob")?)?;
    println!("Bob's device shows    {shown}");
    println!("Alice's device shows  {own}");
    if own.compare(&shown.to_qr_payload()) == Comparison::Match {
        alice.group(&chat)?.verify_user(&UserId::new("bob")?, &own)?;
    }
    println!("Alice has verified    {:?}", alice.group(&chat)?.verified_users()?);

    // A laptop is added in Bob's name. Alice cannot know if Bob or an adversary has added it.
    let mut laptop = device("bob", "laptop")?;
    let pending = bob.group(&chat)?.add(&laptop.key_packages(1, now)?, now)?;
    if let ReceivedEvent::Commit(change) = alice.receive(pending.commit(), now)?.event {
        println!("\nA commit of {}; no longer verified: {:?}", change.by, change.no_longer_verified);
    }
    bob.confirm(pending, now)?;
    println!("Alice's device shows  {}", alice.group(&chat)?.safety_number(&UserId::new("bob")?)?);
    println!("Alice has verified    {:?}", alice.group(&chat)?.verified_users()?);
    println!("\nThe group's code is   {}", alice.group(&chat)?.code()?);
    println!("On Bob's phone it is  {}", bob.group(&chat)?.code()?);
    Ok(())
}

fn device(user: &str, name: &str) -> Result<Client, Box<dyn Error>> {
    let id = DeviceId::new(user, name)?;
    Ok(Client::create(Arc::new(MemoryStore::new()), default_crypto(), id, Policy::default())?)
}
