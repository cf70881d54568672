//! A phone is lost. A new device is made from its backup and takes its place in the groups. Run it
//! with `cargo run -p regrow-engine --example back_up_and_restore`.

#![allow(clippy::print_stdout)]

use std::{error::Error, path::Path, sync::Arc, time::SystemTime};

use regrow_engine::{
    Backup, BackupError, Client, DeviceId, GroupId, Outgoing, Policy, SqliteStore, StoreKey, Timestamp, default_crypto,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp(SystemTime::UNIX_EPOCH.elapsed()?.as_secs());
    let folder = tempfile::tempdir()?;
    let mut bob = create(folder.path(), "bob", "phone")?;
    let mut alice = create(folder.path(), "alice", "phone")?;
    let chat = GroupId::new("chat")?;
    let pending = bob.create_group(chat.clone(), now)?.add(&alice.key_packages(1, now)?, now)?;
    let welcome = pending.welcome().ok_or("nobody is added")?.to_vec();
    bob.confirm(pending, now)?;
    alice.join(&welcome, now)?;

    // The application stores the texts of messages: the engine forgets each text after it has
    // returned it.
    let words = "correct horse battery staple";
    let backup = alice.backup(b"Bob: See you tomorrow!", words)?;
    println!("Alice's backup has {} bytes; she keeps it in a cloud that she need not trust.", backup.len());
    drop(alice);
    println!("Alice's phone falls into the sea.");

    // Restore the backup on the new phone.
    let guess = Backup::open(&backup, "correct horse");
    println!("A wrong passphrase: {}", guess.err().unwrap_or(BackupError::NotABackup));
    let backup = Backup::open(&backup, words)?;
    println!("Her archive: {}", String::from_utf8_lossy(backup.archive()));
    let (store, id) = (store(folder.path(), "alice", "new phone")?, DeviceId::new("alice", "new phone")?);
    let mut alice = Client::restore(Arc::new(store), default_crypto(), id, Policy::default(), &backup)?;
    drop(backup);

    for group in alice.groups_to_rejoin()? {
        // In reality, the current group info comes from the delivery service, and Alice sends her
        // commits to it.
        let joining = alice.join_external(&bob.group(&group)?.group_info()?)?;
        bob.receive(joining.commit(), now)?;
        alice.confirm(joining, now)?;
        println!("Alice has rejoined {group}: {}", members(&mut bob, &group)?);
        if let Some(Outgoing::Commit(removal)) = alice.group(&group)?.resume()? {
            bob.receive(removal.commit(), now)?;
            alice.confirm(removal, now)?;
            println!("Her lost phone is removed from {group}: {}", members(&mut bob, &group)?);
        }
    }
    Ok(())
}

fn store(folder: &Path, user: &str, device: &str) -> Result<SqliteStore, Box<dyn Error>> {
    // In reality, the key comes from the platform's keystore.
    let key = StoreKey::from_bytes([7; 32]);
    Ok(SqliteStore::create(folder.join(format!("{user} {device}")), &key, default_crypto())?)
}

fn create(folder: &Path, user: &str, device: &str) -> Result<Client, Box<dyn Error>> {
    let store = Arc::new(store(folder, user, device)?);
    Ok(Client::create(store, default_crypto(), DeviceId::new(user, device)?, Policy::default())?)
}

fn members(client: &mut Client, group: &GroupId) -> Result<String, Box<dyn Error>> {
    let names: Vec<_> = client.group(group)?.roster()?.iter().map(|member| member.device.to_string()).collect();
    Ok(names.join(", "))
}
