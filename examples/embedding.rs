//! Puts a Floe table into a program's own DataFusion session.
//!
//! `cargo run --release --example embedding`

use std::sync::Arc;

use floe::arrow::array::{Int64Array, RecordBatch};
use floe::datafusion::prelude::SessionContext;
use floe::{CreateTable, FloeTableProvider, Table};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let uri = folder.path().join("numbers").to_string_lossy().into_owned();
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1000)) as _)])?;
    let table = Table::builder(&uri).create(CreateTable::from_arrow(&batch.schema())?).await?;
    table.append(vec![batch]).await?;

    let context = SessionContext::new();
    context.register_table("numbers", Arc::new(FloeTableProvider::live(table.clone()).await?))?;
    context.sql("SELECT count(*) AS rows, sum(n) FROM numbers WHERE n % 2 = 0").await?.show().await?;
    context.sql("INSERT INTO numbers VALUES (1000), (1002)").await?.collect().await?;
    context.sql("SELECT count(*) AS rows, sum(n) FROM numbers WHERE n % 2 = 0").await?.show().await?;
    Ok(())
}
