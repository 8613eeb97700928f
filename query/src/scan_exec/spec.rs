//! What one scan reads, as a plain value that can be shipped to another machine.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use floe_table::{ScanFile, ScanPlan, Snapshot};
use floe_table_format::scalar::partition_array;
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::{FileId, StructType, TableState};
use parquet::arrow::RowNumber;
use serde::{Deserialize, Serialize};

use super::mapping::FileColumnsAdapterFactory;

/// The column that tells which file a row lies in: a packed `FileId` of the snapshot.
pub const FILE_COLUMN: &str = "_floe_file";

/// The column that tells at which position of its file a row lies, counted over all rows the file holds.
pub const ROW_COLUMN: &str = "_floe_row";

/// What a scan reads, and how its rows are shown.
///
/// Deletion vectors travel with their files as descriptors. A plan that lost them would bring deleted rows back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScanSpec {
    /// The table's shape at one version and the files that may hold matching rows.
    pub(crate) plan: ScanPlan,
    /// What is shown beside and instead of the table's own columns and types.
    pub(crate) options: ScanOptions,
    /// For each file the value of [`FILE_COLUMN`]; empty unless rows carry their address.
    addresses: Vec<u64>,
}

impl ScanSpec {
    /// A scan of the planned files of a snapshot.
    ///
    /// # Errors
    /// A plan that is not one of this snapshot.
    pub(crate) fn new(snapshot: &Snapshot, plan: ScanPlan, options: ScanOptions) -> Result<Self> {
        let addresses = match options.row_address {
            true => file_ids(snapshot.state(), &plan.files)?.into_iter().map(file_address).collect(),
            false => Vec::new(),
        };
        Ok(ScanSpec { plan, options, addresses })
    }

    /// The table's shape, as the reader needs it.
    ///
    /// # Errors
    /// A schema that this build does not read.
    pub(crate) fn layout(&self) -> Result<ScanLayout> {
        let schema = StructType::parse(&self.plan.schema).map_err(external)?;
        ScanLayout::new(&schema, &self.plan.partition_columns, self.plan.column_mapping, self.options)
    }

    /// The values of the reader's constant columns, a row a file.
    ///
    /// # Errors
    /// A partition value that is not of its column's type.
    pub(crate) fn constants(&self, layout: &ScanLayout) -> Result<Vec<Vec<ScalarValue>>> {
        let arrays = layout.partition_arrays(&self.plan.files)?;
        (0..self.plan.files.len())
            .map(|file| {
                let mut values: Vec<ScalarValue> =
                    arrays.iter().map(|array| ScalarValue::try_from_array(array, file)).collect::<Result<_>>()?;
                if self.options.row_address {
                    values.push(ScalarValue::UInt64(self.addresses.get(file).copied()));
                }
                Ok(values)
            })
            .collect()
    }
}

/// Rows of a file that are part of the table, where that is known.
pub(crate) fn live_rows(file: &ScanFile) -> Option<u64> {
    if file.only_rows.is_some() {
        return None;
    }
    let deleted = file.deletion_vector.as_ref().map_or(0, |dv| u64::try_from(dv.cardinality).unwrap_or(0));
    file.num_records.map(|rows| rows.saturating_sub(deleted))
}

/// Where the files of a plan lie in the state they were planned on.
pub(crate) fn file_ids(state: &TableState, files: &[ScanFile]) -> Result<Vec<FileId>> {
    files
        .iter()
        .map(|file| match state.files.find(&file.log_path) {
            Some(view) => Ok(view.id()),
            None => internal_err!("{} is not a file of version {}", file.log_path, state.version),
        })
        .collect()
}

/// What a scan shows beside and instead of the table's own columns and types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScanOptions {
    /// Text and bytes as `Utf8View` and `BinaryView`, which is what DataFusion reads Parquet as unless told otherwise.
    pub(crate) view_types: bool,
    /// Adds [`FILE_COLUMN`] and [`ROW_COLUMN`].
    pub(crate) row_address: bool,
}

/// How the columns of a table lie in the output of the Parquet reader: file columns, partition columns, row numbers.
#[derive(Debug, Clone)]
pub(crate) struct ScanLayout {
    /// The table's columns in its own order, then the row address.
    pub(crate) schema: SchemaRef,
    /// The reader's columns in its order.
    pub(crate) reader: TableSchema,
    /// For each column of `schema` its position in the reader's columns.
    pub(crate) to_reader: Vec<usize>,
    /// Turns expressions over the table's columns into expressions over one file's.
    pub(crate) adapter: Arc<FileColumnsAdapterFactory>,
    partitions: Vec<PartitionColumn>,
}

