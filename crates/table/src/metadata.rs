//! What a table's metadata must be before it is committed: complete, and something that the table can be.

mod mapping;

use floe_table_format::clustering::check_still_clustered;
use floe_table_format::feature;
use floe_table_format::{Metadata, Protocol, StructType, TableProperties, TableState};

use crate::error::{OnTable, Result};
use crate::table::Table;

pub(crate) use mapping::{map_columns, new_physical_name};

/// The column of a change file that says what became of a row.
pub(crate) const CHANGE_TYPE_COLUMN: &str = "_change_type";

/// Changed metadata with what it needs to be the table's, and the protocol to go with it.
///
/// # Errors
/// What the table cannot be: see [`Table::set_properties`] and [`Table::add_columns_at`].
pub(crate) fn completed(table: &Table, state: &TableState, mut metadata: Metadata) -> Result<(Protocol, Metadata)> {
    let uri = table.uri();
    map_columns(table, &state.metadata, &mut metadata)?;
    crate::row_tracking::name_columns(uri, table.env(), &mut metadata.configuration)?;
    crate::key::check_roles(uri, &metadata)?;
    let schema = StructType::parse(&metadata.schema_string).on(uri)?;
    schema.check_names(feature::column_mapping_mode(&metadata).on(uri)?).on(uri)?;
    check_feed_columns(table, &metadata, &schema)?;
    check_still_clustered(state, &schema, &metadata).on(uri)?;
    let required = feature::required_for(&metadata, &schema).on(uri)?;
    Ok((feature::enable(&state.protocol, &required), metadata))
}

/// Columns that readers of a change feed get beside those of the table.
const FEED_COLUMNS: [&str; 3] = [CHANGE_TYPE_COLUMN, "_commit_version", "_commit_timestamp"];

/// Refuses a change feed of a table whose columns are named like the feed's own.
///
/// # Errors
/// [`crate::TableError::InvalidRequest`] with the column.
pub(crate) fn check_feed_columns(table: &Table, metadata: &Metadata, schema: &StructType) -> Result<()> {
    let feeds = TableProperties::parse(&metadata.configuration).on(table.uri())?.enable_change_data_feed;
    let taken = |name: &&str| schema.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name));
    match FEED_COLUMNS.iter().find(|name| taken(name)).filter(|_| feeds) {
        Some(name) => {
            let what = format!("column {name} is one of the feed's own: rename it first");
            Err(table.refuse("have a change feed (delta.enableChangeDataFeed)", what))
        }
        None => Ok(()),
    }
}
