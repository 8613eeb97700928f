use std::sync::Arc;

use floe_table::{CreateTable, Meter, OptimizeOptions};
use floe_table_format::{CompareOp, Predicate, Scalar};
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
async fn a_meter_counts_the_files_and_rows_of_an_optimise() {
    for zorder_by in [Vec::new(), vec!["id".to_owned()]] {
        let world = World::with_names().await;
        for i in 0..5 {
            world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
        }
        let meter = Arc::new(Meter::default());
        let options = OptimizeOptions { meter: Some(meter.clone()), zorder_by, ..OptimizeOptions::default() };
        let report = world.table.optimize(options).await.expect("optimised");
        assert_eq!((Meter::get(&meter.files_total), Meter::get(&meter.files_to_do)), (5, 5));
        assert_eq!((Meter::get(&meter.files_done), Meter::get(&meter.rows_done)), (5, 50));
        assert_eq!(Meter::get(&meter.bytes_to_do), report.bytes_removed);
        assert_eq!(Meter::get(&meter.bytes_done), report.bytes_removed);
    }
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

/// A grid of 256 by 256 points in no order, for files of some thousand rows each.
async fn grid(clustered: bool) -> World {
    let point = |at: i64| at * 28979 % 65536;
    let rows = |points: std::ops::Range<i64>| {
        let batch = Batch::new().long("x", points.clone().map(|at| point(at) / 256));
        let batch = batch.long("y", points.clone().map(|at| point(at) % 256));
        let fillers: Vec<String> =
            points.map(|at| format!("{:x}", (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        batch.text("filler", fillers.iter().map(String::as_str)).build()
    };
    let create =
        CreateTable::from_arrow(&rows(0..0).schema()).expect("schema").with_property("delta.targetFileSize", "8kb");
    let columns = || vec![vec!["x".to_owned()], vec!["y".to_owned()]];
    let world = World::new(if clustered { create.with_clustering(columns()) } else { create }).await;
    for part in 0..4 {
        world.table.append(vec![rows(part * 16384..(part + 1) * 16384)]).await.expect("appended");
    }
    world
}

/// The share of all rows that lie in files a small square of the grid may be in, averaged over squares.
async fn share_read(world: &World) -> f64 {
    let snapshot = world.table.snapshot().await.expect("loaded");
    let mut share = 0.0;
    for (x, y) in (0..8).flat_map(|x| (0..8).map(move |y| (x * 32, y * 32))) {
        let within = |column: &str, from: i64| {
            let compare = |op, value| Predicate::compare(column, op, Scalar::Long(value));
            Predicate::And(vec![compare(CompareOp::GtEq, from), compare(CompareOp::Lt, from + 32)])
        };
        let predicate = Predicate::And(vec![within("x", x), within("y", y)]);
        let plan = snapshot.scan().with_predicate(predicate).plan().expect("planned");
        share += plan.files.iter().filter_map(|file| file.num_records).sum::<u64>() as f64 / 65536.0;
    }
    share / 64.0
}

#[tokio::test]
async fn ordered_rows_lie_in_files_that_a_query_can_skip() {
    for (clustered, memory) in [(true, None), (true, Some(400_000)), (false, None), (false, Some(400_000))] {
        let world = grid(clustered).await;
        assert_eq!(share_read(&world).await, 1.0);
        let before = rows_now(&world).await;
        let zorder_by = if clustered { Vec::new() } else { vec!["x".into(), "y".into()] };
        let options = OptimizeOptions { zorder_by, memory, ..OptimizeOptions::default() };
        let report = world.table.optimize(options).await.expect("optimised");
        assert_eq!(report.files_removed, 4);
        assert!(report.files_added >= 8, "{report:?}");
        let share = share_read(&world).await;
        // A square is a 64th of all rows.
        assert!(share < 0.2, "{share} of the rows, clustered: {clustered}, memory: {memory:?}");
        assert_eq!(rows_now(&world).await, before);
        // The pieces that were sorted one by one are gone.
        let listed = world.table.data_store().list_folder("").await.map_or(0, |files| files.len());
        assert!(listed == 0 || listed as u64 <= 4 + report.files_added, "{listed} files");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Law 5: compaction, clustering and checkpoints keep the multiset of rows, of this version and of older ones.
    #[test]
    fn rewriting_the_layout_keeps_every_row(
        sizes in prop::collection::vec(1i64..30, 1..6),
        doomed in prop::collection::vec(0i64..100, 0..40),
        order in 0..3,
        pieces in any::<bool>(),
        partitioned in any::<bool>(),
        checkpoint in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
            let create = match order {
                2 => create.with_clustering(vec![vec!["name".into()], vec!["id".into()]]),
                _ if partitioned => create.with_partition_columns(["name"]),
                _ => create,
            };
            let world = World::new(create).await;
            let mut next = 0;
            for size in sizes {
                let rows: Vec<(i64, &str)> = (next..next + size).map(|i| (i, ["a", "b", "c"][i as usize % 3])).collect();
                world.table.append(vec![names(&rows)]).await.expect("appended");
                next += size;
            }
            let snapshot = world.table.snapshot().await.expect("loaded");
            if !partitioned || order == 2 {
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
            let zorder_by = if order == 1 { vec!["id".into()] } else { Vec::new() };
            let memory = pieces.then_some(100);
            let options = OptimizeOptions { zorder_by, memory, ..OptimizeOptions::default() };
            world.table.optimize(options).await.expect("optimised");
            if checkpoint {
                world.table.checkpoint().await.expect("checkpointed");
            }
            assert_eq!(rows_now(&world).await, before);
            assert_eq!(rows_at(&world.other_handle().await, before_version).await, before);
        });
    }
}
