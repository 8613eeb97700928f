//! From the columns of a table to the columns of one of its files.
//!
//! A file may spell columns by physical name or field id (protocol section "Column Mapping"), lack columns that were added
//! later, hold a narrower type, or differ from the table only in what Parquet says about nullability and nested names.
//! DataFusion's adapter handles missing columns and casts by name; here names are translated around it, and differences
//! that need no computation are kept from becoming casts, which would hide the column from page pruning.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use floe_storage::conform::holds_variant;
use floe_table_format::schema::{ColumnMappingMode, STORED_TYPE, is_variant_type};
use floe_table_format::{StructField, StructType};

/// The field metadata key under which the Parquet reader gives a column's field id.
const FIELD_ID: &str = "PARQUET:field_id";

/// The field metadata key under which a table's schema gives a column's field id.
const COLUMN_MAPPING_ID: &str = "delta.columnMapping.id";

/// Where a table's columns are found in its files.
#[derive(Debug)]
pub(crate) struct FileColumns {
    mode: ColumnMappingMode,
    fields: Vec<MappedField>,
}

#[derive(Debug)]
struct MappedField {
    logical: String,
    physical: String,
    id: Option<String>,
}

impl FileColumns {
    pub(crate) fn new(schema: &StructType, mode: ColumnMappingMode) -> Self {
        FileColumns { mode, fields: schema.fields.iter().map(|field| MappedField::new(field, mode)).collect() }
    }

    /// The table's name of a column of the file.
    fn logical_name(&self, field: &Field) -> Option<&str> {
        let by_name = |name: &str| self.fields.iter().find(|f| f.physical == name).map(|f| f.logical.as_str());
        match self.mode {
            ColumnMappingMode::None | ColumnMappingMode::Name => by_name(field.name()),
            // Files from before the table was mapped have no ids, and are read by name.
            ColumnMappingMode::Id => match field.metadata().get(FIELD_ID) {
                Some(id) => self.fields.iter().find(|f| f.id.as_ref() == Some(id)).map(|f| f.logical.as_str()),
                None => by_name(field.name()),
            },
        }
    }
}

impl MappedField {
    fn new(field: &StructField, mode: ColumnMappingMode) -> Self {
        let physical = match mode {
            ColumnMappingMode::None => field.name.clone(),
            ColumnMappingMode::Name | ColumnMappingMode::Id => field.physical_name().to_string(),
        };
        let id = field.metadata.get(COLUMN_MAPPING_ID).map(|id| id.to_string());
        MappedField { logical: field.name.clone(), physical, id }
    }
}

/// Makes the adapter of each file of a scan.
#[derive(Debug)]
pub(crate) struct FileColumnsAdapterFactory {
    columns: Arc<FileColumns>,
    /// The columns with nested types, and those that readers see as text, as they lie in files, physical names and ids inside, by the table's names.
    nested: Arc<HashMap<String, FieldRef>>,
}

impl FileColumnsAdapterFactory {
    pub(crate) fn new(schema: &StructType, mode: ColumnMappingMode) -> Result<Self> {
        let physical = schema
            .nullable_inside()
            .to_physical_arrow(mode)
            .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
        let columns = schema.fields.iter().zip(physical.fields());
        let shaped = |field: &FieldRef| field.data_type().is_nested() || field.metadata().contains_key(STORED_TYPE);
        let nested = columns.filter(|(_, physical)| shaped(physical));
        let nested = nested.map(|(field, physical)| (field.name.clone(), physical.clone())).collect();
        Ok(FileColumnsAdapterFactory { columns: Arc::new(FileColumns::new(schema, mode)), nested: Arc::new(nested) })
    }
}

impl PhysicalExprAdapterFactory for FileColumnsAdapterFactory {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        // How each column of the file is shown to DataFusion's adapter, and what then turns it into the table's column.
        let mut shown: Vec<FieldRef> = Vec::with_capacity(physical.fields().len());
        let mut steps: Vec<Step> = Vec::with_capacity(physical.fields().len());
        for (index, field) in physical.fields().iter().enumerate() {
            let wanted = self.columns.logical_name(field).and_then(|name| logical.field_with_name(name).ok());
            let Some(wanted) = wanted else {
                // A column of the file that the table does not have, or one the reader makes up, such as row numbers.
                // It must not be mistaken for a column of the table that happens to bear its name.
                let mistakable = self.columns.fields.iter().any(|f| f.logical == *field.name());
                shown.push(if mistakable { hidden(field, index) } else { field.clone() });
                steps.push(Step { physical_name: field.name().clone(), shape: None });
                continue;
            };
            let shape = match self.nested.get(wanted.name()) {
                // Names inside are compared with those in the file; what is at the same place need not be the same field.
                Some(stored)
                    if (field.data_type() != wanted.data_type() || holds_variant(wanted.data_type()))
                        && (field.data_type().is_nested() || stored.metadata().contains_key(STORED_TYPE)) =>
                {
                    let stored = (!same_layout(field.data_type(), stored.data_type())).then(|| stored.clone());
                    Some(Shape { stored, shown: Arc::new(wanted.clone()) })
                }
                _ => None,
            };
            let data_type = if shape.is_some() { wanted.data_type() } else { field.data_type() }.clone();
            shown.push(Arc::new(
                Field::new(wanted.name(), data_type, wanted.is_nullable()).with_metadata(wanted.metadata().clone()),
            ));
            steps.push(Step { physical_name: field.name().clone(), shape });
        }
        let shown = Arc::new(Schema::new(shown));
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, shown)?;
        Ok(Arc::new(FileColumnsAdapter { inner, steps }))
    }
}

