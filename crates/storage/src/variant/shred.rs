//! Variants taken apart for a file: what most values of a sample have becomes columns of its own. Parquet's "Variant
//! Shredding".
//!
//! A value is put into a column only if it has the column's very type, so that it comes back as it went; all else stays
//! in the bytes beside it. Lists stay whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    RecordBatchOptions, StringBuilder, StructArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use floe_table_format::schema::is_variant_type;
use parquet_variant::{ObjectBuilder, ReadOnlyMetadataBuilder, Variant};
use parquet_variant_compute::VariantValueArrayBuilder;

use super::Variants;

/// How many rows are looked at to choose columns.
const SAMPLE_ROWS: usize = 4096;

/// A field becomes a column if it has one type in at least one of so many values.
const ONE_IN: usize = 10;

/// How many columns one variant becomes at most.
const COLUMNS_MAX: usize = 200;

/// How deep objects are taken apart.
const DEPTH_MAX: usize = 8;

/// What a variant, or a field of one, is taken apart into.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Object(BTreeMap<String, Shape>),
    Long,
    Double,
    Boolean,
    Text,
}

impl Shape {
    /// Whether a value goes into the column.
    fn takes(&self, variant: &Variant<'_, '_>) -> bool {
        match self {
            Shape::Object(_) => matches!(variant, Variant::Object(_)),
            Shape::Long => {
                matches!(variant, Variant::Int8(_) | Variant::Int16(_) | Variant::Int32(_) | Variant::Int64(_))
            }
            Shape::Double => matches!(variant, Variant::Double(_)),
            Shape::Boolean => matches!(variant, Variant::BooleanTrue | Variant::BooleanFalse),
            Shape::Text => matches!(variant, Variant::String(_) | Variant::ShortString(_)),
        }
    }

    /// The type of the column `typed_value`.
    fn typed(&self) -> DataType {
        match self {
            Shape::Object(fields) => {
                let fields = fields.iter().map(|(name, shape)| Field::new(name, shape.pair(), false));
                DataType::Struct(fields.collect())
            }
            Shape::Long => DataType::Int64,
            Shape::Double => DataType::Float64,
            Shape::Boolean => DataType::Boolean,
            Shape::Text => DataType::Utf8,
        }
    }

    /// The type of a field of an object: bytes for what does not fit, and the column.
    fn pair(&self) -> DataType {
        DataType::Struct(self.pair_fields())
    }

    fn pair_fields(&self) -> Fields {
        let value = Field::new("value", DataType::BinaryView, true);
        Fields::from(vec![value, Field::new("typed_value", self.typed(), true)])
    }
}

/// What the values at one place of a sample are.
#[derive(Default)]
struct Seen<'m> {
    values: usize,
    longs: usize,
    doubles: usize,
    booleans: usize,
    texts: usize,
    objects: usize,
    fields: BTreeMap<&'m str, Seen<'m>>,
}

