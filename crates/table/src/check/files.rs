//! Every live file: whether it is there, reads, and is what the log says of it.

use std::sync::Arc;

use floe_storage::{StorageError, read_footer};
use floe_table_format::scalar::partition_array;
use floe_table_format::{DataType, FileView, FormatError, TableState};
use futures::{FutureExt, StreamExt, stream};

use super::finding::{Finding, Findings, Rule};
use super::statistics::{self, StatisticsOf};
use super::{CheckOptions, vectors};
use crate::error::{OnTable, Result};
use crate::table::Table;

/// Looks at all live files, `options.files_at_once` at a time.
///
/// # Errors
/// The failures of the store. What is wrong with a file is a finding.
pub(super) async fn examine(
    table: &Table,
    state: &Arc<TableState>,
    options: &CheckOptions,
    findings: &mut Findings,
) -> Result<()> {
    partition_values(state, findings);
    let columns = Arc::new(statistics::columns_of(state).on(table.uri())?);
    let ids = state.files.iter().map(|file| file.id()).collect::<Vec<_>>();
    let mut examined = stream::iter(ids)
        .map(|id| {
            let (table, state, columns) = (table.clone(), state.clone(), columns.clone());
            let rows = options.rows;
            async move { file(&table, &state, &state.files.get(&id), &columns, rows).await }.boxed()
        })
        .buffered(options.files_at_once.max(1));
    while let Some(found) = examined.next().await {
        findings.extend(found?);
    }
    Ok(())
}

/// What is wrong with one file, most telling first: of a file that cannot be read, nothing else is asked.
async fn file(
    table: &Table,
    state: &Arc<TableState>,
    view: &FileView<'_>,
    columns: &StatisticsOf,
    rows: bool,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let about = |rule, what: String| Finding::new(rule, what).at(state.version).of(view.path());
    if state.files.find(view.path()).is_some_and(|first| first.id() != view.id()) {
        found.push(about(Rule::PathUnique, "it is live more than once".into()));
    }
    let vector = vectors::examine(table, state, view, &mut found).await?;
    let path = match table.root().decode(view.path()) {
        Ok(path) => path,
        Err(error) => {
            found.push(about(Rule::PathInside, error.to_string()));
            return Ok(found);
        }
    };
    let size = match table.data_store().head(&path).await {
        Ok(file) => file.size,
        Err(StorageError::NotFound { .. }) => {
            found.push(about(Rule::FileThere, "it is missing in the store".into()));
            return Ok(found);
        }
        // In a folder that is not trusted.
        Err(StorageError::Format(error)) => {
            found.push(about(Rule::PathInside, error.to_string()));
            return Ok(found);
        }
        Err(error) => return Err(error).on(table.uri()),
    };
    if u64::try_from(view.size()) != Ok(size) {
        found.push(about(Rule::FileSize, format!("{size} bytes, {} in the log", view.size())));
    }
    let footer = match read_footer(table.data_store(), &path, size).await {
        Ok(footer) => footer,
        Err(error) => {
            found.push(about(Rule::FileReadable, about_file(error).on(table.uri())?));
            return Ok(found);
        }
    };
    let writer = footer.created_by.as_deref();
    let about = |rule, what: String| about(rule, what).by(writer);
    if let Some(records) = view.num_records().filter(|records| *records != footer.rows) {
        found.push(about(Rule::RowCount, format!("{} rows, numRecords is {records}", footer.rows)));
    }
    let gone = vector.unwrap_or_default();
    if let Some(beyond) = gone.max().filter(|last| *last >= footer.rows) {
        let what = format!("its deletion vector marks row {beyond} of {} rows", footer.rows);
        found.push(about(Rule::VectorInFile, what));
        return Ok(found);
    }
    if let Some(json) = view.stats_json()
        && let Err(what) = statistics::parses(&json)
    {
        found.push(about(Rule::StatisticsReadable, what));
        return Ok(found);
    }
    if rows {
        match statistics::compare(table, view, &path, size, footer.rows, &gone, columns).await {
            Ok(lies) => found.extend(lies.into_iter().map(|what| about(Rule::StatisticsTrue, what))),
            Err(error) => {
                let what = super::history::what_is_wrong(error)?;
                found.push(about(Rule::FileReadable, what));
            }
        }
    }
    Ok(found)
}

/// What an error says about a file.
///
/// # Errors
/// The error itself if it is one of the store.
pub(super) fn about_file(error: StorageError) -> floe_storage::Result<String> {
    match error {
        StorageError::CorruptDataFile { .. } | StorageError::NotFound { .. } => Ok(error.to_string()),
        StorageError::Format(
            FormatError::CorruptDv { .. }
            | FormatError::LimitExceeded { .. }
            | FormatError::UnsupportedFeature { .. }
            | FormatError::PathEscapesTable { .. },
        ) => Ok(error.to_string()),
        other => Err(other),
    }
}

/// Whether partition values are of the types of their columns, a chunk of files at a time.
fn partition_values(state: &TableState, findings: &mut Findings) {
    let mode = state.properties.column_mapping_mode;
    for name in &state.metadata.partition_columns {
        let Some(field) = state.schema.field(name) else { continue };
        let DataType::Primitive(primitive) = &field.data_type else { continue };
        let physical = field.physical_name_in(mode);
        for view in state.files.iter() {
            let value = view.partition_value(physical);
            if let Err(error) = partition_array(std::iter::once(value), primitive) {
                let finding = Finding::new(Rule::PartitionValuesParse, format!("{name}: {error}"));
                findings.push(finding.at(state.version).of(view.path()));
            }
        }
    }
}
