//! TPC-H lineitem from one Parquet file into a new table.

use std::path::PathBuf;

use floe::{Session, SessionOptions};
use serde_json::{Value, json};

use crate::measure::{BoxError, Settings, floe_side, least_cpu, peer_side, print_table};

pub(crate) fn run(settings: &Settings) -> Result<(), BoxError> {
    let source = settings.parquet()?.join("lineitem.parquet");
    let python = settings.python()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        ours.push(floe_side(&[&"load-floe", &source, &settings.scratch("load-floe")?])?);
        theirs.push(peer_side(&python, &[&"load", &source, &settings.scratch("load-peer")?])?);
    }
    print_table(
        &format!("Load TPC-H lineitem, scale factor {}, from Parquet into a new table", settings.scale_factor),
        &[("floe", &ours), ("deltalake 1.6.6", &theirs)],
    );
    println!("\nfloe uses {:.2}x the CPU-s of deltalake", least_cpu(&ours) / least_cpu(&theirs));
    Ok(())
}

pub(crate) async fn floe(source: PathBuf, warehouse: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    session.sql(&format!("CREATE TABLE lineitem AS SELECT * FROM '{}'", source.display())).await?.collect().await?;
    let snapshot = session.table("lineitem").await?.cached_snapshot().await?;
    let files = &snapshot.state().files;
    Ok(json!({"files": files.len(), "mib": files.total_bytes() >> 20}))
}
