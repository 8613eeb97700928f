//! A table in memory, and short words for what tests do with it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use floe_storage::object_store::memory::InMemory;
use floe_storage::{CountingStore, Location};
use floe_table::{CreateTable, Result, Snapshot, Table, Transaction};
use floe_table_format::{Operation, RowSet, Version, VersionSpec};
use floe_testkit::{Batch, rows};
use futures::TryStreamExt;

/// A table in a store of its own, which counts requests.
pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) store: Arc<CountingStore>,
}

impl World {
    pub(crate) async fn new(create: CreateTable) -> World {
        let store = Arc::new(CountingStore::new(Arc::new(InMemory::new())));
        let table =
            Table::builder("memory:///t").with_location(location(&store)).create(create).await.expect("created");
        World { table, store }
    }

    /// A table of ids and names.
    pub(crate) async fn with_names() -> World {
        World::new(CreateTable::from_arrow(&names(&[]).schema()).expect("a Delta schema")).await
    }

    /// Another process's view of the same table, which asks the index of a table of any size.
    pub(crate) async fn other_handle(&self) -> Table {
        let builder = Table::builder("memory:///t").with_location(location(&self.store)).with_index_from_rows(0);
        builder.open().await.expect("opened")
    }
}

pub(crate) fn v(number: u64) -> Version {
    Version::new(number).expect("small")
}

/// Three versions: a table, ten rows, ten more. No checkpoint.
pub(crate) async fn three_versions() -> World {
    let world = World::with_names().await;
    world.table.append(vec![range(0..10)]).await.expect("appended");
    world.table.append(vec![range(10..20)]).await.expect("appended");
    world
}

/// Version 2 of a thousand rows in one file, and the path of the file that holds their deletion vector.
pub(crate) async fn every_third_row_deleted() -> (World, String) {
    let create = CreateTable::from_arrow(&names(&[]).schema())
        .expect("a Delta schema")
        .with_property("delta.enableDeletionVectors", "true");
    let world = World::new(create).await;
    world.table.append(vec![range(0..1000)]).await.expect("appended");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let ids: Vec<i64> = (0..1000).filter(|id| id % 3 == 0).collect();
    let change = delete_ids(&world.table, &snapshot, &ids).await.expect("planned");
    change.commit().await.expect("written").committed().expect("no conflict");
    let snapshot = world.table.snapshot().await.expect("loaded");
    let vector = snapshot.state().files.iter().find_map(|file| file.deletion_vector()).expect("a vector");
    let root = world.table.location().table_root();
    let path = floe_table_format::deletion_vector::path_in(&vector, &root).expect("a path").expect("a file");
    (world, path)
}

/// Puts a file into the log's folder, over the one that is there.
pub(crate) async fn write(world: &World, name: &str, bytes: impl Into<Bytes>) {
    world.table.log_store().write(name, bytes.into()).await.expect("written");
}

/// A file of the log's folder.
pub(crate) async fn read(world: &World, name: &str) -> Bytes {
    world.table.log_store().read(name).await.expect("read")
}

fn location(store: &Arc<CountingStore>) -> Location {
    Location::with_store(store.clone(), "t".into(), "memory:///t")
}

/// Rows of an id and a name each.
pub(crate) fn names(rows: &[(i64, &str)]) -> RecordBatch {
    Batch::new().long("id", rows.iter().map(|r| r.0)).text("name", rows.iter().map(|r| r.1)).build()
}

/// Rows of an id each, with a name made from it.
pub(crate) fn range(ids: std::ops::Range<i64>) -> RecordBatch {
    let texts: Vec<String> = ids.clone().map(|i| format!("n{i}")).collect();
    names(&ids.zip(&texts).map(|(i, t)| (i, t.as_str())).collect::<Vec<_>>())
}

pub(crate) async fn rows_of(snapshot: &Snapshot) -> Vec<String> {
    let batches: Vec<RecordBatch> = snapshot.scan().stream().await.expect("planned").try_collect().await.expect("read");
    rows(&batches)
}

/// The rows of the newest version, as a reader that has never seen the table sees them.
pub(crate) async fn rows_now(world: &World) -> Vec<String> {
    rows_of(&world.other_handle().await.snapshot().await.expect("loaded")).await
}

pub(crate) async fn rows_at(table: &Table, version: u64) -> Vec<String> {
    rows_of(&table.at(VersionSpec::Version(v(version))).await.expect("loaded")).await
}

/// Waits until files written so far are older than now: the store counts milliseconds.
pub(crate) async fn later(world: &World) {
    world.table.env().sleep(std::time::Duration::from_millis(5)).await;
}

/// A change that takes the rows with these ids out, wherever they lie.
pub(crate) async fn delete_ids(table: &Table, snapshot: &Snapshot, ids: &[i64]) -> Result<Transaction> {
    let mut transaction = table.begin_at(snapshot, Operation::new("DELETE"))?;
    for file in snapshot.scan().plan()?.files {
        let schema = snapshot.arrow_schema()?;
        let options = floe_storage::ReadOptions::new(schema).with_size(file.size);
        let rows = floe_storage::read_data_file(table.data_store(), &file.path, options).await.expect("opened");
        let batches: Vec<RecordBatch> = rows.try_collect().await.expect("read");
        let mut position = 0;
        let mut doomed = RowSet::new();
        let gone = match &file.deletion_vector {
            Some(vector) => floe_storage::deletion_vectors::load(table.data_store(), vector).await.expect("loaded"),
            None => RowSet::new(),
        };
        for batch in batches {
            let values = batch.column_by_name("id").expect("an id").clone();
            let values = values.as_any().downcast_ref::<arrow::array::Int64Array>().expect("64-bit ids").clone();
            for id in values.iter() {
                if id.is_some_and(|id| ids.contains(&id)) && !gone.contains(position) {
                    doomed.insert(position);
                }
                position += 1;
            }
        }
        if !doomed.is_empty() {
            transaction.delete_rows(&file.log_path, doomed);
        }
    }
    Ok(transaction)
}
