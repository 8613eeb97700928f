//! `history('t')` and `DESCRIBE HISTORY t`: what was committed, newest first.

use floe_table::{HistoryEntry, Table};
use floe_table_format::TimestampMs;
use serde_json::Value;

use crate::error::Result;
use crate::rows::{Cell, Rows};

/// The history as rows, with the names Spark gives the columns.
pub(crate) async fn history_rows(table: &Table, limit: Option<usize>) -> Result<Rows> {
    let mut rows = Rows::new(&[
        ("version", Cell::Long(None)),
        ("timestamp", Cell::Time(None)),
        ("operation", Cell::Text(None)),
        ("operationParameters", Cell::Map(Vec::new())),
        ("readVersion", Cell::Long(None)),
        ("isolationLevel", Cell::Text(None)),
        ("isBlindAppend", Cell::Boolean(None)),
        ("operationMetrics", Cell::Map(Vec::new())),
        ("userMetadata", Cell::Text(None)),
        ("engineInfo", Cell::Text(None)),
        ("txnId", Cell::Text(None)),
    ]);
    for entry in table.history(limit).await? {
        rows.push(cells(entry))?;
    }
    Ok(rows)
}

fn cells(entry: HistoryEntry) -> Vec<Cell> {
    let HistoryEntry { version, timestamp, info, .. } = entry;
    let time: TimestampMs = timestamp;
    vec![
        version.into(),
        Cell::Time(Some(time)),
        info.operation.into(),
        map(info.operation_parameters),
        Cell::Long(info.read_version),
        info.isolation_level.into(),
        Cell::Boolean(info.is_blind_append),
        map(info.operation_metrics),
        info.rest.get("userMetadata").and_then(Value::as_str).map(str::to_owned).into(),
        info.engine_info.into(),
        info.txn_id.into(),
    ]
}

fn map(values: Option<serde_json::Map<String, Value>>) -> Cell {
    let entries = values.unwrap_or_default().into_iter().map(|(key, value)| {
        let text = match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        (key, text)
    });
    Cell::Map(entries.collect())
}
