//! Loads Arrow batches into a table, exactly once, whatever crashes in between.
//!
//! `cargo run --release --example ingest [URI]`

use std::sync::Arc;

use floe::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use floe::{AppendOptions, CreateTable, Table};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let uri = std::env::args().nth(1).unwrap_or_else(|| folder.path().join("readings").to_string_lossy().into_owned());

    let create = CreateTable::from_arrow(&readings(0).schema())?.with_partition_columns(["sensor"]);
    let table = match Table::builder(&uri).open_or_none().await? {
        Some(table) => table,
        None => Table::builder(&uri).create(create).await?,
    };
    for batch in 0..3 {
        // Sent twice, as after a crash: the application's progress travels with the rows, so the second is skipped.
        for attempt in 1..=2 {
            let rows = futures::stream::iter([Ok(readings(batch))]).boxed();
            let options = AppendOptions { app_progress: Some(("readings-loader".into(), batch)), ..Default::default() };
            match table.append_with(rows, options).await? {
                Some(report) => println!("batch {batch}, attempt {attempt}: version {}", report.version),
                None => println!("batch {batch}, attempt {attempt}: was there already"),
            }
        }
    }
    let snapshot = table.snapshot().await?;
    println!("{} files at version {}", snapshot.state().files.len(), snapshot.version());
    Ok(())
}

fn readings(batch: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(batch * 1000..(batch + 1) * 1000);
    let sensors = StringArray::from_iter_values((0..1000).map(|i| format!("s{}", i % 4)));
    let values = Float64Array::from_iter_values((0..1000).map(|i| f64::from(i) / 10.0));
    RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as _),
        ("sensor", Arc::new(sensors) as _),
        ("value", Arc::new(values) as _),
    ])
    .expect("three columns of the same length")
}
