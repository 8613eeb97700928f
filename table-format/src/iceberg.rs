//! What a table may be and hold while it is to be readable as an Iceberg table, too: protocol sections "Iceberg Compatibility V1"
//! and "Iceberg Compatibility V2".
//!
//! The log stays a Delta log. That Iceberg metadata can be made of it without touching the files asks for columns with ids, values
//! of partitions in the files, no deletion vectors, and types that both have.

use serde_json::Value;

use crate::action::{Add, Metadata};
use crate::error::{FormatError, Result, printable};
use crate::property::{TableProperties, name};
use crate::schema::{ColumnMappingMode, DataType, StructField, StructType};
use crate::state::TableState;
use crate::stats::parse_num_records;

#[cfg(test)]
mod tests;

/// The property that turns V1 on.
pub const ENABLE_V1: &str = "delta.enableIcebergCompatV1";
/// The property that turns V2 on.
pub const ENABLE_V2: &str = "delta.enableIcebergCompatV2";
/// Where a column's metadata holds the ids of what is in its lists and maps.
const NESTED_IDS: &str = "delta.columnMapping.nested.ids";
/// Where a column's metadata says which types it had.
const TYPE_CHANGES: &str = "delta.typeChanges";

/// Which rules a table keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcebergCompat {
    /// No lists and no maps.
    V1,
    /// Lists and maps have ids of their own.
    V2,
}

