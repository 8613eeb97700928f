use floe_table::CreateTable;
use floe_table_format::RowSet;
use floe_testkit::Batch;
use futures::StreamExt;
use proptest::prelude::*;

use crate::world::{World, delete_ids, names, range, rows_at, rows_now};

#[tokio::test]
async fn deleted_rows_are_gone_and_the_file_stays() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let path = snapshot.state().files.iter().next().expect("a file").path().to_owned();
    let change = delete_ids(&world.table, &snapshot, &[1, 3]).await.expect("planned");
    let report = change.commit().await.expect("written").committed().expect("no conflict");
    assert_eq!((report.rows_removed, report.files_added), (2, 0));
    assert_eq!(rows_now(&world).await, ["0|n0", "2|n2", "4|n4"]);
    let now = world.table.snapshot().await.expect("loaded");
    let file = now.state().files.find(&path).expect("the same file");
    assert_eq!(file.deletion_vector().expect("a deletion vector").cardinality, 2);
    assert_eq!(rows_at(&world.table, 1).await.len(), 5);
}

#[tokio::test]
async fn deletion_vectors_add_up_until_the_file_goes() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..4)]).await.expect("appended");
    for (ids, left) in [([0, 9], 3), ([1, 0], 2), ([2, 3], 0)] {
        let snapshot = world.table.snapshot().await.expect("loaded");
        let change = delete_ids(&world.table, &snapshot, &ids).await.expect("planned");
        let _ = change.commit().await.expect("written").committed().expect("no conflict");
        assert_eq!(rows_now(&world).await.len(), left);
    }
    assert_eq!(world.table.snapshot().await.expect("loaded").state().files.len(), 0);
}

#[tokio::test]
async fn without_deletion_vectors_the_file_is_rewritten() {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
    let world = World::new(create.with_property("delta.enableDeletionVectors", "false")).await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, &[1, 3]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    assert_eq!(rows_now(&world).await, ["0|n0", "2|n2", "4|n4"]);
    let now = world.table.snapshot().await.expect("loaded");
    assert!(now.state().files.iter().all(|f| f.deletion_vector().is_none()));
    assert!(!now.state().protocol.reader_features.iter().flatten().any(|f| f == "deletionVectors"));
}

#[tokio::test]
async fn an_update_deletes_and_adds_in_one_commit() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let mut change = delete_ids(&world.table, &snapshot, &[1]).await.expect("planned");
    change.stage_rows(futures::stream::iter([Ok(names(&[(1, "changed")]))]).boxed()).await.expect("staged");
    let report = change.commit().await.expect("written").committed().expect("no conflict");
    assert_eq!((report.rows_added, report.rows_removed), (1, 1));
    assert_eq!(rows_now(&world).await, ["0|n0", "1|changed", "2|n2"]);
}

#[tokio::test]
async fn a_position_beyond_the_file_is_refused() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let path = snapshot.state().files.iter().next().expect("a file").path().to_owned();
    let mut change = world.table.begin_at(&snapshot, floe_table_format::Operation::new("DELETE")).expect("begun");
    change.delete_rows(&path, RowSet::from_iter([3]));
    let error = change.commit().await.expect_err("refused").to_string();
    assert!(error.contains("beyond the 3 rows"), "{error}");
}

#[tokio::test]
async fn deletes_in_a_partitioned_table_keep_the_partition_values() {
    let batch = Batch::new().long("id", 0..6).text("p", ["x", "y", "x", "y", "x", "y"]).build();
    let create = CreateTable::from_arrow(&batch.schema()).expect("schema").with_partition_columns(["p"]);
    for vectors in ["true", "false"] {
        let world = World::new(create.clone().with_property("delta.enableDeletionVectors", vectors)).await;
        world.table.append(vec![batch.clone()]).await.expect("appended");
        let snapshot = world.table.snapshot().await.expect("loaded");
        let mut change = world.table.begin_at(&snapshot, floe_table_format::Operation::new("DELETE")).expect("begun");
        for file in snapshot.scan().plan().expect("planned").files {
            change.delete_rows(&file.log_path, RowSet::from_iter([0]));
        }
        let _ = change.commit().await.expect("written").committed().expect("no conflict");
        assert_eq!(rows_now(&world).await, ["2|x", "3|y", "4|x", "5|y"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Rows taken out in any portions, with and without deletion vectors, leave exactly the others.
    #[test]
    fn any_sequence_of_deletes_leaves_the_other_rows(
        portions in prop::collection::vec(prop::collection::vec(0i64..60, 1..20), 1..5),
        vectors in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
            let world = World::new(create.with_property("delta.enableDeletionVectors", vectors.to_string())).await;
            for start in [0, 20, 40] {
                world.table.append(vec![range(start..start + 20)]).await.expect("appended");
            }
            let mut left: std::collections::BTreeSet<i64> = (0..60).collect();
            for ids in portions {
                let snapshot = world.table.snapshot().await.expect("loaded");
                let change = delete_ids(&world.table, &snapshot, &ids).await.expect("planned");
                if !change.is_empty() {
                    let _ = change.commit().await.expect("written").committed().expect("no conflict");
                }
                left.retain(|id| !ids.contains(id));
                let mut expected: Vec<String> = left.iter().map(|id| format!("{id}|n{id}")).collect();
                expected.sort();
                assert_eq!(rows_now(&world).await, expected);
            }
        });
    }
}
