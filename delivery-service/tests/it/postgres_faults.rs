//! A database that is cut off from its standby, is full, or has no connection left.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

use std::{
    thread,
    time::{Duration, Instant},
};

use regrow_delivery_service::{
    HandshakeMode::Assisted,
    Store, StoreError,
    store::{
        Table,
        postgres::{PostgresAddress, PostgresStore, PostgresUrl},
    },
};
use tokio_postgres::NoTls;

use crate::common::{
    postgres::{Cluster, StoreAddress},
    *,
};

fn put(store: &mut PostgresStore, value: &[u8]) -> Result<(), StoreError> {
    store.transaction(|tx| tx.put(Table::Log, b"key", value))
}

fn get(store: &mut PostgresStore) -> Option<Vec<u8>> {
    store.transaction::<_, StoreError>(|tx| tx.get(Table::Log, b"key")).unwrap()
}

/// Calls until the call succeeds: the store connects again only after a moment.
fn until_it_succeeds(mut call: impl FnMut() -> Result<(), StoreError>) {
    let begun = Instant::now();
    while let Err(error) = call() {
        assert!(matches!(error, StoreError::Away(_)), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_primary_that_is_cut_off_from_its_standby_acknowledges_nothing() {
    let Some(mut primary) = Cluster::start(&[]) else { return };
    let address = primary.schema();
    let standby = primary.standby(0);
    let url = PostgresUrl::parse(&address.url_with_standby(standby.port())).unwrap();
    let mut store = PostgresStore::open(PostgresAddress::new(&url, None, None).unwrap()).unwrap();
    put(&mut store, b"1").unwrap();

    standby.pause();
    let writer = thread::spawn(move || put(&mut store, b"2").map(|()| store));
    while primary.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") != "1" {
        assert!(!writer.is_finished(), "the change was acknowledged, although no standby has it");
        thread::sleep(Duration::from_millis(10));
    }
    // Other connections go on, and do not see the change.
    let value = format!("SELECT encode(value, 'escape') FROM {}.regrow_records", address.schema);
    assert_eq!(primary.sql(&value), "1");
    assert!(!writer.is_finished(), "the change was acknowledged, although no standby has it");

    // The outcome is the new primary's.
    primary.kill();
    standby.resume();
    standby.promote();
    let outcome = writer.join().unwrap();
    let stored = standby.sql(&value);
    match outcome {
        Ok(mut store) => {
            assert_eq!(stored, "2");
            assert_eq!(get(&mut store), Some(b"2".to_vec()));
        }
        Err(StoreError::Away(_)) => assert_eq!(stored, "1"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_full_database_refuses_changes_and_serves_again_later() {
    let Some(cluster) = Cluster::shared() else { return };
    let address = cluster.schema();
    let service = service_over(address.open());
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let schema = &address.schema;
    // The error that PostgreSQL gives when it cannot extend a table.
    cluster.sql(&format!(
        "SET search_path = {schema};
         CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON regrow_records EXECUTE FUNCTION full_disk()"
    ));
    let message = members[0].send("hello");
    let send = || service.submit_message(&room(), &device("alice"), &message, NOW);
    assert!(matches!(send(), Err(StoreError::DiskFull)));
    assert_eq!(stream(&service, &device("bob")).len(), 1, "reading goes on");
    assert!(matches!(send(), Err(StoreError::DiskFull)));
    cluster.sql(&format!("DROP FUNCTION {schema}.full_disk() CASCADE"));
    assert!(accepted(&send().unwrap()).is_some());
    assert_eq!(stream(&service, &device("bob")).len(), 2);
    assert_eq!(address.open_beside().check().unwrap(), []);
}

/// The steps of `docs/operators.md`: a dump beside the server, and its return after a disaster.
#[test]
fn a_dump_made_beside_the_server_can_be_restored() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let address = cluster.schema();
    let service = service_over(address.open());
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let before = say(&service, &mut members[0], "before the dump");
    let dump = cluster.client("pg_dump", &["--schema", &address.schema]);
    let after = say(&service, &mut members[0], "after the dump");
    let key = service.public_key();
    drop(service);
    cluster.sql(&format!("DROP SCHEMA {} CASCADE", address.schema));

    let file = cluster.write("dump.sql", &dump);
    cluster.client("psql", &["--quiet", "--set", "ON_ERROR_STOP=1", "--file", file.to_str().unwrap()]);
    assert_eq!(address.open_beside().check().unwrap(), []);
    let service = service_over(address.open());
    assert_eq!(service.public_key(), key);
    let read: Vec<_> = stream(&service, &device("bob")).into_iter().map(|delivery| delivery.bytes).collect();
    assert!(read.contains(&before));
    assert!(!read.contains(&after), "a dump has the store of one moment");
    accept(&service, &members[1].update());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_free_connection_waits_for_one() {
    let Some(cluster) = Cluster::start(&["-cmax_connections=10", "-csuperuser_reserved_connections=1"]) else {
        return;
    };
    cluster.sql("CREATE ROLE somebody LOGIN");
    let schema = cluster.schema().schema;
    cluster.sql(&format!("ALTER SCHEMA {schema} OWNER TO somebody"));
    let url = StoreAddress { port: cluster.port(), schema }.url().replacen("postgres@", "somebody@", 1);
    let connect = {
        let url = url.clone();
        move || PostgresStore::open(PostgresAddress::new(&PostgresUrl::parse(&url).unwrap(), None, None).unwrap())
    };
    let mut store = connect().unwrap();
    put(&mut store, b"1").unwrap();
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    assert!(others.len() > 5);
    put(&mut store, b"2").unwrap();
    // The store loses its connection, and another process takes the place.
    cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'regrow-ds'");
    while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    let refused = put(&mut store, b"3");
    assert!(matches!(&refused, Err(StoreError::Away(reason)) if reason.contains("53300")), "{refused:?}");
    others.clear();
    until_it_succeeds(|| put(&mut store, b"4"));
    assert_eq!(get(&mut store), Some(b"4".to_vec()));
}
