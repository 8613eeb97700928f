//! The schema of a table: names, types and what is known about each column.
//!
//! Protocol section "Schema Serialization Format". [`StructType::parse`] reads the JSON of `metaData.schemaString` and
//! [`StructType::to_json`] writes it; field metadata of other writers passes through unchanged. Arrow schemas are made and
//! read in [`StructType::to_arrow`] and [`StructType::from_arrow`]. With column mapping the data files use other names than
//! the table: [`StructType::to_physical_arrow`].
//!
//! ```
//! use floe_table_format::{PrimitiveType, StructField, StructType};
//!
//! let schema = StructType::new(vec![StructField::new("price", PrimitiveType::Decimal(10, 2), false)])?;
//! assert_eq!(StructType::parse(&schema.to_json())?, schema);
//! assert_eq!(StructType::from_arrow(schema.to_arrow()?.as_ref())?, schema);
//! assert_eq!(floe_table_format::schema::nearest("prise", schema.names()), Some("price"));
//! # Ok::<(), floe_table_format::FormatError>(())
//! ```

mod arrow_schema;
mod edit;
mod evolve;
mod identity;
mod interval;
mod json;
mod mapping;
mod nearest;
mod widen;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::error::{FormatError, Result, printable};

pub use arrow_schema::{PARQUET_FIELD_ID, STORED_TYPE, VARIANT_PARTS, is_variant_type, variant_type};
pub use edit::Place;
pub use identity::Identity;
pub use interval::IntervalType;
pub use nearest::nearest;

/// How deep the JSON of a schema may nest: each struct counts three levels, each array and map one.
///
/// The limit protects the stack of whoever walks the schema, here and in other readers.
pub const NESTING_MAX: usize = 127;

/// Keys of field metadata that the protocol defines.
mod key {
    pub(super) const COMMENT: &str = "comment";
    pub(super) const DEFAULT: &str = "CURRENT_DEFAULT";
    pub(super) const GENERATION: &str = "delta.generationExpression";
    pub(super) const INVARIANTS: &str = "delta.invariants";
    pub(super) const IDENTITY_PREFIX: &str = "delta.identity.";
    pub(super) const IDENTITY_START: &str = "delta.identity.start";
    pub(super) const IDENTITY_STEP: &str = "delta.identity.step";
    pub(super) const IDENTITY_MARK: &str = "delta.identity.highWaterMark";
    pub(super) const IDENTITY_EXPLICIT: &str = "delta.identity.allowExplicitInsert";
    pub(super) const MAPPING_PREFIX: &str = "delta.columnMapping.";
    pub(super) const MAPPING_ID: &str = "delta.columnMapping.id";
    pub(super) const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";
    pub(super) const NESTED_IDS: &str = "delta.columnMapping.nested.ids";
}

/// How the columns of data files are found.
///
/// Protocol section "Column Mapping".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum ColumnMappingMode {
    /// By their names in the table.
    #[default]
    None,
    /// By their physical names.
    Name,
    /// By their ids, which files carry as Parquet field ids; statistics and partition values still use physical names.
    Id,
}

impl ColumnMappingMode {
    /// As the property `delta.columnMapping.mode` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnMappingMode::None => "none",
            ColumnMappingMode::Name => "name",
            ColumnMappingMode::Id => "id",
        }
    }
}

/// The fields of a table or of a nested struct.
///
/// No two fields of one struct have names that differ only in case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StructType {
    /// In order.
    pub fields: Vec<StructField>,
}

/// A named column of a table or of a nested struct.
#[derive(Debug, Clone, PartialEq)]
pub struct StructField {
    /// As queries call it.
    pub name: String,
    /// What it holds.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
    /// What else is known: comments, defaults, generation, column mapping, and whatever other writers left here.
    pub metadata: Map<String, Value>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
pub enum DataType {
    /// One value.
    Primitive(PrimitiveType),
    /// Named fields.
    Struct(Box<StructType>),
    /// Any number of values of one type.
    Array(Box<ArrayType>),
    /// Keys and values.
    Map(Box<MapType>),
    /// A semi-structured value in Parquet's binary encoding. Protocol section "Variant Data Type".
    Variant,
    /// No value but null. In no file; of Spark, and not in the protocol.
    Void,
    /// A span of time, which readers see as text: `INTERVAL '1-2' YEAR TO MONTH`. Of Spark, and not in the protocol.
    Interval(IntervalType),
}

/// The type of an array column.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayType {
    /// What it holds.
    pub element: DataType,
    /// Whether elements may be null.
    pub contains_null: bool,
}

