//! Faults by their ids in docs/faults.md: what a damaged or hostile log does to whoever reads the table. Each gives the
//! typed error that it should, or the right rows; none gives fewer rows.

mod content;
mod files;
mod input;
mod known;

use floe_table::{Result, Table, TableError};
use floe_table_format::FormatError;
use floe_table_format::path::commit_name;
use floe_testkit::rows;
use futures::TryStreamExt;

use crate::world::{World, read, v, write};

async fn line(world: &World, version: u64, holds: &str) -> String {
    let text = String::from_utf8(read(world, &commit_name(v(version))).await.to_vec()).expect("text");
    text.lines().find(|line| line.contains(holds)).expect("such a line").to_owned()
}

/// Adds a commit of these lines after the newest version.
async fn commit(world: &World, version: u64, lines: &[&str]) {
    write(world, &commit_name(v(version)), lines.join("\n")).await;
}

/// The rows as a reader sees them who has never seen the table.
async fn seen(world: &World) -> Result<Vec<String>> {
    let table = Table::builder("memory:///t").with_location(world.table.location().clone()).open().await?;
    let batches: Vec<_> = table.snapshot().await?.scan().stream().await?.try_collect().await?;
    Ok(rows(&batches))
}

async fn refused(world: &World) -> TableError {
    seen(world).await.expect_err("refused")
}

/// The protocol rule that is broken.
async fn broken(world: &World) -> FormatError {
    let error = refused(world).await;
    error.format_error().unwrap_or_else(|| panic!("not about the format: {error}")).clone()
}
