//! Rows that are written anew keep their ids.
//!
//! A row's id is the base id of its file and its position there, unless the file says otherwise: where a row moves, its old id and
//! the version it was last changed in go into two columns of the new file, whose names the table's properties tell. Protocol
//! section "Row Tracking".

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use floe_storage::Env;
use floe_table_format::{Metadata, TableProperties};

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

/// The columns of files in which rows that move keep what they had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowIdColumns {
    pub(crate) id: String,
    pub(crate) version: String,
}

impl RowIdColumns {
    /// Those of a table whose rows keep their ids; none for another.
    pub(crate) fn of(uri: &str, metadata: &Metadata) -> Result<Option<Self>> {
        if !TableProperties::parse(&metadata.configuration).on(uri)?.enable_row_tracking {
            return Ok(None);
        }
        let name = |at: usize| metadata.configuration.get(MATERIALIZED[at].0).cloned();
        Ok(name(0).zip(name(1)).map(|(id, version)| RowIdColumns { id, version }))
    }

    pub(crate) fn fields(&self) -> [Field; 2] {
        [&self.id, &self.version].map(|name| Field::new(name, DataType::Int64, true))
    }

    /// These columns of a batch, null where it lacks them, and the batch without them.
    pub(crate) fn taken_from(&self, batch: &RecordBatch) -> Result<(RecordBatch, [ArrayRef; 2])> {
        let place = |name: &String| batch.schema_ref().fields().iter().position(|field| field.name() == name);
        let places = [place(&self.id), place(&self.version)];
        let taken = places.map(|place| match place {
            Some(at) => batch.column(at).clone(),
            None => new_null_array(&DataType::Int64, batch.num_rows()),
        });
        let rest: Vec<usize> = (0..batch.num_columns()).filter(|at| !places.contains(&Some(*at))).collect();
        Ok((batch.project(&rest)?, taken))
    }

    /// A batch with these columns behind its own.
    pub(crate) fn put_behind(&self, batch: &RecordBatch, values: [ArrayRef; 2]) -> Result<RecordBatch> {
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
        fields.extend(self.fields().map(Arc::new));
        let mut columns = batch.columns().to_vec();
        columns.extend(values);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// What tells the ids of a file's rows.
#[derive(Debug, Clone)]
pub(crate) struct FileRowIds {
    pub(crate) columns: RowIdColumns,
    /// The id of the first row; none for a file that has none yet.
    pub(crate) base: Option<i64>,
    /// The version that added the file.
    pub(crate) version: Option<i64>,
}

impl FileRowIds {
    /// Id and version of each row, of what the file says of them and of their positions in it.
    pub(crate) fn of_rows(&self, ids: &ArrayRef, versions: &ArrayRef, positions: &ArrayRef) -> [ArrayRef; 2] {
        let longs = |array: &ArrayRef| array.as_primitive_opt::<Int64Type>().cloned();
        let (ids, versions, positions) = (longs(ids), longs(versions), longs(positions));
        let rows = positions.as_ref().map_or(0, |positions| positions.len());
        let told = |array: &Option<Int64Array>, row: usize| {
            array.as_ref().filter(|array| array.is_valid(row)).map(|array| array.value(row))
        };
        let id = |row| told(&ids, row).or_else(|| self.base?.checked_add(told(&positions, row)?));
        let version = |row| told(&versions, row).or(self.version);
        [Arc::new((0..rows).map(id).collect::<Int64Array>()), Arc::new((0..rows).map(version).collect::<Int64Array>())]
    }
}
