//! CREATE INDEX, DROP INDEX, SHOW INDEX.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table::IndexStatus;

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::rows::{Cell, Rows};
use crate::session::Session;

pub(super) async fn build(session: &Session, name: &ObjectName, columns: &[String]) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let snapshot = table.cached_snapshot().await?;
    let key = snapshot.primary_key();
    let same = columns.len() == key.len() && columns.iter().all(|c| key.iter().any(|k| k.eq_ignore_ascii_case(c)));
    if !columns.is_empty() && !same {
        return Err(QueryError::unsupported(
            format!("an index of ({})", columns.join(", ")),
            "the index is that of the primary key: CREATE INDEX ON t",
        ));
    }
    let status = Box::pin(table.build_index()).await?;
    Ok(Done::new(format!(
        "the index of {name} covers {} of {} files with {} entries in {} runs",
        status.files_covered, status.files_total, status.entries, status.runs
    ))
    .into())
}

pub(super) async fn drop(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let files = table.drop_index().await?;
    Ok(Done::new(format!("dropped the index of {name}: {files} files")).into())
}

pub(super) async fn show(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let snapshot = table.snapshot().await?;
    let IndexStatus { runs, runs_in_memory, runs_unusable, entries, bytes, files_covered, files_total } =
        table.index_status().await?;
    let mut rows = Rows::new(&[("property", Cell::Text(None)), ("value", Cell::Text(None))]);
    for (property, value) in [
        ("primary key", snapshot.primary_key().join(", ")),
        ("files covered", format!("{files_covered} of {files_total}")),
        ("entries", entries.to_string()),
        ("bytes", bytes.to_string()),
        ("runs", runs.to_string()),
        ("runs in memory", runs_in_memory.to_string()),
        ("runs unusable", runs_unusable.to_string()),
    ] {
        rows.push(vec![property.to_owned().into(), value.into()])?;
    }
    rows.outcome()
}
