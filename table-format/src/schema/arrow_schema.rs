//! Delta schemas as Arrow schemas, and back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value};

use super::{ColumnMappingMode, DataType, NESTING_MAX, PrimitiveType, StructField, StructType, child_path, json, key};
use crate::error::{FormatError, Result, printable};

/// Where the Parquet reader and writer look for a column's id.
pub const PARQUET_FIELD_ID: &str = "PARQUET:field_id";

/// Under which key a field of a file's Arrow schema names the Delta type of its values, where files may hold them as
/// another Arrow type than readers see: a variant, which may be shredded, or an interval, which readers see as text.
pub const STORED_TYPE: &str = "floe.storedType";

/// The parts of a variant, as files and Arrow name them, in Spark's order: there are readers that go by it.
pub const VARIANT_PARTS: [&str; 2] = ["value", "metadata"];

/// The Arrow type of a variant: a struct of [`VARIANT_PARTS`], both views of binary that are never null. Delta's own
/// binary columns are no views, so that no other column is taken for a variant.
pub fn variant_type() -> ArrowType {
    let part = |name: &str| Field::new(name, ArrowType::BinaryView, false);
    ArrowType::Struct(VARIANT_PARTS.iter().map(|name| part(name)).collect())
}

/// Whether an Arrow type is that of variants, whatever it says about nulls inside.
pub fn is_variant_type(arrow: &ArrowType) -> bool {
    let ArrowType::Struct(fields) = arrow else { return false };
    let is_part =
        |(field, name): (&FieldRef, &str)| field.name() == name && *field.data_type() == ArrowType::BinaryView;
    fields.len() == VARIANT_PARTS.len() && fields.iter().zip(VARIANT_PARTS).all(is_part)
}

/// How Arrow names the zone of a `timestamp`, which is a point in time.
const UTC: &str = "UTC";