fn hidden(field: &FieldRef, index: usize) -> FieldRef {
    Arc::new(field.as_ref().clone().with_name(format!("\u{0}{index}")))
}

/// What is left to do to a column after DataFusion's adapter.
#[derive(Debug)]
struct Step {
    physical_name: String,
    shape: Option<Shape>,
}

/// How a nested column of a file becomes the table's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    /// As the table's files have it: the file's fields are found by id or name, and those it lacks are null. None if it
    /// lies in the file just so.
    stored: Option<FieldRef>,
    /// As the table shows it: the same by position under other names.
    shown: FieldRef,
}

#[derive(Debug)]
struct FileColumnsAdapter {
    inner: Arc<dyn PhysicalExprAdapter>,
    steps: Vec<Step>,
}

impl PhysicalExprAdapter for FileColumnsAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // The rewritten expression holds columns by the file's positions and the table's names.
        self.inner
            .rewrite(expr)?
            .transform_up(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
                let Some(step) = self.steps.get(column.index()) else { return Ok(Transformed::no(expr)) };
                if step.shape.is_none() && step.physical_name == column.name() {
                    return Ok(Transformed::no(expr));
                }
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&step.physical_name, column.index()));
                Ok(Transformed::yes(match &step.shape {
                    Some(shape) => Arc::new(ShapeExpr { input: column, shape: shape.clone() }),
                    None => column,
                }))
            })
            .data()
    }
}

/// Whether values of one type are values of the other, but for nullability and what lists and maps call their children.
///
/// Fields of structs are the same where their ids are, or, if one side has none, their names.
fn same_layout(from: &DataType, to: &DataType) -> bool {
    let id = |field: &Field| field.metadata().get(FIELD_ID).cloned();
    match (from, to) {
        // Whether its bytes decode is still to be seen.
        (_, to) if is_variant_type(to) => false,
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to.iter()).all(|(from, to)| {
                    let same = match (id(from), id(to)) {
                        (Some(one), Some(other)) => one == other,
                        _ => from.name() == to.name(),
                    };
                    same && same_layout(from.data_type(), to.data_type())
                })
        }
        (DataType::List(from), DataType::List(to)) => same_layout(from.data_type(), to.data_type()),
        (DataType::Map(from, a), DataType::Map(to, b)) => {
            let (DataType::Struct(from), DataType::Struct(to)) = (from.data_type(), to.data_type()) else {
                return false;
            };
            a == b
                && from.len() == to.len()
                && from.iter().zip(to.iter()).all(|(f, t)| same_layout(f.data_type(), t.data_type()))
        }
        (from, to) => from == to,
    }
}

/// A nested column of a file as the table shows it.
#[derive(Debug, Clone)]
struct ShapeExpr {
    input: Arc<dyn PhysicalExpr>,
    shape: Shape,
}

impl PartialEq for ShapeExpr {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.shape == other.shape
    }
}

impl Eq for ShapeExpr {}

impl Hash for ShapeExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.shape.hash(state);
    }
}

impl fmt::Display for ShapeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.input, self.shape.shown.data_type())
    }
}

impl PhysicalExpr for ShapeExpr {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.shape.shown.data_type().clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(self.shape.shown.is_nullable())
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        let array = match &self.shape.stored {
            Some(stored) => floe_storage::conform::conform_column(&array, stored)
                .map_err(datafusion::error::DataFusionError::Execution)?,
            None => array,
        };
        Ok(ColumnarValue::Array(relabel(&array, self.shape.shown.data_type())?))
    }

    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(self.shape.shown.clone())
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(ShapeExpr { input, shape: self.shape.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.input.fmt_sql(f)
    }
}

/// The array with the names and nullability of `to` inside; shares all buffers.
fn relabel(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match (array.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let (_, children, nulls) = array.as_struct().clone().into_parts();
            let children: Result<Vec<ArrayRef>> =
                children.iter().zip(fields.iter()).map(|(child, field)| relabel(child, field.data_type())).collect();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), children?, nulls, array.len())?))
        }
        (DataType::List(_), DataType::List(field)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = relabel(&values, field.data_type())?;
            Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls)?))
        }
        (DataType::Map(_, _), DataType::Map(field, sorted)) => {
            let (_, offsets, entries, nulls, _) = array.as_map().clone().into_parts();
            let entries: ArrayRef = Arc::new(entries);
            let entries = relabel(&entries, field.data_type())?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted)?))
        }
        // Made as text above, and wanted as a view of text.
        (DataType::Utf8, DataType::Utf8View) => Ok(cast(array, to)?),
        (from, to) => Err(datafusion::error::DataFusionError::Internal(format!("cannot relabel {from} as {to}"))),
    }
}

#[cfg(test)]
mod tests;