/// The type of a map column.
#[derive(Debug, Clone, PartialEq)]
pub struct MapType {
    /// Keys, never null.
    pub key: DataType,
    /// Values.
    pub value: DataType,
    /// Whether values may be null.
    pub value_contains_null: bool,
}

/// A type without parts. Its `Display` is the name that the schema's JSON uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrimitiveType {
    /// UTF-8 text.
    String,
    /// Signed, 8 bytes.
    Long,
    /// Signed, 4 bytes.
    Integer,
    /// Signed, 2 bytes.
    Short,
    /// Signed, 1 byte.
    Byte,
    /// IEEE 754, 4 bytes.
    Float,
    /// IEEE 754, 8 bytes.
    Double,
    /// Precision (1 to 38 digits) and scale (0 to the precision).
    Decimal(u8, u8),
    /// `true` or `false`.
    Boolean,
    /// Bytes.
    Binary,
    /// A day of the calendar.
    Date,
    /// A point in time, in microseconds.
    Timestamp,
    /// A date and time of no particular zone, in microseconds.
    TimestampNtz,
}

impl PrimitiveType {
    /// The largest precision of a decimal.
    pub const DECIMAL_PRECISION_MAX: u8 = 38;
}

impl fmt::Display for PrimitiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PrimitiveType::String => "string",
            PrimitiveType::Long => "long",
            PrimitiveType::Integer => "integer",
            PrimitiveType::Short => "short",
            PrimitiveType::Byte => "byte",
            PrimitiveType::Float => "float",
            PrimitiveType::Double => "double",
            PrimitiveType::Decimal(precision, scale) => return write!(f, "decimal({precision},{scale})"),
            PrimitiveType::Boolean => "boolean",
            PrimitiveType::Binary => "binary",
            PrimitiveType::Date => "date",
            PrimitiveType::Timestamp => "timestamp",
            PrimitiveType::TimestampNtz => "timestamp_ntz",
        })
    }
}

impl DataType {
    /// A struct of these fields.
    pub fn struct_of(fields: Vec<StructField>) -> Self {
        DataType::Struct(Box::new(StructType { fields }))
    }

    /// An array of this type.
    pub fn array_of(element: DataType, contains_null: bool) -> Self {
        DataType::Array(Box::new(ArrayType { element, contains_null }))
    }

    /// A map of these types.
    pub fn map_of(key: DataType, value: DataType, value_contains_null: bool) -> Self {
        DataType::Map(Box::new(MapType { key, value, value_contains_null }))
    }

    /// The primitive type, if it is one.
    pub fn as_primitive(&self) -> Option<PrimitiveType> {
        match self {
            DataType::Primitive(primitive) => Some(*primitive),
            _ => None,
        }
    }

    /// Whether this type or one inside it is the given primitive.
    pub fn contains_primitive(&self, wanted: PrimitiveType) -> bool {
        self.any(&mut |t| *t == DataType::Primitive(wanted))
    }

    /// The first type, this one or one inside it, that is read and not written: an interval.
    pub fn first_read_only(&self) -> Option<DataType> {
        let mut found = None;
        self.any(&mut |t| {
            let read_only = matches!(t, DataType::Interval(_));
            found = read_only.then(|| t.clone());
            read_only
        });
        found
    }

    /// Whether a type inside this one is void.
    pub fn contains_void(&self) -> bool {
        *self != DataType::Void && self.any(&mut |t| *t == DataType::Void)
    }

    /// Whether this type or one inside it is a variant.
    pub fn contains_variant(&self) -> bool {
        self.any(&mut |t| *t == DataType::Variant)
    }

    fn any(&self, test: &mut impl FnMut(&DataType) -> bool) -> bool {
        test(self)
            || match self {
                DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => false,
                DataType::Struct(inner) => inner.fields.iter().any(|f| f.data_type.any(test)),
                DataType::Array(inner) => inner.element.any(test),
                DataType::Map(inner) => inner.key.any(test) || inner.value.any(test),
            }
    }
}

impl From<PrimitiveType> for DataType {
    fn from(primitive: PrimitiveType) -> Self {
        DataType::Primitive(primitive)
    }
}

