//! Two people chat. Each has a device in its own file, and one device restarts. Run it with
//! `cargo run -p regrow-engine --example two_people_chat`.

#![allow(clippy::print_stdout)]

use std::{error::Error, path::Path, sync::Arc, time::SystemTime};

use regrow_engine::{
    Client, DeviceId, GroupId, Policy, ReceivedEvent, SqliteStore, StoreKey, Timestamp, default_crypto,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    let folder = tempfile::tempdir()?;
    // In reality, Bob's key comes from the platform's keystore.
    let (alices, bobs) = (StoreKey::from_passphrase("correct horse battery staple"), StoreKey::from_bytes([7; 32]));
    let mut alice = create(&folder.path().join("alice"), &alices, "alice")?;
    let mut bob = create(&folder.path().join("bob"), &bobs, "bob")?;

    // In reality, Bob's key package and Alice's commit and welcome go through the delivery service.
    let chat = GroupId::new("chat")?;
    let pending = alice.create_group(chat.clone(), now)?.add(&bob.key_packages(1, now)?, now)?;
    let welcome = pending.welcome().ok_or("nobody is added")?.to_vec();
    alice.confirm(pending, now)?;
    bob.join(&welcome, now)?;
    say(&mut alice, &mut bob, &chat, "Hello Bob!", now)?;

    // Bob's process ends. Its state is in the file.
    drop(bob);
    let store = SqliteStore::open(folder.path().join("bob"), &bobs, default_crypto())?;
    let mut bob = Client::open(Arc::new(store), default_crypto(), Policy::default())?;
    // Bob's application has shown all received messages. An application that is not sure reads the
    // unacknowledged events.
    bob.acknowledge()?;
    say(&mut bob, &mut alice, &chat, "Hello Alice! I had to restart.", now)?;
    say(&mut alice, &mut bob, &chat, "Nobody would have noticed.", now)
}

fn create(path: &Path, key: &StoreKey, user: &str) -> Result<Client, Box<dyn Error>> {
    let store = SqliteStore::create(path, key, default_crypto())?;
    let device = DeviceId::new(user, "phone")?;
    Ok(Client::create(Arc::new(store), default_crypto(), device, Policy::default())?)
}

fn say(from: &mut Client, to: &mut Client, chat: &GroupId, text: &str, now: Timestamp) -> Result<(), Box<dyn Error>> {
    let bytes = from.group(chat)?.send(text.as_bytes())?;
    if let ReceivedEvent::Message(message) = to.receive(&bytes, now)?.event {
        println!("{}: {}", message.sender, String::from_utf8_lossy(&message.text));
    }
    Ok(())
}