impl<'m> Seen<'m> {
    fn look(&mut self, variant: &Variant<'m, '_>, depth: usize) {
        self.values += 1;
        match variant {
            Variant::Int8(_) | Variant::Int16(_) | Variant::Int32(_) | Variant::Int64(_) => self.longs += 1,
            Variant::Double(_) => self.doubles += 1,
            Variant::BooleanTrue | Variant::BooleanFalse => self.booleans += 1,
            Variant::String(_) | Variant::ShortString(_) => self.texts += 1,
            Variant::Object(object) => {
                self.objects += 1;
                if depth < DEPTH_MAX {
                    for (name, value) in object.iter() {
                        self.fields.entry(name).or_default().look(&value, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is worth a column, of `rows` values in all.
    fn shape(self, rows: usize, left: &mut usize) -> Option<Shape> {
        let kinds = [
            (self.objects, None),
            (self.longs, Some(Shape::Long)),
            (self.doubles, Some(Shape::Double)),
            (self.booleans, Some(Shape::Boolean)),
            (self.texts, Some(Shape::Text)),
        ];
        let (count, shape) = kinds.into_iter().max_by_key(|(count, _)| *count)?;
        if count == 0 || count * ONE_IN < rows || *left == 0 {
            return None;
        }
        if shape.is_some() {
            *left -= 1;
            return shape;
        }
        let mut fields = BTreeMap::new();
        for (name, seen) in self.fields {
            if let Some(shape) = seen.shape(rows, left) {
                fields.insert(name.to_owned(), shape);
            }
        }
        (!fields.is_empty()).then_some(Shape::Object(fields))
    }
}

/// How the variants of one file are taken apart: each where it lies, by the names on the way from the file's columns.
#[derive(Debug, Clone)]
pub(crate) struct Shredding {
    schema: SchemaRef,
    shapes: HashMap<Vec<String>, Shape>,
}

impl Shredding {
    /// What suits the rows of a sample; none if nothing is to be gained.
    ///
    /// # Errors
    /// Bytes that do not decode.
    pub(crate) fn suited(schema: &SchemaRef, sample: &RecordBatch) -> Result<Option<Self>, String> {
        let mut shapes = HashMap::new();
        for (field, column) in schema.fields().iter().zip(sample.columns()) {
            find_shapes(column, &mut vec![field.name().clone()], &mut shapes)?;
        }
        if shapes.is_empty() {
            return Ok(None);
        }
        let fields: Fields =
            schema.fields().iter().map(|field| shredded_field(field, &mut Vec::new(), &shapes)).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Some(Shredding { schema, shapes }))
    }

    /// The schema of the file.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows as the file holds them.
    ///
    /// # Errors
    /// Bytes that do not decode.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| self.column(column, field, &mut Vec::new()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| error.to_string())
    }

    fn column(&self, column: &ArrayRef, field: &FieldRef, path: &mut Vec<String>) -> Result<ArrayRef, String> {
        path.push(field.name().clone());
        let shredded = match (self.shapes.get(path), column.data_type(), field.data_type()) {
            (Some(shape), _, DataType::Struct(fields)) => shred(column, shape, fields)?,
            (None, found, DataType::Struct(fields)) if !is_variant_type(found) && found.is_nested() => {
                let (_, parts, nulls) = column.as_struct().clone().into_parts();
                let parts = fields.iter().zip(&parts).map(|(field, part)| self.column(part, field, path));
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                let made = StructArray::try_new_with_length(fields.clone(), parts, nulls, column.len());
                Arc::new(made.map_err(|error| error.to_string())?)
            }
            _ => column.clone(),
        };
        path.pop();
        Ok(shredded)
    }
}

fn find_shapes(
    column: &ArrayRef,
    path: &mut Vec<String>,
    shapes: &mut HashMap<Vec<String>, Shape>,
) -> Result<(), String> {
    if let Some(variants) = Variants::of(column) {
        let rows = column.len().min(SAMPLE_ROWS);
        let mut seen = Seen::default();
        for row in 0..rows {
            if let Some(variant) = variants.get(row)? {
                seen.look(&variant, 0);
            }
        }
        let values = seen.values;
        if let Some(shape) = seen.shape(values, &mut COLUMNS_MAX.clone()) {
            shapes.insert(path.clone(), shape);
        }
    } else if let Some(parts) = column.as_struct_opt() {
        for (field, part) in parts.fields().iter().zip(parts.columns()) {
            path.push(field.name().clone());
            find_shapes(part, path, shapes)?;
            path.pop();
        }
    }
    Ok(())
}

fn shredded_field(field: &FieldRef, path: &mut Vec<String>, shapes: &HashMap<Vec<String>, Shape>) -> FieldRef {
    path.push(field.name().clone());
    let data_type = match (shapes.get(path), field.data_type()) {
        (Some(shape), _) => {
            let mut parts = vec![Arc::new(Field::new("metadata", DataType::BinaryView, false))];
            parts.extend(shape.pair_fields().iter().cloned());
            DataType::Struct(parts.into())
        }
        (None, DataType::Struct(fields)) if !is_variant_type(field.data_type()) => {
            DataType::Struct(fields.iter().map(|field| shredded_field(field, path, shapes)).collect())
        }
        (None, other) => other.clone(),
    };
    path.pop();
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn shred(column: &ArrayRef, shape: &Shape, fields: &Fields) -> Result<ArrayRef, String> {
    let variants = Variants::of(column).ok_or_else(|| format!("{} is no variant", column.data_type()))?;
    let mut place = Place::new(shape, column.len());
    for row in 0..column.len() {
        match variants.get(row)? {
            Some(variant) => place.put(&variant)?,
            None => place.skip(),
        }
    }
    let (value, typed) = place.finish()?;
    let parts = vec![column.as_struct().column(1).clone(), Arc::new(value) as ArrayRef, typed];
    let shredded = StructArray::try_new(fields.clone(), parts, column.nulls().cloned());
    Ok(Arc::new(shredded.map_err(|error| error.to_string())?))
}

/// The columns `value` and `typed_value` of one place, as they fill.
struct Place<'s> {
    shape: &'s Shape,
    value: VariantValueArrayBuilder,
    typed: Typed<'s>,
}

enum Typed<'s> {
    Object { fields: Vec<(&'s str, Place<'s>)>, valid: Vec<bool> },
    Long(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
}

impl<'s> Place<'s> {
    fn new(shape: &'s Shape, rows: usize) -> Self {
        let typed = match shape {
            Shape::Object(fields) => {
                let fields = fields.iter().map(|(name, shape)| (name.as_str(), Place::new(shape, rows)));
                Typed::Object { fields: fields.collect(), valid: Vec::with_capacity(rows) }
            }
            Shape::Long => Typed::Long(Int64Builder::new()),
            Shape::Double => Typed::Double(Float64Builder::new()),
            Shape::Boolean => Typed::Boolean(BooleanBuilder::new()),
            Shape::Text => Typed::Text(StringBuilder::new()),
        };
        Place { shape, value: VariantValueArrayBuilder::new(rows), typed }
    }

    /// There is no value in this row.
    fn skip(&mut self) {
        self.value.append_null();
        self.typed.skip();
    }

    fn put(&mut self, variant: &Variant<'_, '_>) -> Result<(), String> {
        if !self.shape.takes(variant) {
            self.value.append_value(variant.clone());
            self.typed.skip();
            return Ok(());
        }
        match (&mut self.typed, variant) {
            (Typed::Object { fields, valid }, Variant::Object(object)) => {
                valid.push(true);
                let mut own = 0;
                for (name, place) in fields.iter_mut() {
                    match object.get(name) {
                        Some(value) => {
                            own += 1;
                            place.put(&value)?;
                        }
                        None => place.skip(),
                    }
                }
                if own == object.len() {
                    self.value.append_null();
                    return Ok(());
                }
                let mut names = ReadOnlyMetadataBuilder::new(variant.metadata());
                let mut rest = ObjectBuilder::new(self.value.parent_state(&mut names), false);
                for (name, value) in object.iter() {
                    if fields.binary_search_by_key(&name, |(own, _)| own).is_err() {
                        rest.try_insert_bytes(name, value).map_err(|error| error.to_string())?;
                    }
                }
                rest.finish();
                return Ok(());
            }
            (Typed::Long(longs), variant) => longs.append_option(variant.as_int64()),
            (Typed::Double(doubles), Variant::Double(double)) => doubles.append_value(*double),
            (Typed::Boolean(booleans), variant) => booleans.append_option(variant.as_boolean()),
            (Typed::Text(texts), variant) => texts.append_option(variant.as_string()),
            (typed, _) => typed.skip(),
        }
        self.value.append_null();
        Ok(())
    }

    fn finish(self) -> Result<(BinaryViewArray, ArrayRef), String> {
        let value = self.value.build().map_err(|error| error.to_string())?;
        let typed: ArrayRef = match self.typed {
            Typed::Object { fields, valid } => {
                let DataType::Struct(types) = self.shape.typed() else { return Err("an object has fields".into()) };
                let mut parts: Vec<ArrayRef> = Vec::with_capacity(fields.len());
                for (_, place) in fields {
                    let pair = place.shape.pair_fields();
                    let (value, typed) = place.finish()?;
                    let pair = StructArray::try_new(pair, vec![Arc::new(value) as ArrayRef, typed], None);
                    parts.push(Arc::new(pair.map_err(|error| error.to_string())?));
                }
                let nulls = NullBuffer::new(BooleanBuffer::from(valid));
                Arc::new(StructArray::try_new(types, parts, Some(nulls)).map_err(|error| error.to_string())?)
            }
            Typed::Long(mut longs) => Arc::new(longs.finish()),
            Typed::Double(mut doubles) => Arc::new(doubles.finish()),
            Typed::Boolean(mut booleans) => Arc::new(booleans.finish()),
            Typed::Text(mut texts) => Arc::new(texts.finish()),
        };
        Ok((value, typed))
    }
}

impl Typed<'_> {
    fn skip(&mut self) {
        match self {
            Typed::Object { fields, valid } => {
                valid.push(false);
                fields.iter_mut().for_each(|(_, place)| place.skip());
            }
            Typed::Long(longs) => longs.append_null(),
            Typed::Double(doubles) => doubles.append_null(),
            Typed::Boolean(booleans) => booleans.append_null(),
            Typed::Text(texts) => texts.append_null(),
        }
    }
}
