use floe_table::{CommitOutcome, TableError};
use floe_table_format::path::commit_name;
use floe_table_format::{Operation, Predicate, Rule, Version, VersionSpec};
use futures::StreamExt;

use crate::world::{World, delete_ids, names, range, rows_now};

#[tokio::test]
async fn racing_appends_all_land() {
    let world = World::with_names().await;
    let writers = futures::future::join_all((0..8).map(|i| {
        let world = &world;
        async move {
            let table = world.other_handle().await;
            for j in 0..4 {
                let first = (i * 4 + j) * 10;
                table.append(vec![range(first..first + 10)]).await.expect("appended");
            }
        }
    }));
    writers.await;
    assert_eq!(rows_now(&world).await.len(), 320);
    assert_eq!(world.table.snapshot().await.expect("loaded").version().get(), 32);
}

#[tokio::test]
async fn deletes_of_different_rows_of_one_file_both_win() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let other = world.other_handle().await;
    let snapshot = world.table.snapshot().await.expect("loaded");
    let first = delete_ids(&world.table, &snapshot, &[1, 2]).await.expect("planned");
    let second = delete_ids(&other, &other.snapshot().await.expect("loaded"), &[3]).await.expect("planned");
    let _ = first.commit().await.expect("written").committed().expect("no conflict");
    let _ = second.commit().await.expect("written").committed().expect("the other rows are no conflict");
    assert_eq!(rows_now(&world).await.len(), 7);
}

#[tokio::test]
async fn deletes_of_the_same_row_conflict() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let other = world.other_handle().await;
    let snapshot = world.table.snapshot().await.expect("loaded");
    let first = delete_ids(&world.table, &snapshot, &[1, 2]).await.expect("planned");
    let second = delete_ids(&other, &other.snapshot().await.expect("loaded"), &[2, 3]).await.expect("planned");
    let _ = first.commit().await.expect("written").committed().expect("no conflict");
    match second.commit().await.expect("an outcome") {
        CommitOutcome::Conflicted { why, .. } => assert_eq!(why.rule, Rule::ConcurrentDeleteDelete),
        CommitOutcome::Committed(report) => panic!("both won: {report:?}"),
    }
    assert_eq!(rows_now(&world).await.len(), 8);
}

/// What is written may depend on the row that the other writer took away, though both take out different rows.
#[tokio::test]
async fn a_change_that_read_the_file_conflicts_with_a_delete_of_another_row() {
    for whole_table in [false, true] {
        let world = World::with_names().await;
        world.table.append(vec![range(0..10)]).await.expect("appended");
        let other = world.other_handle().await;
        let snapshot = world.table.snapshot().await.expect("loaded");
        let first = delete_ids(&world.table, &snapshot, &[1]).await.expect("planned");
        let mut counted = delete_ids(&other, &snapshot, &[3]).await.expect("planned");
        match whole_table {
            true => counted.read_whole_table(),
            false => counted.read_file(snapshot.state().files.iter().next().expect("a file").path()),
        }
        counted.stage_rows(futures::stream::iter([Ok(names(&[(3, "one of ten")]))]).boxed()).await.expect("staged");
        let _ = first.commit().await.expect("written").committed().expect("no conflict");
        let _ = counted.commit().await.expect("an outcome").committed().expect_err("it is one of nine now");
        assert_eq!(rows_now(&world).await.len(), 9);
    }
}

#[tokio::test]
async fn a_read_that_new_rows_would_have_changed_conflicts() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let mut counted = world.table.begin_at(&snapshot, Operation::new("WRITE")).expect("begun");
    counted.read_predicate(Predicate::True);
    counted.set_isolation(floe_table_format::IsolationLevel::Serializable);
    counted.stage_rows(futures::stream::iter([Ok(names(&[(10, "ten rows")]))]).boxed()).await.expect("staged");
    world.other_handle().await.append(vec![range(20..21)]).await.expect("appended");
    let error = counted.commit().await.expect("an outcome").committed().expect_err("conflict");
    assert!(matches!(&error, TableError::Conflict { why, .. } if why.rule == Rule::ConcurrentAppend), "{error}");
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[tokio::test]
async fn overlapping_overwrites_do_not_both_win() {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    let overwrite = async |id: i64| {
        let table = world.other_handle().await;
        let snapshot = table.snapshot().await.expect("loaded");
        let mut change = table.begin_at(&snapshot, Operation::new("WRITE")).expect("begun");
        change.read_whole_table();
        for file in snapshot.scan().plan().expect("planned").files {
            change.remove_file(&file.log_path).expect("a live file");
        }
        change.stage_rows(futures::stream::iter([Ok(range(id..id + 1))]).boxed()).await.expect("staged");
        change
    };
    let (first, second) = (overwrite(100).await, overwrite(200).await);
    let _ = first.commit().await.expect("written").committed().expect("no conflict");
    let _ = second.commit().await.expect("an outcome").committed().expect_err("the first one's rows must not vanish");
    assert_eq!(rows_now(&world).await, ["100|n100"]);
}

#[tokio::test]
async fn an_append_stands_beside_a_compaction() {
    let world = World::with_names().await;
    for i in 0..4 {
        world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
    }
    let stale = world.other_handle().await;
    world.table.optimize(Default::default()).await.expect("optimised");
    stale.append(vec![range(40..50)]).await.expect("appended on an old snapshot");
    assert_eq!(rows_now(&world).await.len(), 50);
}

#[tokio::test]
async fn a_change_of_a_version_that_was_cleaned_out_of_the_log_is_refused() {
    let world = World::with_names().await;
    for n in 0..6 {
        world.table.append(vec![range(n..n + 1)]).await.expect("appended");
    }
    let old = world.table.at(VersionSpec::Version(Version::new(2).expect("small"))).await.expect("loaded");
    let transaction = world.table.begin_at(&old, Operation::new("WRITE")).expect("writable");
    world.table.checkpoint().await.expect("written");
    // As clean-up does, oldest first: the name of version 3 is free again.
    for version in 0..5 {
        world.table.log_store().delete(&commit_name(Version::new(version).expect("small"))).await.expect("deleted");
    }
    let error = transaction.commit().await.expect_err("the log does not go on from there");
    assert!(matches!(error, TableError::SnapshotExpired { version, .. } if version.get() == 2), "{error}");
    assert_eq!(rows_now(&world).await.len(), 6);
}
