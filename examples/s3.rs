//! The same on S3, or on any store that speaks its protocol: credentials and endpoint from `AWS_*` in the environment.
//!
//! `cargo run --release --example s3 -- s3://bucket/path/to/table`

use std::sync::Arc;

use floe::arrow::array::{Int64Array, RecordBatch};
use floe::{CreateTable, IfExists, StorageOptions, Table};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(uri) = std::env::args().nth(1) else {
        println!(
            "give the URI of a table, such as s3://bucket/numbers; AWS_ENDPOINT and AWS_ALLOW_HTTP name another server"
        );
        return Ok(());
    };
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1000)) as _)])?;
    let create = CreateTable::from_arrow(&batch.schema())?.with_if_exists(IfExists::Keep);
    let table = Table::builder(&uri).with_storage_options(StorageOptions::from_env()).create(create).await?;
    let report = table.append(vec![batch]).await?;
    println!("{uri} is at version {}", report.version);
    Ok(())
}
