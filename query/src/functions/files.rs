//! `files('t')`: the files of the newest version.

use floe_table::Table;
use floe_table_format::TimestampMs;

use crate::error::Result;
use crate::rows::{Cell, Rows};

pub(crate) async fn files_rows(table: &Table) -> Result<Rows> {
    let snapshot = table.cached_snapshot().await?;
    let state = snapshot.state();
    let mut rows = Rows::new(&[
        ("path", Cell::Text(None)),
        ("size", Cell::Long(None)),
        ("modificationTime", Cell::Time(None)),
        ("partitionValues", Cell::Map(Vec::new())),
        ("numRecords", Cell::Long(None)),
        ("deletedRecords", Cell::Long(None)),
        ("stats", Cell::Text(None)),
    ]);
    let root = table.location().table_root();
    for file in state.files.iter() {
        let add = file.to_add();
        let partition = state
            .metadata
            .partition_columns
            .iter()
            .map(|column| {
                // Values are kept under physical names, and shown under the names of the schema.
                let physical = state.schema.field(column).map_or(column.as_str(), |field| field.physical_name());
                let value = add.partition_values.get(physical).or_else(|| add.partition_values.get(column)).cloned();
                (column.clone(), value.flatten())
            })
            .collect();
        let deleted = add.deletion_vector.as_ref().map_or(0, |dv| dv.cardinality);
        rows.push(vec![
            root.decode(&add.path)?.into(),
            Cell::Long(Some(add.size)),
            Cell::Time(Some(TimestampMs(add.modification_time))),
            Cell::Map(partition),
            Cell::Long(file.num_records().map(|n| n as i64)),
            Cell::Long(Some(deleted)),
            add.stats.clone().into(),
        ])?;
    }
    Ok(rows)
}
