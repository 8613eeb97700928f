use bytes::Bytes;
use floe_table::{OptimizeOptions, VacuumOptions};
use floe_table_format::TimestampMs;
use futures::TryStreamExt;
use proptest::prelude::*;

use crate::world::{World, delete_ids, later, range, rows_at, rows_now};

const ALL: VacuumOptions = VacuumOptions { retention_ms: Some(0), dry_run: false, force: true, meter: None };

#[tokio::test]
async fn a_retention_below_the_tables_own_needs_force() {
    let world = World::with_names().await;
    let options = VacuumOptions { retention_ms: Some(0), ..VacuumOptions::default() };
    let error = world.table.vacuum(options).await.expect_err("refused").to_string();
    assert!(error.contains("168"), "{error}");
}

#[tokio::test]
async fn vacuum_refuses_a_table_it_could_not_write_to() {
    let world = World::with_names().await;
    world.table.append(vec![crate::world::range(0..3)]).await.expect("appended");
    let version = world.table.snapshot().await.expect("loaded").version().next().expect("small");
    let protocol = br#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors","keepsMoreFiles"]}}"#;
    let _ = world.table.log_store().put_if_absent(version, bytes::Bytes::from_static(protocol)).await.expect("written");
    let refused = [
        world.table.vacuum(VacuumOptions::default()).await.expect_err("refused"),
        world.table.checkpoint().await.expect_err("refused"),
        world.table.clean_up_log().await.expect_err("refused"),
    ];
    for error in refused {
        assert!(error.to_string().contains("keepsMoreFiles"), "{error}");
    }
    assert_eq!(crate::world::rows_now(&world).await.len(), 3, "readers need not know it");
}

#[tokio::test]
async fn a_dry_run_tells_and_deletes_nothing() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    world.table.data_store().put("left-behind.parquet", Bytes::from_static(b"orphan")).await.expect("put");
    later(&world).await;
    let told = world.table.vacuum(VacuumOptions { dry_run: true, ..ALL }).await.expect("told");
    assert_eq!(told.files, ["left-behind.parquet"]);
    let done = world.table.vacuum(ALL).await.expect("vacuumed");
    assert_eq!(done.files, told.files);
    assert_eq!(rows_now(&world).await.len(), 5);
}

#[tokio::test]
async fn files_younger_than_the_retention_stay() {
    let world = World::with_names().await;
    world.table.data_store().put("staged-by-a-running-writer.parquet", Bytes::from_static(b"x")).await.expect("put");
    let done = world.table.vacuum(VacuumOptions::default()).await.expect("vacuumed");
    assert!(done.files.is_empty(), "{done:?}");
}

#[tokio::test]
async fn hidden_folders_of_others_stay_and_deletion_vectors_go_with_their_version() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..2000)]).await.expect("appended");
    for ids in [(0..1000).step_by(3).collect::<Vec<i64>>(), (1..1000).step_by(3).collect()] {
        let snapshot = world.table.snapshot().await.expect("loaded");
        let change = delete_ids(&world.table, &snapshot, &ids).await.expect("planned");
        let _ = change.commit().await.expect("written").committed().expect("no conflict");
    }
    world.table.data_store().put("_floe_index/run", Bytes::from_static(b"x")).await.expect("put");
    let before = rows_now(&world).await;
    later(&world).await;
    let done = world.table.vacuum(ALL).await.expect("vacuumed");
    assert!(done.files.iter().all(|f| f.contains("deletion_vector_") && f.ends_with(".bin")), "{done:?}");
    assert_eq!(done.files.len(), 1, "the vector of the older version: {done:?}");
    assert_eq!(rows_now(&world).await, before);
    let left: Vec<_> = world.table.data_store().list_all().try_collect().await.expect("listed");
    assert!(left.iter().any(|f| f.path == "_floe_index/run"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Law 8: vacuum removes nothing that a version inside the retention reaches.
    #[test]
    fn versions_inside_the_retention_stay_readable(
        steps in prop::collection::vec(0u8..4, 1..12),
        kept in 0usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let world = World::with_names().await;
            let table = &world.table;
            let mut seen = vec![(0u64, TimestampMs(table.env().now().0), Vec::<String>::new())];
            let mut next = 0;
            for step in steps {
                table.env().sleep(std::time::Duration::from_millis(3)).await;
                match step {
                    0 | 1 => {
                        table.append(vec![range(next..next + 7)]).await.expect("appended");
                        next += 7;
                    }
                    2 => {
                        let snapshot = table.snapshot().await.expect("loaded");
                        let ids: Vec<i64> = (0..next).filter(|i| i % 5 == next % 5).collect();
                        let change = delete_ids(table, &snapshot, &ids).await.expect("planned");
                        if !change.is_empty() {
                            let _ = change.commit().await.expect("written").committed().expect("no conflict");
                        }
                    }
                    _ => {
                        table.optimize(OptimizeOptions::default()).await.expect("optimised");
                    }
                }
                let version = table.snapshot().await.expect("loaded").version().get();
                if version != seen.last().expect("the first").0 {
                    table.env().sleep(std::time::Duration::from_millis(3)).await;
                    seen.push((version, table.env().now(), rows_now(&world).await));
                }
            }
            // The retention reaches back to the moment the kept version was the newest.
            let kept = kept.min(seen.len() - 1);
            let retention = table.env().now().0 - seen[kept].1.0;
            table.vacuum(VacuumOptions { retention_ms: Some(retention), ..ALL }).await.expect("vacuumed");
            let reader = world.other_handle().await;
            for (version, _, rows) in &seen[kept..] {
                assert_eq!(&rows_at(&reader, *version).await, rows, "version {version}");
            }
        });
    }
}
