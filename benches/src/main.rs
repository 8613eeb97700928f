//! Measured workloads: Floe beside its peers, both sides in one run on one machine.
//!
//! ```text
//! cargo run --release -p floe-benches -- load       # TPC-H lineitem from Parquet into a table, beside deltalake
//! cargo run --release -p floe-benches -- queries    # the 22 TPC-H queries, beside DataFusion on the same Parquet files
//! cargo run --release -p floe-benches -- dml        # DELETE and MERGE of 0.1% of lineitem, beside deltalake
//! cargo run --release -p floe-benches -- upsert      # upserts, look-ups, deletes on 10M rows, beside Sail and deltalake
//! cargo run --release -p floe-benches -- upsert-100m # an upsert of 0.1% of 100M rows, beside Sail and deltalake
//! cargo run --release -p floe-benches -- cli         # the start of the shell, beside DuckDB's
//! cargo run --release -p floe-benches -- requests [URI] # requests to the store, one operation at a time; in memory by default
//! ```
//!
//! Every side of every round is a process of its own, so that CPU time and peak memory are its alone; rounds
//! alternate between the sides. `--scale-factor` (default 1), `--rounds` (default 3) and `--data DIR` (default
//! `target/tpch`, kept between runs) change the workload. The peers are PyPI packages; they are installed into a
//! virtual environment below the data folder on first use.

mod cli;
mod dml;
mod load;
mod measure;
mod queries;
mod requests;
mod upsert;

use std::path::PathBuf;

use measure::{BoxError, Settings};

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"side", rest)) => run_side(rest),
        Some((&"requests", rest)) => measure::block_on(requests::run(rest.first().copied())),
        Some((verb, rest)) => {
            let settings = Settings::parse(rest)?;
            match *verb {
                "load" => load::run(&settings),
                "queries" => queries::run(&settings),
                "dml" => dml::run(&settings),
                "upsert" => upsert::run(&settings),
                "upsert-100m" => upsert::run_100m(&settings),
                "cli" => cli::run(&settings),
                other => {
                    Err(format!("no workload {other}: load, queries, dml, upsert, upsert-100m, cli, requests").into())
                }
            }
        }
        None => Err("which workload? load, queries, dml, upsert, upsert-100m, cli or requests".into()),
    }
}

/// One side of a workload, in its own process: does the work and prints what it took.
fn run_side(words: &[&str]) -> Result<(), BoxError> {
    let at = |index: usize| words.get(index).map(PathBuf::from).ok_or_else(|| BoxError::from("a path is missing"));
    match words.first().copied() {
        Some("load-floe") => measure::side(load::floe(at(1)?, at(2)?)),
        Some("queries-floe") => measure::side(queries::floe(at(1)?)),
        Some("queries-raw") => {
            measure::side(queries::raw(at(1)?, words.get(2).copied().unwrap_or_default().to_owned()))
        }
        Some("prepare-queries") => measure::side(queries::prepare(at(1)?, at(2)?)),
        Some("prepare-dml") => measure::side(dml::prepare(at(1)?, at(2)?)),
        Some("delete-floe") => measure::side(dml::delete(at(1)?)),
        Some("merge-floe") => measure::side(dml::merge(at(1)?, at(2)?)),
        Some("prepare-upsert") => {
            let size = if words.get(1).copied() == Some("k100") { upsert::K100 } else { upsert::K10 };
            let kind = words.get(2).copied().unwrap_or_default().to_owned();
            let folder = at(3)?;
            measure::side(async move { upsert::prepare(size, &kind, folder).await })
        }
        Some("upsert-floe") => measure::side(upsert::upsert(at(1)?, at(2)?)),
        Some("scan-floe") => measure::side(upsert::scan(at(1)?)),
        Some("get-floe") => measure::side(upsert::get(at(1)?)),
        Some("delete-k-floe") => measure::side(upsert::delete(at(1)?)),
        Some("many-floe") => measure::side(upsert::many(at(1)?)),
        other => Err(format!("no side {other:?}").into()),
    }
}