#[derive(Debug, Clone)]
struct PartitionColumn {
    kind: floe_table_format::PrimitiveType,
    arrow: DataType,
}

impl ScanLayout {
    pub(crate) fn new(
        schema: &StructType,
        partition_columns: &[String],
        mode: ColumnMappingMode,
        options: ScanOptions,
    ) -> Result<Self> {
        let own = table_schema(schema, options.view_types)?;
        let is_partition = |field: &FieldRef| partition_columns.contains(field.name());
        let mut to_reader = vec![0; own.fields().len()];
        let mut file_fields: Vec<FieldRef> = Vec::with_capacity(own.fields().len());
        for (index, field) in own.fields().iter().enumerate().filter(|(_, field)| !is_partition(field)) {
            to_reader[index] = file_fields.len();
            file_fields.push(field.clone());
        }
        let mut constants: Vec<FieldRef> = Vec::new();
        let mut partitions = Vec::new();
        for name in partition_columns {
            let found = own.fields().iter().enumerate().find(|(_, field)| field.name() == name);
            let kind = schema.field(name).and_then(|field| field.data_type.as_primitive());
            let (Some((index, field)), Some(kind)) = (found, kind) else {
                let what = format!("the partition column {name} is not a primitive column of the schema");
                return Err(external(floe_table_format::FormatError::invalid_schema(what)));
            };
            to_reader[index] = file_fields.len() + constants.len();
            partitions.push(PartitionColumn { kind, arrow: field.data_type().clone() });
            constants.push(field.clone());
        }

        let mut shown: Vec<FieldRef> = own.fields().iter().cloned().collect();
        let file_columns = file_fields.len();
        let mut reader = TableSchema::builder(Arc::new(Schema::new(file_fields)));
        if options.row_address {
            let file = Arc::new(Field::new(FILE_COLUMN, DataType::UInt64, false));
            let row = Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false).with_extension_type(RowNumber));
            to_reader.push(file_columns + constants.len());
            to_reader.push(file_columns + constants.len() + 1);
            constants.push(file.clone());
            shown.extend([file, row.clone()]);
            reader = reader.with_virtual_columns(vec![row]);
        }
        Ok(ScanLayout {
            schema: Arc::new(Schema::new(shown)),
            reader: reader.with_table_partition_cols(constants).build(),
            to_reader,
            adapter: Arc::new(FileColumnsAdapterFactory::new(schema, mode)?),
            partitions,
        })
    }

    /// The partition columns, a row a file.
    pub(crate) fn partition_arrays(&self, files: &[ScanFile]) -> Result<Vec<ArrayRef>> {
        self.partitions
            .iter()
            .enumerate()
            .map(|(column, partition)| {
                let texts = files.iter().map(|file| file.partition_values.get(column).and_then(|v| v.as_deref()));
                let array = partition_array(texts, &partition.kind).map_err(external)?;
                Ok(arrow::compute::cast(&array, &partition.arrow)?)
            })
            .collect()
    }

    /// The partition columns' fields, in order.
    pub(crate) fn partition_fields(&self) -> Vec<FieldRef> {
        let mut fields: Vec<FieldRef> = self.reader.table_partition_cols().iter().cloned().collect();
        fields.truncate(self.partitions.len());
        fields
    }

    /// Columns of the table as columns of the reader.
    pub(crate) fn project(&self, projection: Option<&[usize]>) -> Vec<usize> {
        match projection {
            Some(projection) => projection.iter().map(|column| self.to_reader[*column]).collect(),
            None => self.to_reader.clone(),
        }
    }
}

/// The table's columns as the engine sees them.
///
/// # Errors
/// A type that this build does not read.
pub(crate) fn table_schema(schema: &StructType, view_types: bool) -> Result<SchemaRef> {
    let arrow = schema.nullable_inside().to_arrow().map_err(external)?;
    if !view_types {
        return Ok(arrow);
    }
    let fields: Vec<FieldRef> = arrow
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
            DataType::Binary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
            _ => field.clone(),
        })
        .collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// A file's id as the value of [`FILE_COLUMN`].
pub(crate) fn file_address(id: FileId) -> u64 {
    u64::from(id.chunk) << 32 | u64::from(id.row)
}

/// The file that a value of [`FILE_COLUMN`] stands for, in the version that was scanned.
pub(crate) fn file_id(address: u64) -> FileId {
    FileId { chunk: (address >> 32) as u32, row: address as u32 }
}

pub(crate) fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
