//! Upserts by primary key: rows that replace rows, late rows that lose, deletes, look-ups.
//!
//! `cargo run --release --example upsert`

use std::sync::Arc;

use floe::arrow::array::{BooleanArray, Float64Array, Int64Array, RecordBatch};
use floe::arrow::util::pretty::pretty_format_batches;
use floe::{CreateTable, Table};
use futures::TryStreamExt;

fn readings(rows: &[(i64, i64, f64, bool)]) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    Ok(RecordBatch::try_from_iter([
        ("sensor", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as _),
        ("at", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as _),
        ("value", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))) as _),
        ("gone", Arc::new(BooleanArray::from(rows.iter().map(|row| row.3).collect::<Vec<_>>())) as _),
    ])?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let columns = readings(&[])?.project(&[0, 1, 2])?.schema();
    let create = CreateTable::from_arrow(&columns)?
        .with_primary_key(["sensor"])
        .with_property("floe.orderingFields", "at")
        .with_property("floe.deleteMarker", "gone");
    let table = Table::builder(folder.path().to_string_lossy()).create(create).await?;

    table.upsert(vec![readings(&[(1, 10, 0.5, false), (2, 10, 1.5, false), (3, 10, 2.5, false)])?]).await?;
    // One reading is late, one sensor is gone, one is new.
    let report = table.upsert(vec![readings(&[(1, 9, 99.0, false), (2, 11, 0.0, true), (4, 11, 4.5, false)])?]).await?;
    println!(
        "{} inserted, {} updated, {} deleted, {} ignored; {}",
        report.rows_inserted, report.rows_updated, report.rows_deleted, report.rows_ignored, report.lookup
    );

    let keys = RecordBatch::try_from_iter([("sensor", Arc::new(Int64Array::from(vec![1, 2, 4])) as _)])?;
    let found: Vec<RecordBatch> = table.get(&keys).await?.try_collect().await?;
    println!("{}", pretty_format_batches(&found)?);
    println!("sound: {}", table.check().await?.is_sound());
    Ok(())
}
