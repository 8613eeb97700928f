//! V2 checkpoints as Floe writes them: a manifest, sidecars, and the clean-up of both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use floe_storage::checkpoint_file::write_log_parquet;
use floe_storage::object_store::memory::InMemory;
use floe_storage::{Env, Environment, Location};
use floe_table::{CreateTable, Table, TableError};
use floe_table_format::checkpoint::checkpoint_batches;
use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::path::LogFile;
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{Action, TimestampMs, Version, parse_commit};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::world::{World, delete_ids, later, names, range, rows_at, rows_now, rows_of};

const V2: (&str, &str) = ("delta.checkpointPolicy", "v2");

async fn world(properties: &[(&str, &str)]) -> World {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
    World::new(properties.iter().fold(create, |create, (key, value)| create.with_property(*key, *value))).await
}

async fn files_of_log(table: &Table) -> Vec<String> {
    table.log_store().list(Version::ZERO).await.expect("listed").into_iter().map(|entry| entry.name).collect()
}

async fn sidecars_of_store(table: &Table) -> BTreeSet<String> {
    table.log_store().list_sidecars().await.expect("listed").into_iter().map(|entry| entry.name).collect()
}

/// The manifests in the log with their actions.
async fn manifests(table: &Table) -> Vec<(String, Vec<Action>)> {
    let mut found = Vec::new();
    for name in files_of_log(table).await {
        if let LogFile::UuidCheckpoint { version, json: true, .. } = LogFile::parse(&name) {
            let bytes = table.log_store().read(&name).await.expect("read");
            found.push((name.clone(), parse_commit(version, &name, &bytes).expect("actions")));
        }
    }
    found
}

fn sidecars_in(actions: &[Action]) -> BTreeSet<String> {
    let named = actions.iter().filter_map(|action| match action {
        Action::Sidecar(sidecar) => Some(sidecar.path.clone()),
        _ => None,
    });
    named.collect()
}

#[tokio::test]
async fn a_table_of_the_v2_policy_gets_a_manifest_and_a_sidecar_and_reads_the_same() {
    let world = world(&[V2]).await;
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert!(has_feature(&snapshot.state().protocol, &Feature::V2Checkpoint), "the policy switches the feature on");
    for i in 0..4 {
        world.table.append(vec![range(i * 10..i * 10 + 10)]).await.expect("appended");
    }
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, &[5, 15]).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
    let before = rows_now(&world).await;
    let version = world.table.checkpoint().await.expect("written");
    let found = manifests(&world.table).await;
    let [(name, actions)] = &found[..] else { panic!("{found:?}") };
    assert!(actions.iter().any(|action| matches!(action, Action::CheckpointMetadata(m) if m.version == 5)));
    assert!(!actions.iter().any(|action| matches!(action, Action::Add(_) | Action::Remove(_))), "{actions:?}");
    assert_eq!(sidecars_in(actions), sidecars_of_store(&world.table).await);
    assert_eq!(sidecars_in(actions).len(), 1);
    let hint = world.table.log_store().read(LastCheckpointHint::NAME).await.expect("read");
    let hint = LastCheckpointHint::parse(&hint).expect("a hint");
    let v2 = hint.v2_checkpoint.expect("it says where");
    assert_eq!((hint.version, &v2.path), (version, name));
    assert_eq!(v2.sidecar_files.expect("few").len(), 1);

    // Nothing but the checkpoint gives these rows: the commits before it are gone.
    for old in 0..version.get() {
        world.table.log_store().delete(&format!("{old:020}.json")).await.expect("deleted");
    }
    assert_eq!(rows_now(&world).await, before);
    world.table.append(vec![range(100..101)]).await.expect("appended");
    assert_eq!(rows_now(&world).await.len(), before.len() + 1);
    let report = world.other_handle().await.check().await.expect("checked");
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn the_policy_is_switched_by_alter_and_checkpoints_follow_it() {
    let world = world(&[]).await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    world.table.checkpoint().await.expect("written");
    world.table.set_properties([(V2.0.to_owned(), V2.1.to_owned())].into()).await.expect("set");
    assert!(has_feature(&world.table.snapshot().await.expect("loaded").state().protocol, &Feature::V2Checkpoint));
    world.table.checkpoint().await.expect("written");
    assert_eq!(manifests(&world.table).await.len(), 1);
    world.table.set_properties([(V2.0.to_owned(), "classic".to_owned())].into()).await.expect("set");
    let version = world.table.checkpoint().await.expect("written");
    assert!(files_of_log(&world.table).await.contains(&format!("{:020}.checkpoint.parquet", version.get())));
    assert_eq!(rows_now(&world).await.len(), 5);
    let bad = world.table.set_properties([(V2.0.to_owned(), "v3".to_owned())].into()).await;
    assert!(bad.expect_err("refused").to_string().contains("delta.checkpointPolicy"));
}

