//! The 22 TPC-H queries on Floe tables, on the same Parquet files without a table, and on the files they were loaded from.

use std::path::PathBuf;

use floe::datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use floe::{Session, SessionOptions};
use floe_testkit::tpch;
use serde_json::{Value, json};

use crate::measure::{BoxError, Settings, floe_side, least_cpu, print_table};

/// Each side runs all queries this many times, so that its start-up weighs little.
const PASSES: usize = 3;

pub(crate) fn run(settings: &Settings) -> Result<(), BoxError> {
    let parquet = settings.parquet()?;
    let warehouse = settings.scratch("queries")?;
    floe_side(&[&"prepare-queries", &parquet, &warehouse])?;
    let (mut ours, mut raw, mut source) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        raw.push(floe_side(&[&"queries-raw", &warehouse.join("default"), &""])?);
        ours.push(floe_side(&[&"queries-floe", &warehouse])?);
        source.push(floe_side(&[&"queries-raw", &parquet, &".parquet"])?);
    }
    print_table(
        &format!("22 TPC-H queries, scale factor {}, {PASSES} passes", settings.scale_factor),
        &[
            ("floe", &ours),
            ("DataFusion on the Parquet files of floe's tables", &raw),
            ("DataFusion on the files they were loaded from (snappy)", &source),
        ],
    );
    println!(
        "\nfloe uses {:.3}x the CPU-s of DataFusion on the same Parquet files",
        least_cpu(&ours) / least_cpu(&raw)
    );
    Ok(())
}

pub(crate) async fn prepare(parquet: PathBuf, warehouse: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    for table in tpch::TpchTable::ALL {
        let sql = format!("CREATE TABLE {table} AS SELECT * FROM '{}/{table}.parquet'", parquet.display());
        session.sql(&sql).await?.collect().await?;
    }
    Ok(Value::Null)
}

pub(crate) async fn floe(warehouse: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    let mut rows = 0;
    for _ in 0..PASSES {
        for (_, query) in tpch::queries() {
            rows += session.sql(query).await?.collect().await?.iter().map(|b| b.num_rows()).sum::<usize>();
        }
    }
    Ok(json!({"rows": rows}))
}

/// `suffix` tells a file for each table from a folder for each table.
pub(crate) async fn raw(parquet: PathBuf, suffix: String) -> Result<Value, BoxError> {
    let context = SessionContext::new_with_config(SessionConfig::new());
    for table in tpch::TpchTable::ALL {
        let path = format!("{}/{table}{}", parquet.display(), if suffix.is_empty() { "/" } else { &suffix });
        context.register_parquet(table.name(), path, ParquetReadOptions::default()).await?;
    }
    let mut rows = 0;
    for _ in 0..PASSES {
        for (_, query) in tpch::queries() {
            rows += context.sql(query).await?.collect().await?.iter().map(|b| b.num_rows()).sum::<usize>();
        }
    }
    Ok(json!({"rows": rows}))
}
