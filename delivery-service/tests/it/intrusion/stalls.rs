//! Requests that try to slow down or fill the store for everyone.

use std::ops::ControlFlow;

use super::Scene;
use crate::{
    common::{Client, NOW, device, register, service_key},
    http::{World, name, room_path},
};
use axum::http::StatusCode;
use regrow_delivery_service::{
    DeliveryService, Limits, SqliteStore, Store as _, StoreError,
    api::{self, Code},
    store::{Table, Transaction},
};

/// Counts the records of all tables for key packages.
fn records(store: &mut SqliteStore) -> usize {
    let tables = [
        Table::KeyPackages,
        Table::LastResorts,
        Table::KeyPackagesSeen,
        Table::KeyPackageOwners,
        Table::KeyPackageDeadlines,
    ];
    let mut count = 0;
    let counted = store.transaction(|tx: &mut dyn Transaction| {
        for table in tables {
            tx.scan(table, &[]..&[0xFF; 64], &mut |_, _| {
                count += 1;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok::<_, StoreError>(())
    });
    counted.unwrap();
    count
}

#[test]
fn replaced_key_packages_leave_no_records() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut counts = Vec::new();
    for rounds in [1, 5] {
        let store = SqliteStore::open(&path).unwrap();
        let service = DeliveryService::open(store, Limits::default(), service_key()).unwrap();
        register(&service, &device("mallory"));
        let mallory = Client::new("mallory");
        for _ in 0..rounds {
            let key_packages = [(); 3].map(|()| mallory.upload(0, u64::MAX, false));
            let last_resort = mallory.upload(0, u64::MAX, true);
            service.replace_key_packages(&mallory.id, &key_packages, Some(&last_resort), NOW).unwrap();
            // A new last-resort key package alone also replaces the previous one.
            let last_resort = mallory.upload(0, u64::MAX, true);
            service.upload_key_packages(&mallory.id, &[], Some(&last_resort), NOW).unwrap();
        }
        drop(service);
        counts.push(records(&mut SqliteStore::open(&path).unwrap()));
    }
    assert_eq!(counts[0], counts[1]);
}

/// A device may have 200 key packages, and each count reads all of them.
#[tokio::test]
async fn an_oversized_key_package_is_not_stored() {
    let scene = Scene::new().await;
    let client = scene.mallory.client();
    for (bytes, refused) in [(30_000, 0), (33_000, 1)] {
        let upload = api::UploadRequest { key_packages: vec![client.padded_upload(bytes).into()], last_resort: None };
        let answer: api::UploadAnswer =
            scene.world.post("/v1/key-packages", Some(&scene.mallory.token), &upload).await.ok();
        assert_eq!(answer.refused.len(), refused, "{bytes} bytes");
        assert!(answer.refused.iter().all(|refused| refused.reason == "malformed"), "{:?}", answer.refused);
    }
}

#[tokio::test]
async fn a_commit_costs_more_for_each_named_device() {
    let world = World::with(|settings| settings.limits.device_burst = 150).await;
    let mallory = world.device("mallory", "phone").await;
    let added: Vec<_> = (0..1_000).map(|number| name("victim", &number.to_string())).collect();
    let forged =
        api::CommitRequest { commit: Vec::new().into(), welcome: None, group_info: None, added, removed: vec![] };
    let path = room_path("/commits");
    world.post(&path, Some(&mallory.token), &forged).await.refused(Code::NotFound);
    world.post(&path, Some(&mallory.token), &forged).await.refused(Code::TooManyRequests);
}

/// A member sees another member's commit before it is ordered, and submits forged copies.
#[tokio::test]
async fn forged_copies_of_a_commit_do_not_block_it() {
    let mut scene = Scene::new().await;
    let commit = scene.members[0].update();
    for device in [&scene.mallory, &scene.bob] {
        for at in [10, commit.commit.len() / 2, commit.commit.len() - 1] {
            let mut forged = commit.clone();
            forged.commit[at] ^= 1;
            assert!(scene.world.commit(device, &forged).await.status.is_client_error(), "byte {at}");
        }
        scene.world.commit(device, &commit).await.problem();
    }
    scene.world.commit(&scene.alice, &commit).await.is(StatusCode::OK);
}
