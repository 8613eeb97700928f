//! Table functions over a table's log: `history('t')`, `files('t')`, `table_changes('t', from[, to])`.
//!
//! They are opened before planning, because opening a table awaits and DataFusion's table functions do not.

mod changes;
mod files;
mod history;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table::Table;
use floe_table_format::{TimestampMs, Version, VersionSpec};

use crate::error::{QueryError, Result};
use crate::session::Session;

pub(crate) use history::history_rows;

/// The names of the functions.
pub(crate) const NAMES: [&str; 3] = ["history", "files", "table_changes"];

/// A function that gives a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFunction {
    History,
    Files,
    TableChanges,
}

impl TableFunction {
    pub(crate) fn named(name: &ObjectName) -> Option<Self> {
        let [only] = name.0.as_slice() else {
            return None;
        };
        match only.as_ident()?.value.to_ascii_lowercase().as_str() {
            "history" => Some(TableFunction::History),
            "files" => Some(TableFunction::Files),
            "table_changes" => Some(TableFunction::TableChanges),
            _ => None,
        }
    }

    /// Opens the function's table.
    ///
    /// # Errors
    /// [`QueryError::InvalidArgument`] for arguments that cannot be; [`QueryError::UnknownTable`] with the nearest name.
    pub(crate) async fn open(self, session: &Session, args: &[ScalarValue]) -> Result<Arc<dyn TableProvider>> {
        let usage = match self {
            TableFunction::History => "history('table')",
            TableFunction::Files => "files('table')",
            TableFunction::TableChanges => "table_changes('table', from[, to])",
        };
        let misused = || QueryError::invalid_argument(format!("the function is called as {usage}"));
        let table = match args.first() {
            Some(
                ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name)),
            ) => session.table(name).await?,
            _ => return Err(misused()),
        };
        match (self, &args[1..]) {
            (TableFunction::History, []) => history_rows(&table, None).await?.provider(),
            (TableFunction::Files, []) => files::files_rows(&table).await?.provider(),
            (TableFunction::TableChanges, [from]) => changes::open(table, bound(from, usage)?, None).await,
            (TableFunction::TableChanges, [from, to]) => {
                changes::open(table, bound(from, usage)?, Some(bound(to, usage)?)).await
            }
            _ => Err(misused()),
        }
    }
}

/// A version as a number, or a time as text or timestamp.
fn bound(value: &ScalarValue, usage: &str) -> Result<VersionSpec> {
    let unfit = || QueryError::invalid_argument(format!("{value} is neither a version nor a time: {usage}"));
    match value.data_type() {
        data_type if data_type.is_integer() => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => Ok(VersionSpec::Version(Version::try_from(number)?)),
            _ => Err(unfit()),
        },
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Timestamp(_, _) | DataType::Date32 => {
            let target = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()));
            match value.cast_to(&target) {
                Ok(ScalarValue::TimestampMillisecond(Some(at), _)) => Ok(VersionSpec::Timestamp(TimestampMs(at))),
                _ => Err(unfit()),
            }
        }
        _ => Err(unfit()),
    }
}

/// The version a bound means.
async fn version_of(table: &Table, bound: VersionSpec) -> Result<Version> {
    match bound {
        VersionSpec::Version(version) => Ok(version),
        other => Ok(table.at(other).await?.version()),
    }
}
