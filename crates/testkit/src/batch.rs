//! Record batches written down as literals.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};

/// Builds a [`RecordBatch`] column by column. Every column is nullable; all must have the same number of rows.
///
/// Values may be given plain (`[1, 2]`) or as options (`[Some(1), None]`).
#[derive(Debug, Default, Clone)]
pub struct Batch {
    columns: Vec<(String, ArrayRef)>,
}

impl Batch {
    /// A batch without columns.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Adds a column that already is an array.
    pub fn column(mut self, name: impl Into<String>, values: ArrayRef) -> Self {
        self.columns.push((name.into(), values));
        self
    }

    /// Adds a column of 64-bit integers.
    pub fn long<V: Into<Option<i64>>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(values.into_iter().map(Into::into).collect::<Int64Array>()))
    }

    /// Adds a column of 32-bit integers.
    pub fn integer<V: Into<Option<i32>>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(values.into_iter().map(Into::into).collect::<Int32Array>()))
    }

    /// Adds a column of 64-bit floating-point numbers.
    pub fn double<V: Into<Option<f64>>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(values.into_iter().map(Into::into).collect::<Float64Array>()))
    }

    /// Adds a column of truth values.
    pub fn boolean<V: Into<Option<bool>>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(values.into_iter().map(Into::into).collect::<BooleanArray>()))
    }

    /// Adds a column of text.
    pub fn text<'a, V: Into<Option<&'a str>>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(values.into_iter().map(Into::into).collect::<StringArray>()))
    }

    /// Adds a column of dates, in days since 1970-01-01.
    pub fn date<V: Into<Option<i32>>>(self, name: &str, days: impl IntoIterator<Item = V>) -> Self {
        self.column(name, Arc::new(days.into_iter().map(Into::into).collect::<Date32Array>()))
    }

    /// Adds a column of UTC timestamps, in microseconds since 1970.
    pub fn timestamp<V: Into<Option<i64>>>(self, name: &str, micros: impl IntoIterator<Item = V>) -> Self {
        let values: TimestampMicrosecondArray = micros.into_iter().map(Into::into).collect();
        self.column(name, Arc::new(values.with_timezone("UTC")))
    }

    /// Adds a column of decimals, given as integers that count units of 10^-scale.
    ///
    /// # Panics
    /// If Arrow has no decimal of this precision and scale.
    pub fn decimal<V: Into<Option<i128>>>(
        self,
        name: &str,
        (precision, scale): (u8, i8),
        unscaled: impl IntoIterator<Item = V>,
    ) -> Self {
        let values: Decimal128Array = unscaled.into_iter().map(Into::into).collect();
        let values = values.with_precision_and_scale(precision, scale).expect("a decimal type that Arrow knows");
        self.column(name, Arc::new(values))
    }

    /// The schema so far.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
        Arc::new(Schema::new(fields))
    }

    /// The batch.
    ///
    /// # Panics
    /// If the columns differ in their number of rows.
    pub fn build(self) -> RecordBatch {
        let schema = self.schema();
        let columns = self.columns.into_iter().map(|(_, values)| values).collect();
        RecordBatch::try_new(schema, columns).expect("columns of one length")
    }
}
