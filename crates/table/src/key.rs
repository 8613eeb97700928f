//! The primary key of a table: which columns, how they hash, and which files can hold keys of a batch at all.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, make_comparator};
use arrow::compute::{SortOptions, max, max_binary, max_string, min, min_binary, min_string, take};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::row::{OwnedRow, RowConverter, SortField};
use floe_index::{IndexError, KeyHash, KeyHasher, is_key_type};
use floe_storage::{ColumnBounds, ValueRange};
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::schema::nearest;
use floe_table_format::{CompareOp, Metadata, Predicate, PrimitiveType, Scalar, StructType, TableProperties};

use crate::error::{OnTable, Result, TableError};

/// The primary key of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PrimaryKey {
    /// Names of the columns, in order.
    pub(crate) names: Vec<String>,
    /// Their places in the schema.
    pub(crate) columns: Vec<usize>,
    /// Their names in data files.
    pub(crate) file_names: Vec<String>,
    /// The id of the table, which its index carries.
    pub(crate) table_id: String,
    hasher: KeyHasher,
}

impl PrimaryKey {
    /// The key that a table with this metadata has; none if it has none.
    ///
    /// # Errors
    /// [`TableError::InvalidRequest`] for a key column that is not there or has a type without equality.
    pub(crate) fn of(table: &str, metadata: &Metadata) -> Result<Option<Arc<Self>>> {
        let properties = TableProperties::parse(&metadata.configuration).on(table)?;
        if properties.primary_key.is_empty() {
            return Ok(None);
        }
        let schema = StructType::parse(&metadata.schema_string).on(table)?;
        let mode = column_mapping_mode(metadata).on(table)?;
        let arrow = schema.to_arrow().on(table)?;
        let (mut columns, mut file_names) = (Vec::new(), Vec::new());
        for name in &properties.primary_key {
            let refuse = |what: String| TableError::InvalidRequest {
                table: table.into(),
                operation: "use the primary key".into(),
                what,
            };
            let Some(at) = schema.fields.iter().position(|field| field.name == *name) else {
                let known: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
                let hint = nearest(name, known.iter().copied()).map(|n| format!("; did you mean {n}?"));
                return Err(refuse(format!("there is no column {name}{}", hint.unwrap_or_default())));
            };
            if !is_key_type(arrow.field(at).data_type()) {
                let found = arrow.field(at).data_type().to_string();
                return Err(refuse(format!("column {name}: {}", IndexError::KeyType { found })));
            }
            columns.push(at);
            file_names.push(schema.fields[at].physical_name_in(mode).to_owned());
        }
        let hasher = KeyHasher::new(&metadata.id);
        let names = properties.primary_key;
        Ok(Some(Arc::new(PrimaryKey { names, columns, file_names, table_id: metadata.id.clone(), hasher })))
    }

