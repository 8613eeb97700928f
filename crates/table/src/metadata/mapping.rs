//! Column mapping: switching it on, and naming the columns that come later.
//!
//! Protocol section "Writer Requirements for Column Mapping". A table that gets it keeps its files: the physical name of
//! each column is the name that the files use. Columns that come later, and those of new tables, have physical names of
//! their own, so that a name can be given to another column without old values showing under it.

use floe_storage::Env;
use floe_table_format::feature::{column_mapping_last_id, column_mapping_mode};
use floe_table_format::iceberg::{IcebergCompat, assign_nested_ids};
use floe_table_format::property::name::{COLUMN_MAPPING_MAX_ID, COLUMN_MAPPING_MODE};
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::{FormatError, Metadata, StructType};

use crate::error::{OnTable, Result};
use crate::table::Table;

/// A physical name that no other column has had or will have.
pub(crate) fn new_physical_name(env: &Env) -> String {
    format!("col-{}", env.uuid())
}

/// Gives columns ids and physical names where the changed metadata asks for it.
///
/// # Errors
/// `UnsupportedFeature` for a change of the mode other than from none to name: files would have to be rewritten.
pub(crate) fn map_columns(table: &Table, before: &Metadata, after: &mut Metadata) -> Result<()> {
    let uri = table.uri();
    let old = column_mapping_mode(before).on(uri)?;
    let new = column_mapping_mode(after).on(uri)?;
    let mut schema = StructType::parse(&after.schema_string).on(uri)?;
    let last_id = column_mapping_last_id(before).on(uri)?;
    let last_id = match (old, new) {
        (ColumnMappingMode::None, ColumnMappingMode::None) => return Ok(()),
        (ColumnMappingMode::None, ColumnMappingMode::Name) => {
            // What is left over from elsewhere says nothing about the names in the files.
            schema = schema.without_mapping();
            schema.assign_mapping(last_id, &mut |field| field.name.clone())
        }
        (old, new) if old == new => schema.assign_mapping(last_id, &mut |_| new_physical_name(table.env())),
        (old, new) => {
            let change = format!("{COLUMN_MAPPING_MODE} changed from {} to {}", old.as_str(), new.as_str());
            let features = vec![format!("{change} (a table without column mapping can be given mode name)")];
            return Err(FormatError::UnsupportedFeature { operation: "change the table".into(), features }).on(uri);
        }
    };
    let mut last_id = last_id.on(uri)?;
    if IcebergCompat::of(after).on(uri)? == Some(IcebergCompat::V2) {
        last_id = assign_nested_ids(&mut schema, last_id);
    }
    after.schema_string = schema.to_json();
    after.configuration.insert(COLUMN_MAPPING_MAX_ID.into(), last_id.to_string());
    Ok(())
}