impl PrimitiveType {
    /// The Arrow type that holds such values.
    pub fn to_arrow(self) -> ArrowType {
        match self {
            PrimitiveType::String => ArrowType::Utf8,
            PrimitiveType::Long => ArrowType::Int64,
            PrimitiveType::Integer => ArrowType::Int32,
            PrimitiveType::Short => ArrowType::Int16,
            PrimitiveType::Byte => ArrowType::Int8,
            PrimitiveType::Float => ArrowType::Float32,
            PrimitiveType::Double => ArrowType::Float64,
            PrimitiveType::Decimal(precision, scale) => ArrowType::Decimal128(precision, scale as i8),
            PrimitiveType::Boolean => ArrowType::Boolean,
            PrimitiveType::Binary => ArrowType::Binary,
            PrimitiveType::Date => ArrowType::Date32,
            PrimitiveType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            PrimitiveType::TimestampNtz => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

impl DataType {
    /// The Arrow type that holds such values.
    ///
    /// # Errors
    /// None that a type on its own has.
    pub fn to_arrow(&self) -> Result<ArrowType> {
        Writer { mode: None }.data_type(self, "", &NestedIds::default())
    }

    /// The type of a column that holds the values of an Arrow type.
    ///
    /// # Errors
    /// As [`StructType::from_arrow`].
    pub fn from_arrow(arrow: &ArrowType) -> Result<DataType> {
        from_type(arrow, "", 0)
    }
}

impl StructType {
    /// The Arrow schema of the table as queries see it.
    ///
    /// # Errors
    /// None that a schema without column mapping has.
    pub fn to_arrow(&self) -> Result<SchemaRef> {
        let fields = Writer { mode: None }.fields(self, "")?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The Arrow schema of the table's data files: physical names, and with column mapping the ids as metadata
    /// [`PARQUET_FIELD_ID`]. Protocol section "Writer Requirements for Column Mapping".
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] if the mode asks for a physical name or an id that a field does not have.
    pub fn to_physical_arrow(&self, mode: ColumnMappingMode) -> Result<SchemaRef> {
        let fields = Writer { mode: Some(mode) }.fields(self, "")?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The schema of a table that takes rows of an Arrow schema.
    ///
    /// Unsigned integers widen, any unit of time becomes microseconds, views and dictionaries become what they hold. Of
    /// the fields' metadata only `comment` is kept.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] with the column for a type that Delta does not have (null, times of day, durations,
    /// unions, decimals beyond 38 digits), an empty nested struct, and as [`StructType::new`].
    pub fn from_arrow(schema: &Schema) -> Result<StructType> {
        StructType::new(from_fields(schema.fields(), "", 0)?)
    }
}

/// Ids of array elements, map keys and map values, which have no field of their own to carry them. The nearest field above
/// holds them under names such as `col-1.element.key`.
#[derive(Clone, Default)]
struct NestedIds<'a> {
    ids: Option<&'a Map<String, Value>>,
    path: String,
}

impl NestedIds<'_> {
    fn child(&self, name: &str) -> Self {
        NestedIds { ids: self.ids, path: format!("{}.{name}", self.path) }
    }

    fn id(&self) -> Option<i64> {
        self.ids?.get(&self.path)?.as_i64()
    }
}

/// Makes Arrow types; with a mode, those of data files.
struct Writer {
    mode: Option<ColumnMappingMode>,
}

impl Writer {
    fn mapped(&self) -> bool {
        matches!(self.mode, Some(ColumnMappingMode::Name | ColumnMappingMode::Id))
    }

    /// The field of a data file with what it says beyond its Arrow type.
    fn stored(&self, field: Field, data_type: &DataType) -> Field {
        match data_type {
            DataType::Variant | DataType::Interval(_) if self.mode.is_some() => {
                field.with_metadata(HashMap::from([(STORED_TYPE.to_owned(), data_type.to_string())]))
            }
            _ => field,
        }
    }

    fn fields(&self, schema: &StructType, parent: &str) -> Result<Fields> {
        schema.fields.iter().map(|field| self.field(field, parent)).collect()
    }

    fn field(&self, field: &StructField, parent: &str) -> Result<FieldRef> {
        let path = child_path(parent, &field.name);
        let name = field.physical_name_in(self.mode.unwrap_or_default());
        if self.mapped() && field.text(key::PHYSICAL_NAME).is_none() {
            return Err(FormatError::invalid_schema(format!(
                "column {path} has no {}, which column mapping needs",
                key::PHYSICAL_NAME
            )));
        }
        let nested = NestedIds {
            ids: field.metadata.get(key::NESTED_IDS).and_then(Value::as_object).filter(|_| self.mapped()),
            path: name.to_owned(),
        };
        let arrow = Field::new(name, self.data_type(&field.data_type, &path, &nested)?, field.nullable);
        let arrow = self.stored(arrow, &field.data_type);
        match field.mapping_id() {
            Some(id) if self.mapped() => {
                let mut metadata = arrow.metadata().clone();
                metadata.extend(id_metadata(id));
                Ok(Arc::new(arrow.with_metadata(metadata)))
            }
            None if self.mode == Some(ColumnMappingMode::Id) => Err(FormatError::invalid_schema(format!(
                "column {path} has no {}, which column mapping by id needs",
                key::MAPPING_ID
            ))),
            _ => Ok(Arc::new(arrow)),
        }
    }

    fn data_type(&self, data_type: &DataType, path: &str, above: &NestedIds<'_>) -> Result<ArrowType> {
        Ok(match data_type {
            DataType::Primitive(primitive) => primitive.to_arrow(),
            DataType::Struct(inner) => ArrowType::Struct(self.fields(inner, path)?),
            DataType::Array(inner) => {
                ArrowType::List(self.part("element", &inner.element, inner.contains_null, path, above)?)
            }
            DataType::Map(inner) => {
                let key = self.part("key", &inner.key, false, path, above)?;
                let value = self.part("value", &inner.value, inner.value_contains_null, path, above)?;
                let entries = ArrowType::Struct(Fields::from(vec![key, value]));
                ArrowType::Map(Arc::new(Field::new("key_value", entries, false)), false)
            }
            DataType::Variant => variant_type(),
            // As text; how files hold it stands beside it.
            DataType::Interval(_) => ArrowType::Utf8,
            DataType::Void => ArrowType::Null,
        })
    }

    /// An array's element, or a map's key or value.
    fn part(
        &self,
        name: &str,
        data_type: &DataType,
        nullable: bool,
        path: &str,
        above: &NestedIds<'_>,
    ) -> Result<FieldRef> {
        let nested = above.child(name);
        let field = Field::new(name, self.data_type(data_type, &child_path(path, name), &nested)?, nullable);
        let field = self.stored(field, data_type);
        Ok(Arc::new(match nested.id() {
            Some(id) => {
                let mut metadata = field.metadata().clone();
                metadata.extend(id_metadata(id));
                field.with_metadata(metadata)
            }
            None => field,
        }))
    }
}

fn id_metadata(id: i64) -> HashMap<String, String> {
    HashMap::from([(PARQUET_FIELD_ID.to_owned(), id.to_string())])
}

fn from_fields(fields: &Fields, parent: &str, depth: usize) -> Result<Vec<StructField>> {
    let convert = |field: &FieldRef| {
        let path = child_path(parent, field.name());
        let mut converted =
            StructField::new(field.name(), from_type(field.data_type(), &path, depth + 3)?, field.is_nullable());
        if let Some(comment) = field.metadata().get(key::COMMENT) {
            converted.metadata.insert(key::COMMENT.into(), comment.as_str().into());
        }
        Ok(converted)
    };
    fields.iter().map(convert).collect()
}

/// `depth` is how deep the JSON of the columns above nests.
fn from_type(arrow: &ArrowType, path: &str, depth: usize) -> Result<DataType> {
    if depth > NESTING_MAX {
        return Err(json::too_deep(depth));
    }
    let primitive = match arrow {
        ArrowType::Boolean => PrimitiveType::Boolean,
        ArrowType::Int8 => PrimitiveType::Byte,
        ArrowType::Int16 | ArrowType::UInt8 => PrimitiveType::Short,
        ArrowType::Int32 | ArrowType::UInt16 => PrimitiveType::Integer,
        ArrowType::Int64 | ArrowType::UInt32 => PrimitiveType::Long,
        ArrowType::UInt64 => PrimitiveType::Decimal(20, 0),
        ArrowType::Float16 | ArrowType::Float32 => PrimitiveType::Float,
        ArrowType::Float64 => PrimitiveType::Double,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => PrimitiveType::String,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            PrimitiveType::Binary
        }
        ArrowType::Date32 | ArrowType::Date64 => PrimitiveType::Date,
        ArrowType::Timestamp(_, Some(_)) => PrimitiveType::Timestamp,
        ArrowType::Timestamp(_, None) => PrimitiveType::TimestampNtz,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => from_decimal(*precision, *scale, path)?,
        ArrowType::Dictionary(_, values) => return from_type(values, path, depth + 1),
        ArrowType::RunEndEncoded(_, values) => return from_type(values.data_type(), path, depth + 1),
        ArrowType::List(element)
        | ArrowType::LargeList(element)
        | ArrowType::ListView(element)
        | ArrowType::LargeListView(element)
        | ArrowType::FixedSizeList(element, _) => {
            let inner = from_type(element.data_type(), &child_path(path, "element"), depth + 1)?;
            return Ok(DataType::array_of(inner, element.is_nullable()));
        }
        ArrowType::Map(entries, _) => return from_map(entries, path, depth),
        ArrowType::Struct(fields) if fields.is_empty() => {
            return Err(unsuitable(path, "a struct without fields cannot be stored"));
        }
        variant if is_variant_type(variant) => return Ok(DataType::Variant),
        ArrowType::Struct(fields) => return Ok(DataType::struct_of(from_fields(fields, path, depth)?)),
        ArrowType::Null => return Err(unsuitable(path, "it has no type: every value is null; cast it to one")),
        ArrowType::Time32(_)
        | ArrowType::Time64(_)
        | ArrowType::Duration(_)
        | ArrowType::Interval(_)
        | ArrowType::Union(..) => {
            return Err(unsuitable(path, &format!("Delta has no type for {}", printable(&arrow.to_string()))));
        }
    };
    Ok(primitive.into())
}

fn from_map(entries: &FieldRef, path: &str, depth: usize) -> Result<DataType> {
    match entries.data_type() {
        ArrowType::Struct(fields) if fields.len() == 2 => Ok(DataType::map_of(
            from_type(fields[0].data_type(), &child_path(path, "key"), depth + 1)?,
            from_type(fields[1].data_type(), &child_path(path, "value"), depth + 1)?,
            fields[1].is_nullable(),
        )),
        _ => Err(unsuitable(path, "the entries of a map are pairs")),
    }
}

fn from_decimal(precision: u8, scale: i8, path: &str) -> Result<PrimitiveType> {
    // A negative scale means zeros before the point, which Delta can only store as digits.
    let (digits, scale) = match u8::try_from(scale) {
        Ok(scale) => (u32::from(precision).max(u32::from(scale)), scale),
        Err(_) => (u32::from(precision) + u32::from(scale.unsigned_abs()), 0),
    };
    match u8::try_from(digits) {
        Ok(precision) if (1..=PrimitiveType::DECIMAL_PRECISION_MAX).contains(&precision) => {
            Ok(PrimitiveType::Decimal(precision, scale))
        }
        _ => Err(unsuitable(path, &format!("a decimal has 1 to 38 digits, found {digits}"))),
    }
}

fn unsuitable(path: &str, what: &str) -> FormatError {
    if path.is_empty() {
        return FormatError::invalid_schema(what);
    }
    FormatError::invalid_schema(format!("column {path}: {what}"))
}