impl IcebergCompat {
    /// What the properties turn on.
    ///
    /// # Errors
    /// [`FormatError::InvalidProperty`] for both at once.
    pub fn of(metadata: &Metadata) -> Result<Option<Self>> {
        let on =
            |key: &str| metadata.configuration.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        match (on(ENABLE_V1), on(ENABLE_V2)) {
            (false, false) => Ok(None),
            (true, false) => Ok(Some(IcebergCompat::V1)),
            (false, true) => Ok(Some(IcebergCompat::V2)),
            (true, true) => Err(FormatError::InvalidProperty {
                key: ENABLE_V2.into(),
                value: "true".into(),
                what: format!("{ENABLE_V1} is on; a table keeps one of the two"),
            }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            IcebergCompat::V1 => "IcebergCompatV1",
            IcebergCompat::V2 => "IcebergCompatV2",
        }
    }
}

/// Sets what these rules ask of a new table, where its creator has not said otherwise: columns that are mapped by name, and no
/// deletion vectors.
pub fn complete_new(configuration: &mut std::collections::BTreeMap<String, String>) {
    let on = |key: &str| configuration.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    if on(ENABLE_V1) || on(ENABLE_V2) {
        configuration.entry(name::COLUMN_MAPPING_MODE.into()).or_insert_with(|| "name".into());
        configuration.entry(name::ENABLE_DELETION_VECTORS.into()).or_insert_with(|| "false".into());
    }
}

/// Gives lists and maps the ids that V2 asks for; what has one keeps it. Ids go on from `last_id`; gives the last one.
pub fn assign_nested_ids(schema: &mut StructType, last_id: i64) -> i64 {
    let mut last_id = last_id;
    for field in &mut schema.fields {
        assign_to(field, &mut last_id);
    }
    last_id
}

fn assign_to(field: &mut StructField, last_id: &mut i64) {
    let mut paths = Vec::new();
    nested_paths(&field.data_type, field.physical_name(), &mut paths);
    if !paths.is_empty() {
        let ids = field.metadata.entry(NESTED_IDS).or_insert_with(|| Value::Object(Default::default()));
        if let Value::Object(ids) = ids {
            for path in paths {
                ids.entry(path).or_insert_with(|| {
                    *last_id += 1;
                    (*last_id).into()
                });
            }
        }
    }
    structs_within(&mut field.data_type, &mut |inner| {
        inner.fields.iter_mut().for_each(|field| assign_to(field, last_id));
    });
}

/// Calls for each struct that a type holds with no other struct around it.
fn structs_within(data_type: &mut DataType, each: &mut dyn FnMut(&mut StructType)) {
    match data_type {
        DataType::Struct(inner) => each(inner),
        DataType::Array(array) => structs_within(&mut array.element, each),
        DataType::Map(map) => {
            structs_within(&mut map.key, each);
            structs_within(&mut map.value, each);
        }
        _ => {}
    }
}

/// The names under which the ids of a column's elements, keys and values stand.
fn nested_paths(data_type: &DataType, path: &str, out: &mut Vec<String>) {
    let mut part = |name: &str, inner: &DataType| {
        let path = format!("{path}.{name}");
        out.push(path.clone());
        nested_paths(inner, &path, out);
    };
    match data_type {
        DataType::Array(array) => part("element", &array.element),
        DataType::Map(map) => {
            part("key", &map.key);
            part("value", &map.value);
        }
        _ => {}
    }
}

/// Checks a change of a table that keeps such rules, or is to.
///
/// # Errors
/// [`FormatError::InvalidChange`] with the first rule that it breaks.
pub fn check(metadata: &Metadata, schema: &StructType, adds: &[Add], base: Option<&TableState>) -> Result<()> {
    let Some(compat) = IcebergCompat::of(metadata)? else { return Ok(()) };
    let refuse = |what: String| Err(FormatError::invalid_change(format!("{} is on: {what}", compat.name())));
    let properties = TableProperties::parse(&metadata.configuration)?;
    if properties.column_mapping_mode == ColumnMappingMode::None {
        return refuse("columns have to be mapped; set delta.columnMapping.mode = name".into());
    }
    if properties.enable_deletion_vectors || adds.iter().any(|add| add.deletion_vector.is_some()) {
        return refuse("there may be no deletion vectors; set delta.enableDeletionVectors = false".into());
    }
    if let Some(add) = adds.iter().find(|add| add.stats.as_deref().and_then(parse_num_records).is_none()) {
        return refuse(format!("the number of rows of {} has to be known", printable(&add.path)));
    }
    if let Some(what) = unfit(schema, compat) {
        return refuse(what);
    }
    let Some(base) = base else { return Ok(()) };
    if IcebergCompat::of(&base.metadata)? == Some(compat) {
        let by = |metadata: &Metadata| metadata.partition_columns.join(", ");
        if by(metadata) != by(&base.metadata) {
            return refuse(format!("it stays partitioned by ({})", printable(&by(&base.metadata))));
        }
    } else if !base.files.is_empty() {
        // Of files that are there, nobody can say whether they are as the rules ask.
        if base.files.iter().any(|file| file.has_deletion_vector()) {
            return refuse("files have deletion vectors".into());
        }
        if !metadata.partition_columns.is_empty() {
            return refuse(
                "files that are there may lack the values of partitions; CREATE TABLE ... AS SELECT makes new ones"
                    .into(),
            );
        }
        if base.properties.column_mapping_mode == ColumnMappingMode::None {
            return refuse(
                "files that are there have no ids of columns; CREATE TABLE ... AS SELECT makes new ones".into(),
            );
        }
        if compat == IcebergCompat::V2 && has_nested(&base.schema) {
            return refuse(
                "files that are there have no ids in lists and maps; CREATE TABLE ... AS SELECT makes new ones".into(),
            );
        }
    }
    Ok(())
}

fn has_nested(schema: &StructType) -> bool {
    let mut found = false;
    schema.visit(&mut |field| found |= matches!(field.data_type, DataType::Array(_) | DataType::Map(_)));
    found
}

/// What of the columns Iceberg has no like of.
fn unfit(schema: &StructType, compat: IcebergCompat) -> Option<String> {
    let mut unfit = None;
    schema.visit(&mut |field| {
        let column = printable(&field.name);
        let found = match &field.data_type {
            data_type if *data_type == DataType::Void || data_type.contains_void() || data_type.contains_variant() => {
                Some(format!("column {column} has the type {data_type}"))
            }
            DataType::Array(_) | DataType::Map(_) if compat == IcebergCompat::V1 => {
                Some(format!("column {column} is {}, which V2 alone takes", field.data_type))
            }
            data_type => {
                let mut paths = Vec::new();
                nested_paths(data_type, field.physical_name(), &mut paths);
                let ids = field.metadata.get(NESTED_IDS).and_then(Value::as_object);
                let lacking = |path: &String| ids.is_none_or(|ids| !ids.get(path).is_some_and(Value::is_i64));
                paths.iter().find(|path| lacking(path)).map(|_| format!("column {column} lacks ids in {NESTED_IDS}"))
            }
        };
        let changed = || {
            let changes = field.metadata.get(TYPE_CHANGES).and_then(Value::as_array)?;
            let type_of = |change: &Value, key: &str| change.get(key).and_then(Value::as_str).map(str::to_owned);
            let known = |change: &Value| {
                type_of(change, "fromType")
                    .zip(type_of(change, "toType"))
                    .is_some_and(|(from, to)| is_promotion(&from, &to))
            };
            changes.iter().find(|change| !known(change)).map(|change| {
                format!(
                    "column {column} had another type ({}), which Iceberg cannot follow",
                    printable(&change.to_string())
                )
            })
        };
        unfit = unfit.take().or(found).or_else(changed);
    });
    unfit
}

/// Whether Iceberg reads values of the one type as the other.
fn is_promotion(from: &str, to: &str) -> bool {
    let integer = |name: &str| ["byte", "short", "integer", "long"].iter().position(|known| *known == name);
    let scale =
        |name: &str| Some(name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?.1.trim().to_owned());
    match (integer(from), integer(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => (from == "float" && to == "double") || (scale(from).is_some() && scale(from) == scale(to)),
    }
}
