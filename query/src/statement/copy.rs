//! COPY query TO file.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use floe_storage::variant::is_variant_type;
use floe_storage::{Location, StoreKind};
use floe_table_format::error::printable;
use futures::TryStreamExt;

use crate::error::{QueryError, Result};
use crate::in_place;
use crate::output::{Done, Outcome};
use crate::relation::FileFormat;
use crate::session::Session;
use crate::statement::change::rows as of_rows;
use crate::statement::{Copy, query};

pub(super) async fn copy(session: &Session, copy: Copy) -> Result<Outcome> {
    let mut options: HashMap<String, String> = HashMap::new();
    let mut named = copy.format;
    for (key, value) in copy.options {
        match key.to_ascii_lowercase().as_str() {
            "format" => named = Some(value),
            "header" => drop(options.insert("format.has_header".into(), value)),
            "delimiter" | "sep" => drop(options.insert("format.delimiter".into(), value)),
            "compression" => drop(options.insert("format.compression".into(), value)),
            key if key.starts_with("format.") || key.starts_with("execution.") => {
                drop(options.insert(key.into(), value))
            }
            other => {
                let what = format!(
                    "COPY has no option {}; it has header, delimiter, compression and format",
                    printable(other)
                );
                return Err(QueryError::invalid_argument(what));
            }
        }
    }
    let format = match &named {
        Some(name) => FileFormat::named(name),
        None => FileFormat::of_path(&copy.target),
    };
    let extension = match format {
        Some(FileFormat::Parquet) => "parquet",
        Some(FileFormat::Csv) => "csv",
        Some(FileFormat::Json) => "json",
        None => {
            return Err(QueryError::invalid_argument(format!(
                "the format of {} is not known: let it end in .parquet, .csv or .json, or say STORED AS",
                printable(&copy.target)
            )));
        }
    };
    if extension == "csv" {
        options.entry("format.has_header".into()).or_insert_with(|| "true".into());
        if copy.target.to_ascii_lowercase().ends_with(".tsv") {
            options.entry("format.delimiter".into()).or_insert_with(|| "\t".into());
        }
    }
    let state = session.context().state();
    let factory = state
        .get_file_format_factory(extension)
        .ok_or_else(|| QueryError::invalid_argument(format!("this build does not write {extension}")))?;
    in_place::register_store(session, &copy.target)?;
    let location = Location::open(&copy.target, session.warehouse().storage_options())?;
    let target = if copy.target.ends_with('/') { format!("{}/", location.uri) } else { location.uri.clone() };
    if location.kind == StoreKind::Memory {
        return Err(QueryError::unsupported("COPY to memory://", "COPY to a path or to an object store"));
    }
    let plan = query::plan(session, *copy.query).await?;
    let columns = copy.partitioned_by;
    for column in &columns {
        let fields: Vec<String> = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
        if !fields.contains(column) {
            return Err(QueryError::unknown_column(column.clone(), fields));
        }
    }
    let plan = if extension == "parquet" { plan } else { variants_as_json(session, plan)? };
    let plan = LogicalPlanBuilder::copy_to(plan, target, format_as_file_type(factory), options, columns)?.build()?;
    let counts = query::rows_of(DataFrame::new(state, plan)).await?;
    let batches: Vec<RecordBatch> = counts.try_collect().await?;
    let rows = batches
        .iter()
        .filter_map(|batch| batch.column(0).as_primitive_opt::<UInt64Type>())
        .map(|counts| counts.iter().flatten().sum::<u64>())
        .sum::<u64>();
    Ok(Done::new(format!("copied {} to {}", of_rows(rows), location.uri)).with_affected_rows(rows).into())
}

/// The plan with its variants as JSON text, for formats that have none.
fn variants_as_json(session: &Session, plan: LogicalPlan) -> Result<LogicalPlan> {
    if !plan.schema().fields().iter().any(|field| is_variant_type(field.data_type())) {
        return Ok(plan);
    }
    let to_json = session.context().udf("to_json")?;
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match is_variant_type(field.data_type()) {
            true => to_json.call(vec![column]).alias(field.name()),
            false => column,
        }
    });
    Ok(LogicalPlanBuilder::from(plan.clone()).project(columns.collect::<Vec<_>>())?.build()?)
}
