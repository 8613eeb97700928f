use std::sync::Arc;

use floe_storage::object_store::memory::InMemory;
use floe_storage::{Location, StoreKind};
use floe_table::{CreateTable, Table};

use crate::world::{World, names, range};

#[tokio::test]
async fn an_append_to_an_open_table_costs_three_requests() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let before = world.store.counts();
    world.table.append(vec![range(10..20)]).await.expect("appended");
    let spent = world.store.counts() - before;
    assert!(spent.total() <= 3, "data, commit and checksum: {spent:?}");
}

#[tokio::test]
async fn a_refresh_without_news_costs_one_request() {
    let world = World::with_names().await;
    world.table.snapshot().await.expect("loaded");
    let before = world.store.counts();
    world.table.snapshot().await.expect("loaded");
    assert_eq!((world.store.counts() - before).total(), 1);
}

#[tokio::test]
async fn across_a_network_every_tenth_version_has_a_checksum_and_each_with_a_checkpoint() {
    let location = Location::with_store(Arc::new(InMemory::new()), "t".into(), "test:///t").with_kind(StoreKind::S3);
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("a Delta schema");
    let create = create.with_property("delta.checkpointInterval", "7");
    let table = Table::builder("test:///t").with_location(location).create(create).await.expect("created");
    for n in 0..15 {
        table.append(vec![range(n..n + 1)]).await.expect("appended");
    }
    let files = table.data_store().list_folder("_delta_log").await.expect("listed");
    let checksums: Vec<&str> = files.iter().filter_map(|file| file.path.strip_suffix(".crc")).collect();
    let version = |path: &&str| path.rsplit_once('/')?.1.parse().ok();
    let versions: Vec<Option<u64>> = checksums.iter().map(version).collect();
    assert_eq!(versions, [0, 7, 10, 14].map(Some));
}
