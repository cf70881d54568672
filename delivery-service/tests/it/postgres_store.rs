//! The store in a PostgreSQL database: its transactions, its owner, and lost connections.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

mod proxy;

use std::{
    env,
    ops::ControlFlow,
    process::Command,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use proptest::{collection::vec, prelude::*};
use regrow_delivery_service::{
    DeliveryService,
    HandshakeMode::Assisted,
    Limits, Outcome, Sequence, SqliteStore, Store, StoreError,
    store::{
        Table, Transaction,
        postgres::{PostgresAddress, PostgresStore, PostgresUrl},
    },
};

use self::proxy::{Fault, Proxy};
use crate::common::{
    postgres::{Cluster, DATABASE, StoreAddress},
    *,
};

/// Modules of tests that open their store by `service` or `service_with`.
const SUITE: [&str; 21] = [
    "assisted",
    "claims",
    "consent",
    "device_lists",
    "effects",
    "ending",
    "hostile_bytes",
    "intrusion",
    "key_packages",
    "opaque",
    "ordering",
    "profile",
    "ratchet_tree",
    "reading",
    "receipts",
    "removed",
    "rollback",
    "server_api",
    "server_stream",
    "user_limits",
    "votes",
];

fn put(store: &mut impl Store, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    store.transaction(|tx| tx.put(Table::Log, key, value))
}

fn get(store: &mut impl Store, key: &[u8]) -> Option<Vec<u8>> {
    store.transaction::<_, StoreError>(|tx| tx.get(Table::Log, key)).unwrap()
}

#[test]
fn the_ordering_suite_passes_over_postgresql() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.env(DATABASE, cluster.port().to_string()).arg("--test-threads=4");
    let output = tests.args(SUITE.map(|module| format!("{module}::"))).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let passed = report.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(passed.unwrap().parse::<u32>().unwrap() > 150, "{report}");
    assert!(
        cluster.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'store_%'").parse::<u32>().unwrap() > 150
    );
}

/// One call of a transaction. Keys and values are single bytes.
#[derive(Clone, Debug)]
enum Call {
    Put(u8, u8),
    Delete(u8),
    Get(u8),
    /// Visits this number of records at most.
    Scan(u8, u8, usize),
}

fn call() -> impl Strategy<Value = Call> {
    let key = 0..40_u8;
    prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Call::Put(key, value)),
        2 => key.clone().prop_map(Call::Delete),
        1 => key.clone().prop_map(Call::Get),
        1 => (key.clone(), key, 1..60_usize).prop_map(|(start, end, most)| Call::Scan(start, end, most)),
    ]
}

/// Makes the calls in one transaction, which succeeds or fails, and returns everything that they
/// see.
fn make(store: &mut impl Store, calls: &[Call], succeeds: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let result = store.transaction(|tx| {
        for call in calls {
            seen.push(match *call {
                Call::Put(key, value) => format!("{:?}", tx.put(Table::Log, &[key], &[value])?),
                Call::Delete(key) => format!("{:?}", tx.delete(Table::Log, &[key])?),
                Call::Get(key) => format!("{:?}", tx.get(Table::Log, &[key])?),
                Call::Scan(start, end, most) => scan(tx, start, end, most)?,
            });
        }
        if succeeds { Ok(()) } else { Err(StoreError::NotAStore) }
    });
    assert_eq!(result.is_ok(), succeeds);
    seen
}

fn scan(tx: &mut dyn Transaction, start: u8, end: u8, most: usize) -> Result<String, StoreError> {
    let mut found = Vec::new();
    tx.scan(Table::Log, &[start]..&[end], &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(format!("{found:?}"))
}

#[test]
fn transactions_are_those_of_sqlite() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(30));
    let transactions = vec((vec(call(), 0..12), prop::bool::weighted(0.8)), 1..12);
    let run = |transactions: Vec<(Vec<Call>, bool)>| {
        let (address, mut sqlite) = (cluster.schema(), SqliteStore::in_memory().unwrap());
        let mut postgres = address.open();
        for (calls, succeeds) in &transactions {
            prop_assert_eq!(make(&mut postgres, calls, *succeeds), make(&mut sqlite, calls, *succeeds));
        }
        // Another process, which has no cache, sees the same.
        let everything = [Call::Scan(0, 255, usize::MAX)];
        prop_assert_eq!(make(&mut address.open_beside(), &everything, true), make(&mut sqlite, &everything, true));
        Ok(())
    };
    runner.run(&transactions, run).unwrap();
}

