//! Changes a table, looks at it as it was, and goes back.
//!
//! `cargo run --release --example time_travel`

use std::sync::Arc;

use floe::arrow::array::{Int64Array, RecordBatch};
use floe::{CreateTable, SaveMode, Snapshot, Table, Version, VersionSpec};
use futures::{StreamExt, TryStreamExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let uri = folder.path().join("numbers").to_string_lossy().into_owned();
    let table = Table::builder(&uri).create(CreateTable::from_arrow(&numbers(0..0).schema())?).await?;

    table.append(vec![numbers(0..10)]).await?;
    table.append(vec![numbers(10..100)]).await?;
    let overwrite = floe::AppendOptions { mode: SaveMode::Overwrite, ..Default::default() };
    table.append_with(futures::stream::iter([Ok(numbers(0..1))]).boxed(), overwrite).await?;

    for entry in table.history(None).await? {
        let at = table.at(VersionSpec::Version(entry.version)).await?;
        println!("version {}: {:?}, {} rows", entry.version, entry.info.operation, rows(&at).await?);
    }
    let restored = table.restore(VersionSpec::Version(Version::new(2)?)).await?;
    println!("restored as version {}: {} rows", restored.version, rows(&*table.snapshot().await?).await?);
    Ok(())
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(range)) as _)]).expect("one column")
}

async fn rows(snapshot: &Snapshot) -> Result<usize, floe::TableError> {
    let batches: Vec<RecordBatch> = snapshot.scan().stream().await?.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}
