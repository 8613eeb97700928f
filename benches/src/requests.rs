//! Requests to the store: what an append to an open table and a refresh without news cost.

use std::sync::Arc;

use floe::arrow::array::{Int64Array, RecordBatch};
use floe::object_store::memory::InMemory;
use floe::{CreateTable, Location, Table};
use floe_storage::{CountingStore, StoreKind};

use crate::measure::BoxError;

pub(crate) async fn run() -> Result<(), BoxError> {
    let store = Arc::new(CountingStore::new(Arc::new(InMemory::new())));
    let location = Location::with_store(store.clone(), "table".into(), "memory:///table").with_kind(StoreKind::Memory);
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1000)) as _)])?;
    let create = CreateTable::from_arrow(&batch.schema())?;
    println!("| operation | GET | HEAD | LIST | PUT | DELETE | all |");
    println!("|---|---|---|---|---|---|---|");
    let mut before = store.counts();
    let mut report = |name: &str| {
        let counts = store.counts();
        let new = counts - before;
        before = counts;
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            new.gets,
            new.heads,
            new.lists,
            new.puts,
            new.deletes,
            new.total()
        );
    };
    let table = Table::builder("memory:///table").with_location(location.clone()).create(create).await?;
    report("create");
    table.append(vec![batch.clone()]).await?;
    report("append to an open table");
    table.append(vec![batch.clone()]).await?;
    report("append to an open table, again");
    table.snapshot().await?;
    report("refresh, nothing new");
    let other = Table::builder("memory:///table").with_location(location.clone()).open().await?;
    report("open");
    other.append(vec![batch]).await?;
    report("append by another handle");
    table.snapshot().await?;
    report("refresh, one commit new");
    Ok(())
}