#[test]
fn a_panic_rolls_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut store = address.open();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.transaction::<(), StoreError>(|tx| {
            tx.put(Table::Log, b"key", b"value")?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    // The transaction has ended at once, and keeps nobody waiting.
    let begun = Instant::now();
    assert_eq!(get(&mut address.open_beside(), b"key"), None);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(get(&mut store, b"key"), None);
}

#[test]
fn large_records_and_many_records_are_kept() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut store = address.open();
    let large = vec![7; 5_000_000];
    store
        .transaction::<_, StoreError>(|tx| {
            for number in 0..5_000_u32 {
                tx.put(Table::Members, &number.to_be_bytes(), b"member")?;
            }
            tx.put(Table::Log, b"large", &large)
        })
        .unwrap();
    let mut store = address.open();
    assert_eq!(get(&mut store, b"large"), Some(large));
    let mut count = 0_u32;
    store
        .transaction::<_, StoreError>(|tx| {
            tx.scan(Table::Members, &[]..&[255; 8], &mut |key, _| {
                assert_eq!(key, count.to_be_bytes());
                count += 1;
                Ok(ControlFlow::Continue(()))
            })
        })
        .unwrap();
    assert_eq!(count, 5_000);
}

/// Without the check of the term, the first server's write would succeed.
#[test]
fn a_server_whose_store_was_taken_writes_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut first = address.open();
    put(&mut first, b"first", b"1").unwrap();
    let mut second = address.open();
    assert!(matches!(put(&mut first, b"late", b"1"), Err(StoreError::TakenOver)));
    assert!(matches!(first.examine(), Err(StoreError::TakenOver)));
    assert!(matches!(first.transaction(|tx| tx.get(Table::Log, b"first")), Err(StoreError::TakenOver)));
    assert_eq!(get(&mut second, b"first"), Some(b"1".to_vec()));
    assert_eq!(get(&mut second, b"late"), None);
    put(&mut second, b"second", b"2").unwrap();
}

/// The first server is stopped between its reads and its commit. The second one waits until the
/// database has ended that transaction.
#[test]
fn a_batch_that_was_paused_changes_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut first = address.open();
    put(&mut first, b"key", b"first").unwrap();
    let mut second = None;
    let late = first.transaction::<_, StoreError>(|tx| {
        assert_eq!(tx.get(Table::Log, b"key")?, Some(b"first".to_vec()));
        let mut taken = address.open();
        put(&mut taken, b"key", b"second")?;
        second = Some(taken);
        tx.put(Table::Log, b"key", b"late")
    });
    assert!(matches!(late, Err(StoreError::Undetermined)), "{late:?}");
    assert_eq!(get(&mut second.unwrap(), b"key"), Some(b"second".to_vec()));
    assert!(matches!(put(&mut first, b"key", b"later"), Err(StoreError::TakenOver)));
}

#[test]
fn the_owner_sees_the_changes_of_commands() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut owner = address.open();
    put(&mut owner, b"key", b"1").unwrap();
    assert_eq!(get(&mut owner, b"other"), None);
    let version = owner.others_version().unwrap();
    let mut command = address.open_beside();
    assert_eq!(get(&mut command, b"key"), Some(b"1".to_vec()));
    owner.examine().unwrap();
    assert_eq!(owner.others_version().unwrap(), version, "a command that reads changes nothing");

    put(&mut command, b"other", b"2").unwrap();
    assert_eq!(get(&mut owner, b"other"), Some(b"2".to_vec()));
    assert_ne!(owner.others_version().unwrap(), version);
    put(&mut owner, b"key", b"3").unwrap();
    assert_eq!(get(&mut command, b"key"), Some(b"3".to_vec()));
}

#[test]
fn a_database_with_an_older_state_is_noticed() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let mut store = address.open();
    put(&mut store, b"key", b"1").unwrap();
    cluster.sql(&format!("UPDATE {}.regrow_owner SET batch = batch - 1", address.schema));
    assert!(matches!(put(&mut store, b"key", b"2"), Err(StoreError::WentBack)));
    assert!(matches!(store.examine(), Err(StoreError::WentBack)));
}

#[test]
fn stores_of_other_versions_are_left_alone() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    assert!(matches!(PostgresStore::open_beside(address.address()), Err(StoreError::Empty)));
    drop(address.open());
    for (change, back) in [("layout = 99", "layout = 2"), ("format = 99", "format = 6")] {
        cluster.sql(&format!("UPDATE {}.regrow_store SET {change}", address.schema));
        for open in [PostgresStore::open, PostgresStore::open_beside] {
            assert!(matches!(open(address.address()), Err(StoreError::NewerFormat { found: 99, .. })));
        }
        cluster.sql(&format!("UPDATE {}.regrow_store SET {back}", address.schema));
    }
    cluster.sql(&format!("UPDATE {}.regrow_store SET format = 5", address.schema));
    assert!(matches!(PostgresStore::open(address.address()), Err(StoreError::OlderFormat { found: 5 })));
}

