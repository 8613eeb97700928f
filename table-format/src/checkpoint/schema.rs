//! The Arrow schema of the checkpoints that are written: protocol section "Checkpoint Schema".

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Fields, Schema, SchemaRef};

use super::stats_schema::StatsSchema;
use crate::error::{FormatError, Result};
use crate::schema::{PrimitiveType, StructField};
use crate::state::{TableState, stats_arrow_type};

/// The columns of a checkpoint of this state. Everything may be null: a row holds one action.
///
/// # Errors
/// [`FormatError::InvalidSchema`] if a partition column is not a primitive column of the schema.
pub fn checkpoint_schema(state: &TableState) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(vec![
        structure("txn", txn()),
        structure("add", add(state)?),
        structure("remove", remove()),
        structure("metaData", metadata()),
        structure("protocol", protocol()),
        structure("domainMetadata", domain()),
    ])))
}

/// The columns of a sidecar: protocol section "Sidecar Files", only files and tombstones.
///
/// # Errors
/// As [`checkpoint_schema`].
pub fn sidecar_schema(state: &TableState) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(vec![structure("add", add(state)?), structure("remove", remove())])))
}

pub(super) fn txn() -> Fields {
    vec![text("appId"), long("version"), long("lastUpdated")].into()
}

pub(super) fn add(state: &TableState) -> Result<Fields> {
    let mut fields = vec![
        text("path"),
        Field::new("partitionValues", map_type(), true),
        long("size"),
        long("modificationTime"),
        boolean("dataChange"),
    ];
    if state.properties.write_stats_as_json {
        fields.push(text("stats"));
    }
    fields.extend([
        Field::new("tags", map_type(), true),
        structure("deletionVector", deletion_vector()),
        long("baseRowId"),
        long("defaultRowCommitVersion"),
        text("clusteringProvider"),
    ]);
    if state.properties.write_stats_as_struct {
        let partitions = partition_columns(state)?;
        if !partitions.is_empty() {
            let typed =
                |(name, data_type): &(String, PrimitiveType)| Field::new(name, stats_arrow_type(*data_type), true);
            fields.push(structure("partitionValues_parsed", partitions.iter().map(typed).collect()));
        }
        fields.push(structure("stats_parsed", StatsSchema::of(state).fields()));
    }
    Ok(fields.into())
}

/// Physical name and type of each partition column.
pub(super) fn partition_columns(state: &TableState) -> Result<Vec<(String, PrimitiveType)>> {
    let mode = state.properties.column_mapping_mode;
    let column = |name: &String| {
        let field: Option<&StructField> = state.schema.field(name);
        let typed = field.and_then(|f| Some((f.physical_name_in(mode).to_owned(), f.data_type.as_primitive()?)));
        typed.ok_or_else(|| FormatError::invalid_schema(format!("partition column {name:?} is not a primitive column")))
    };
    state.metadata.partition_columns.iter().map(column).collect()
}

/// A tombstone. Protocol section "Checkpoint Schema": without statistics and tags.
pub(super) fn remove() -> Fields {
    vec![
        text("path"),
        long("deletionTimestamp"),
        boolean("dataChange"),
        boolean("extendedFileMetadata"),
        Field::new("partitionValues", map_type(), true),
        long("size"),
        structure("deletionVector", deletion_vector()),
        long("baseRowId"),
        long("defaultRowCommitVersion"),
    ]
    .into()
}

pub(super) fn deletion_vector() -> Fields {
    vec![
        text("storageType"),
        text("pathOrInlineDv"),
        Field::new("offset", ArrowType::Int32, true),
        Field::new("sizeInBytes", ArrowType::Int32, true),
        long("cardinality"),
    ]
    .into()
}

pub(super) fn format() -> Fields {
    vec![text("provider"), Field::new("options", map_type(), true)].into()
}

pub(super) fn metadata() -> Fields {
    vec![
        text("id"),
        text("name"),
        text("description"),
        structure("format", format()),
        text("schemaString"),
        Field::new("partitionColumns", list_type(), true),
        long("createdTime"),
        Field::new("configuration", map_type(), true),
    ]
    .into()
}

pub(super) fn protocol() -> Fields {
    vec![
        Field::new("minReaderVersion", ArrowType::Int32, true),
        Field::new("minWriterVersion", ArrowType::Int32, true),
        Field::new("readerFeatures", list_type(), true),
        Field::new("writerFeatures", list_type(), true),
    ]
    .into()
}

pub(super) fn domain() -> Fields {
    vec![text("domain"), text("configuration"), boolean("removed")].into()
}

pub(super) fn list_type() -> ArrowType {
    ArrowType::List(Arc::new(Field::new("element", ArrowType::Utf8, true)))
}

/// Names as Parquet has them, so that the file needs no other names than the Arrow schema.
pub(super) fn map_type() -> ArrowType {
    ArrowType::Map(Arc::new(Field::new("key_value", ArrowType::Struct(map_fields()), false)), false)
}

pub(super) fn map_fields() -> Fields {
    vec![Field::new("key", ArrowType::Utf8, false), Field::new("value", ArrowType::Utf8, true)].into()
}

fn structure(name: &str, fields: Fields) -> Field {
    Field::new(name, ArrowType::Struct(fields), true)
}

fn text(name: &str) -> Field {
    Field::new(name, ArrowType::Utf8, true)
}

fn long(name: &str) -> Field {
    Field::new(name, ArrowType::Int64, true)
}

fn boolean(name: &str) -> Field {
    Field::new(name, ArrowType::Boolean, true)
}
