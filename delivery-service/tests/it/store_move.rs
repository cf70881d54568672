//! The move of a store from a file into a database.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(feature = "server", unix))]

use std::ops::ControlFlow;

use regrow_delivery_service::{
    HandshakeMode::Assisted,
    SqliteStore, Store, StoreError,
    store::{
        Table,
        moving::{MoveError, MovedRecords, StoreToMove},
        postgres::{PostgresStore, UnfinishedStore},
    },
};

use crate::{
    common::{
        postgres::{Cluster, StoreAddress},
        *,
    },
    store_check::FullStore,
};

fn records(store: &mut impl Store) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    let read = store.transaction::<_, StoreError>(|tx| {
        for table in Table::ALL {
            tx.scan(table, &[]..&[u8::MAX; 64], &mut |key, value| {
                records.push((table, key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    });
    read.unwrap();
    records
}

fn move_to(file: &FullStore, address: &StoreAddress) -> Result<MovedRecords, MoveError> {
    let target = UnfinishedStore::open(address.address()).map_err(MoveError::Target)?;
    StoreToMove::open(&file.path())?.move_into(target)
}

/// Makes the database refuse the statements that the trigger is about.
fn refuse(cluster: &Cluster, address: &StoreAddress, statements: &str) {
    cluster.sql(&format!(
        "SET search_path = {};
         CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE {statements} EXECUTE FUNCTION refuse()",
        address.schema
    ));
}

fn refuse_no_more(cluster: &Cluster, address: &StoreAddress) {
    cluster.sql(&format!("DROP FUNCTION {}.refuse() CASCADE", address.schema));
}

#[track_caller]
fn assert_unfinished(address: &StoreAddress) {
    assert!(matches!(PostgresStore::open(address.address()), Err(StoreError::Unfinished)));
    assert!(matches!(PostgresStore::open_beside(address.address()), Err(StoreError::Unfinished)));
}

#[track_caller]
fn assert_moved(file: &FullStore) {
    assert!(matches!(SqliteStore::open(file.path()), Err(StoreError::Moved)));
    assert!(matches!(SqliteStore::open_beside(file.path()), Err(StoreError::Moved)));
}

#[test]
fn a_moved_store_has_all_records_and_the_file_is_retired() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    let before = records(&mut file.open());
    let moved = move_to(&file, &address).unwrap();
    assert_eq!(moved.records, before.len() as u64);
    assert_moved(&file);
    assert_eq!(records(&mut address.open()), before);
    assert_eq!(address.open_beside().check().unwrap(), []);
    // Neither store can be moved again.
    assert!(matches!(move_to(&file, &address), Err(MoveError::Target(StoreError::NotEmpty))));
    let other = FullStore::new();
    assert!(matches!(move_to(&other, &address), Err(MoveError::Target(StoreError::NotEmpty))));
    other.open();
}

#[test]
fn members_go_on_after_the_move() {
    let Some(cluster) = Cluster::shared() else { return };
    let (directory, address) = (tempfile::tempdir().unwrap(), cluster.schema());
    let path = directory.path().join("ds.db");
    let service = service_over(SqliteStore::open(&path).unwrap());
    let mut members = group_of(&service, Assisted, &["alice", "bob"]);
    let first = say(&service, &mut members[0], "before");
    let key = service.public_key();
    drop(service);
    let target = UnfinishedStore::open(address.address()).unwrap();
    StoreToMove::open(&path).unwrap().move_into(target).unwrap();

    let service = service_over(address.open());
    assert_eq!(service.public_key(), key);
    let update = members[0].update();
    accept(&service, &update);
    let read: Vec<_> = stream(&service, &device("bob")).into_iter().map(|delivery| delivery.bytes).collect();
    assert!(read.contains(&first) && read.contains(&update.commit));
}

#[test]
fn a_file_with_an_owner_is_not_moved() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    let owner = file.open();
    assert!(matches!(move_to(&file, &address), Err(MoveError::Source(StoreError::InUse))));
    drop(owner);
    let to_move = StoreToMove::open(&file.path()).unwrap();
    assert!(matches!(SqliteStore::open(file.path()), Err(StoreError::InUse)));
    drop(to_move);
    move_to(&file, &address).unwrap();
}

#[test]
fn an_interrupted_copy_leaves_the_file_in_use_and_begins_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    let before = records(&mut file.open());
    drop(UnfinishedStore::open(address.address()).unwrap());
    refuse(cluster, &address, "INSERT ON regrow_records");
    assert!(matches!(move_to(&file, &address), Err(MoveError::Target(StoreError::Backend(_)))));
    assert_unfinished(&address);
    assert_eq!(records(&mut file.open()), before);
    refuse_no_more(cluster, &address);
    // A record of the first copy that the file does not have any more.
    cluster.sql(&format!("INSERT INTO {}.regrow_records VALUES (1, '\\x01', '')", address.schema));
    move_to(&file, &address).unwrap();
    assert_eq!(records(&mut address.open()), before);
}

#[test]
fn a_move_that_was_interrupted_at_its_end_is_finished_later() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    let before = records(&mut file.open());
    drop(UnfinishedStore::open(address.address()).unwrap());
    refuse(cluster, &address, "UPDATE ON regrow_store");
    assert!(matches!(move_to(&file, &address), Err(MoveError::Target(StoreError::Backend(_)))));
    refuse_no_more(cluster, &address);
    // Nobody can be served from either store now.
    assert_moved(&file);
    assert_unfinished(&address);
    // The file's records are in one database, and go to no other.
    assert!(matches!(move_to(&file, &cluster.schema()), Err(MoveError::Differs)));
    assert_moved(&file);
    move_to(&file, &address).unwrap();
    assert_moved(&file);
    assert_eq!(records(&mut address.open()), before);
}

#[test]
fn a_copy_with_other_records_is_noticed() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    drop(UnfinishedStore::open(address.address()).unwrap());
    cluster.sql(&format!(
        "SET search_path = {};
         CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.value = NEW.value || '\\x00'; RETURN NEW; END $$;
         CREATE TRIGGER change BEFORE INSERT ON regrow_records FOR EACH ROW
             WHEN (NEW.table_number = {}) EXECUTE FUNCTION change()",
        address.schema,
        Table::Blocks.number()
    ));
    assert!(matches!(move_to(&file, &address), Err(MoveError::Differs)));
    assert_unfinished(&address);
    file.open();
}

#[test]
fn a_damaged_store_is_not_moved() {
    let Some(cluster) = Cluster::shared() else { return };
    let (file, address) = (FullStore::new(), cluster.schema());
    file.put(Table::Members, &[1], &[]);
    let Err(MoveError::Damaged(findings)) = move_to(&file, &address) else { panic!("the store was moved") };
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), ["members 01: cannot be understood"]);
    assert_unfinished(&address);
    file.open();
}