/// The privileges are those of `docs/operators.md`.
#[test]
fn the_server_needs_no_more_than_the_documented_privileges() {
    let Some(cluster) = Cluster::shared() else { return };
    let StoreAddress { port, schema } = cluster.schema();
    drop(StoreAddress { port, schema: schema.clone() }.open());
    let role = format!("server_of_{schema}");
    let address = format!("postgres://{role}@127.0.0.1:{port}/postgres?options=-c%20search_path%3D{schema}");
    let address = PostgresAddress::new(&PostgresUrl::parse(&address).unwrap(), None, None).unwrap();
    cluster.sql(&format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};"));
    cluster.sql(&format!("GRANT SELECT ON {schema}.regrow_store TO {role};"));
    assert!(matches!(PostgresStore::open(address.clone()), Err(StoreError::Backend(_))));
    cluster.sql(&format!("GRANT SELECT, UPDATE ON {schema}.regrow_owner TO {role}"));
    cluster.sql(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.regrow_records TO {role}"));
    let mut store = PostgresStore::open(address.clone()).unwrap();
    put(&mut store, b"key", b"1").unwrap();
    store.transaction(|tx| tx.delete(Table::Log, b"key")).unwrap();
    put(&mut PostgresStore::open_beside(address).unwrap(), b"key", b"1").unwrap();
}

fn at(port: u16, address: &StoreAddress) -> StoreAddress {
    StoreAddress { port, ..address.clone() }
}

#[test]
fn a_commit_whose_answer_is_lost_is_found() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, proxy) = (cluster.schema(), Proxy::start(cluster.port()));
    let mut store = at(proxy.port, &address).open();
    put(&mut store, b"key", b"1").unwrap();
    for round in 0..5_u8 {
        proxy.fail_at_next_commit(Fault::LoseAnswer);
        put(&mut store, b"key", &[round]).unwrap();
        assert_eq!(proxy.faults.load(Ordering::SeqCst), usize::from(round) + 1);
        assert_eq!(get(&mut store, b"key"), Some(vec![round]));
        assert_eq!(get(&mut address.open_beside(), b"key"), Some(vec![round]));
    }
}

#[test]
fn a_commit_that_does_not_arrive_has_not_happened() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, proxy) = (cluster.schema(), Proxy::start(cluster.port()));
    let mut store = at(proxy.port, &address).open();
    put(&mut store, b"key", b"1").unwrap();
    proxy.fail_at_next_commit(Fault::LoseRequest);
    assert!(matches!(put(&mut store, b"key", b"2"), Err(StoreError::Away(_))));
    assert_eq!(get(&mut store, b"key"), Some(b"1".to_vec()));
    put(&mut store, b"key", b"3").unwrap();
    assert_eq!(get(&mut address.open_beside(), b"key"), Some(b"3".to_vec()));
}

#[test]
fn a_lost_answer_orders_nothing_twice() {
    let Some(cluster) = Cluster::shared() else { return };
    let (address, proxy) = (cluster.schema(), Proxy::start(cluster.port()));
    let service = DeliveryService::open(at(proxy.port, &address).open(), Limits::default(), service_key()).unwrap();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    for (fault, sequence) in [(Fault::LoseAnswer, 2), (Fault::LoseRequest, 3)] {
        let message = members[0].send("hello");
        proxy.fail_at_next_commit(fault);
        let send = || service.submit_message(&room(), &device("alice"), &message, NOW);
        let outcome = match (fault, send()) {
            (Fault::LoseAnswer, Ok(outcome)) => outcome,
            (Fault::LoseRequest, Err(StoreError::Away(_))) => send().unwrap(),
            (_, other) => panic!("{other:?}"),
        };
        assert!(
            matches!(&outcome, Outcome::Accepted(receipt) if receipt.sequence == Sequence(sequence)),
            "{outcome:?}"
        );
        assert_eq!(send().unwrap(), outcome, "another receipt for the same bytes");
    }
    assert_eq!(stream(&service, &device("bob")).len(), 3);
    assert_eq!(address.open_beside().check().unwrap(), []);
}

#[test]
fn a_database_that_restarts_loses_no_transaction() {
    let Some(mut cluster) = Cluster::start(&[]) else { return };
    let address = cluster.schema();
    let mut store = address.open();
    put(&mut store, b"key", b"1").unwrap();
    cluster.kill();
    assert!(matches!(put(&mut store, b"key", b"2"), Err(StoreError::Away(_))));
    assert!(matches!(store.examine(), Err(StoreError::Away(_))));
    cluster.run();
    // The store does not try again at once.
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(get(&mut store, b"key"), Some(b"1".to_vec()));
    put(&mut store, b"key", b"3").unwrap();

    // A transaction that begins after the restart notices nothing.
    cluster.kill();
    cluster.run();
    assert_eq!(get(&mut store, b"key"), Some(b"3".to_vec()));
    put(&mut store, b"key", b"4").unwrap();
}

