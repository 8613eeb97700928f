//! K2: which changes of the metadata a change prepared before them survives.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::action::Metadata;
use crate::change::ChangeSet;
use crate::schema::{DataType, StructType};

/// Whether a change prepared under the old metadata holds under the new.
///
/// It does where something was switched on that asks nothing of files already written: deletion vectors, in-commit
/// timestamps, V2 checkpoints, column mapping by names that equal the columns' own, and, for a change that rewrites no
/// rows, row tracking. And it does where values of identity columns were given out: a change that gives out some itself has new
/// metadata, and does not come here.
pub(super) fn is_survived(change: &ChangeSet, old: &Metadata, new: &Metadata) -> bool {
    let names = |m: &Metadata| (m.id.clone(), m.name.clone(), m.description.clone(), m.format.clone());
    let keys: BTreeSet<&String> = old.configuration.keys().chain(new.configuration.keys()).collect();
    names(old) == names(new)
        && old.partition_columns == new.partition_columns
        && keys.into_iter().all(|key| {
            let (before, after) = (old.configuration.get(key), new.configuration.get(key));
            before == after || may_change(key, after.map(String::as_str), change)
        })
        && (old.schema_string == new.schema_string || only_maps_columns(old, new) || only_gives_values_out(old, new))
}

/// Whether the schemas differ in the high water marks of identity columns only.
fn only_gives_values_out(old: &Metadata, new: &Metadata) -> bool {
    match (StructType::parse(&old.schema_string), StructType::parse(&new.schema_string)) {
        (Ok(old), Ok(new)) => old.without_high_water_marks() == new.without_high_water_marks(),
        _ => false,
    }
}

fn may_change(key: &str, after: Option<&str>, change: &ChangeSet) -> bool {
    let switched_on = after == Some("true");
    match key {
        "delta.enableDeletionVectors" | "delta.enableInCommitTimestamps" => switched_on,
        "delta.inCommitTimestampEnablementVersion" | "delta.inCommitTimestampEnablementTimestamp" => after.is_some(),
        "delta.checkpointPolicy" => true,
        "delta.columnMapping.mode" => after == Some("name"),
        "delta.columnMapping.maxColumnId" => after.is_some(),
        // From here on rewritten rows must keep their ids, which rewrites made before did not.
        "delta.enableRowTracking" => switched_on && change.removes.is_empty(),
        "delta.rowTracking.materializedRowIdColumnName"
        | "delta.rowTracking.materializedRowCommitVersionColumnName" => after.is_some(),
        _ => false,
    }
}

/// Whether the schemas differ in column mapping only, and every physical name is the column's own: files written before
/// use those names.
fn only_maps_columns(old: &Metadata, new: &Metadata) -> bool {
    if old.configuration.get("delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        return false;
    }
    let (Ok(old), Ok(new)) = (StructType::parse(&old.schema_string), StructType::parse(&new.schema_string)) else {
        return false;
    };
    match (unmapped_struct(&old), unmapped_struct(&new)) {
        (Some(old), Some(new)) => old == new,
        _ => false,
    }
}

fn unmapped_struct(schema: &StructType) -> Option<StructType> {
    let mut schema = schema.clone();
    for field in &mut schema.fields {
        if field.physical_name() != field.name {
            return None;
        }
        field.metadata = unmapped_metadata(&field.metadata);
        field.data_type = unmapped_type(&field.data_type)?;
    }
    Some(schema)
}

fn unmapped_type(data_type: &DataType) -> Option<DataType> {
    let mut data_type = data_type.clone();
    match &mut data_type {
        DataType::Struct(inner) => **inner = unmapped_struct(inner)?,
        DataType::Array(inner) => inner.element = unmapped_type(&inner.element)?,
        DataType::Map(inner) => {
            inner.key = unmapped_type(&inner.key)?;
            inner.value = unmapped_type(&inner.value)?;
        }
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => {}
    }
    Some(data_type)
}

fn unmapped_metadata(metadata: &Map<String, Value>) -> Map<String, Value> {
    let kept = metadata.iter().filter(|(key, _)| !key.starts_with("delta.columnMapping."));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}
