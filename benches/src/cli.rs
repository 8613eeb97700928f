//! From the start of the shell to its end: one row that needs no table, and a count over a thousand files.

use std::path::{Path, PathBuf};

use floe::{Session, SessionOptions};

use crate::measure::{BoxError, Settings, block_on, peer_says, peer_side, print_table};

/// Files of the table, each of one row.
const FILES: usize = 1000;

/// Runs of a side a round: they are short.
const RUNS: usize = 10;

pub(crate) fn run(settings: &Settings) -> Result<(), BoxError> {
    let floe = beside_this("floe")?;
    let python = settings.python()?;
    let found = peer_says(&python, "duckdb-cli")?;
    let (duckdb, extension) = match (found[0].as_str(), found[1].as_str()) {
        (Some(duckdb), Some(extension)) => (PathBuf::from(duckdb), extension.to_owned()),
        _ => return Err("DuckDB's shell is not where it was installed".into()),
    };
    let warehouse = settings.scratch("cli")?;
    block_on(make_table(&warehouse))?;

    let one = "SELECT 1";
    let count = "SELECT count(*) FROM t";
    let table = warehouse.join("default/t");
    let delta = format!("LOAD '{extension}'; SELECT count(*) FROM delta_scan('{}')", table.display());
    let (mut sides, command) = ([const { Vec::new() }; 4], "command");
    for _ in 0..settings.rounds * RUNS {
        sides[0].push(peer_side(&python, &[&command, &floe, &"-c", &one])?);
        sides[1].push(peer_side(&python, &[&command, &duckdb, &"-c", &one])?);
        sides[2].push(peer_side(&python, &[&command, &floe, &"-w", &warehouse, &"-c", &count])?);
        sides[3].push(peer_side(&python, &[&command, &duckdb, &"-unsigned", &"-c", &delta])?);
    }
    print_table(
        "SELECT 1, from start to end (peaks are not measured)",
        &[("floe", &sides[0]), ("DuckDB 1.5.5", &sides[1])],
    );
    let title = format!("SELECT count(*) over {FILES} files, from start to end (peaks are not measured)");
    print_table(&title, &[("floe", &sides[2]), ("DuckDB 1.5.5, its delta extension loaded", &sides[3])]);
    Ok(())
}

/// A program of the same build.
fn beside_this(name: &str) -> Result<PathBuf, BoxError> {
    let path = std::env::current_exe()?.with_file_name(name);
    match path.exists() {
        true => Ok(path),
        false => Err(format!("there is no {}: cargo build --release makes it", path.display()).into()),
    }
}

async fn make_table(warehouse: &Path) -> Result<(), BoxError> {
    let session = Session::open(SessionOptions::new(warehouse.to_string_lossy())).await?;
    session.sql("CREATE TABLE t (id BIGINT, name STRING)").await?.collect().await?;
    for id in 0..FILES {
        session.sql(&format!("INSERT INTO t VALUES ({id}, 'n{id}')")).await?.collect().await?;
    }
    Ok(())
}
