//! Typed access to the columns of an action, whatever shape a reader gave them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, filter, nullif};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields, Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::error::{FormatError, Result, printable};

/// The rows of one action in a batch: its struct column without the rows of other actions.
pub(super) struct Group {
    name: &'static str,
    rows: StructArray,
}

/// A map of text to text, a range of entries per row.
pub(super) struct TextMap {
    keys: StringArray,
    values: StringArray,
    offsets: Vec<i32>,
    nulls: Option<NullBuffer>,
}

impl Group {
    /// The action's rows; none if the batch has no such column or no such row. A row counts if `required` is not null in
    /// it: some readers give a struct of nulls where the struct itself is null.
    pub(super) fn of(batch: &RecordBatch, name: &'static str, required: &str) -> Result<Option<Self>> {
        let Some(column) = batch.column_by_name(name) else { return Ok(None) };
        if *column.data_type() == ArrowType::Null {
            return Ok(None);
        }
        let rows = column.as_struct_opt().ok_or_else(|| wrong_type(name, "", column.data_type()))?;
        let whole = Group { name, rows: rows.clone() };
        let Some(key) = whole.child(required)? else { return Ok(None) };
        let present = match key.logical_nulls() {
            Some(nulls) => nulls.inner().clone(),
            None => BooleanBuffer::new_set(key.len()),
        };
        if !present.has_true() {
            return Ok(None);
        }
        if !present.has_false() {
            return Ok(Some(whole));
        }
        let kept = filter(rows, &BooleanArray::new(present, None)).map_err(|e| unusable(name, "", &e))?;
        Ok(Some(Group { name, rows: kept.as_struct().clone() }))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A column, null wherever the struct is.
    fn child(&self, name: &str) -> Result<Option<ArrayRef>> {
        let Some(column) = self.rows.column_by_name(name) else { return Ok(None) };
        let nulls = self.rows.nulls().filter(|nulls| nulls.null_count() > 0);
        match nulls {
            None => Ok(Some(Arc::clone(column))),
            Some(nulls) => nullif(column, &BooleanArray::new(!nulls.inner(), None))
                .map(Some)
                .map_err(|e| unusable(self.name, name, &e)),
        }
    }

    fn cast(&self, name: &str, to: &ArrowType) -> Result<Option<ArrayRef>> {
        let Some(column) = self.child(name)? else { return Ok(None) };
        if *column.data_type() == ArrowType::Null {
            return Ok(None);
        }
        plain(&column, to).map(Some).map_err(|e| unusable(self.name, name, &e))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<StringArray>> {
        Ok(self.cast(name, &ArrowType::Utf8)?.map(|c| c.as_string::<i32>().clone()))
    }

    pub(super) fn long(&self, name: &str) -> Result<Option<Int64Array>> {
        Ok(self.cast(name, &ArrowType::Int64)?.map(|c| c.as_primitive::<Int64Type>().clone()))
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<Int32Array>> {
        Ok(self.cast(name, &ArrowType::Int32)?.map(|c| c.as_primitive::<Int32Type>().clone()))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<BooleanArray>> {
        Ok(self.cast(name, &ArrowType::Boolean)?.map(|c| c.as_boolean().clone()))
    }

    /// A list of texts per row.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<Option<Vec<String>>>> {
        let to = ArrowType::List(Arc::new(Field::new("element", ArrowType::Utf8, true)));
        let Some(column) = self.cast(name, &to)? else { return Ok(vec![None; self.len()]) };
        let items = |list: ArrayRef| list.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        Ok(column.as_list::<i32>().iter().map(|list| list.map(items)).collect())
    }

    /// A struct column as a group of its own, with as many rows; rows where it is null have null columns.
    pub(super) fn group(&self, name: &'static str) -> Result<Option<Group>> {
        let Some(column) = self.child(name)? else { return Ok(None) };
        if *column.data_type() == ArrowType::Null {
            return Ok(None);
        }
        let rows = column.as_struct_opt().ok_or_else(|| wrong_type(self.name, name, column.data_type()))?;
        Ok(Some(Group { name, rows: rows.clone() }))
    }

    /// A struct column whose texts and binaries are plain arrays all the way down.
    pub(super) fn plain_struct(&self, name: &str) -> Result<Option<StructArray>> {
        let Some(column) = self.child(name)? else { return Ok(None) };
        let Some(rows) = column.as_struct_opt() else { return Ok(None) };
        let target = plain_type(rows.data_type());
        if target == *rows.data_type() {
            return Ok(Some(rows.clone()));
        }
        let rows = plain(&column, &target).map_err(|e| unusable(self.name, name, &e))?;
        Ok(rows.as_struct_opt().cloned())
    }

    pub(super) fn map(&self, name: &str) -> Result<Option<TextMap>> {
        let Some(column) = self.child(name)? else { return Ok(None) };
        let (entries, offsets, nulls) = match column.data_type() {
            ArrowType::Null => return Ok(None),
            ArrowType::Map(..) => {
                let map = column.as_map();
                (map.entries().clone(), map.value_offsets().to_vec(), map.nulls().cloned())
            }
            // A map is a list of pairs to readers that do not know maps.
            ArrowType::List(_) => {
                let list = column.as_list::<i32>();
                let entries = list.values().as_struct_opt();
                let entries = entries.ok_or_else(|| wrong_type(self.name, name, column.data_type()))?;
                (entries.clone(), list.value_offsets().to_vec(), list.nulls().cloned())
            }
            other => return Err(wrong_type(self.name, name, other)),
        };
        if entries.num_columns() != 2 {
            return Err(wrong_type(self.name, name, column.data_type()));
        }
        let text = |at: usize| {
            let column = plain(entries.column(at), &ArrowType::Utf8).map_err(|e| unusable(self.name, name, &e))?;
            Ok::<_, FormatError>(column.as_string::<i32>().clone())
        };
        Ok(Some(TextMap { keys: text(0)?, values: text(1)?, offsets, nulls }))
    }
}

impl TextMap {
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.first() == self.offsets.last()
    }

    /// The entries of a row; none where the map is null.
    pub(super) fn entries(&self, row: usize) -> impl Iterator<Item = (&str, Option<&str>)> {
        let known = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let range = if known { self.offsets[row] as usize..self.offsets[row + 1] as usize } else { 0..0 };
        range
            .filter(|at| self.keys.is_valid(*at))
            .map(|at| (self.keys.value(at), self.values.is_valid(at).then(|| self.values.value(at))))
    }

    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    pub(super) fn owned(&self, row: usize) -> BTreeMap<String, Option<String>> {
        self.entries(row).map(|(key, value)| (key.to_owned(), value.map(str::to_owned))).collect()
    }
}

fn plain(column: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == to { Ok(Arc::clone(column)) } else { cast(column, to) }
}

/// The same type without dictionaries, views and 64-bit offsets.
fn plain_type(data_type: &ArrowType) -> ArrowType {
    match data_type {
        ArrowType::Dictionary(_, value) => plain_type(value),
        ArrowType::LargeUtf8 | ArrowType::Utf8View => ArrowType::Utf8,
        ArrowType::LargeBinary | ArrowType::BinaryView => ArrowType::Binary,
        ArrowType::Struct(fields) => {
            let plain =
                |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())));
            ArrowType::Struct(fields.iter().map(plain).collect::<Fields>())
        }
        other => other.clone(),
    }
}

fn wrong_type(action: &str, column: &str, found: &ArrowType) -> FormatError {
    FormatError::corrupt_checkpoint("checkpoint", format!("column {action}.{column} is of type {found}"))
}

fn unusable(action: &str, column: &str, error: &ArrowError) -> FormatError {
    let what = format!("column {action}.{column} cannot be used: {}", printable(&error.to_string()));
    FormatError::corrupt_checkpoint("checkpoint", what)
}