/// As SQL users write it: `struct<a:integer,b:array<string>>`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Primitive(primitive) => primitive.fmt(f),
            DataType::Variant => f.write_str("variant"),
            DataType::Void => f.write_str("void"),
            DataType::Interval(interval) => interval.fmt(f),
            DataType::Array(inner) => write!(f, "array<{}>", inner.element),
            DataType::Map(inner) => write!(f, "map<{},{}>", inner.key, inner.value),
            DataType::Struct(inner) => {
                f.write_str("struct<")?;
                for (index, field) in inner.fields.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{}", printable(&field.name), field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

impl StructField {
    /// A field without metadata.
    pub fn new(name: impl Into<String>, data_type: impl Into<DataType>, nullable: bool) -> Self {
        StructField { name: name.into(), data_type: data_type.into(), nullable, metadata: Map::new() }
    }

    /// Adds a metadata entry.
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The name in data files, statistics and partition values of a table with column mapping: the assigned one, or the
    /// name itself where none is assigned.
    pub fn physical_name(&self) -> &str {
        self.mapped_name().unwrap_or(&self.name)
    }

    /// The name given to the column for data files, if it was given one.
    pub fn mapped_name(&self) -> Option<&str> {
        self.text(key::PHYSICAL_NAME)
    }

    /// The name in data files, statistics and partition values under a mapping mode.
    ///
    /// Without column mapping an assigned name counts for nothing: it is left over, or copied from another table.
    pub fn physical_name_in(&self, mode: ColumnMappingMode) -> &str {
        match mode {
            ColumnMappingMode::None => &self.name,
            ColumnMappingMode::Name | ColumnMappingMode::Id => self.physical_name(),
        }
    }

    /// The id in data files of a table with column mapping.
    pub fn mapping_id(&self) -> Option<i64> {
        self.metadata.get(key::MAPPING_ID).and_then(Value::as_i64)
    }

    /// SQL of the value that rows get which do not give one. Protocol section "Default Columns".
    pub fn default_expression(&self) -> Option<&str> {
        self.text(key::DEFAULT)
    }

    /// SQL that must be true of each row. Protocol section "Column Invariants".
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] if there is an invariant but not in the protocol's form: a writer that cannot read it
    /// must not write.
    pub fn invariant_expression(&self) -> Result<Option<String>> {
        let Some(invariant) = self.metadata.get(key::INVARIANTS) else { return Ok(None) };
        let expression = invariant.as_str().and_then(|text| {
            let parsed: Value = serde_json::from_str(text).ok()?;
            Some(parsed.pointer("/expression/expression")?.as_str()?.to_owned())
        });
        expression.map(Some).ok_or_else(|| {
            let found = printable(&invariant.to_string());
            FormatError::invalid_schema(format!("column {}: invariant {found} does not decode", printable(&self.name)))
        })
    }

    /// SQL that computes the column. Protocol section "Generated Columns".
    pub fn generation_expression(&self) -> Option<&str> {
        self.text(key::GENERATION)
    }

    /// Whether values are drawn from a sequence. Protocol section "Identity Columns".
    pub fn is_identity(&self) -> bool {
        self.metadata.keys().any(|k| k.starts_with(key::IDENTITY_PREFIX))
    }

    /// What the column is, for people.
    pub fn comment(&self) -> Option<&str> {
        self.text(key::COMMENT)
    }

    fn has_invariant(&self) -> bool {
        self.metadata.contains_key(key::INVARIANTS)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }
}

impl StructType {
    /// The schema of these fields.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] for an empty name or names that differ only in case, at any depth;
    /// [`FormatError::LimitExceeded`] beyond [`NESTING_MAX`].
    pub fn new(fields: Vec<StructField>) -> Result<Self> {
        let schema = StructType { fields };
        let depth = json::nesting_of(&schema);
        if depth > NESTING_MAX {
            return Err(json::too_deep(depth));
        }
        schema.check_duplicates("")?;
        Ok(schema)
    }

    /// The schema behind the JSON of `metaData.schemaString`.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] if it is not the JSON of a struct or has names that differ only in case;
    /// [`FormatError::UnsupportedFeature`] with column and type for an unknown type; [`FormatError::LimitExceeded`] beyond
    /// [`NESTING_MAX`].
    pub fn parse(json: &str) -> Result<StructType> {
        let schema = json::parse(json)?;
        schema.check_duplicates("")?;
        Ok(schema)
    }

    /// The JSON for `metaData.schemaString`, on one line.
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// The top-level field of this name; a name in another case is taken when no field has exactly this one.
    pub fn field(&self, name: &str) -> Option<&StructField> {
        let exact = self.fields.iter().find(|f| f.name == name);
        exact.or_else(|| {
            let folded = name.to_lowercase();
            self.fields.iter().find(|f| f.name.to_lowercase() == folded)
        })
    }