#[tokio::test]
async fn a_table_without_files_has_a_manifest_alone() {
    let world = world(&[V2]).await;
    world.table.checkpoint().await.expect("written");
    let found = manifests(&world.table).await;
    assert_eq!(found.len(), 1);
    assert!(sidecars_in(&found[0].1).is_empty());
    assert!(rows_now(&world).await.is_empty());
}

#[tokio::test]
async fn a_v2_checkpoint_that_lost_a_sidecar_is_mended_as_v2() {
    let world = world(&[V2]).await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    world.table.checkpoint().await.expect("written");
    for name in sidecars_of_store(&world.table).await {
        world.table.log_store().delete(&format!("_sidecars/{name}")).await.expect("deleted");
    }
    assert_eq!(rows_now(&world).await.len(), 5, "the commits are still there");
    let report = world.table.repair(Default::default()).await.expect("mended");
    assert!(!report.repairs.is_empty(), "{report:?}");
    assert!(!files_of_log(&world.table).await.iter().any(|name| name.ends_with(".checkpoint.parquet")));
    assert_eq!(sidecars_of_store(&world.table).await.len(), 1);
    assert_eq!(rows_now(&world).await.len(), 5);
}

#[tokio::test]
async fn v2_checkpoints_leave_the_protocol_with_their_history() {
    let soon = ("delta.dropFeatureTruncateHistory.retentionDuration", "0 hours");
    let world = world(&[V2, soon, ("delta.enableDeletionVectors", "false")]).await;
    world.table.append(vec![range(0..5)]).await.expect("appended");
    world.table.checkpoint().await.expect("written");
    let first = world.table.drop_feature("v2Checkpoint", true).await;
    if let Err(error) = first {
        assert!(matches!(error, TableError::InvalidRequest { .. }), "{error}");
        later(&world).await;
        world.table.append(vec![range(5..6)]).await.expect("appended");
        later(&world).await;
        world.table.drop_feature("v2Checkpoint", true).await.expect("dropped");
    }
    let state = world.table.snapshot().await.expect("loaded");
    assert!(!has_feature(&state.state().protocol, &Feature::V2Checkpoint));
    assert_eq!(manifests(&world.table).await, []);
    assert!(rows_now(&world).await.len() >= 5);
}

/// The real world, some time later.
#[derive(Clone)]
struct Ahead(Env, Arc<AtomicI64>);

impl Environment for Ahead {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.now().0 + self.1.load(Ordering::Relaxed))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task.map(|()| ()));
    }
}

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// A table that keeps two days of its log, with as many rows, each a version with a checkpoint of its own; and by how many
/// milliseconds its clock is ahead.
async fn checkpointed_often(rows: i64) -> (Table, Arc<AtomicI64>) {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema").with_property(V2.0, V2.1);
    let location = Location::with_store(Arc::new(InMemory::new()), "t".into(), "memory:///t");
    let ahead = Arc::new(AtomicI64::new(0));
    let table = Table::builder("memory:///t")
        .with_location(location)
        .with_env(Env::new(Ahead(Env::system(), ahead.clone())))
        .create(create.with_property("delta.logRetentionDuration", "interval 2 days"))
        .await
        .expect("created");
    for i in 0..rows {
        table.append(vec![range(i..i + 1)]).await.expect("appended");
        table.checkpoint().await.expect("written");
    }
    (table, ahead)
}

#[tokio::test]
async fn sidecars_go_with_the_last_checkpoint_that_names_them_and_none_goes_that_one_needs() {
    let (table, ahead) = checkpointed_often(3).await;
    // One that a crash left, and files that are not ours to judge.
    for stray in ["_sidecars/lost.parquet", "_sidecars/.hidden.parquet", "_sidecars/notes.txt"] {
        table.log_store().write(stray, Bytes::from_static(b"x")).await.expect("written");
    }
    assert_eq!(sidecars_of_store(&table).await.len(), 4);
    assert!(table.clean_up_log().await.expect("cleaned").is_empty(), "all is young");
    ahead.store(3 * DAY, Ordering::Relaxed);
    let deleted = table.clean_up_log().await.expect("cleaned");
    assert_eq!(deleted.iter().filter(|name| name.starts_with("_sidecars/")).count(), 3, "{deleted:?}");
    assert!(deleted.contains(&"_sidecars/lost.parquet".to_owned()));
    let left = manifests(&table).await;
    assert_eq!(left.len(), 1);
    assert_eq!(sidecars_in(&left[0].1), sidecars_of_store(&table).await);
    assert_eq!(rows_of(&table.snapshot().await.expect("loaded")).await.len(), 3);
    assert_eq!(rows_at(&table, 3).await.len(), 3);
}

