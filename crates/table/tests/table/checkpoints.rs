use bytes::Bytes;
use floe_table_format::Version;

use crate::world::{World, delete_ids, range, rows_at, rows_now};

async fn with_history() -> World {
    let world = World::with_names().await;
    for i in 0..6 {
        world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
    }
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, &[5, 15, 25]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    world
}

#[tokio::test]
async fn a_table_reads_the_same_with_and_without_a_checkpoint() {
    let world = with_history().await;
    let before = rows_now(&world).await;
    let state_before = world.other_handle().await.snapshot().await.expect("loaded");
    world.table.checkpoint().await.expect("checkpointed");
    let state_after = world.other_handle().await.snapshot().await.expect("loaded");
    assert_eq!(rows_now(&world).await, before);
    let adds = |s: &floe_table::Snapshot| {
        let mut adds: Vec<_> =
            s.state().files.iter().map(|f| (f.path().to_owned(), f.deletion_vector(), f.num_records())).collect();
        adds.sort_by(|a, b| a.0.cmp(&b.0));
        adds
    };
    assert_eq!(adds(&state_before), adds(&state_after));
    world.table.append(vec![range(100..101)]).await.expect("appended");
    assert_eq!(rows_now(&world).await.len(), before.len() + 1);
    assert_eq!(rows_at(&world.other_handle().await, 2).await.len(), 20, "versions before the checkpoint");
}

#[tokio::test]
async fn opening_after_a_checkpoint_does_not_read_the_commits_before_it() {
    let world = with_history().await;
    world.table.checkpoint().await.expect("checkpointed");
    let before = world.store.counts();
    world.other_handle().await;
    let spent = world.store.counts() - before;
    assert!(spent.total() <= 7, "{spent:?}");
}

#[tokio::test]
async fn a_broken_checkpoint_falls_back_to_the_log() {
    let world = with_history().await;
    let before = rows_now(&world).await;
    let version = world.table.checkpoint().await.expect("checkpointed");
    let name = floe_table_format::path::checkpoint_name(version);
    for garbage in [Bytes::from_static(b""), Bytes::from_static(b"PAR1 is not enough PAR1")] {
        world.table.log_store().write(&name, garbage).await.expect("written");
        assert_eq!(rows_now(&world).await, before);
    }
}

#[tokio::test]
async fn a_lying_hint_is_only_a_hint() {
    let world = with_history().await;
    let before = rows_now(&world).await;
    for hint in ["garbage", "{\"version\":3,\"size\":1}", "{\"version\":999,\"size\":1}", "{\"version\":-1}", ""] {
        world.table.log_store().write("_last_checkpoint", Bytes::from(hint)).await.expect("written");
        assert_eq!(rows_now(&world).await, before, "{hint}");
    }
}

#[tokio::test]
async fn a_checkpoint_is_written_when_one_is_due() {
    let world = World::with_names().await;
    world.table.set_properties([("delta.checkpointInterval".to_owned(), "3".to_owned())].into()).await.expect("set");
    for i in 0..6 {
        world.table.append(vec![range(i..i + 1)]).await.expect("appended");
    }
    let names: Vec<String> =
        world.table.log_store().list(Version::ZERO).await.expect("listed").into_iter().map(|e| e.name).collect();
    for due in [3, 6] {
        assert!(names.iter().any(|n| *n == format!("{due:020}.checkpoint.parquet")), "{names:?}");
    }
}

#[tokio::test]
async fn a_gap_in_the_log_is_an_error_and_not_a_shorter_table() {
    let world = with_history().await;
    world.table.log_store().delete("00000000000000000003.json").await.expect("deleted");
    let error = floe_table::Table::builder("memory:///t")
        .with_location(world.table.location().clone())
        .open()
        .await
        .expect_err("refused");
    assert!(matches!(error.format_error(), Some(floe_table_format::FormatError::CorruptLog { .. })), "{error}");
}

#[tokio::test]
async fn a_checksum_that_disagrees_is_reported() {
    let world = with_history().await;
    let version = world.table.checkpoint().await.expect("checkpointed");
    let name = floe_table_format::path::checksum_name(version);
    let mut checksum: serde_json::Value =
        serde_json::from_slice(&world.table.log_store().read(&name).await.expect("read")).expect("json");
    checksum["numFiles"] = 99.into();
    world.table.log_store().write(&name, Bytes::from(checksum.to_string())).await.expect("written");
    let opened = floe_table::Table::builder("memory:///t").with_location(world.table.location().clone()).open().await;
    assert!(opened.expect_err("refused").to_string().contains("99"));
    world.table.log_store().write(&name, Bytes::from_static(b"garbage")).await.expect("written");
    assert!(!rows_now(&world).await.is_empty(), "an unreadable checksum proves nothing");
}
