//! Merges changes into a table: through SQL, and through the library.
//!
//! `cargo run --release --example merge`

use std::sync::Arc;

use floe::arrow::array::{Int64Array, RecordBatch, StringArray};
use floe::arrow::util::pretty::pretty_format_batches;
use floe::datafusion::prelude::{SessionContext, col};
use floe::{Session, SessionOptions, TableChangesByExpression};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let session = Session::open(SessionOptions::new(folder.path().to_string_lossy())).await?;
    for statement in [
        "CREATE TABLE stock (sku BIGINT NOT NULL, name STRING)",
        "INSERT INTO stock VALUES (1, 'bolt'), (2, 'nut'), (3, 'gear')",
        "MERGE INTO stock t USING (VALUES (2, 'hex nut'), (4, 'cog')) AS s (sku, name) ON t.sku = s.sku \
         WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
    ] {
        session.sql(statement).await?.collect().await?;
    }

    // The same verb without SQL text, on the table itself.
    let table = session.table("stock").await?;
    let changes = RecordBatch::try_from_iter([
        ("sku", Arc::new(Int64Array::from(vec![3, 5])) as _),
        ("name", Arc::new(StringArray::from(vec!["big gear", "spring"])) as _),
    ])?;
    let source = SessionContext::new().read_batch(changes)?;
    let report = table
        .merge(source, col("target.sku").eq(col("source.sku")))
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
        .await?;
    println!("merged as version {:?}", report.version);

    let rows = session.sql("SELECT * FROM stock ORDER BY sku").await?.collect().await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