#[tokio::test]
async fn where_a_checkpoint_cannot_be_read_every_sidecar_stays() {
    let (table, ahead) = checkpointed_often(2).await;
    let unreadable = "00000000000000000002.checkpoint.00000000-0000-4000-8000-000000000000.json";
    table.log_store().write(unreadable, Bytes::from_static(b"{\"sidecar\":")).await.expect("written");
    ahead.store(3 * DAY, Ordering::Relaxed);
    let deleted = table.clean_up_log().await.expect("cleaned");
    assert!(deleted.iter().any(|name| LogFile::parse(name).is_checkpoint()), "{deleted:?}");
    assert!(!deleted.iter().any(|name| name.starts_with("_sidecars/")), "{deleted:?}");
    assert_eq!(sidecars_of_store(&table).await.len(), 2);
}

/// The checkpoint of the newest version as another writer lays it out: a Parquet manifest of this name, the files in it or in
/// a sidecar.
async fn parquet_manifest(table: &Table, name: &str, with_sidecar: bool) {
    let snapshot = table.snapshot().await.expect("loaded");
    let mut batches: Vec<RecordBatch> = checkpoint_batches(snapshot.state(), table.env().now(), 100)
        .expect("batches")
        .collect::<Result<_, _>>()
        .expect("rows");
    let files = batches.split_off(1);
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let long = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let metadata: ArrayRef =
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("version", DataType::Int64, true)), long(1))]));
    let log = table.log_store();
    let sidecar: ArrayRef = if with_sidecar {
        let rows = files.into_iter().map(Ok);
        let (size, _) =
            write_log_parquet(log, "_sidecars/s.parquet", batches[0].schema(), rows).await.expect("written");
        Arc::new(StructArray::from(vec![
            (Arc::new(Field::new("path", DataType::Utf8, true)), text("s.parquet")),
            (Arc::new(Field::new("sizeInBytes", DataType::Int64, true)), long(size as i64)),
            (Arc::new(Field::new("modificationTime", DataType::Int64, true)), long(0)),
        ]))
    } else {
        batches.extend(files);
        new_null_array(&DataType::Struct(vec![Field::new("path", DataType::Utf8, true)].into()), 1)
    };
    let mut fields: Vec<_> = batches[0].schema().fields().to_vec();
    fields.push(Arc::new(Field::new("checkpointMetadata", metadata.data_type().clone(), true)));
    fields.push(Arc::new(Field::new("sidecar", sidecar.data_type().clone(), true)));
    let schema = Arc::new(Schema::new(fields));
    let mut rows: Vec<Vec<ArrayRef>> = batches
        .iter()
        .map(|batch| {
            let nulls = |like: &ArrayRef| new_null_array(like.data_type(), batch.num_rows());
            batch.columns().iter().cloned().chain([nulls(&metadata), nulls(&sidecar)]).collect()
        })
        .collect();
    let nothing: Vec<ArrayRef> = batches[0].columns().iter().map(|like| new_null_array(like.data_type(), 1)).collect();
    rows.push(nothing.iter().cloned().chain([metadata.clone(), new_null_array(sidecar.data_type(), 1)]).collect());
    rows.push(nothing.into_iter().chain([new_null_array(metadata.data_type(), 1), sidecar]).collect());
    let rows = rows.into_iter().map(|columns| Ok(RecordBatch::try_new(schema.clone(), columns).expect("a batch")));
    write_log_parquet(log, name, schema.clone(), rows).await.expect("written");
}

#[tokio::test]
async fn v2_checkpoints_in_parquet_are_read_under_either_name() {
    for with_sidecar in [true, false] {
        for name in [
            "00000000000000000001.checkpoint.00000000-0000-4000-8000-000000000001.parquet",
            "00000000000000000001.checkpoint.parquet",
        ] {
            let world = world(&[V2]).await;
            world.table.append(vec![range(0..5)]).await.expect("appended");
            parquet_manifest(&world.table, name, with_sidecar).await;
            world.table.log_store().delete("00000000000000000000.json").await.expect("deleted");
            assert_eq!(rows_now(&world).await.len(), 5, "{name}, sidecar: {with_sidecar}");
        }
    }
}
