//! CONVERT TO DELTA.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table::ConvertOptions;
use floe_table_format::StructField;

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::relation::{FileFormat, RelationName};
use crate::session::Session;

/// `CONVERT TO DELTA parquet.'path' [NO STATISTICS] [PARTITIONED BY (name TYPE, ...)]`.
#[derive(Debug)]
pub(crate) struct Convert {
    pub(crate) name: ObjectName,
    pub(crate) statistics: bool,
    pub(crate) partitioned_by: Vec<StructField>,
}

pub(super) async fn convert(session: &Session, convert: Convert) -> Result<Outcome> {
    let Convert { name, statistics, partitioned_by } = convert;
    let warehouse = session.warehouse();
    let (builder, uri) = match RelationName::of(&name)? {
        RelationName::Files(FileFormat::Parquet, path) | RelationName::Path(path) | RelationName::Delta(path) => {
            (warehouse.builder(&path), path)
        }
        RelationName::Catalog { schema, table } => {
            let schema = schema.unwrap_or_else(|| session.current_schema());
            let (entry, _) = warehouse.place(&schema, &table).await?;
            (warehouse.builder_of(&entry)?, entry.uri)
        }
        RelationName::Files(_, _) | RelationName::InformationSchema(_) => {
            return Err(QueryError::unsupported(format!("CONVERT TO DELTA {name}"), "parquet.`path`"));
        }
    };
    let (table, report) =
        Box::pin(builder.convert(ConvertOptions { partition_columns: partitioned_by, statistics })).await?;
    let text = format!(
        "converted {name}: {} files with {} (version {})",
        report.files,
        crate::statement::change::rows(report.rows),
        report.version
    );
    warehouse.refresh(&uri, table);
    Ok(Done::new(text).with_version(report.version).into())
}
