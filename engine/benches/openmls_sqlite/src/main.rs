//! Measures the cost of a call with OpenMLS on `openmls_sqlite_storage`, as in an application
//! without the engine. `docs/benchmarks.md` has the command that runs this bench and the engine's
//! bench `disk`.
//!
//! Each call is measured twice. First, each of its writes is a separate transaction, which is the
//! default of the storage. Then one transaction contains all writes, as a careful application would
//! do.

use std::{
    cell::Cell,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use openmls::prelude::{tls_codec::DeserializeBytes as _, *};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::{OpenMlsRustCrypto, RustCrypto};
use openmls_sqlite_storage::{Codec, Connection, SqliteStorageProvider};
use serde::{Serialize, de::DeserializeOwned};

const SIZES: [usize; 3] = [10, 100, 1000];
const TURNS: usize = 51;
const CIPHERSUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let bare = PlainSqlite::new(&folder.path().join("bare"));
    println!(
        "| operation | members | OpenMLS on SQLite µs | in one transaction µs | page in the log µs | bytes in the log |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for size in SIZES {
        let mut pairs =
            [false, true].map(|whole| Pair::new(&folder.path().join(format!("{size}-{whole}")), size, whole));
        for (name, operation) in [
            ("send", Pair::send as fn(&mut Pair) -> Duration),
            ("receive", Pair::receive),
            ("process a commit", Pair::process),
        ] {
            let mut times: [Vec<Duration>; 3] = Default::default();
            let mut bytes = Vec::new();
            for _ in 0..TURNS {
                let before = pairs[1].log_bytes();
                times[1].push(operation(&mut pairs[1]));
                bytes.push(pairs[1].log_bytes() - before);
                times[0].push(operation(&mut pairs[0]));
                times[2].push(bare.write());
                pairs.iter().for_each(Pair::empty_log);
            }
            let [each, whole, page] = times.map(|times| median(times).as_micros());
            println!("| {name} | {size} | {each} | {whole} | {page} | {} |", median(bytes));
        }
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

/// The encoding that OpenMLS's own storages use.
#[derive(Default)]
struct Json;

impl Codec for Json {
    type Error = serde_json::Error;

    fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, Self::Error> {
        serde_json::to_vec(value)
    }

    fn from_slice<T: DeserializeOwned>(slice: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(slice)
    }
}

/// A member's storage and cryptography, with its signature key.
struct Member<S> {
    provider: S,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
}

/// The provider of OpenMLS on SQLite.
struct OnDisk {
    crypto: RustCrypto,
    storage: SqliteStorageProvider<Json, &'static Connection>,
    connection: &'static Connection,
}

impl OpenMlsProvider for OnDisk {
    type CryptoProvider = RustCrypto;
    type RandProvider = RustCrypto;
    type StorageProvider = SqliteStorageProvider<Json, &'static Connection>;

    fn storage(&self) -> &Self::StorageProvider {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        &self.crypto
    }
}

impl<S> Member<S> {
    fn new(provider: S, name: &str) -> Self {
        let signer = SignatureKeyPair::new(CIPHERSUITE.signature_algorithm()).expect("a key");
        let credential = BasicCredential::new(name.as_bytes().to_vec()).into();
        let credential = CredentialWithKey { credential, signature_key: signer.public().into() };
        Self { provider, signer, credential }
    }
}

fn key_package(member: &Member<OpenMlsRustCrypto>) -> KeyPackage {
    let made = KeyPackage::builder().build(CIPHERSUITE, &member.provider, &member.signer, member.credential.clone());
    made.expect("a key package").key_package().clone()
}

fn parse(bytes: &[u8]) -> ProtocolMessage {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).expect("a message");
    message.try_into_protocol_message().expect("a message of a group")
}

/// A member on disk and another member in memory, in one group of a given size.
struct Pair {
    measured: Member<OnDisk>,
    group: MlsGroup,
    other: Member<OpenMlsRustCrypto>,
    others: MlsGroup,
    /// True if a call is one transaction.
    whole: bool,
    log: std::path::PathBuf,
}

impl Pair {
    fn new(path: &Path, members: usize, whole: bool) -> Self {
        let mut connection = Connection::open(path).expect("a file");
        let setup = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            PRAGMA wal_autocheckpoint = 0;";
        connection.execute_batch(setup).expect("a database");
        SqliteStorageProvider::<Json, &mut Connection>::new(&mut connection).run_migrations().expect("tables");
        // The connection lives until the process ends, which is soon.
        let connection: &'static Connection = Box::leak(Box::new(connection));
        let storage = SqliteStorageProvider::new(connection);
        let measured = Member::new(OnDisk { crypto: RustCrypto::default(), storage, connection }, "alice");
        let others: Vec<_> =
            (1..members).map(|number| Member::new(OpenMlsRustCrypto::default(), &format!("m{number}"))).collect();
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(CIPHERSUITE)
            .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .padding_size(128)
            .use_ratchet_tree_extension(true)
            .build();
        let mut group =
            MlsGroup::new(&measured.provider, &measured.signer, &config, measured.credential.clone()).expect("a group");
        let key_packages: Vec<_> = others.iter().map(key_package).collect();
        let (_, welcome, _) = group.add_members(&measured.provider, &measured.signer, &key_packages).expect("a commit");
        group.merge_pending_commit(&measured.provider).expect("an epoch");
        let welcome = welcome.to_bytes().expect("bytes");
        let other = others.into_iter().next().expect("another member");
        let MlsMessageBodyIn::Welcome(welcome) =
            MlsMessageIn::tls_deserialize_exact_bytes(&welcome).expect("a message").extract()
        else {
            panic!("not a welcome")
        };
        let joined = StagedWelcome::new_from_welcome(&other.provider, config.join_config(), welcome, None);
        let others = joined.expect("a welcome").into_group(&other.provider).expect("a group");
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let pair = Self { measured, group, other, others, whole, log: log.into() };
        pair.empty_log();
        pair
    }

    fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    fn empty_log(&self) {
        let connection = self.measured.provider.connection;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    }

    fn call<T>(&mut self, act: impl FnOnce(&mut MlsGroup, &Member<OnDisk>) -> T) -> (T, Duration) {
        let connection = self.measured.provider.connection;
        let (group, member, whole) = (&mut self.group, &self.measured, self.whole);
        timed(|| {
            if whole {
                connection.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
            }
            let value = act(group, member);
            if whole {
                connection.execute_batch("COMMIT").expect("a commit");
            }
            value
        })
    }

    fn send(&mut self) -> Duration {
        let (message, time) = self.call(|group, member| {
            let message = group.create_message(&member.provider, &member.signer, &[7; 100]).expect("a message");
            message.to_bytes().expect("bytes")
        });
        self.others.process_message(&self.other.provider, parse(&message)).expect("a message");
        time
    }

    fn receive(&mut self) -> Duration {
        let message = self.others.create_message(&self.other.provider, &self.other.signer, &[7; 100]);
        let message = message.expect("a message").to_bytes().expect("bytes");
        self.call(|group, member| drop(group.process_message(&member.provider, parse(&message)).expect("a message"))).1
    }

    fn process(&mut self) -> Duration {
        let bundle = self.others.self_update(&self.other.provider, &self.other.signer, LeafNodeParameters::default());
        let commit = bundle.expect("a commit").into_commit().to_bytes().expect("bytes");
        self.others.merge_pending_commit(&self.other.provider).expect("an epoch");
        self.call(|group, member| {
            let processed = group.process_message(&member.provider, parse(&commit)).expect("a commit");
            let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
                panic!("not a commit")
            };
            group.merge_staged_commit(&member.provider, *staged).expect("an epoch");
        })
        .1
    }
}

/// SQLite alone, in the same mode. It overwrites one row that fills most of a page.
struct PlainSqlite {
    connection: Connection,
    /// Changes with each write, because SQLite writes nothing if the data are the same.
    turn: Cell<u8>,
}

impl PlainSqlite {
    fn new(path: &Path) -> Self {
        let connection = Connection::open(path).expect("a file");
        let setup = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            PRAGMA wal_autocheckpoint = 0; CREATE TABLE page (id INTEGER PRIMARY KEY, page BLOB);
            INSERT INTO page VALUES (1, zeroblob(3900));";
        connection.execute_batch(setup).expect("a table");
        Self { connection, turn: Cell::new(0) }
    }

    fn write(&self) -> Duration {
        self.turn.set(self.turn.get().wrapping_add(1));
        let page = [self.turn.get(); 3900];
        timed(|| {
            let mut statement = self.connection.prepare_cached("UPDATE page SET page = ?1").expect("a statement");
            statement.execute([&page[..]]).expect("a write");
        })
        .1
    }
}
