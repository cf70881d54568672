//! Writes real messages of every kind to `corpus/`, as the first inputs of the fuzzer:
//! `cargo run --example seeds`.

use std::{fs, io, path::Path};

use regrow_engine::{Error, GroupId, HandshakeMode};
use regrow_fuzz::{NOW, PASSPHRASE, creator, device, group, pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for handshake in [HandshakeMode::Assisted, HandshakeMode::Opaque] {
        for (target, name, bytes) in messages(handshake)? {
            write(target, &format!("{handshake:?}-{name}"), &bytes)?;
        }
    }
    write("engine_ratchet_tree", "tree", &regrow_fuzz::tree_apart().1)?;
    write("engine_store_file", "device", &regrow_fuzz::file::original())?;
    write("engine_store_changes", "byte-and-page", &[0, 1, 0, 3, 9, 0, 0, 2, 3, 0, 0, 0, 0, 1])?;
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for entry in fs::read_dir(scenarios)? {
        let path = entry?.path();
        if path.is_file() {
            write("scenario", &path.file_name().unwrap_or_default().to_string_lossy(), &fs::read(&path)?)?;
        }
    }
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/traces/small_team.csv");
    write("trace", "small_team", &fs::read(trace)?)?;
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

fn messages(handshake: HandshakeMode) -> Result<Vec<Seed>, Error> {
    let mut seeds = Vec::new();

    // For the service: submissions of the only member Alice, and of Carol, a device that wants to
    // join.
    let mut alice = creator(handshake);
    let mut chat = alice.group(&group())?;
    let group_info = chat.group_info()?;
    seeds.push(("service_message", "message", chat.send(b"hello")?));
    seeds.push(("service_commit", "commit", chat.update()?.commit().to_vec()));
    seeds.push((
        "service_commit",
        "external",
        device("carol", handshake).join_external(&group_info)?.commit().to_vec(),
    ));
    seeds.push(("service_group_info", "group-info", group_info));
    let proposal = creator(handshake).group(&group())?.propose_update()?;
    seeds.push(("service_proposal", "proposal", proposal.as_bytes().to_vec()));
    let key_package = device("alice", handshake).key_packages(1, NOW)?.remove(0);
    seeds.push(("service_key_package", "key-package", key_package.into_bytes()));
    let last_resort = device("alice", handshake).last_resort_key_package(NOW)?;
    seeds.push(("service_key_package", "last-resort", last_resort.into_bytes()));

    // For the engine: messages that Bob receives.
    let (mut alice, bob, key_package) = pair(handshake);
    let mut chat = alice.group(&group())?;
    let group_info = chat.group_info()?;
    seeds.push(("engine_receive", "message", chat.send(b"hello")?));
    seeds.push(("engine_receive", "commit", chat.update()?.commit().to_vec()));
    let external = device("carol", handshake).join_external(&group_info)?;
    seeds.push(("engine_receive", "external", external.commit().to_vec()));
    seeds.push(("engine_join_external", "group-info", group_info));
    let proposal = pair(handshake).0.group(&group())?.propose_update()?;
    seeds.push(("engine_receive", "proposal", proposal.as_bytes().to_vec()));
    let removed = pair(handshake).0.group(&group())?.remove(&[bob.device().clone()])?;
    seeds.push(("engine_receive", "removed", removed.commit().to_vec()));
    let another = alice.create_group(GroupId::new("another")?, NOW)?.add(&[key_package], NOW)?;
    seeds.push(("engine_join", "welcome", another.welcome().unwrap_or_default().to_vec()));
    let key_package = device("carol", handshake).key_packages(1, NOW)?.remove(0);
    seeds.push(("engine_key_package", "key-package", key_package.into_bytes()));
    seeds.push(("engine_backup", "backup", bob.backup(b"archive", PASSPHRASE)?));
    seeds.push(("engine_identity", "identity", bob.device().to_identity()));
    Ok(seeds)
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