    /// The field at a path of names through nested structs; each name is matched as [`StructType::field`] does.
    pub fn field_at(&self, path: &[impl AsRef<str>]) -> Option<&StructField> {
        let (first, rest) = path.split_first()?;
        let field = self.field(first.as_ref())?;
        match (&field.data_type, rest) {
            (_, []) => Some(field),
            (DataType::Struct(inner), rest) => inner.field_at(rest),
            _ => None,
        }
    }

    /// Names of the top-level fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.fields.iter().map(|f| f.name.as_str())
    }

    /// The same schema with physical names as names.
    pub fn to_physical(&self, mode: ColumnMappingMode) -> StructType {
        let fields = self.fields.iter().map(|field| StructField {
            name: field.physical_name_in(mode).to_owned(),
            data_type: physical_type(&field.data_type, mode),
            nullable: field.nullable,
            metadata: field.metadata.clone(),
        });
        StructType { fields: fields.collect() }
    }

    /// Checks the names of a schema that is about to be written.
    ///
    /// Without column mapping, Spark and its relatives refuse ` ,;{}()=`, tabs and line breaks in names, since Parquet's
    /// text schema gives them a meaning.
    ///
    /// # Errors
    /// [`FormatError::InvalidSchema`] with the column.
    pub fn check_names(&self, mode: ColumnMappingMode) -> Result<()> {
        let mut problem = None;
        self.visit(&mut |field| {
            let bad = field.name.chars().find(|c| " ,;{}()\n\t=".contains(*c));
            if let (Some(bad), None, ColumnMappingMode::None) = (bad, &problem, mode) {
                problem = Some(format!(
                    "column name {:?} holds {bad:?}, which needs delta.columnMapping.mode = name",
                    printable(&field.name)
                ));
            }
        });
        problem.map_or(Ok(()), |what| Err(FormatError::InvalidSchema { what }))
    }

    /// Calls back for each field, at any depth: structs before what is in them.
    pub fn visit<'a>(&'a self, visitor: &mut impl FnMut(&'a StructField)) {
        for field in &self.fields {
            visitor(field);
            visit_type(&field.data_type, visitor);
        }
    }

    /// Whether a field, at any depth, has an invariant.
    pub fn has_invariants(&self) -> bool {
        self.any_field(StructField::has_invariant)
    }

    /// Whether the test holds for a field, at any depth.
    pub fn any_field(&self, test: impl Fn(&StructField) -> bool) -> bool {
        let mut found = false;
        self.visit(&mut |field| found |= test(field));
        found
    }

    fn check_duplicates(&self, parent: &str) -> Result<()> {
        let mut seen = HashSet::with_capacity(self.fields.len());
        for field in &self.fields {
            let path = child_path(parent, &field.name);
            if field.name.is_empty() {
                return Err(FormatError::invalid_schema(format!("column {path:?} has an empty name")));
            }
            if !seen.insert(field.name.to_lowercase()) {
                return Err(FormatError::invalid_schema(format!(
                    "column {path:?} exists twice: names that differ only in case are the same"
                )));
            }
            check_nested(&field.data_type, &path)?;
        }
        Ok(())
    }
}

fn check_nested(data_type: &DataType, path: &str) -> Result<()> {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => Ok(()),
        DataType::Struct(inner) => inner.check_duplicates(path),
        DataType::Array(inner) => check_nested(&inner.element, &child_path(path, "element")),
        DataType::Map(inner) => {
            check_nested(&inner.key, &child_path(path, "key"))?;
            check_nested(&inner.value, &child_path(path, "value"))
        }
    }
}

fn visit_type<'a>(data_type: &'a DataType, visitor: &mut impl FnMut(&'a StructField)) {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => {}
        DataType::Struct(inner) => {
            for field in &inner.fields {
                visitor(field);
                visit_type(&field.data_type, visitor);
            }
        }
        DataType::Array(inner) => visit_type(&inner.element, visitor),
        DataType::Map(inner) => {
            visit_type(&inner.key, visitor);
            visit_type(&inner.value, visitor);
        }
    }
}

fn physical_type(data_type: &DataType, mode: ColumnMappingMode) -> DataType {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => data_type.clone(),
        DataType::Struct(inner) => DataType::Struct(Box::new(inner.to_physical(mode))),
        DataType::Array(inner) => DataType::array_of(physical_type(&inner.element, mode), inner.contains_null),
        DataType::Map(inner) => DataType::map_of(
            physical_type(&inner.key, mode),
            physical_type(&inner.value, mode),
            inner.value_contains_null,
        ),
    }
}

/// The path of a nested column as messages show it.
fn child_path(parent: &str, name: &str) -> String {
    let name = printable(name);
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}
