//! The columns that a table's rows are to lie together by. Protocol section "Clustered Table".
//!
//! They stand in a domain of the log, by their physical names. Which files have been clustered, by whom and by which columns, is
//! written with each file: [`plan::cluster`](crate::plan::cluster).

use serde::{Deserialize, Serialize};

use crate::action::DomainMetadata;
use crate::error::{FormatError, Result, printable};
use crate::feature::column_mapping_mode;
use crate::property::TableProperties;
use crate::schema::{DataType, PrimitiveType, StructType};
use crate::state::TableState;
use crate::stats::StatsCollector;

#[cfg(test)]
mod tests;

/// The domain of the clustering.
pub const CLUSTERING_DOMAIN: &str = "delta.clustering";

/// As many columns as Spark takes: with each one more, rows that are near in one lie farther from each other in the rest.
pub const CLUSTERING_COLUMNS_MAX: usize = 4;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    clustering_columns: Vec<Vec<String>>,
    #[serde(default = "domain_name")]
    domain_name: String,
}

fn domain_name() -> String {
    CLUSTERING_DOMAIN.into()
}

/// What the log says of a table that is clustered by these columns: paths of physical names. None of them is a table that is to be
/// clustered, but not told how.
pub fn clustering_domain(physical: Vec<Vec<String>>) -> DomainMetadata {
    let configuration = Configuration { clustering_columns: physical, domain_name: domain_name() };
    DomainMetadata {
        domain: CLUSTERING_DOMAIN.into(),
        configuration: serde_json::json!(configuration).to_string(),
        removed: false,
    }
}

/// The paths of physical names that a table is clustered by; none for a table that is not.
///
/// # Errors
/// [`FormatError::InvalidValue`] for a domain that does not decode: nothing may be clustered by a guess.
pub fn physical_clustering_columns(state: &TableState) -> Result<Option<Vec<Vec<String>>>> {
    let Some(domain) = state.domains.get(CLUSTERING_DOMAIN) else { return Ok(None) };
    match serde_json::from_str::<Configuration>(&domain.configuration) {
        Ok(configuration) => Ok(Some(configuration.clustering_columns)),
        Err(error) => Err(FormatError::InvalidValue {
            value: printable(&domain.configuration),
            target: format!("domain {CLUSTERING_DOMAIN}"),
            what: error.to_string(),
        }),
    }
}

/// The paths of column names that a table is clustered by; none for a table that is not.
///
/// # Errors
/// As [`physical_clustering_columns`], and for a column that the table does not have.
pub fn clustering_columns(state: &TableState) -> Result<Option<Vec<Vec<String>>>> {
    let Some(physical) = physical_clustering_columns(state)? else { return Ok(None) };
    physical.iter().map(|path| logical_path(&state.schema, path)).collect::<Result<_>>().map(Some)
}

fn logical_path(schema: &StructType, physical: &[String]) -> Result<Vec<String>> {
    let missing = || FormatError::InvalidValue {
        value: printable(&physical.join(".")),
        target: format!("domain {CLUSTERING_DOMAIN}"),
        what: "the table has no such column".into(),
    };
    let mut logical = Vec::with_capacity(physical.len());
    let mut within = Some(schema);
    for name in physical {
        let fields = &within.ok_or_else(missing)?.fields;
        let field = fields.iter().find(|field| field.physical_name() == name);
        let field = field.or_else(|| fields.iter().find(|field| field.name == *name)).ok_or_else(missing)?;
        logical.push(field.name.clone());
        within = match &field.data_type {
            DataType::Struct(inner) => Some(inner),
            _ => None,
        };
    }
    Ok(logical)
}

/// Checks that a table can be clustered by these columns, and gives their paths as the schema spells them.
///
/// # Errors
/// [`FormatError::InvalidChange`] for a column that is not there, is named twice or partitions the table, is nested or of a type that
/// files have no minimum and maximum of, or that gets no statistics: readers would skip no file by it. The same for more than
/// [`CLUSTERING_COLUMNS_MAX`].
pub fn check_clustering(
    schema: &StructType,
    partition_columns: &[String],
    properties: &TableProperties,
    columns: &[Vec<String>],
) -> Result<Vec<Vec<String>>> {
    let refuse = |what: String| Err(FormatError::invalid_change(format!("the table cannot be clustered: {what}")));
    if columns.len() > CLUSTERING_COLUMNS_MAX {
        return refuse(format!("{} columns were given, at most {CLUSTERING_COLUMNS_MAX} can be", columns.len()));
    }
    if !partition_columns.is_empty() && !columns.is_empty() {
        return refuse(format!("it is partitioned, by {}", printable(&partition_columns.join(", "))));
    }
    let mode = crate::schema::ColumnMappingMode::None;
    let collected = StatsCollector::new(schema, partition_columns, mode, properties)?;
    let mut spelled: Vec<Vec<String>> = Vec::with_capacity(columns.len());
    for path in columns {
        let path = schema.spelled(path)?;
        let shown = printable(&path.join("."));
        if spelled.contains(&path) {
            return refuse(format!("{shown} is named twice"));
        }
        match schema.type_at(&path) {
            Some(DataType::Primitive(PrimitiveType::Boolean | PrimitiveType::Binary)) | None => {
                return refuse(format!("{shown} has a type that files have no least and greatest value of"));
            }
            Some(DataType::Primitive(_)) => {}
            Some(other) => return refuse(format!("{shown} is {other}; a column of simple type is wanted")),
        }
        if !collected.collects(&path) {
            return refuse(format!(
                "no statistics are collected of {shown}: see delta.dataSkippingNumIndexedCols and \
                 delta.dataSkippingStatsColumns"
            ));
        }
        spelled.push(path);
    }
    Ok(spelled)
}

/// Checks that the clustering of a table still stands after a change of its metadata.
///
/// # Errors
/// As [`check_clustering`].
pub fn check_still_clustered(state: &TableState, schema: &StructType, metadata: &crate::Metadata) -> Result<()> {
    let Some(physical) = physical_clustering_columns(state)? else { return Ok(()) };
    // A mode that changes gives columns their own names as physical ones.
    column_mapping_mode(metadata)?;
    let columns: Vec<Vec<String>> = physical.iter().map(|path| logical_path(schema, path)).collect::<Result<_>>()?;
    let properties = TableProperties::parse(&metadata.configuration)?;
    check_clustering(schema, &metadata.partition_columns, &properties, &columns).map(drop)
}
