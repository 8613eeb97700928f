use floe_table::VacuumOptions;
use floe_table_format::{Version, VersionSpec};

use crate::world::{World, delete_ids, later, range, rows_at, rows_now};

#[tokio::test]
async fn restoring_brings_rows_back_as_a_new_version() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, &[1, 2, 3]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    let report = world.table.restore(VersionSpec::Version(Version::new(1).expect("small"))).await.expect("restored");
    assert_eq!(report.version.get(), 4);
    assert_eq!(rows_now(&world).await, rows_at(&world.table, 1).await);
    assert_eq!(rows_at(&world.table, 3).await.len(), 17);
    let back = world.table.restore(VersionSpec::Version(Version::new(3).expect("small"))).await.expect("restored");
    assert_eq!(back.version.get(), 5);
    assert_eq!(rows_now(&world).await.len(), 17);
}

#[tokio::test]
async fn restoring_what_vacuum_deleted_is_refused_and_names_the_file() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    world.table.optimize(Default::default()).await.expect("optimised");
    let options = VacuumOptions { retention_ms: Some(0), force: true, ..VacuumOptions::default() };
    later(&world).await;
    let vacuumed = world.table.vacuum(options).await.expect("vacuumed");
    assert_eq!(vacuumed.files.len(), 2);
    let error = world.table.restore(VersionSpec::Version(Version::new(1).expect("small"))).await.expect_err("refused");
    assert!(error.to_string().contains(".parquet is gone"), "{error}");
    assert_eq!(rows_now(&world).await.len(), 20);
}