    /// The key columns of rows with the table's columns.
    pub(crate) fn arrays(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|column| batch.column(*column).clone()).collect()
    }

    /// The hashes of key columns.
    pub(crate) fn hash(&self, table: &str, columns: &[ArrayRef]) -> Result<Vec<KeyHash>> {
        self.hasher.hash_rows(columns).on(table)
    }

    /// The key of a row, for people: `id = 7, zone = 'a'`.
    pub(crate) fn describe(&self, columns: &[ArrayRef], row: usize) -> String {
        let parts = self.names.iter().zip(columns).map(|(name, column)| {
            let text = arrow::util::display::array_value_to_string(column, row).unwrap_or_else(|_| "?".into());
            format!("{name} = {}", floe_table_format::error::printable(&text))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Refuses metadata whose key, ordering fields or delete marker name columns that cannot play that part.
///
/// # Errors
/// [`TableError::InvalidRequest`] naming the column.
pub(crate) fn check_roles(table: &str, metadata: &Metadata) -> Result<()> {
    PrimaryKey::of(table, metadata)?;
    let properties = TableProperties::parse(&metadata.configuration).on(table)?;
    let schema = StructType::parse(&metadata.schema_string).on(table)?;
    let refuse = |what: String| {
        Err(TableError::InvalidRequest { table: table.into(), operation: "declare how rows merge".into(), what })
    };
    for name in &properties.ordering_fields {
        let Some(field) = schema.fields.iter().find(|field| field.name == *name) else {
            let known: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
            let hint = nearest(name, known.iter().copied()).map(|n| format!("; did you mean {n}?"));
            return refuse(format!("floe.orderingFields names {name}, which is no column{}", hint.unwrap_or_default()));
        };
        if !matches!(field.data_type, floe_table_format::DataType::Primitive(_)) {
            return refuse(format!("floe.orderingFields names {name}, which has a nested type"));
        }
    }
    let merges = !properties.ordering_fields.is_empty()
        || properties.delete_marker.is_some()
        || properties.merge_mode != floe_table_format::MergeMode::Overwrite;
    if merges && properties.primary_key.is_empty() {
        return refuse("merge modes need a primary key: PRIMARY KEY (...)".into());
    }
    Ok(())
}

/// Whether a key's values have the same hashes in both types: else the record index would not find its rows again.
fn hashes_alike(from: PrimitiveType, to: PrimitiveType) -> bool {
    use PrimitiveType::{Byte, Double, Float, Integer, Long, Short};
    let is_integer = |data_type| matches!(data_type, Byte | Short | Integer | Long);
    (is_integer(from) && is_integer(to)) || (from, to) == (Float, Double)
}

/// Refuses columns of the primary key that would get another type with other hashes.
///
/// # Errors
/// [`TableError::InvalidRequest`] with the column.
pub(crate) fn check_key_types(table: &str, key: &[String], before: &StructType, after: &StructType) -> Result<()> {
    for name in key {
        let of = |schema: &StructType| schema.field(name).and_then(|field| field.data_type.as_primitive());
        if let (Some(from), Some(to)) = (of(before), of(after))
            && from != to
            && !hashes_alike(from, to)
        {
            let what = format!(
                "it is part of the primary key, and the record index knows its values as {from}; \
                 ALTER TABLE ... DROP PRIMARY KEY first"
            );
            let operation = format!("change the type of column {name} to {to}");
            return Err(TableError::InvalidRequest { table: table.into(), operation, what });
        }
    }
    Ok(())
}

/// The smallest and largest value of each key column over some rows; none where they are not known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct KeyBounds {
    columns: Vec<Option<ValueRange>>,
    types: Vec<ArrowType>,
}

impl KeyBounds {
    /// The bounds of these rows.
    pub(crate) fn of(columns: &[ArrayRef]) -> Self {
        let types = columns.iter().map(|column| column.data_type().clone()).collect();
        KeyBounds { columns: columns.iter().map(range_of).collect(), types }
    }

    /// The bounds of these rows and those.
    pub(crate) fn widen(&mut self, other: KeyBounds) {
        if self.types.is_empty() {
            *self = other;
            return;
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            *mine = match (mine.take(), theirs) {
                (Some(ValueRange::Long(a, b)), Some(ValueRange::Long(c, d))) => {
                    Some(ValueRange::Long(a.min(c), b.max(d)))
                }
                (Some(ValueRange::Bytes(a, b)), Some(ValueRange::Bytes(c, d))) => {
                    Some(ValueRange::Bytes(a.min(c), b.max(d)))
                }
                _ => None,
            };
        }
    }

    /// What all rows within the bounds satisfy.
    pub(crate) fn predicate(&self, key: &PrimaryKey) -> Predicate {
        let mut all = Predicate::True;
        for ((name, range), data_type) in key.names.iter().zip(&self.columns).zip(&self.types) {
            let Some((first, last)) = range.as_ref().and_then(|range| scalars(range, data_type)) else { continue };
            all = all.and(Predicate::compare(name, CompareOp::GtEq, first)).and(Predicate::compare(
                name,
                CompareOp::LtEq,
                last,
            ));
        }
        all
    }

    /// The bounds as readers of files take them.
    pub(crate) fn of_files(&self, key: &PrimaryKey) -> Vec<ColumnBounds> {
        let named = key.file_names.iter().zip(&self.columns);
        named.filter_map(|(name, range)| Some(ColumnBounds { column: name.clone(), values: range.clone()? })).collect()
    }
}

/// So many batches are remembered by their first and last key.
const KEY_RANGES_MAX: usize = 64 << 10;

/// The first and last key of each batch, for as long as the keys within the batches ascend: rows written in the order of
/// their keys need no other proof that no two have one key.
#[derive(Default)]
pub(crate) struct KeyRanges {
    converter: Option<RowConverter>,
    ranges: Vec<(OwnedRow, OwnedRow)>,
    /// Some batch had its rows in another order.
    given_up: bool,
}

impl KeyRanges {
    /// Takes the keys of a batch in.
    ///
    /// # Errors
    /// Columns that cannot be compared.
    pub(crate) fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let Some(last) = columns.first().and_then(|column| column.len().checked_sub(1)).filter(|_| !self.given_up)
        else {
            return Ok(());
        };
        // Zeros of both signs are one key, and so are all NaNs; their order says otherwise.
        let few = self.ranges.len() < KEY_RANGES_MAX;
        let comparable = few && columns.iter().all(|column| !column.data_type().is_floating());
        if !comparable || !ascends(columns)? {
            *self = KeyRanges { given_up: true, ..KeyRanges::default() };
            return Ok(());
        }
        let ends = UInt32Array::from(vec![0, last as u32]);
        let ends =
            columns.iter().map(|column| take(column, &ends, None)).collect::<std::result::Result<Vec<_>, _>>()?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => none.insert(RowConverter::new(
                columns.iter().map(|column| SortField::new(column.data_type().clone())).collect(),
            )?),
        };
        let rows = converter.convert_columns(&ends)?;
        self.ranges.push((rows.row(0).owned(), rows.row(1).owned()));
        Ok(())
    }

    /// Whether it is certain that no two rows have one key.
    pub(crate) fn are_distinct(&self) -> bool {
        let mut ranges: Vec<&(OwnedRow, OwnedRow)> = self.ranges.iter().collect();
        ranges.sort_unstable_by(|a, b| a.0.row().cmp(&b.0.row()));
        !self.given_up && ranges.windows(2).all(|pair| pair[0].1.row() < pair[1].0.row())
    }
}