/// PostgreSQL ends the wait for a synchronous standby if it is asked to, and reports success with a
/// warning. The change may be on this machine only.
#[test]
fn a_commit_without_the_standby_is_not_acknowledged() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let address = cluster.schema();
    let mut store = address.open();
    cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    cluster.sql("SELECT pg_reload_conf()");
    while cluster.sql("SHOW synchronous_standby_names").is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    let writer = thread::spawn(move || put(&mut store, b"key", b"1").map(|()| store));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    for round in 0..3 {
        while cluster.sql(waiting) != "1" {
            assert!(!writer.is_finished(), "a change that no standby has was acknowledged in round {round}");
            thread::sleep(Duration::from_millis(10));
        }
        cluster.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    }
    let seen = format!("SELECT count(*) FROM {}.regrow_records", address.schema);
    assert_eq!(cluster.sql(&seen), "1", "other connections see the change");
    assert!(!writer.is_finished(), "a change that no standby has was acknowledged");
    cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
    cluster.sql("SELECT pg_reload_conf()");
    let mut store = writer.join().unwrap().unwrap();
    assert_eq!(get(&mut store, b"key"), Some(b"1".to_vec()));
}

#[test]
fn connections_use_tls_and_a_password() {
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let Some(cluster) = Cluster::start(&[]) else { return };
    let address = cluster.schema();
    let (certificate, key) = made("localhost");
    let (stranger, _) = made("localhost");
    cluster.write("data/server.crt", &certificate);
    cluster.write("data/server.key", &key);
    cluster.sql("CREATE ROLE regrow LOGIN SUPERUSER PASSWORD 'secret'");
    cluster.write(
        "data/pg_hba.conf",
        "hostssl all regrow 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust",
    );
    cluster.sql("ALTER SYSTEM SET ssl = on");
    cluster.sql("SELECT pg_reload_conf()");
    while cluster.sql("SHOW ssl") != "on" {
        thread::sleep(Duration::from_millis(10));
    }
    let url = |host: &str, mode: &str| {
        let StoreAddress { port, schema } = &address;
        let url =
            format!("postgres://regrow@{host}:{port}/postgres?options=-c%20search_path%3D{schema}&sslmode={mode}");
        PostgresUrl::parse(&url).unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        std::fs::write(directory.path().join(name), content).unwrap();
        directory.path().join(name)
    };
    let (password, wrong) = (file("password", "secret\n"), file("wrong", "sesame"));
    let (authority, other) = (file("authority.pem", &certificate), file("other.pem", &stranger));
    let open = |host, mode, password: &std::path::Path, authority: Option<&std::path::Path>| {
        PostgresAddress::new(&url(host, mode), Some(password), authority).and_then(PostgresStore::open)
    };
    let mut store = open("localhost", "require", &password, Some(&authority)).unwrap_or_else(|error| panic!("{error}"));
    put(&mut store, b"key", b"1").unwrap();
    assert_eq!(
        cluster
            .sql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'regrow'"),
        "1"
    );
    drop(store);
    let refused = [
        open("localhost", "require", &wrong, Some(&authority)),
        open("localhost", "require", &password, Some(&other)),
        open("localhost", "require", &password, None),
        open("127.0.0.1", "require", &password, Some(&authority)),
        open("localhost", "disable", &password, Some(&authority)),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        let error = refused.err().unwrap();
        assert!(matches!(&error, StoreError::Away(reason) if !reason.contains("secret")), "{number}: {error}");
    }
    assert!(matches!(open("localhost", "require", &password, Some(&password)), Err(StoreError::Backend(_))));
    let missing = directory.path().join("missing");
    assert!(matches!(open("localhost", "require", &missing, None), Err(StoreError::File { .. })));
}

#[test]
fn the_check_finds_damage_in_a_database() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let service = DeliveryService::open(address.open(), Limits::default(), service_key()).unwrap();
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    say(&service, &mut members[0], "hello");
    assert_eq!(address.open_beside().check().unwrap(), []);
    let number = Table::Members.number();
    cluster.sql(&format!("INSERT INTO {}.regrow_records VALUES ({number}, '\\x01', '')", address.schema));
    let findings = address.open_beside().check().unwrap();
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), ["members 01: cannot be understood"]);
}
