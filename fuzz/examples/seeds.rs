//! Writes real messages of every kind to `corpus/`, for the fuzzer to begin with: `cargo run --example seeds`.

use std::{fs, io, path::Path, sync::Arc};

use regrow_engine::{Client, DeviceId, Error, Handshake, MemoryStore, Policy, default_crypto};
use regrow_fuzz::{NOW, group};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for handshake in [Handshake::Assisted, Handshake::Opaque] {
        for (target, name, bytes) in messages(handshake)? {
            write(target, &format!("{handshake:?}-{name}"), &bytes)?;
        }
    }
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for entry in fs::read_dir(scenarios)? {
        let path = entry?.path();
        if path.is_file() {
            write("scenario", &path.file_name().unwrap_or_default().to_string_lossy(), &fs::read(&path)?)?;
        }
    }
    Ok(())
}

type Seed = (&'static str, &'static str, Vec<u8>);

fn messages(handshake: Handshake) -> Result<Vec<Seed>, Error> {
    let create = |user: &str| {
        let device = DeviceId::new(user, "phone").map_err(regrow_engine::Refusal::Credential)?;
        let policy = Policy { handshake, ..Policy::default() };
        Client::create(Arc::new(MemoryStore::new()), default_crypto(), device, policy)
    };
    let now = regrow_engine::Timestamp(std::time::UNIX_EPOCH.elapsed().map_or(NOW.0, |time| time.as_secs()));
    let (mut alice, mut bob) = (create("alice")?, create("bob")?);
    let key_package = bob.key_packages(1, now)?.remove(0);
    let mut chat = alice.create_group(group(), now)?;
    let message = chat.send(b"hello")?;
    let group_info = chat.group_info()?;
    let proposal = chat.propose_update()?;
    let commit = chat.add(std::slice::from_ref(&key_package), now)?;
    let external = create("carol")?.join_external(&group_info)?;
    Ok(vec![
        ("service_message", "message", message.clone()),
        ("service_proposal", "proposal", proposal.as_bytes().to_vec()),
        ("service_commit", "commit", commit.commit().to_vec()),
        ("service_commit", "external", external.commit().to_vec()),
        ("service_group_info", "group-info", group_info.clone()),
        ("service_key_package", "key-package", key_package.as_bytes().to_vec()),
        ("engine_receive", "message", message),
        ("engine_receive", "proposal", proposal.as_bytes().to_vec()),
        ("engine_receive", "commit", commit.commit().to_vec()),
        ("engine_receive", "external", external.commit().to_vec()),
        ("engine_join", "welcome", commit.welcome().unwrap_or_default().to_vec()),
        ("engine_join_external", "group-info", group_info),
        ("engine_key_package", "key-package", key_package.into_bytes()),
        ("engine_identity", "identity", bob.device().to_identity()),
    ])
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