/// Whether each row's key is greater than the one before.
fn ascends(columns: &[ArrayRef]) -> Result<bool> {
    let rows = columns.first().map_or(0, |column| column.len());
    let comparators = columns
        .iter()
        .map(|column| make_comparator(column, column, SortOptions::default()))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let compared = |row: usize| {
        let mut orders = comparators.iter().map(|compare| compare(row - 1, row));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    Ok((1..rows).all(|row| compared(row).is_lt()))
}

fn range_of(column: &ArrayRef) -> Option<ValueRange> {
    macro_rules! long {
        ($kind:ty) => {{
            let values = column.as_primitive::<$kind>();
            Some(ValueRange::Long(i64::from(min(values)?), i64::from(max(values)?)))
        }};
    }
    match column.data_type() {
        ArrowType::Int8 => long!(Int8Type),
        ArrowType::Int16 => long!(Int16Type),
        ArrowType::Int32 => long!(Int32Type),
        ArrowType::Int64 => long!(Int64Type),
        ArrowType::Date32 => long!(Date32Type),
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => long!(TimestampMicrosecondType),
        ArrowType::Utf8 => {
            let values = column.as_string::<i32>();
            let bytes = |text: &str| text.as_bytes().to_vec();
            Some(ValueRange::Bytes(bytes(min_string(values)?), bytes(max_string(values)?)))
        }
        ArrowType::Binary => {
            let values = column.as_binary::<i32>();
            Some(ValueRange::Bytes(min_binary(values)?.to_vec(), max_binary(values)?.to_vec()))
        }
        _ => None,
    }
}

fn scalars(range: &ValueRange, data_type: &ArrowType) -> Option<(Scalar, Scalar)> {
    Some(match (range, data_type) {
        (ValueRange::Long(first, last), ArrowType::Date32) => {
            (Scalar::Date(i32::try_from(*first).ok()?), Scalar::Date(i32::try_from(*last).ok()?))
        }
        (ValueRange::Long(first, last), ArrowType::Timestamp(_, Some(_))) => {
            (Scalar::Timestamp(*first), Scalar::Timestamp(*last))
        }
        (ValueRange::Long(first, last), ArrowType::Timestamp(_, None)) => {
            (Scalar::TimestampNtz(*first), Scalar::TimestampNtz(*last))
        }
        (ValueRange::Long(first, last), _) => (Scalar::Long(*first), Scalar::Long(*last)),
        (ValueRange::Bytes(first, last), ArrowType::Binary) => {
            (Scalar::Binary(first.clone()), Scalar::Binary(last.clone()))
        }
        (ValueRange::Bytes(first, last), _) => (
            Scalar::String(String::from_utf8(first.clone()).ok()?),
            Scalar::String(String::from_utf8(last.clone()).ok()?),
        ),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn longs(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn distinct(batches: &[Vec<ArrayRef>]) -> bool {
        let mut ranges = KeyRanges::default();
        for batch in batches {
            ranges.add(batch).expect("comparable");
        }
        ranges.are_distinct()
    }

    #[test]
    fn later_columns_count_where_earlier_ones_are_equal() {
        let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        assert!(distinct(&[vec![longs(&[1, 1, 2]), text(&["a", "b", "a"])], vec![longs(&[2]), text(&["aa"])]]));
        assert!(!distinct(&[vec![longs(&[1, 1, 2]), text(&["a", "a", "b"])]]));
        assert!(!distinct(&[vec![longs(&[1, 2]), text(&["a", "b"])], vec![longs(&[2]), text(&["b"])]]));
    }

    #[test]
    fn floating_keys_are_never_certain() {
        let zeros: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 0.0]));
        assert!(!distinct(&[vec![zeros]]));
    }

    proptest! {
        #[test]
        fn what_is_certain_is_true(batches in prop::collection::vec(prop::collection::vec(0i64..60, 0..5), 0..6), sort in any::<bool>()) {
            let batches: Vec<Vec<i64>> = batches.into_iter().map(|mut batch| { if sort { batch.sort() }; batch }).collect();
            let keys: Vec<i64> = batches.iter().flatten().copied().collect();
            let once = keys.iter().collect::<std::collections::BTreeSet<_>>().len() == keys.len();
            let columns: Vec<Vec<ArrayRef>> = batches.iter().map(|batch| vec![longs(batch)]).collect();
            let certain = distinct(&columns);
            prop_assert!(!certain || once);
            // Ascending batches in ranges of their own are told.
            let mut ranges: Vec<(i64, i64)> = batches.iter().filter_map(|b| Some((*b.first()?, *b.last()?))).collect();
            ranges.sort();
            let apart = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
            if once && sort && apart {
                prop_assert!(certain);
            }
        }
    }
}
