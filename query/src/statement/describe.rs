//! DESCRIBE, DESCRIBE DETAIL, DESCRIBE HISTORY.

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::sql::sqlparser::ast::{ObjectName, Query};
use floe_table_format::clustering::clustering_columns;
use floe_table_format::{StructType, TimestampMs};

use crate::error::Result;
use crate::functions::history_rows;
use crate::output::Outcome;
use crate::relation::RelationName;
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::statement::query as queries;
use crate::types::{arrow_type_name, type_name};

fn columns() -> Rows {
    Rows::new(&[
        ("col_name", Cell::Text(None)),
        ("data_type", Cell::Text(None)),
        ("nullable", Cell::Boolean(None)),
        ("partition_index", Cell::Integer(None)),
        ("default_value", Cell::Text(None)),
        ("comment", Cell::Text(None)),
    ])
}

fn push_schema(rows: &mut Rows, schema: &StructType, partitioned_by: &[String]) -> Result<()> {
    for field in &schema.fields {
        let partition = partitioned_by.iter().position(|column| *column == field.name);
        rows.push(vec![
            field.name.clone().into(),
            type_name(&field.data_type).into(),
            field.nullable.into(),
            Cell::Integer(partition.map(|at| at as i32)),
            field.default_expression().map(str::to_owned).into(),
            field.comment().map(str::to_owned).into(),
        ])?;
    }
    Ok(())
}

pub(super) async fn table(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let mut rows = columns();
    match session.table_named(name).await {
        Ok(table) => {
            let snapshot = table.cached_snapshot().await?;
            push_schema(&mut rows, snapshot.schema(), &snapshot.state().metadata.partition_columns)?;
        }
        // Files and tables of this process have columns too.
        Err(error) => match session.provider(name).await {
            Ok(provider) => return files(session, provider).await,
            // Of a path, why the files cannot be read says more than that they are no table.
            Err(of_files) if matches!(RelationName::of(name), Ok(RelationName::Path(_) | RelationName::Files(..))) => {
                return Err(of_files);
            }
            Err(_) => return Err(error),
        },
    }
    rows.outcome()
}

/// Rows that are looked at to show what a column holds.
const PREVIEW_ROWS: usize = 3;
/// Characters of a value that are shown.
const PREVIEW_CHARS: usize = 40;

/// Columns that no table declares, each with its first values.
async fn files(session: &Session, provider: Arc<dyn TableProvider>) -> Result<Outcome> {
    let mut rows = Rows::new(&[
        ("col_name", Cell::Text(None)),
        ("data_type", Cell::Text(None)),
        ("nullable", Cell::Boolean(None)),
        ("preview", Cell::Text(None)),
    ]);
    let schema = provider.schema();
    let plan = LogicalPlanBuilder::scan("files", provider_as_source(provider), None)?.limit(0, Some(PREVIEW_ROWS))?;
    // Columns can be told where rows cannot be read.
    let first = DataFrame::new(session.context().state(), plan.build()?).collect().await.unwrap_or_default();
    for (at, field) in schema.fields().iter().enumerate() {
        let mut values = Vec::new();
        for batch in &first {
            let options = FormatOptions::default().with_null("NULL");
            let shown = ArrayFormatter::try_new(batch.column(at), &options)?;
            for row in 0..batch.num_rows() {
                let value = shown.value(row).try_to_string()?;
                match value.char_indices().nth(PREVIEW_CHARS) {
                    Some((end, _)) => values.push(format!("{}…", &value[..end])),
                    None => values.push(value),
                }
            }
        }
        rows.push(vec![
            field.name().clone().into(),
            arrow_type_name(field.data_type()).into(),
            field.is_nullable().into(),
            values.join(", ").into(),
        ])?;
    }
    rows.outcome()
}

pub(super) async fn query(session: &Session, query: Query) -> Result<Outcome> {
    let plan = queries::plan(session, query).await?;
    let mut rows = columns();
    push_arrow(&mut rows, plan.schema().as_arrow())?;
    rows.outcome()
}

/// The columns as Delta types where there are such, else as Arrow's.
fn push_arrow(rows: &mut Rows, schema: &arrow::datatypes::Schema) -> Result<()> {
    if let Ok(schema) = StructType::from_arrow(schema) {
        return push_schema(rows, &schema, &[]);
    }
    for field in schema.fields() {
        rows.push(vec![
            field.name().clone().into(),
            field.data_type().to_string().into(),
            field.is_nullable().into(),
            Cell::Integer(None),
            Cell::Text(None),
            Cell::Text(None),
        ])?;
    }
    Ok(())
}

pub(super) async fn detail(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let snapshot = table.cached_snapshot().await?;
    let state = snapshot.state();
    let modified = table.version_timestamp(snapshot.version()).await?;
    let mut features: Vec<String> = Vec::new();
    for list in [&state.protocol.reader_features, &state.protocol.writer_features].into_iter().flatten() {
        features.extend(list.iter().cloned());
    }
    features.sort();
    features.dedup();
    let mut rows = Rows::new(&[
        ("format", Cell::Text(None)),
        ("id", Cell::Text(None)),
        ("name", Cell::Text(None)),
        ("description", Cell::Text(None)),
        ("location", Cell::Text(None)),
        ("createdAt", Cell::Time(None)),
        ("lastModified", Cell::Time(None)),
        ("version", Cell::Long(None)),
        ("partitionColumns", Cell::List(Vec::new())),
        ("clusteringColumns", Cell::List(Vec::new())),
        ("numFiles", Cell::Long(None)),
        ("sizeInBytes", Cell::Long(None)),
        ("properties", Cell::Map(Vec::new())),
        ("minReaderVersion", Cell::Integer(None)),
        ("minWriterVersion", Cell::Integer(None)),
        ("tableFeatures", Cell::List(Vec::new())),
    ]);
    let properties = state.metadata.configuration.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
    rows.push(vec![
        "delta".into(),
        state.metadata.id.clone().into(),
        state.metadata.name.clone().into(),
        state.metadata.description.clone().into(),
        table.uri().into(),
        Cell::Time(state.metadata.created_time.map(TimestampMs)),
        Cell::Time(modified),
        snapshot.version().into(),
        Cell::List(state.metadata.partition_columns.clone()),
        Cell::List(clustering_columns(state)?.unwrap_or_default().iter().map(|path| path.join(".")).collect()),
        Cell::Long(Some(state.files.len() as i64)),
        Cell::Long(Some(state.files.total_bytes() as i64)),
        Cell::Map(properties),
        Cell::Integer(Some(state.protocol.min_reader_version)),
        Cell::Integer(Some(state.protocol.min_writer_version)),
        Cell::List(features),
    ])?;
    rows.outcome()
}

pub(super) async fn history(session: &Session, name: &ObjectName, limit: Option<usize>) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    history_rows(&table, limit).await?.outcome()
}
