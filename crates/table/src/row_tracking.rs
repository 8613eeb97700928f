//! The names of the columns in which rows that move keep their ids.

use std::collections::BTreeMap;

use floe_storage::Env;
use floe_table_format::TableProperties;

use crate::error::{OnTable, Result};

/// Properties that name the columns of data files for ids and versions of rows that were written anew.
const MATERIALIZED: [(&str, &str); 2] = [
    ("delta.rowTracking.materializedRowIdColumnName", "_row-id-col"),
    ("delta.rowTracking.materializedRowCommitVersionColumnName", "_row-commit-version-col"),
];

/// Gives a table with row tracking the names of these columns, which stay for good.
///
/// Protocol section "Row Tracking": a table that enables it names them, and other writers need the names when they move
/// rows. They are unique, so that no column of the table is ever taken for one.
///
/// # Errors
/// `InvalidProperty` inside [`crate::TableError::Format`] for properties that do not decode.
pub(crate) fn name_columns(uri: &str, env: &Env, configuration: &mut BTreeMap<String, String>) -> Result<()> {
    if TableProperties::parse(configuration).on(uri)?.enable_row_tracking {
        for (key, prefix) in MATERIALIZED {
            configuration.entry(key.to_owned()).or_insert_with(|| format!("{prefix}-{}", env.uuid()));
        }
    }
    Ok(())
}
