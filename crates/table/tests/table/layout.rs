use floe_table::{CreateTable, OptimizeOptions};
use floe_testkit::Batch;
use proptest::prelude::*;

use crate::world::{World, delete_ids, names, range, rows_at, rows_now};

#[tokio::test]
async fn small_files_become_one_and_the_rows_stay() {
    let world = World::with_names().await;
    for i in 0..5 {
        world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
    }
    let before = rows_now(&world).await;
    let report = world.table.optimize(OptimizeOptions::default()).await.expect("optimised");
    assert_eq!((report.files_removed, report.files_added), (5, 1));
    assert_eq!(rows_now(&world).await, before);
    let again = world.table.optimize(OptimizeOptions::default()).await.expect("optimised");
    assert_eq!(again.version, None, "one file is as good as it gets");
}

#[tokio::test]
async fn compaction_leaves_deleted_rows_behind() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, &[0, 1, 2, 3, 15]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    let before = rows_now(&world).await;
    world.table.optimize(OptimizeOptions::default()).await.expect("optimised");
    assert_eq!(rows_now(&world).await, before);
    let now = world.table.snapshot().await.expect("loaded");
    assert!(now.state().files.iter().all(|f| f.deletion_vector().is_none()));
}

#[tokio::test]
async fn zorder_keeps_rows_near_in_both_columns() {
    let batch = Batch::new().long("x", (0..4096).map(|i| i % 64)).long("y", (0..4096).map(|i| i / 64)).build();
    let world = World::new(CreateTable::from_arrow(&batch.schema()).expect("schema")).await;
    world.table.append(vec![batch.clone()]).await.expect("appended");
    let options = OptimizeOptions { zorder_by: vec!["x".into(), "y".into()], ..OptimizeOptions::default() };
    let report = world.table.optimize(options).await.expect("optimised");
    assert!(report.version.is_some());
    let now = world.table.snapshot().await.expect("loaded");
    let batches: Vec<_> =
        futures::TryStreamExt::try_collect(now.scan().stream().await.expect("planned")).await.expect("read");
    assert_eq!(floe_testkit::rows(&batches), floe_testkit::rows(&[batch]));
    let in_order = floe_testkit::rows_in_order(&batches);
    let quadrant = |line: &String| {
        let (x, y) = line.split_once('|').expect("two columns");
        (x.parse::<u32>().expect("a number") / 32, y.parse::<u32>().expect("a number") / 32)
    };
    for quarter in in_order.chunks(1024) {
        assert!(
            quarter.iter().all(|line| quadrant(line) == quadrant(&quarter[0])),
            "each quarter lies in one quadrant"
        );
    }
}

#[tokio::test]
async fn an_unknown_zorder_column_is_refused_with_the_nearest_name() {
    let world = World::with_names().await;
    let options = OptimizeOptions { zorder_by: vec!["nam".into()], ..OptimizeOptions::default() };
    let error = world.table.optimize(options).await.expect_err("refused").to_string();
    assert!(error.contains("did you mean name?"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Law 5: compaction, clustering and checkpoints keep the multiset of rows, of this version and of older ones.
    #[test]
    fn rewriting_the_layout_keeps_every_row(
        sizes in prop::collection::vec(1i64..30, 1..6),
        doomed in prop::collection::vec(0i64..100, 0..40),
        zorder in any::<bool>(),
        partitioned in any::<bool>(),
        checkpoint in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
            let create = if partitioned { create.with_partition_columns(["name"]) } else { create };
            let world = World::new(create).await;
            let mut next = 0;
            for size in sizes {
                let rows: Vec<(i64, &str)> = (next..next + size).map(|i| (i, ["a", "b", "c"][i as usize % 3])).collect();
                world.table.append(vec![names(&rows)]).await.expect("appended");
                next += size;
            }
            let snapshot = world.table.snapshot().await.expect("loaded");
            if !partitioned {
                let change = delete_ids(&world.table, &snapshot, &doomed).await.expect("planned");
                if !change.is_empty() {
                    let _ = change.commit().await.expect("written").committed().expect("no conflict");
                }
            }
            let before_version = world.table.snapshot().await.expect("loaded").version().get();
            let before = rows_now(&world).await;
            if checkpoint {
                world.table.checkpoint().await.expect("checkpointed");
            }
            let zorder_by = if zorder { vec!["id".into()] } else { Vec::new() };
            world.table.optimize(OptimizeOptions { zorder_by, ..OptimizeOptions::default() }).await.expect("optimised");
            if checkpoint {
                world.table.checkpoint().await.expect("checkpointed");
            }
            assert_eq!(rows_now(&world).await, before);
            assert_eq!(rows_at(&world.other_handle().await, before_version).await, before);
        });
    }
}
